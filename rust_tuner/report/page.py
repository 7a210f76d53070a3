"""The building blocks of the page: sections with tables and figures, and cells as text."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.colors import to_hex

from rust_tuner.analysis.columns import Column
from rust_tuner.analysis.tables import write_table
from rust_tuner.figures.origin import earlier_svg, origin_of
from rust_tuner.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    GREY,
    MISSING,
    VERMILION,
    Drawing,
    save_figure,
)
from rust_tuner.records.folder import DAMAGED, StudyRecords
from rust_tuner.redacted import without_folders
from rust_tuner.report.processes import Processes
from rust_tuner.scope import CORTEX_SCOPE, LABEL_SCOPE
from rust_tuner.words import p_value, short_number

Cell = tuple[str, float | None]

_WIDER = 1.2
_WHOLE_FOLD = "1 (whole fold)"
# Colours of figures that the page has its own of in dark mode: the name of its CSS variable.
_COLOURS = {
    "#000000": "ink",
    "#ffffff": "sheet",
    to_hex(GREY): "figure-grey",
    MISSING: "figure-missing",
    to_hex(BLUE): "figure-blue",
    to_hex(VERMILION): "figure-red",
}
_COLOUR = re.compile(rf"(fill|stroke): ({'|'.join(_COLOURS)})\b")


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: of its files, without suffix.
        caption: the text below it.
        alt: what it shows, for readers who cannot see it.
        svg: inline SVG, or what becomes one on the page.
        is_wide: whether it is wider than a journal's single column.
        beside: the same of the 18 labels, which folds away below it; None if there is none.
    """

    name: str
    caption: str
    alt: str
    svg: "Markup | DrawnLater"
    is_wide: bool = False
    beside: "Picture | None" = None


@dataclass(frozen=True)
class DrawnLater:
    """The inline SVG of a figure that another process may still draw.

    Attributes:
        file: the figure's SVG.
        prefix: of its ids on the page.
        processes: draw the figure.
    """

    file: Path
    prefix: str
    processes: Processes

    def __html__(self) -> str:
        """The element, once the figure is drawn; templates call it."""
        self.processes.finish()
        return inline_svg(self.file.read_text(), prefix=self.prefix)


@dataclass(frozen=True)
class PageTable:
    """A table of the page.

    Attributes:
        caption: what it is.
        header: names of its columns.
        rows: cells: (text, number to sort by or None).
        files: the name of a link to a file in `tables/` -> its path.
        marked: texts whose cells get a CSS class of the same name.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    files: Mapping[str, str] = field(default_factory=dict)
    marked: Sequence[str] = ()

    @property
    def shown(self) -> "PageTable":
        """The table without columns that have a heading but no text."""
        kept = [
            column
            for column in range(len(self.header))
            if any(row[column][0] for row in self.rows) or not self.rows
        ]
        if len(kept) == len(self.header):
            return self
        header = [self.header[column] for column in kept]
        rows = [[row[column] for column in kept] for row in self.rows]
        return dataclasses.replace(self, header=header, rows=rows)


@dataclass
class Section:
    """A section of the page, filled as it is drawn.

    Attributes:
        anchor: its id on the page.
        title: its heading.
        lead: sentences at its top.
        missing: what is missing or could not be drawn.
        tables: its tables.
        pictures: its figures.
    """

    anchor: str
    title: str
    lead: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    tables: list[PageTable] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class Room:
    """Where the report's files go.

    Attributes:
        folder: STUDY/report.
        processes: draw the figures; None to draw each at once.
    """

    folder: Path
    processes: Processes | None = field(default=None, kw_only=True)

    @property
    def study(self) -> Path:
        """The study's folder, as it was given."""
        return self.folder.parent

    def table(self, name: str, table: pd.DataFrame) -> str:
        """Write a table; returns its path as the page names it."""
        write_table(table, self.folder / "tables" / f"{name}.csv")
        return f"tables/{name}.csv"

    def picture(
        self, name: str, drawing: Drawing, data: pd.DataFrame, *, caption: str, alt: str
    ) -> Picture:
        """Save a figure with the table behind it; returns it for the page.

        It is not drawn if its files already show the same.
        """
        stem = self.folder / "figures" / name
        origin = origin_of(drawing)
        svg = earlier_svg(stem, origin)
        body: Markup | DrawnLater
        if svg is None and self.processes is not None:
            self.processes.do(functools.partial(_draw, drawing, stem, data, origin=origin))
            body = DrawnLater(stem.with_name(f"{name}.svg"), name, self.processes)
        else:
            if svg is None:
                svg = _draw(drawing, stem, data, origin=origin).read_text()
            else:
                write_table(data, stem.with_name(f"{name}.csv"))
            body = inline_svg(svg, prefix=name)
        return Picture(name, caption, alt, body, drawing.width > COLUMN_WIDTH * _WIDER)


def _draw(drawing: Drawing, stem: Path, data: pd.DataFrame, *, origin: str | None) -> Path:
    """Save a figure with its origin; returns its SVG."""
    drawing.figure.set_label(origin or "")
    return save_figure(drawing.figure, stem, data)[1]


