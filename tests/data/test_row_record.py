"""Changed rows and images are named; a damaged record costs the names and no more."""

from typing import Any

import pandas as pd
import pytest

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import changed_images, changed_rows, row_record, sealed_images

HASHES = ("a" * 64, "b" * 64, "c" * 64)


def table(**changes: Any) -> Radiographs:
    rows = pd.DataFrame(
        {
            "image": ["0.png", "1.png", "2.png"],
            "patient_id": ["p0", "p0", "p1"],
            "visit": ["1", "2", "1"],
            "view": "ap",
            "medial": [1.0, 2.0, 3.0],
            "lateral": 2.0,
            "anterior": None,
            "posterior": None,
        }
    )
    return Radiographs(rows.assign(**changes))


@pytest.fixture
def record() -> dict[str, list[Any]]:
    radiographs = table()
    return row_record(radiographs, radiographs.subset([0, 1]), HASHES)


def test_the_record_holds_no_patient(record: dict[str, list[Any]]) -> None:
    assert record["row"] == [2, 3, 4]
    assert record["sealed"] == [False, False, True]
    assert not any("p0" in str(value) for value in record.values())
    assert sealed_images(record) == {HASHES[2]}


def test_what_is_as_it_was_is_not_named_in_any_order(record: dict[str, list[Any]]) -> None:
    assert changed_rows(table(), record) == []
    assert changed_rows(table().subset([2, 0, 1]), record) == []
    order = [2, 0, 1]
    assert changed_images(table().subset(order), [HASHES[i] for i in order], record) == []


def test_a_changed_row_keeps_its_number(record: dict[str, list[Any]]) -> None:
    assert changed_rows(table(medial=[1.0, 4.0, 3.0]), record) == [
        "row 3 (1.png, patient p0) changed"
    ]
    assert changed_rows(table(patient_id=["p0", "p0", "p2"]), record) == [
        "row 4 (2.png, patient p2) changed"
    ]


def test_a_missing_row_is_named_by_where_it_was(record: dict[str, list[Any]]) -> None:
    assert changed_rows(table().subset([0, 2]), record) == [
        "row 3 of the prepared manifest is missing"
    ]


def test_an_image_of_another_row_is_told_from_a_changed_one(record: dict[str, list[Any]]) -> None:
    swapped = changed_images(table(), [HASHES[1], HASHES[0], "d" * 64], record)
    assert swapped == [
        "row 2 (0.png, patient p0): is the image that row 3 had",
        "row 3 (1.png, patient p0): is the image that row 2 had",
        "row 4 (2.png, patient p1): changed",
    ]


def test_many_changes_are_cut_and_counted() -> None:
    number = 30
    rows = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(number)],
            "patient_id": [f"p{i}" for i in range(number)],
            "visit": "1",
            "view": "ap",
            "medial": 1.0,
            "lateral": 2.0,
            "anterior": None,
            "posterior": None,
        }
    )
    radiographs = Radiographs(rows)
    record = row_record(radiographs, radiographs, ["a" * 64] * number)
    lines = changed_rows(Radiographs(rows.assign(medial=4.0)), record)
    assert len(lines) == 11
    assert lines[-1] == "and 20 more"


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"row": 3},
        {"digest": ["x"]},
        {"digest": [1, 2, 3]},
        {"image_sha256": [None] * 3},
        {"sealed": None},
    ],
)
def test_a_damaged_record_names_nothing(record: dict[str, Any], damage: dict[str, Any]) -> None:
    broken = record | damage if damage else {}
    other = table(medial=[1.0, 4.0, 3.0])
    assert changed_rows(other, broken) == changed_images(other, HASHES, broken) == []
    assert sealed_images(broken) == frozenset()
