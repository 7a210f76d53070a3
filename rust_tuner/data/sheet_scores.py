"""Turns the rows of a table of scores into one entry for each patient, visit and view.

The table may have one row per radiograph, visit or patient. Reading it belongs to `sheets`, the
meaning of its columns to `sheet_columns`.
"""

import datetime
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rust_tuner.data.faults import Faults, name_shown, value_shown
from rust_tuner.data.sheet_columns import Columns
from rust_tuner.data.sheets import Sheet
from rust_tuner.errors import private
from rust_tuner.labels import CORTICES, SCORES, VIEWS

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
        entries += _entries_of_row(row, cells, columns, view_cortices, empties, faults)
    faults.raise_any()
    notes = [
        f"row {row} has one cell only and was left out, as a remark" for row in alone[:_ROWS_SHOWN]
    ]
    if len(alone) > _ROWS_SHOWN:
        notes.append(f"and {len(alone) - _ROWS_SHOWN} more rows with one cell only")
    notes += [
        f"{text!r} was read as not scored in {count} cells"
        for text, count in empties.items()
        if text
    ]
    return entries, notes


def _is_remark(cells: Mapping[str, str], columns: Columns) -> bool:
    """Whether a row has one cell, which is not a score, such as a legend below the table."""
    filled = [name for name, cell in cells.items() if cell]
    return len(filled) == 1 and filled[0] not in {column.name for column in columns.scores}


def _entries_of_row(
    row: int,
    cells: Mapping[str, str],
    columns: Columns,
    view_cortices: Mapping[str, tuple[str, ...]],
    empties: Counter[str],
    faults: Faults,
) -> list[ScoredView]:
    given = {name: cells.get(column, "") for name, column in columns.fields.items()}
    patient = given.get("patient_id", "")
    if not patient:
        if any(cells.get(column.name) for column in columns.scores):
            faults.add(
                "scores without a patient; name it in every row, since of merged cells only the "
                "first one has a value",
                row=row,
                column=columns.fields["patient_id"],
            )
        return []
    date = read_date(given["date"]) if given.get("date") else None
    if given.get("date") and date is None:
        why = ", since day and month cannot be told apart" if "/" in given["date"] else ""
        faults.add(
            f"date={private(given['date'])}; write it as 2021-03-04{why}",
            row=row,
            column=columns.fields["date"],
        )
    own_view = read_view(given["view"]) if given.get("view") else None
    if given.get("view") and own_view is None:
        faults.add(
            f"view={value_shown(given['view'])}; expected {' or '.join(VIEWS)}",
            row=row,
            column=columns.fields["view"],
        )
        return []
    side = read_side(given.get("side", ""))
    if given.get("side") and side is None:
        faults.add(
            f"side={value_shown(given['side'])}; expected left or right",
            row=row,
            column=columns.fields["side"],
        )
    by_visit: dict[tuple[str | None, str], dict[str, int]] = {}
    for column in columns.scores:
        view = column.view or own_view or _view_of(column.cortex, view_cortices)
        text = cells.get(column.name, "")
        scores = by_visit.setdefault((column.visit, view), {})
        if text.lower() in _NOT_SCORED:
            empties[text] += 1
            continue
        whole = _WHOLE.fullmatch(text)
        if whole is None or int(whole[1]) not in SCORES:
            faults.add(
                f"{column.name}={value_shown(text)}; a score is {SCORES[0]} to {SCORES[-1]}, or "
                "empty if the "
                "cortex cannot be seen",
                row=row,
                column=column.name,
            )
            continue
        scores[column.cortex] = int(whole[1])
    # A table of one row per patient has columns for visits that a patient never made.
    made = {visit for (visit, _), scores in by_visit.items() if scores or visit is None}
    return [
        ScoredView(
            row=row,
            patient_id=patient,
            visit=visit or given.get("visit") or None,
            date=date or read_date(visit or given.get("visit") or ""),
            view=view,
            side=side,
            scores={cortex: scores[cortex] for cortex in CORTICES if cortex in scores},
            image=cells.get(columns.image_of(view, visit) or "") or given.get("image") or None,
            site=given.get("site") or None,
        )
        for (visit, view), scores in by_visit.items()
        if visit in made
    ]


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
