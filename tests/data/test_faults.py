"""Faults: all of them in one error, the grave ones first, then in the order of files and rows."""

import pytest

from rust_tuner.data.faults import MAX_FAULTS_SHOWN, Faults
from rust_tuner.errors import Fault, ManifestError


def told(faults: Faults) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        faults.raise_any()
    return str(caught.value).splitlines()


def test_no_fault_is_no_error() -> None:
    faults = Faults("m.csv")
    faults.raise_any()
    assert len(faults) == 0


def test_faults_are_told_by_file_then_row_and_in_the_order_found_within_a_row() -> None:
    faults = Faults("labels.csv")
    faults.add("late", row=10)
    faults.add("of the names", row=1, source="names.csv")
    faults.add("second of its row", row=2)
    faults.add("third of its row", row=2)
    faults.add("of the names as a whole", source="names.csv")
    faults.add("of the file as a whole")
    assert len(faults) == 6
    assert told(faults) == [
        "labels.csv: of the file as a whole",
        "labels.csv row 2: second of its row",
        "labels.csv row 2: third of its row",
        "labels.csv row 10: late",
        "names.csv: of the names as a whole",
        "names.csv row 1: of the names",
    ]


def test_grave_faults_come_before_all_others() -> None:
    faults = Faults("a.csv")
    faults.add("light", row=1)
    faults.add("grave", row=9, source="b.csv", grave=True)
    assert told(faults) == ["b.csv row 9: grave", "a.csv row 1: light"]


@pytest.mark.parametrize(
    ("number", "last"),
    [
        (MAX_FAULTS_SHOWN, f"m.csv row {MAX_FAULTS_SHOWN}: x"),
        (MAX_FAULTS_SHOWN + 1, "and 1 more fault"),
        (MAX_FAULTS_SHOWN + 2, "and 2 more faults"),
    ],
)
def test_a_long_list_ends_with_the_number_of_the_hidden(number: int, last: str) -> None:
    faults = Faults("m.csv")
    for row in range(1, number + 1):
        faults.add("x", row=row)
    lines = told(faults)
    assert lines[-1] == last
    assert len(lines) == min(number, MAX_FAULTS_SHOWN + 1)
    faults.add("grave", row=number + 1, grave=True)
    assert told(faults)[0] == f"m.csv row {number + 1}: grave"


def test_faults_may_be_raised_again() -> None:
    faults = Faults("m.csv")
    faults.add("one", row=1)
    assert told(faults) == told(faults) == ["m.csv row 1: one"]


def test_the_error_carries_every_fault_with_its_file_row_and_column() -> None:
    faults = Faults("m.csv")
    for row in range(2, MAX_FAULTS_SHOWN + 10):
        faults.add("anterior=5; a RUST score is 1-4 or empty", row=row, column="anterior")
    faults.add("3 values", row=1, source="names.csv")
    with pytest.raises(ManifestError) as caught:
        faults.raise_any()
    carried = caught.value.faults
    assert len(carried) == len(faults)
    assert carried[0] == Fault("m.csv", 2, "anterior", "anterior=5; a RUST score is 1-4 or empty")
    assert carried[-1] == Fault("names.csv", 1, None, "3 values")
    assert str(caught.value).splitlines()[0] == str(carried[0])
