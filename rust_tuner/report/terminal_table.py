"""The form that tables have on the terminal."""

from rich import box
from rich.table import Table

TABLE_WIDTH = 78


def plain_table(title: str, caption: str) -> Table:
    """A table without columns yet; title and caption are as wide as the table."""
    return Table(
        title=title,
        caption=caption,
        box=box.SIMPLE_HEAD,
        min_width=TABLE_WIDTH,
        title_justify="left",
        caption_justify="left",
    )
