"""Ids that one person may have written in two ways are one in their normal form, others are not."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rust_tuner.data.faults import Faults
from rust_tuner.data.patient_ids import (
    TwoSpellings,
    normal_form,
    note_two_spellings,
    two_spellings,
    visibly,
)
from rust_tuner.errors import ManifestError

SPELLINGS = {
    "case, separators and leading zeros": ["P1", "p1", "P-0001", "P0001", "P 1", "P_1", "p.01"],
    "blanks": ["P1", "P\u00a01", "P\u30001", " P1 ", "P\t1"],
    "what cannot be seen": [
        "P1",
        "P\u200b1",
        "\ufeffP1",
        "P\u00ad1",
        "P\u20601",
        "P\x001",
        "\x7fP1",
        "P1\u200f",
        "P\ufe0f1",
        "P\u034f1",
        "P\u31641",
        "P\U000e00611",
    ],
    "look-alikes": ["PA1", "\u0420\u04101", "\u03a1\u03911", "p\u04301", "\uff30\uff211"],
    "accents on look-alikes": ["\u00cb1", "\u00eb1", "E\u03081", "\u0401\u0031", "\u0451\u0031"],
    "digits of all scripts": ["7", "\uff17", "\u0667", "\u096d", "\u2466"],
    "whole numbers of a table program": ["7", "007", "7.0", "7.00", "007.0", "7,0"],
    "zero": ["0", "000", "0.0"],
    "sharp s": ["STRASSE 1", "Stra\u00dfe1"],
    "the two Turkish letters i": ["I1", "i1", "\u01301", "\u01311"],
    "paths": ["A-012/3", "a-12/03"],
}
DIFFERENT = [
    ["P1", "P10", "P01.1", "P11"],
    ["7", "70", "7.1"],
    ["1-23", "12-3", "123", "1-2-3"],
    ["1.20", "1.2", "1.02.0", "120"],
    ["7.0.0", "7", "70"],
    ["A1", "B1", "1A", "AB1", "A-B1"],
    ["O1", "01"],
    ["M\u00fcller", "Muller"],
    ["\u60a3\u80051", "\u60a3\u80052"],
    ["\u0915\u093f", "\u0915\u093e", "\u0915"],
    ["-", "--", "?"],
]


@pytest.mark.parametrize("spellings", SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_of_one_id_have_one_normal_form(spellings: list[str]) -> None:
    assert len({normal_form(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize("identifiers", DIFFERENT)
def test_ids_of_different_runs_of_letters_and_digits_stay_different(identifiers: list[str]) -> None:
    for one, other in combinations(identifiers, 2):
        assert normal_form(one) != normal_form(other), (one, other)


@given(st.text())
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    assert normal_form(normal_form(text)) == normal_form(text)


@given(st.integers(0, 10**9), st.integers(0, 6))
def test_numbers_are_one_id_only_where_they_are_equal(number: int, zeros: int) -> None:
    assert normal_form("0" * zeros + str(number)) == str(number)
    assert normal_form(f"{number}.0") == str(number)
    assert normal_form(str(number)) != normal_form(str(number + 1))


def test_each_further_spelling_is_found_with_its_positions() -> None:
    identifiers = ["P1", "p1", "P2", "P1", "p-1", "p1"]
    assert two_spellings(identifiers) == (
        TwoSpellings("P1", "p1", 0, (1, 5)),
        TwoSpellings("P1", "p-1", 0, (4,)),
    )
    assert two_spellings(["P1", "P1", "P2"]) == ()


def test_what_is_hidden_in_an_id_is_shown() -> None:
    assert visibly("P 1") == "'P 1'"
    assert visibly("M\u00fcller") == "'M\u00fcller'"
    assert visibly("\u04201\u200b\ufe0f") == r"'\u04201\u200b\ufe0f'"


def test_faults_name_both_rows_and_the_mend() -> None:
    faults = Faults("m.csv")
    note_two_spellings([2, 3, 5, 6], ["P1", "", "\u04201", "\u04201"], faults=faults)
    with pytest.raises(ManifestError) as caught:
        faults.raise_any()
    assert str(caught.value) == (
        r"m.csv row 5: patient_id='\u04201' (also in row 6) reads like 'P1' of row 2; two ids of "
        "one person can be on both sides of a split, so write one id in one way, or, if they are "
        "different people, pass --distinct-patients (in Python distinct_patients=True)"
    )
