"""Writes tables as CSV without cells that a spreadsheet would run as formulas.

Excel and LibreOffice treat a cell that begins with one of `= + - @`, a tab or a carriage return as
a formula (OWASP, "CSV Injection"). Such text gets a leading apostrophe, which is removed when it is
read again; numbers are not changed.
"""

import re
from collections.abc import Hashable

import pandas as pd

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
    """The original cells of a CSV that `csv_text` wrote."""
    # As objects, because a column without text would become numeric.
    return pd.Series([_original(cell) for cell in cells], index=cells.index, dtype=object)


def safe_text(text: str) -> str:
    """Text for one cell, with a leading apostrophe if a spreadsheet would run it."""
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
