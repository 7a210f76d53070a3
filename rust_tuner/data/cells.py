"""The cells of a manifest: its columns, and the values that they may have."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rust_tuner.data.csv_text import closest
from rust_tuner.data.faults import Faults, value_shown
from rust_tuner.data.reading import ALL_BITS
from rust_tuner.errors import private
from rust_tuner.labels import CORTICES, SCORES, VIEWS

COLUMNS = ("image", "patient_id", "visit", "view", *CORTICES)


CROP_COLUMNS = ("crop_left", "crop_top", "crop_right", "crop_bottom")


BITS_COLUMN = "bits"


PIXEL_COLUMNS = (*CROP_COLUMNS, BITS_COLUMN)


OPTIONAL_COLUMNS = ("site", *PIXEL_COLUMNS)


# The bits that a study decided on; no column of a manifest.
DECIDED_BITS = "decided_bits"
# The SHA-256 that the file had when the study was prepared; no column of a manifest.
CHECKED_SHA256 = "checked_sha256"


_SCORE = re.compile(r"[1-4](\.0*)?")


# No picture has a longer side.
_WHOLE = re.compile(r"(\d{1,6})(?:\.0*)?")


# What a formula leaves that could not be calculated, also in German.
_SPREADSHEET_ERRORS = frozenset(
    "#N/A #NV #REF! #BEZUG! #VALUE! #WERT! #NAME? #DIV/0! #NULL! #NUM! #ZAHL!".split()
)

# Several values look alike in it: 1.23457E+11, or ####.
_LOST = re.compile(r"\d([.,]\d+)?E\+\d+|#{2,}", re.IGNORECASE)

_EMPTY_MENDS = {
    "image": "give the path of the radiograph",
    "patient_id": "every radiograph needs its patient, so that no patient is on two sides of a "
    "split",
    "visit": "it is needed to pair the two views of a visit; write 1 if there was only one",
    "view": f"a view is {' or '.join(VIEWS)}",
}


def normalise_cells(
    rows: Sequence[int], cells: Mapping[str, Sequence[object]], *, faults: Faults
) -> pd.DataFrame:
    """Convert the cells of a table to the form of `Radiographs`.

    Args:
        rows: the row numbers, for messages and the index.
        cells: the values by column, of any of the manifest's columns.
        faults: receives a fault for each cell outside its range.

    Returns:
        The columns that are present, in the order of `COLUMNS`; not to be used if there were
        faults.
    """
    columns: dict[str, pd.Series] = {}
    index = pd.Index(rows, name="row", dtype=np.int64)
    for name in (*COLUMNS, *OPTIONAL_COLUMNS, DECIDED_BITS, CHECKED_SHA256):
        if name not in cells:
            continue
        values = list(cells[name])
        if name in (*PIXEL_COLUMNS, DECIDED_BITS):
            columns[name] = _pixel_numbers(rows, name, values, index=index, faults=faults)
            continue
        if name in CORTICES:
            scores = [_read_score(value) for value in values]
            for row, value, score in zip(rows, values, scores, strict=True):
                if score is None:
                    faults.add(
                        f"{name}={value_shown(value)}; a RUST score is 1-4 or empty",
                        row=row,
                        column=name,
                    )
            columns[name] = pd.Series(scores, index=index, dtype=np.float64)
            continue
        texts = [_as_text(value) for value in values]
        for row, text in zip(rows, texts, strict=True):
            fault = _fault_of_text(name, text)
            if fault is not None:
                faults.add(fault, row=row, column=name)
        columns[name] = pd.Series(texts, index=index, dtype="str")
    table = pd.DataFrame(columns, index=index)
    _check_crops(table, faults=faults)
    return table


def _pixel_numbers(
    rows: Sequence[int], name: str, values: Sequence[object], *, index: pd.Index, faults: Faults
) -> pd.Series:
    """Whole numbers of pixels or bits, NaN where none is given."""
    numbers: list[float] = []
    for row, value in zip(rows, values, strict=True):
        text = _as_text(value)
        number = np.nan
        if text:
            # A column with gaps comes back from a table program as 12.0.
            whole = _WHOLE.fullmatch(text)
            number = float(whole[1]) if whole is not None else -1.0
            if number < 0 or (name not in CROP_COLUMNS and not 1 <= number <= ALL_BITS):
                expected = "a whole number of pixels" if name in CROP_COLUMNS else "1 to 16"
                faults.add(
                    f"{name}={value_shown(text)}; expected {expected}, or empty",
                    row=row,
                    column=name,
                )
        numbers.append(number)
    return pd.Series(numbers, index=index, dtype=np.float64)


def _check_crops(table: pd.DataFrame, *, faults: Faults) -> None:
    """A crop has four numbers, or none."""
    there = [name for name in CROP_COLUMNS if name in table]
    if not there:
        return
    absent = [name for name in CROP_COLUMNS if name not in table]
    if absent:
        faults.add(
            f"column {absent[0]!r} is missing, but there is {there[0]!r}; a crop needs "
            f"{', '.join(CROP_COLUMNS)}",
            column=absent[0],
        )
        return
    for row, *box in table[there].itertuples():
        given = [not np.isnan(edge) for edge in box]
        if any(given) and not (all(given) and box[0] < box[2] and box[1] < box[3]):
            shown = ", ".join("empty" if np.isnan(edge) else f"{edge:g}" for edge in box)
            faults.add(
                f"crop_left, crop_top, crop_right, crop_bottom are {shown}; expected four numbers "
                "with left below right and top below bottom, or none",
                row=row,
                column=there[0],
            )


def _read_score(value: object) -> float | None:
    """A score, NaN if there is none, None if the value is not a score."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return np.nan
        return float(text) if _SCORE.fullmatch(text) else None
    if _is_missing(value):
        return np.nan
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return None
    return float(value) if value in SCORES else None


def _as_text(value: object) -> str:
    if _is_missing(value):
        return ""
    # A column of whole numbers with gaps turns into floats in pandas: patient 7 is not "7.0".
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _fault_of_text(name: str, text: str) -> str | None:
    if not text and name in _EMPTY_MENDS:
        return f"{name} is empty; {_EMPTY_MENDS[name]}"
    if text.upper() in _SPREADSHEET_ERRORS:
        return f"{name}={text} is an error of a spreadsheet program; mend the formula of this cell"
    if name in ("patient_id", "visit") and _LOST.fullmatch(text):
        return (
            f"{name}={private(text)} is what a spreadsheet program shows of a value too wide for "
            "its column; format the column as text, and export it again"
        )
    if name == "view" and text not in VIEWS:
        near = closest(text, VIEWS)
        hint = f", did you mean {near!r}?" if near else ""
        return f"view={value_shown(text)}; a view is {' or '.join(VIEWS)}{hint}"
    return None
