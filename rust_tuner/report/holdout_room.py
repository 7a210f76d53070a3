"""Files of the page on the hold-out set; each says if that set was looked at repeatedly."""

from dataclasses import dataclass

import pandas as pd

from rust_tuner.figures.style import Drawing
from rust_tuner.records.looks import Look, count_text, holdout_title
from rust_tuner.report.page import Picture, Room

_TITLE = "Hold-out set"


@dataclass(frozen=True)
class HoldoutRoom(Room):
    """A room for figures and tables of the hold-out set.

    Attributes:
        looks: the looks at that set so far.
    """

    looks: tuple[Look, ...] = ()

    def table(self, name: str, table: pd.DataFrame) -> str:
        """Write a table; returns its path as the page names it."""
        return super().table(name, with_looks(table, self.looks))

    def picture(
        self, name: str, drawing: Drawing, data: pd.DataFrame, *, caption: str, alt: str
    ) -> Picture:
        """Save a figure with the table behind it; returns it for the page."""
        title = holdout_title(self.looks)
        text = caption.replace(f"{_TITLE}.", f"{title}.", 1)
        return super().picture(name, drawing, with_looks(data, self.looks), caption=text, alt=alt)


def with_looks(table: pd.DataFrame, looks: tuple[Look, ...]) -> pd.DataFrame:
    """The table, with a column `looks` (how many, and why) if there was more than one."""
    return table.assign(looks=count_text(looks)) if len(looks) > 1 else table
