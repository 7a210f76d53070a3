"""Tables as CSV that a spreadsheet shows and does not run.

Excel and LibreOffice take a cell that begins with one of `= + - @`, a tab or a carriage return for
a formula (OWASP, "CSV Injection"). Text that begins so gets an apostrophe before it, and loses it
when it is read again; numbers stay as they are.
"""

import re
from collections.abc import Hashable
from typing import Final, Literal

import pandas as pd

# How `pandas.read_csv` reads every number as it was written. Before pandas 3.1 its default misses
# the last bit of a third of them; since then the default is exact, and to ask for it is deprecated.
_PANDAS = tuple(int(part) for part in pd.__version__.split(".")[:2])
FLOAT_PRECISION: Final[Literal["round_trip"] | None] = None if _PANDAS >= (3, 1) else "round_trip"

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV with a header and no index.

    Args:
        table: any table; text in its cells and column names may come from users' files.
    """
    safe = table.rename(columns=_safe_name)
    for position, kind in enumerate(safe.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            safe.isetitem(position, safe.iloc[:, position].map(_safe_cell).to_list())
    return str(safe.to_csv(index=False, lineterminator="\n"))


def original_text(cells: pd.Series) -> pd.Series:
    """Cells of a CSV that `csv_text` wrote, as they were before."""
    # As objects: a column without text would else become one of numbers.
    return pd.Series([_original(cell) for cell in cells], index=cells.index, dtype=object)


def safe_text(text: str) -> str:
    """Text for one cell, with an apostrophe before it where a spreadsheet would run it."""
    is_formula = _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None
    return f"'{text}" if is_formula else text


def _safe_name(name: Hashable) -> Hashable:
    return safe_text(name) if isinstance(name, str) else name


def _safe_cell(value: object) -> object:
    return safe_text(value) if isinstance(value, str) else value


def _original(value: object) -> object:
    if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value):
        return value[1:]
    return value
