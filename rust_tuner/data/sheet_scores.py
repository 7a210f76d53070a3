"""Turns the rows of a table of scores into one entry for each patient, visit and view.

The table may have one row per radiograph, visit or patient. Reading it belongs to `sheets`, the
meaning of its columns to `sheet_columns`.
"""

import datetime
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from rust_tuner.data.faults import Faults, name_shown, value_shown
from rust_tuner.data.sheet_columns import Columns
from rust_tuner.data.sheets import Sheet
from rust_tuner.errors import private
from rust_tuner.labels import CORTICES, SCORES, VIEWS

_Value = TypeVar("_Value")
# What a cell holds where a cortex could not be scored.
_NOT_SCORED = (
    *("", "-", "--", ".", "na", "n/a", "nan", "none", "nv", "not visible", "x", "missing"),
    *("nicht sichtbar", "n.s.", "k.a.", "fehlt", "non visible", "n.v.", "nd", "n.d."),
    *("no visible", "no valorable"),
)
_ROWS_SHOWN = 5
_WHOLE = re.compile(r"(\d+)(?:[.,]0+)?")
_TIME_OF_DAY = re.compile(r"[ T]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?$")
_DATES = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%Y/%m/%d")
_VIEW_NAMES = {
    **dict.fromkeys(("ap", "pa", "a.p.", "anteroposterior", "posteroanterior", "frontal"), "ap"),
    **dict.fromkeys(("a-p", "a/p", "face", "de face", "anterior-posterior"), "ap"),
    **dict.fromkeys(("lateral", "lat", "lat.", "ll", "rl", "ml", "lm"), "lateral"),
    **dict.fromkeys(("seitlich", "profil", "de profil", "perfil", "latéral"), "lateral"),
}
_SIDES = {
    **dict.fromkeys(("l", "left", "li", "li.", "links"), "left"),
    **dict.fromkeys(("gauche", "g", "izquierda", "izq", "izquierdo"), "left"),
    **dict.fromkeys(("r", "right", "re", "re.", "rechts"), "right"),
    **dict.fromkeys(("droite", "droit", "derecha", "der", "derecho"), "right"),
}


@dataclass(frozen=True)
class ScoredView:
    """The scores of one view of one visit, as a table has them.

    Attributes:
        row: the table's row.
        patient_id: as written.
        visit: its name; None if the table has none.
        date: of the visit; None if the table has none.
        view: `ap` or `lateral`.
        side: `left`, `right`, or None.
        scores: score by cortex; a cortex that could not be scored is left out.
        image: the image file as the table names it; None if it names none.
        site: or None.
    """

    row: int
    patient_id: str
    visit: str | None
    date: datetime.date | None
    view: str
    side: str | None = None
    scores: Mapping[str, int] = field(default_factory=dict)
    image: str | None = None
    site: str | None = None


def read_scored_views(
    sheet: Sheet, columns: Columns, *, view_cortices: Mapping[str, tuple[str, ...]]
) -> tuple[list[ScoredView], list[str]]:
    """One entry for each view of each visit.

    Args:
        sheet: the table.
        columns: what its columns mean.
        view_cortices: the cortices that each view shows; they say to which view a score belongs
            where neither its column nor its row does.

    Returns:
        The entries in the order of the table, and notes on what was read as not scored.

    Raises:
        ManifestError: listing every cell that is not a score, view, date or side, with its row and
            column.
    """
    faults = Faults(sheet.source)
    empties: Counter[str] = Counter()
    entries: list[ScoredView] = []
    alone = [row for row, cells in sheet.rows if _is_remark(cells, columns)]
    remarks = set(alone)
    meant = (
        *columns.fields.values(),
        *(column.name for column in columns.images),
        *(column.name for column in columns.scores),
    )
    for row, cells in sheet.rows:
        if row in remarks:
            continue
        missing = [name for name in meant if name not in cells]
        if missing:
            # A missing separator in the middle would move scores to other cortices.
            faults.add(
                f"the row has fewer cells than the header, and none for {name_shown(missing[0])}; "
                "look for a missing separator, or add empty cells at its end",
                row=row,
                column=missing[0],
            )
            continue
        entries += _entries_of_row(_Row(row, cells, columns, faults), view_cortices, empties)
    faults.raise_any()
    notes = [
        f"row {row} has one cell only and was left out, as a remark" for row in alone[:_ROWS_SHOWN]
    ]
    if len(alone) > _ROWS_SHOWN:
        notes.append(f"and {len(alone) - _ROWS_SHOWN} more rows with one cell only")
    notes += [
        f"{text!r} was read as not scored in {count} {'cell' if count == 1 else 'cells'}"
        for text, count in empties.items()
        if text
    ]
    return entries, notes


def _is_remark(cells: Mapping[str, str], columns: Columns) -> bool:
    """Whether a row has one cell, no score or image, such as a legend below the table."""
    filled = [name for name, cell in cells.items() if cell]
    meant = {column.name for column in columns.scores}
    meant |= {column.name for column in columns.images} | {columns.fields.get("image", "")}
    return len(filled) == 1 and filled[0] not in meant


