"""The form that tables and numbers have on the terminal."""

from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

TABLE_WIDTH = 78


class TextTable(Table):
    """A table that shows its texts as they are: `[left]` in a file's name is no markup."""

    def add_column(self, header: RenderableType = "", *args: Any, **kwargs: Any) -> None:
        """Add a column, its header as it is."""
        super().add_column(_as_it_is(header), *args, **kwargs)

    def add_row(self, *cells: RenderableType | None, **kwargs: Any) -> None:
        """Add a row, its cells as they are."""
        super().add_row(*map(_as_it_is, cells), **kwargs)


def plain_table(title: str, caption: str) -> TextTable:
    """A table without columns yet; title and caption are as wide as the table."""
    return TextTable(
        title=Text(title, style="table.title"),
        caption=Text(caption, style="table.caption"),
        box=box.SIMPLE_HEAD,
        min_width=TABLE_WIDTH,
        title_justify="left",
        caption_justify="left",
    )


def four_digits(value: object) -> str:
    """A hyperparameter with at most four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _as_it_is(cell: Any) -> Any:
    return Text(cell) if isinstance(cell, str) else cell