def shareable(text: str, records: StudyRecords) -> str:
    """A text of the report, without the folders above a study whose patients have other names.

    Commands and messages name the study's folder, whose path may be that of a person.
    """
    study = records.study
    is_hashed = study is not None and study.patient_ids == "hashed"
    return without_folders(text, records.directory) if is_hashed else text


def folded(pictures: Sequence[Picture]) -> Picture:
    """The first picture, with the second one folded away beside it if there is one."""
    first, *others = pictures
    return dataclasses.replace(first, beside=others[0] if others else None)


def inline_svg(text: str, *, prefix: str) -> Markup:
    """An SVG file's text as an element of a page; a prefix keeps its ids unique.

    Its neutral colours and lines become the page's, so that one drawing serves light and dark.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'href="#', f'href="#{prefix}-', body)
    body = re.sub(r"url\(#", f"url(#{prefix}-", body)
    body = _COLOUR.sub(lambda match: f"{match[1]}: var(--{_COLOURS[match[2]]})", body)
    return Markup(body)


def attempt(section: Section, what: str, step: Callable[[], object]) -> None:
    """Do a step; if the records are damaged, the section says so instead."""
    try:
        step()
    except DAMAGED as error:
        section.missing.append(f"{what} could not be made: {error or repr(error)}")


def facts_table(caption: str, facts: Mapping[str, Any]) -> PageTable:
    """A table of names and values."""
    rows = [
        [(str(name).replace("_", " "), None), (as_text(value), None)]
        for name, value in facts.items()
    ]
    return PageTable(caption, (), rows)


def as_text(value: object) -> str:
    """A recorded JSON value as readable text."""
    if value is None:
        return "not recorded"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {as_text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(as_text, value))
    return str(value)


def text(value: Any) -> Cell:
    """A cell that is sorted as text; empty if there is none."""
    return ("" if pd.isna(value) else str(value)), None


def whole(value: Any, *, plus: int = 0) -> Cell:
    """A cell with a whole number, increased by `plus`; empty if there is none."""
    return ("", None) if pd.isna(value) else (str(int(value) + plus), float(value))


def decimal(value: Any, *, digits: int = 3) -> Cell:
    """A cell with a number of fixed digits; empty if there is none."""
    return ("", None) if pd.isna(value) else (f"{value:z.{digits}f}", float(value))


def yes_or_no(value: Any) -> Cell:
    """A cell with yes or no; empty if unknown."""
    return text(None if pd.isna(value) else "yes" if value else "no")


def ends(low: Any, high: Any, *, digits: int = 3) -> Cell:
    """A cell with an interval, sorted by its lower end; empty if there is none."""
    if pd.isna(low) or pd.isna(high):
        return "", None
    return f"{low:z.{digits}f} to {high:z.{digits}f}", float(low)


def short(value: Any) -> Cell:
    """A cell with a hyperparameter's value."""
    is_number = isinstance(value, int | float) and not pd.isna(value)
    return short_number(value), float(value) if is_number else None


def results(
    caption: str,
    rows: Iterable[Mapping[Any, Any]],
    columns: Sequence[Column],
    files: Mapping[str, str],
) -> PageTable:
    """A table of results; standard deviations have their own columns.

    A cell is empty if its row has no value for the column.
    """
    header = []
    for column in columns:
        header.append(column.header)
        if column.kind == "number" and column.beside:
            header.append("± SD")
    cells = [[cell for column in columns for cell in _cells(column, row)] for row in rows]
    return PageTable(caption, header, cells, files)


def cortices_first(columns: Sequence[Column]) -> list[Column]:
    """Columns in their order, but figures of visible cortices before those of the 18 labels."""
    ordered = list(columns)
    for position, (label, cortex) in enumerate(itertools.pairwise(columns)):
        if cortex.name == label.name.replace(LABEL_SCOPE.metric, CORTEX_SCOPE.metric) != label.name:
            ordered[position : position + 2] = [cortex, label]
    return ordered


def _cells(column: Column, row: Mapping[Any, Any]) -> list[Cell]:
    value = row.get(column.name)
    if column.kind == "number":
        shown = [value, *([row.get(column.beside)] if column.beside else [])]
        return [decimal(item, digits=column.digits) for item in shown]
    if column.kind == "interval":
        return [ends(value, row[column.beside])]
    if column.kind == "whole":
        is_marked = bool(column.marked_by) and yes_or_no(row[column.marked_by])[0] == "yes"
        return [(_WHOLE_FOLD, 1.0) if is_marked else whole(value, plus=column.plus)]
    if column.kind == "p_value":
        return [("", None) if pd.isna(value) else (p_value(value), float(value))]
    if column.kind == "id":
        return [(str(value), float(value))] if value is not None else [text(None)]
    if column.kind == "text":
        return [text((column.names or {}).get(str(value), value))]
    return [yes_or_no(value) if column.kind == "yes_or_no" else short(value)]
