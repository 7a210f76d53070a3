"""Writes tables as CSV without cells that a spreadsheet would run as formulas.

Which cells these are, and how their text is kept, belongs to `formulas`.
"""

from collections.abc import Hashable

import pandas as pd

from rust_tuner.data.formulas import original_cell, safe_text


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
    return pd.Series([original_cell(cell) for cell in cells], index=cells.index, dtype=object)


def _safe_name(name: Hashable) -> Hashable:
    return safe_text(name) if isinstance(name, str) else name


def _safe_cell(value: object) -> object:
    return safe_text(value) if isinstance(value, str) else value
