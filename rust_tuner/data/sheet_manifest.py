"""Reads a table of scores that names its images as a manifest, where its columns are clear.

What columns and cells mean belongs to `sheet_columns` and `sheet_scores`; joining a table with a
folder of images belongs to `rust-tuner manifest`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rust_tuner.data.cells import PIXEL_COLUMNS
from rust_tuner.data.faults import Faults
from rust_tuner.data.sheet_columns import Columns, not_used, understand_columns
from rust_tuner.data.sheet_scores import ScoredView, read_scored_views
from rust_tuner.data.sheets import QuotationError, Sheet, is_excel, read_sheet
from rust_tuner.errors import ManifestError, Message, marked
from rust_tuner.labels import CORTICES, VIEWS

# Of a patient with one row and no visit.
_ONLY_VISIT = "1"


@dataclass(frozen=True)
class SheetRows:
    """The rows of a manifest, from a table of another form.

    Attributes:
        source: the table's name.
        rows: the table's row of each radiograph.
        cells: values by column of the manifest.
        notes: what the columns were read as, and which were not used.
    """

    source: str
    rows: list[int]
    cells: dict[str, list[object]]
    notes: tuple[str, ...]


def read_sheet_rows(
    path: Path, *, view_cortices: Mapping[str, tuple[str, ...]]
) -> SheetRows | ManifestError | None:
    """Read a table whose columns are clear without a person.

    It has a patient, a visit or a date, all four cortices, and the image files: one column and a
    column of views, or a column for each view.

    Args:
        path: `.xlsx`, or a text file as `sheets.read_sheet` takes it.
        view_cortices: the cortices that each view shows.

    Returns:
        The rows; an error that says what is not clear, and how to make a manifest; None for a text
        file that is not a table.

    Raises:
        ManifestError: for cells that are not scores, views or dates, for quotation marks that do
            not belong together, and for an Excel file that cannot be read.
        ExtraError: for an Excel file if openpyxl is missing.
    """
    try:
        sheet = read_sheet(path)
    except QuotationError:
        raise
    except ManifestError as error:
        if is_excel(path):
            raise ManifestError(f"{marked(error)}\n{_make_one(path)}") from error
        return None
    try:
        columns = understand_columns(sheet.columns, source=sheet.source)
    except ManifestError as error:
        return ManifestError(f"{marked(error)}\n{_make_one(path)}")
    unclear = _unclear(columns) or _unclear_visits(sheet, columns)
    if unclear:
        return ManifestError(f"{sheet.source}: {unclear}; {_make_one(path)}")
    scored, notes = read_scored_views(sheet, columns, view_cortices=view_cortices)
    if columns.images:
        # A view that was not taken has no image and no score.
        scored = [entry for entry in scored if entry.image or entry.scores]
    if not scored:
        return ManifestError(f"{sheet.source}: no row has a patient and a score")
    _refuse_empty_visits(scored, columns, source=sheet.source)
    numbers = _pixel_numbers(sheet, columns)
    cells: dict[str, list[object]] = {
        "image": [(entry.image or "").replace("\\", "/") for entry in scored],
        "patient_id": [entry.patient_id for entry in scored],
        "visit": [
            entry.visit or (entry.date.isoformat() if entry.date else _ONLY_VISIT)
            for entry in scored
        ],
        "view": [entry.view for entry in scored],
        **{cortex: [entry.scores.get(cortex) for entry in scored] for cortex in CORTICES},
        **{name: [by_row[entry.row] for entry in scored] for name, by_row in numbers.items()},
    }
    if "site" in columns.fields:
        cells["site"] = [entry.site or "" for entry in scored]
    visits = {column.visit for column in columns.scores}
    taken = {columns.image_of(view, visit) for view in VIEWS for visit in visits}
    unused = [name for name in columns.unused if name not in numbers]
    unused += [column.name for column in columns.images if column.name not in taken]
    lines = [marked(line) for line in columns.lines() if not line.startswith("not used")]
    said = [Message(f"{sheet.source} was read as a manifest: {'; '.join(lines)}")]
    if not _has_visits(columns):
        said.append(
            Message(
                f"{sheet.source}: no column of visits, and one row per patient: all are visit "
                f"{_ONLY_VISIT}"
            )
        )
    said += not_used(sheet.source, unused, has_site="site" in columns.fields)
    return SheetRows(
        sheet.source, [entry.row for entry in scored], cells, (*said, *sheet.notes, *notes)
    )


def _refuse_empty_visits(scored: Sequence[ScoredView], columns: Columns, *, source: str) -> None:
    """Refuse radiographs without a visit whose patient has others with one.

    Of merged cells only the first has a value, so the other view would be of another visit.
    """
    field = next((name for name in ("visit", "date") if name in columns.fields), None)
    if field is None or "view" not in columns.fields:
        return
    named = {entry.patient_id for entry in scored if getattr(entry, field)}
    faults = Faults(source)
    for entry in scored:
        if entry.patient_id in named and not getattr(entry, field):
            faults.add(
                f"{field} is empty, but not in other rows of this patient; name it in every row, "
                "since of merged cells only the first one has a value",
                row=entry.row,
                column=columns.fields[field],
            )
    faults.raise_any()


def _unclear(columns: Columns) -> str:
    """What a person must say; empty if nothing."""
    missing = [cortex for cortex in CORTICES if cortex not in {c.cortex for c in columns.scores}]
    if missing:
        return f"no column of scores of the {' and '.join(missing)} cortex"
    has_views = "image" in columns.fields and "view" in columns.fields
    if not has_views and {column.view for column in columns.images} != set(VIEWS):
        return "no column of image files with a view, nor one for each view"
    visits = {column.visit for column in columns.scores}
    if visits != {None} and not has_views:
        # Each visit that a column of scores names has its own images.
        lacking = [
            f"{view}, {visit or 'no visit named'}"
            for visit in sorted(visits, key=str)
            for view in VIEWS
            if (view, visit) not in {(column.view, column.visit) for column in columns.images}
        ]
        if lacking:
            return (
                "one row per patient, and no column of images of each view and visit that is scored"
                f": none of {'; '.join(lacking)}"
            )
    elif {column.visit for column in columns.images} - {None}:
        return "columns of images name visits, but those of scores do not"
    return ""


def _has_visits(columns: Columns) -> bool:
    """Whether a column, or the names of all columns of scores, give the visit."""
    is_named = all(column.visit is not None for column in columns.scores)
    return is_named or "visit" in columns.fields or "date" in columns.fields


def _unclear_visits(sheet: Sheet, columns: Columns) -> str:
    """What a person must say of visits; nothing where every patient has one row."""
    if _has_visits(columns):
        return ""
    counts = Counter(cells.get(columns.fields["patient_id"], "") for _, cells in sheet.rows)
    del counts[""]
    if columns.images and max(counts.values(), default=0) <= 1:
        return ""
    return "no column of visits or dates"


def _pixel_numbers(sheet: Sheet, columns: Columns) -> dict[str, dict[int, object]]:
    """Crops and bits by row, if a row is one radiograph."""
    if "view" not in columns.fields:
        return {}
    return {
        name: {row: cells.get(name, "") for row, cells in sheet.rows}
        for name in PIXEL_COLUMNS
        if name in columns.unused
    }


def _make_one(path: Path) -> str:
    return (
        "to join a table with a folder of images, or to say what its columns are: rust-tuner "
        f"manifest --images DIR --scores {path.name} --out manifest.csv"
    )
