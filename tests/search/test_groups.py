"""Groups are whole, of one type and in one spelling, or the rows at fault are named."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from rust_tuner.data.folds import Folds
from rust_tuner.errors import SearchError
from rust_tuner.search.groups import by_row_note, checked_groups

DAYS = np.array(["2020-01-01", "NaT", "2021-01-01"], dtype="datetime64[D]")


@pytest.mark.parametrize(
    "groups",
    [
        [1, None, 2],
        [1.0, float("nan"), 2.0],
        np.array([1.0, np.nan, 2.0]),
        ["a", None, "b"],
        ["a", float("nan"), "b"],
        ["a", " ", "b"],
        np.array(["a", np.nan, "b"]),
        np.array(["a", None, 1], dtype=object),
        pd.Series(["a", pd.NA, "b"]),
        pd.Series([1, pd.NA, 2], dtype="Int64"),
        pd.Categorical(["a", None, "b"]),
        np.ma.array([1, 2, 3], mask=[False, True, False]),
        DAYS,
        pd.to_datetime(DAYS),
    ],
)
def test_a_missing_group_is_named_by_its_row(
    groups: "pd.Series[Any] | pd.Categorical[Any] | pd.DatetimeIndex | list[object]",
) -> None:
    with pytest.raises(SearchError, match=r"groups is missing .* in row 1; give each row"):
        checked_groups(groups, 3)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a", 1, "b"], "of several types: text, but numbers in row 1; 7 and '7'"),
        ([1, "1", 2], "of several types: numbers, but text in row 1"),
        ([True, 1, 2], "of several types: numbers, but Booleans in row 0"),
        ([1, "a", 2, "b", 3], "numbers, but text in rows 1, 3"),
        ([(1, 2), (1, 3), (2, 3)], "of type tuple; expected numbers or text"),
        ([1, float("inf"), 2], "infinite in row 1"),
        ([1, 2], "groups has 2 values for 3 rows"),
        (np.zeros((3, 1)), r"shape \(3, 1\); expected \(3,\)"),
        (pd.DataFrame({"patient": [1, 2, 3]}), r"shape \(3, 1\); expected \(3,\)"),
        (np.float64(3), r"a single value \(3\.0\); expected one group per row"),
        ("abc", "of type str; expected an array, a list"),
        ({1, 2, 3}, "of type set; expected an array, a list"),
        (["P1", "p-1", "q"], r"'p-1' \(row 1\) reads like 'P1' \(row 0\).*pandas.factorize"),
        (["7", "8", "007"], r"'007' \(row 2\) reads like '7' \(row 0\)"),
    ],
)
def test_groups_that_cannot_keep_patients_together_are_refused(
    groups: object, message: str
) -> None:
    num_rows = len(groups) if isinstance(groups, list) and len(groups) > 2 else 3
    with pytest.raises(SearchError, match=message):
        checked_groups(groups, num_rows)


@pytest.mark.parametrize(
    "groups",
    [
        [1, 2, 2],
        [0.5, 2, 2],
        np.array([1, 2, 2], dtype=np.uint8),
        ["a", "b", "b"],
        np.array(["a", "b", "b"]),
        np.array(["a", "b", "b"], dtype=object),
        pd.Series(["a", "b", "b"], index=[7, 8, 9]),
        pd.Series([1, 2, 2], dtype="Int64"),
        pd.Categorical(["a", "b", "b"]),
        [True, False, False],
        [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2), datetime.date(2020, 1, 2)],
        [2**70, 1, 1],
        ["NA", "nan", "nan"],
    ],
)
def test_whole_groups_of_one_type_are_kept_apart_as_they_are(groups: object) -> None:
    checked = checked_groups(groups, 3)
    assert checked.shape == (3,)
    assert checked[0] != checked[1]
    assert checked[1] == checked[2]


@pytest.mark.parametrize("groups", [[], np.array([]), np.array([], dtype=str)])
def test_no_rows_have_no_groups(groups: object) -> None:
    assert checked_groups(groups, 0).shape == (0,)


def test_numbers_that_are_made_of_different_ids_stay_different() -> None:
    assert checked_groups(pd.factorize(np.array(["P1", "p1"]))[0], 2).tolist() == [0, 1]


def test_rows_that_are_split_one_by_one_are_said_to_be_so() -> None:
    for cv in (6, np.int64(6), KFold(3)):
        note = by_row_note(cv, 48)
        assert note.startswith("note: without groups the 48 rows are split one by one")
        assert note.endswith("pass groups=patient_ids")
    assert by_row_note(Folds(np.arange(4) % 2, 2, 0), 4) == ""
    assert by_row_note([([0], [1]), ([1], [0])], 2) == ""
