"""The format of tables and numbers on the terminal."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rust_tuner.analysis.columns import Column
from rust_tuner.terminal.wrapping import Words

TABLE_WIDTH = 78
# Characters between two columns, and at both edges of a table.
_BETWEEN = 2
_EDGES = 2
_UNBOUNDED = 10_000
# Marks a batch size that covers the whole fold.
WHOLE_FOLD = "!"


class TextTable(Table):
    """A table that shows its texts unchanged, and breaks no number.

    `[left]` in a file name is not markup. Cells are not wrapped unless their column allows it. If
    the columns do not fit beside each other, the last ones are shown below the others, beside the
    first column.
    """

    def add_column(self, header: RenderableType = "", *args: Any, **kwargs: Any) -> None:
        """Add a column, with its header unchanged; `no_wrap=False` lets its cells be wrapped."""
        super().add_column(_as_it_is(header), *args, **({"no_wrap": True} | kwargs))

    def add_row(self, *cells: RenderableType | None, **kwargs: Any) -> None:
        """Add a row, with its cells unchanged."""
        columns = itertools.zip_longest(cells, self.columns[: len(cells)])
        shown = (
            Words(cell) if isinstance(cell, str) and column and not column.no_wrap else cell
            for cell, column in columns
        )
        super().add_row(*map(_as_it_is, shown), **kwargs)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, in as many parts as needed."""
        parts = self._parts(console, options)
        if len(parts) == 1:
            yield from super().__rich_console__(console, options)
            return
        for number, columns in enumerate(parts):
            part = self._part(columns)
            part.min_width = min(TABLE_WIDTH, options.max_width)
            part.title = self.title if number == 0 else None
            part.caption = self.caption if number == len(parts) - 1 else None
            yield part

    def _parts(self, console: Console, options: ConsoleOptions) -> list[list[int]]:
        """The columns of each part; the first column is in all of them."""
        widths = [self._width(column, console, options) for column in range(len(self.columns))]
        parts = [[0]]
        for column in range(1, len(self.columns)):
            shown = [*parts[-1], column]
            needed = sum(widths[index] + _BETWEEN for index in shown) - _BETWEEN + _EDGES
            if needed > options.max_width and len(parts[-1]) > 1:
                parts.append([0])
            parts[-1].append(column)
        return parts

    def _width(self, column: int, console: Console, options: ConsoleOptions) -> int:
        """The width that a column needs."""
        alone = Measurement.get(console, options.update(width=_UNBOUNDED), self._part([column]))
        return (alone.maximum if self.columns[column].no_wrap else alone.minimum) - _EDGES

    def _part(self, columns: Sequence[int]) -> "Table":
        part = Table(
            box=self.box,
            collapse_padding=self.collapse_padding,
            pad_edge=self.pad_edge,
            title_justify=self.title_justify,
            caption_justify=self.caption_justify,
        )
        part.columns = [
            dataclasses.replace(self.columns[index], _index=position)
            for position, index in enumerate(columns)
        ]
        part.rows = self.rows
        return part


def plain_table(title: str, caption: str) -> TextTable:
    """A table without columns; title and caption are as wide as the table."""
    table = TextTable(
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        min_width=TABLE_WIDTH,
        title_justify="left",
        caption_justify="left",
    )
    # Not as arguments, whose types leave out what is not a text.
    vars(table)["title"] = Words(title, "table.title")
    vars(table)["caption"] = Words(caption, "table.caption") if caption else None
    return table


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
            column.narrow or "",
            justify="right" if is_right else "left",
            no_wrap=column.kind != "text",
        )
    for row in rows:
        table.add_row(*(_cell(column, row) for column in shown))


def _cell(column: Column, row: Mapping[Any, Any]) -> str:
    value = row[column.name]
    if isinstance(value, str):
        return (column.names or {}).get(value, value)
    if column.kind == "value":
        is_marked = bool(column.marked_by) and yes_or_no(row[column.marked_by]) == "yes"
        return four_digits(value) + (WHOLE_FOLD if is_marked else "")
    if column.kind == "yes_or_no":
        return yes_or_no(value)
    if column.kind == "whole":
        return "" if pd.isna(value) else str(int(value))
    if column.kind == "number":
        spread = row[column.beside] if column.beside else None
        return mean_and_spread(value, spread, signed=column.is_signed, digits=column.digits)
    return str(value)


def yes_or_no(value: Any) -> str:
    """Yes or no; a dash if unknown."""
    return "-" if pd.isna(value) else "yes" if value else "no"


def mean_and_spread(
    mean: float | None, spread: float | None = None, *, signed: bool = False, digits: int = 3
) -> str:
    """A number, with its standard deviation if it has one; a dash for a missing number."""
    if mean is None or pd.isna(mean):
        return "-"
    text = f"{mean:{'+z' if signed else ''}.{digits}f}"
    return text if pd.isna(spread) else f"{text} ± {spread:.{digits}f}"


def four_digits(value: object) -> str:
    """A hyperparameter with at most four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _as_it_is(cell: Any) -> Any:
    return Text(cell) if isinstance(cell, str) else cell
