"""Checks the `groups` of arrays, such as patients, before any work, and warns where there are none.

A group that NumPy made from a missing value, or one id in two types, would put rows of one patient
on both sides of a fold. `subjects` divides groups into folds.
"""

import datetime
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.folds import Folds
from rust_tuner.data.patient_ids import two_spellings, visibly
from rust_tuner.errors import SearchError, private

_ROWS_SHOWN = 5
_MISSING_TEXTS = ("", "nan", "None", "<NA>", "NaT")
_DROP = "give each row its group, or leave the row out"


def checked_groups(groups: Any, num_rows: int) -> npt.NDArray[Any]:
    """Groups as an array, one for each row, with no missing values and all of one type.

    Numbers are compared as they are; text, such as patient ids, in its normal form (see
    `data.patient_ids`).

    Args:
        groups: (num_rows,) an array, list, tuple, or pandas Series or Index, of numbers, text,
            dates or Booleans.
        num_rows: rows of the data.

    Returns:
        (num_rows,) of numbers, dates or text.

    Raises:
        SearchError: naming the rows, counted from 0, where groups are missing, of several types,
            or one id in two spellings; or where `groups` has another shape or length.
    """
    values = _values(groups)
    if len(values) != num_rows:
        raise SearchError(
            f"groups has {len(values)} values for {num_rows} rows; give each row its group"
        )
    missing = [row for row, value in enumerate(values) if _is_missing(value)]
    if missing:
        raise SearchError(f"groups is missing (NaN, None or empty) in {_rows(missing)}; {_DROP}")
    _require_one_kind(values)
    if not values:
        return np.array([])
    if isinstance(values[0], str):
        texts = [str(value) for value in values]
        _require_one_spelling(texts)
        return np.array(texts, dtype=str)
    if isinstance(values[0], datetime.date | np.datetime64):
        return np.array(pd.to_datetime(pd.Series(values)).to_numpy())
    return np.array(values)


def count_groups(groups: Any) -> int | None:
    """How many values `groups` has; None where it is not a sequence."""
    try:
        return len(groups)
    except TypeError:
        return None


def by_row_note(cv: Any, num_rows: int) -> str:
    """The note for arrays without groups; empty where the folds were given.

    Args:
        cv: number of folds, `Folds`, pairs of rows, or a scikit-learn splitter.
        num_rows: rows of the data.
    """
    if isinstance(cv, Folds) or not (hasattr(cv, "split") or isinstance(cv, int | np.integer)):
        return ""
    return (
        f"note: without groups the {num_rows} rows are split one by one: if several rows belong to "
        "one patient, that patient is on both sides of a fold and the scores are too high; pass "
        "groups=patient_ids"
    )


def _values(groups: Any) -> list[Any]:
    """The groups one by one, with the types they had before NumPy could convert them to one."""
    if isinstance(groups, np.ma.MaskedArray):
        pairs = zip(_values(groups.data), np.ma.getmaskarray(groups), strict=True)
        return [None if is_masked else value for value, is_masked in pairs]
    if isinstance(groups, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return list(groups.astype(object))
    if isinstance(groups, np.ndarray) or hasattr(groups, "__array__"):
        array = np.asarray(groups)
        if array.ndim != 1:
            raise SearchError(
                f"groups has the shape {array.shape}; expected ({array.shape[0]},), one group per "
                "row"
                if array.ndim
                else f"groups is a single value ({array}); expected one group per row"
            )
        # Not `tolist`, which turns dates in nanoseconds into integers.
        return list(array)
    if not isinstance(groups, Sequence) or isinstance(groups, str | bytes):
        raise SearchError(
            f"groups is of type {type(groups).__name__}; expected an array, a list or a pandas "
            "Series with one group per row"
        )
    return list(groups)


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        # NumPy turns the NaN in a list of text into text.
        return value.strip() in (_MISSING_TEXTS if isinstance(value, np.str_) else ("",))
    return value is None or value is pd.NA or (np.ndim(value) == 0 and bool(pd.isna(value)))


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "Booleans"
    if isinstance(value, numbers.Real):
        return "numbers"
    if isinstance(value, datetime.date | np.datetime64):
        return "dates"
    return type(value).__name__


def _require_one_kind(values: Sequence[Any]) -> None:
    rows_of: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        rows_of.setdefault(_kind(value), []).append(row)
    if len(rows_of) > 1:
        usual = max(rows_of, key=lambda kind: len(rows_of[kind]))
        others = ", ".join(
            f"{kind} in {_rows(rows)}" for kind, rows in rows_of.items() if kind != usual
        )
        raise SearchError(
            f"groups are of several types: {usual}, but {others}; 7 and '7' would be two groups, "
            "so give all groups the same type"
        )
    (kind,) = rows_of or ("numbers",)
    if kind not in ("text", "Booleans", "numbers", "dates"):
        raise SearchError(f"groups are of type {kind}; expected numbers or text, one per row")
    infinite = [
        row for row, value in enumerate(values) if kind == "numbers" and abs(value) == math.inf
    ]
    if infinite:
        raise SearchError(f"groups is infinite in {_rows(infinite)}; {_DROP}")


def _require_one_spelling(texts: Sequence[str]) -> None:
    pairs = two_spellings(texts)
    if pairs:
        listed = "; ".join(
            f"{private(visibly(pair.other))} ({_rows(pair.positions)}) reads like "
            f"{private(visibly(pair.first))} "
            f"(row {pair.first_position})"
            for pair in pairs[:_ROWS_SHOWN]
        )
        more = f"; and {len(pairs) - _ROWS_SHOWN} more" if len(pairs) > _ROWS_SHOWN else ""
        raise SearchError(
            f"groups has one id in several spellings: {listed}{more}. One patient could be on both "
            "sides of a fold: spell each id in one way, or, if they are different patients, pass "
            "numbers, such as pandas.factorize(groups)[0]"
        )


def _rows(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:_ROWS_SHOWN]))
    more = f" and {len(rows) - _ROWS_SHOWN} more" if len(rows) > _ROWS_SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"
