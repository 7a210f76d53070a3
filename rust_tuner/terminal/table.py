"""The format of tables and numbers on the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rust_tuner.analysis.columns import Column
from rust_tuner.words import four_digits

TABLE_WIDTH = 78
# Marks a batch size that covers the whole fold.
WHOLE_FOLD = "!"


class TextTable(Table):
    """A table that shows its texts unchanged: `[left]` in a file name is not markup."""

    def add_column(self, header: RenderableType = "", *args: Any, **kwargs: Any) -> None:
        """Add a column, with its header unchanged."""
        super().add_column(_as_it_is(header), *args, **kwargs)

    def add_row(self, *cells: RenderableType | None, **kwargs: Any) -> None:
        """Add a row, with its cells unchanged."""
        super().add_row(*map(_as_it_is, cells), **kwargs)


def plain_table(title: str, caption: str) -> TextTable:
    """A table without columns; title and caption are as wide as the table."""
    return TextTable(
        title=Text(title, style="table.title"),
        caption=Text(caption, style="table.caption"),
        box=box.SIMPLE_HEAD,
        min_width=TABLE_WIDTH,
        title_justify="left",
        caption_justify="left",
    )


def add_results(
    table: TextTable, rows: Iterable[Mapping[Any, Any]], columns: Sequence[Column]
) -> None:
    """Add the columns of a results table that fit on the terminal, and its rows."""
    shown = [column for column in columns if column.narrow is not None]
    for column in shown:
        # Numbers with a deviation are left-aligned, as the baseline below has no deviation.
        is_right = column.kind in ("whole", "value") or (
            column.kind == "number" and not column.beside
        )
        table.add_column(
            column.narrow or "", justify="right" if is_right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(_cell(column, row) for column in shown))


def _cell(column: Column, row: Mapping[Any, Any]) -> str:
    value = row[column.name]
    if column.kind == "value":
        is_marked = bool(column.marked_by) and yes_or_no(row[column.marked_by]) == "yes"
        return four_digits(value) + (WHOLE_FOLD if is_marked else "")
    if column.kind == "yes_or_no":
        return yes_or_no(value)
    if column.kind == "whole":
        return "" if pd.isna(value) else str(int(value))
    if column.kind == "number":
        spread = row[column.beside] if column.beside else None
        return mean_and_spread(value, spread, signed=column.is_signed)
    return str(value)


def yes_or_no(value: Any) -> str:
    """Yes or no; a dash if unknown."""
    return "-" if pd.isna(value) else "yes" if value else "no"


def mean_and_spread(
    mean: float | None, spread: float | None = None, *, signed: bool = False
) -> str:
    """A number, with its standard deviation if it has one; a dash for a missing number."""
    if mean is None or pd.isna(mean):
        return "-"
    text = f"{mean:+z.3f}" if signed else f"{mean:.3f}"
    return text if pd.isna(spread) else f"{text} ± {spread:.3f}"


def _as_it_is(cell: Any) -> Any:
    return Text(cell) if isinstance(cell, str) else cell