@dataclass(frozen=True)
class _Row:
    """A row of a table, and where its faults are noted."""

    number: int
    cells: Mapping[str, str]
    columns: Columns
    faults: Faults

    def text(self, field_name: str) -> str:
        """The cell of a field; empty if the table has no such column."""
        return self.cells.get(self.columns.fields.get(field_name, ""), "")

    def value(
        self,
        field_name: str,
        read: Callable[[str], _Value | None],
        *,
        expected: str,
        shown: Callable[[str], str] = value_shown,
    ) -> _Value | None:
        """What the cell of a field means; None if it is empty or, as a fault, means nothing."""
        text = self.text(field_name)
        value = read(text) if text else None
        if text and value is None:
            self.faults.add(
                f"{field_name}={shown(text)}; {expected}",
                row=self.number,
                column=self.columns.fields[field_name],
            )
        return value


def _entries_of_row(
    row: _Row, view_cortices: Mapping[str, tuple[str, ...]], empties: Counter[str]
) -> list[ScoredView]:
    columns, patient = row.columns, row.text("patient_id")
    if not patient:
        has_scores = any(row.cells.get(column.name) for column in columns.scores)
        images = [columns.fields.get("image", ""), *(column.name for column in columns.images)]
        if has_scores or any(row.cells.get(name) for name in images):
            row.faults.add(
                f"{'scores' if has_scores else 'an image'} without a patient; name it in every "
                "row, since of merged cells only the first one has a value",
                row=row.number,
                column=columns.fields["patient_id"],
            )
        return []
    why = ", since day and month cannot be told apart" if "/" in row.text("date") else ""
    date = row.value("date", read_date, expected=f"write it as 2021-03-04{why}", shown=private)
    own_view = row.value("view", read_view, expected=f"expected {' or '.join(VIEWS)}")
    if row.text("view") and own_view is None:
        return []
    side = row.value("side", read_side, expected="expected left or right")
    by_visit: dict[tuple[str | None, str], dict[str, int]] = {}
    for column in columns.scores:
        view = column.view or own_view or _view_of(column.cortex, view_cortices)
        if own_view not in (None, view):
            _refuse_other_view(row, column.name, own_view)
            continue
        scores = by_visit.setdefault((column.visit, view), {})
        score = _read_score(row, column.name, empties)
        if score is not None:
            scores[column.cortex] = score
    if own_view is not None and not by_visit:
        # A film of the view that has no column of scores is a film all the same.
        by_visit[None, own_view] = {}
    # A table of one row per patient has columns for visits that a patient never made.
    made = {visit for (visit, _), scores in by_visit.items() if scores or visit is None}
    return [
        ScoredView(
            row=row.number,
            patient_id=patient,
            visit=visit or row.text("visit") or None,
            date=date or read_date(visit or row.text("visit")),
            view=view,
            side=side,
            scores={cortex: scores[cortex] for cortex in CORTICES if cortex in scores},
            image=row.cells.get(columns.image_of(view, visit) or "") or row.text("image") or None,
            site=row.text("site") or None,
        )
        for (visit, view), scores in by_visit.items()
        if visit in made
    ]


def _refuse_other_view(row: _Row, column: str, own_view: str | None) -> None:
    """A fault if the row of one view has a score of the other."""
    text = row.cells.get(column, "")
    if text.lower() not in _NOT_SCORED:
        row.faults.add(
            f"{column}={value_shown(text)} in a row of the {own_view} view; move the score to the "
            "row of its view, or remove it",
            row=row.number,
            column=column,
        )


def _read_score(row: _Row, column: str, empties: Counter[str]) -> int | None:
    """The score in a cell; None where the cortex was not scored, or the cell is a fault."""
    text = row.cells.get(column, "")
    if text.lower() in _NOT_SCORED:
        empties[text] += 1
        return None
    whole = _WHOLE.fullmatch(text)
    if whole is None or int(whole[1]) not in SCORES:
        row.faults.add(
            f"{column}={value_shown(text)}; a score is {SCORES[0]} to {SCORES[-1]}, or empty if "
            "the cortex cannot be seen",
            row=row.number,
            column=column,
        )
        return None
    return int(whole[1])


def read_date(text: str) -> datetime.date | None:
    """A date such as 2021-03-04, 20210304, 4.3.2021 or 2021/3/4; None for any other text.

    Dates with slashes that begin with a day or a month are not read: nobody can tell which.
    """
    day = _TIME_OF_DAY.sub("", text.strip())
    for form in _DATES:
        # `strptime` would read 2021111 as one of two days.
        if form == "%Y%m%d" and len(day) != 8:
            continue
        try:
            return datetime.datetime.strptime(day, form).date()
        except ValueError:
            continue
    return None


def read_view(text: str) -> str | None:
    """`ap` or `lateral`; None for any other text."""
    return _VIEW_NAMES.get(text.strip().lower())


def read_side(text: str) -> str | None:
    """`left` or `right`; None for any other text."""
    return _SIDES.get(text.strip().lower())


def _view_of(cortex: str, view_cortices: Mapping[str, tuple[str, ...]]) -> str:
    return next(view for view in VIEWS if cortex in view_cortices[view])
