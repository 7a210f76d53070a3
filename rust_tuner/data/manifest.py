"""Reads manifests: the package's own CSV format and the published study's one-hot label table.

The rules for rows belong to `radiographs`, the checks of pixels to `images`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rust_tuner.data.cells import COLUMNS, OPTIONAL_COLUMNS, normalise_cells
from rust_tuner.data.csv_text import CsvRows, header_names, read_columns, read_rows
from rust_tuner.data.faults import Faults, value_shown
from rust_tuner.data.patient_ids import note_two_spellings, plain_visit
from rust_tuner.data.radiographs import Radiographs, check_views
from rust_tuner.data.sheet_columns import not_used
from rust_tuner.data.sheet_manifest import SheetRows, read_sheet_rows
from rust_tuner.data.sheets import is_excel
from rust_tuner.errors import ManifestError, Message, private
from rust_tuner.files import require_utf8
from rust_tuner.labels import CORTEX_LABELS, CORTICES, SCORES
from rust_tuner.protocol import ANATOMICAL_VIEWS

__all__ = ["Radiographs", "check_views", "load_manifest", "load_onehot_manifest"]

_ONEHOT_VIEWS = {"view_antpr": "ap", "view_later": "lateral"}
_ONEHOT_CORTICES = tuple(label.replace("_", "_cortex_") for label in CORTEX_LABELS)
_ONEHOT_IDS = ("study_id", "record_id", "event_arm")
_ONEHOT_COLUMNS = (*_ONEHOT_IDS, *_ONEHOT_VIEWS, *_ONEHOT_CORTICES)
_ONEHOT_UNUSED = ("index", "", "Unnamed: 0")
# No system opens a longer path, and resolving one is slow.
_LONGEST_PATH = 4096
# A table that lacks more columns is not a faulty manifest.
_MOST_MISSING = 2
_ZERO_OR_ONE = re.compile(r"[01](\.0*)?")


def load_manifest(
    path: str | Path,
    *,
    distinct_patients: bool = False,
    view_cortices: Mapping[str, tuple[str, ...]] = ANATOMICAL_VIEWS,
) -> Radiographs:
    """Load a manifest and check everything that can be checked without decoding an image.

    The file is a UTF-8 CSV (with or without a byte order mark, and with `sep=,` or another
    separator in a first line of its own if Excel wrote one) with the columns `image, patient_id,
    visit, view, medial, lateral, anterior, posterior` in any order, and optionally `site`, `bits`
    and `crop_left, crop_top, crop_right, crop_bottom`. Other columns are ignored, which the notes
    of the radiographs say. Blanks around values are dropped, and rows without any value are
    skipped. A visit must not be empty, because it pairs the two views. Everything else is kept as
    text: `007` and `NA` are valid patient ids.

    A table of another form, such as Excel's or with one row per visit, is read too if it names its
    images and its columns are clear; the notes say what they were read as.

    Args:
        path: the CSV file; its image paths are relative to its folder.
        distinct_patients: whether ids that read alike, such as `P1` and `p-001`, are known to
            belong to different people.
        view_cortices: the cortices that each view shows, for tables of another form.

    Returns:
        The radiographs in the order of the file, with absolute image paths.

    Raises:
        ManifestError: listing every fault of the file with its row and column: a wrong or missing
            column, a row of another length, a score outside 1-4, an unknown view, an empty image,
            patient or visit, a missing image, an image in two rows, two rows for one patient, visit
            and view, a patient id that reads like another one.
        StorageError: where a name in the path of the file is not UTF-8.

    Examples:
        >>> import tempfile
        >>> from rust_tuner import write_phantoms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     radiographs = load_manifest(write_phantoms(folder, patients=2, seed=0))
        >>> radiographs.labels.shape == (len(radiographs), 18)
        True
        >>> sorted(set(radiographs.table["view"]))
        ['ap', 'lateral']
    """
    path = Path(path)
    require_utf8(path)
    read = _read_other_form(path, view_cortices)
    faults = Faults(path.name if read is None else read.source)
    if read is None:
        ignored: list[str] = []
        rows, cells = read_columns(
            path, required=COLUMNS, optional=OPTIONAL_COLUMNS, faults=faults, ignored=ignored
        )
        table = normalise_cells(rows, cells, faults=faults)
        notes: tuple[str, ...] = not_used(path.name, ignored, has_site="site" in cells)
    else:
        rows, notes = read.rows, read.notes
        table = normalise_cells(rows, read.cells, faults=faults)
    if "image" in table:
        folder = path.parent.resolve()
        images = [_resolve(folder, image) for image in table["image"]]
        _check_files(rows, table["image"].tolist(), images, faults=faults)
        table["image"] = pd.Series([str(image) for image in images], index=table.index, dtype="str")
    _check_repeated_views(table, faults=faults)
    notes = (*notes, *_visits_alike(table))
    if "patient_id" in table and not distinct_patients:
        note_two_spellings(rows, table["patient_id"].tolist(), faults=faults)
    faults.raise_any()
    return Radiographs(
        table, source=faults.source, distinct_patients=distinct_patients, notes=notes
    )


def _read_other_form(path: Path, view_cortices: Mapping[str, tuple[str, ...]]) -> SheetRows | None:
    """The rows of a table in another form than a manifest's; None for a manifest.

    Raises:
        ManifestError: for a table that is neither a manifest nor clear. A manifest without one or
            two of its columns is left to be read as such, since its faults then say more.
    """
    if not path.is_file():
        return None
    missing = set(COLUMNS)
    if not is_excel(path):
        missing -= header_names(path)
    if not missing:
        return None
    read = read_sheet_rows(path, view_cortices=view_cortices)
    if isinstance(read, ManifestError):
        if len(missing) > _MOST_MISSING:
            raise read
        return None
    return read


def load_onehot_manifest(
    labels_csv: str | Path,
    filenames_csv: str | Path,
    image_dir: str | Path,
    *,
    distinct_patients: bool = False,
) -> Radiographs:
    """Load a label table in the form that the study published.

    A patient is the study and the record together, as `study/record`; `/` and `%` inside either are
    written as `%2F` and `%25`, so that no two patients get the same id. The visit is `event_arm`.
    Several rows for one patient, visit and view are allowed, as the published table may hold
    repeated exposures. Whether the images exist is not checked here.

    Args:
        labels_csv: columns `index, study_id, record_id, event_arm, view_antpr, view_later`, and
            `medial_cortex_1` to `posterior_cortex_4`, all but the first four 0 or 1. The column
            `index` is not used; it may be missing or without a name.
        filenames_csv: one file name per line in the order of the label table, without a header.
        image_dir: the folder that the file names are relative to.
        distinct_patients: whether ids that read alike are known to belong to different people.

    Returns:
        The radiographs in the order of the label table, with absolute image paths and the row
        numbers of the label table.

    Raises:
        ManifestError: listing every fault of both files with row and column.

    Examples:
        >>> import tempfile
        >>> codes = [f"{cortex}_cortex_{score}" for cortex in CORTICES for score in (1, 2, 3, 4)]
        >>> columns = ["study_id", "record_id", "event_arm", "view_antpr", "view_later", *codes]
        >>> cells = ["A", "17", "6 weeks", 1, 0, 0, 1, *[0] * 14]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     labels, names = Path(folder, "labels.csv"), Path(folder, "filenames.csv")
        ...     pd.DataFrame([cells], columns=columns).to_csv(labels)
        ...     _ = names.write_text("017_ap.png")
        ...     radiographs = load_onehot_manifest(labels, names, folder)
        >>> radiographs.patient_ids.tolist(), radiographs.table["medial"].tolist()
        (['A/17'], [2.0])
    """
    labels_csv, filenames_csv = Path(labels_csv), Path(filenames_csv)
    faults = Faults(labels_csv.name)
    rows, cells = read_columns(
        labels_csv, required=_ONEHOT_COLUMNS, optional=_ONEHOT_UNUSED, faults=faults
    )
    for name in _ONEHOT_IDS:
        for row, value in zip(rows, cells.get(name, []), strict=False):
            if not value:
                faults.add(
                    f"{name} is empty; it identifies patients and visits", row=row, column=name
                )
    views = _views_from_onehot(rows, cells, faults=faults)
    scores = {
        cortex: _scores_from_onehot(rows, cells, cortex, faults=faults) for cortex in CORTICES
    }
    names = read_rows(filenames_csv)
    images = _images_from_names(names, Path(image_dir), source=filenames_csv.name, faults=faults)
    # Rows of the wrong length are not in `rows`, and blank names not in `images`, but both count.
    num_rows = len(read_rows(labels_csv).rows) - 1
    num_names = names.rows[-1][0] - names.first_row + 1
    if num_names != num_rows:
        faults.add(
            f"{num_names} file names for {num_rows} rows of {labels_csv.name}; give one per row, "
            "in the same order and without a header",
            source=filenames_csv.name,
        )
    faults.raise_any()
    patients = [
        f"{_escape(study)}/{_escape(record)}"
        for study, record in zip(cells["study_id"], cells["record_id"], strict=True)
    ]
    table = pd.DataFrame(
        {
            "image": images,
            "patient_id": patients,
            "visit": cells["event_arm"],
            "view": views,
            **scores,
        },
        index=pd.Index(rows, name="row"),
    )
    return Radiographs(table, source=labels_csv.name, distinct_patients=distinct_patients)


def _resolve(folder: Path, image: str) -> Path:
    if len(image) > _LONGEST_PATH:
        return folder / image
    try:
        return (folder / image).resolve()
    except (OSError, ValueError, RuntimeError):
        return folder / image


def _check_files(
    rows: Sequence[int], written: Sequence[str], images: Sequence[Path], *, faults: Faults
) -> None:
    """Report images that are missing or named twice, however their paths are written."""
    first_rows: dict[Path, int] = {}
    for row, text, image in zip(rows, written, images, strict=True):
        if not text:
            continue
        is_repeated = image in first_rows
        first = first_rows.setdefault(image, row)
        if is_repeated:
            mend = f"the same file as in row {first}, keep one of the two rows"
            if first == row:
                mend = "named twice in this row, but each view of each visit is a file of its own"
            faults.add(f"image={private(text)}; {mend}", row=row, column="image")
        elif os.path.lexists(image) and not _is_file(image):
            fault = f"{private(image)} is not a file; give the path of the image"
            faults.add(f"image={private(text)}; {fault}", row=row, column="image")
        elif not _is_file(image):
            hint = " (with / between folders)" if "\\" in text else ""
            faults.add(
                f"image={private(text)}; no such file, expected at {private(image)}: paths are "
                "relative "
                f"to the manifest's folder{hint}",
                row=row,
                column="image",
            )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _check_repeated_views(table: pd.DataFrame, *, faults: Faults) -> None:
    names = ["patient_id", "visit", "view"]
    if not set(names) <= set(table.columns):
        return
    first_rows: dict[tuple[str, str, str], int] = {}
    for row, *values in table[names].itertuples():
        patient, visit, view = values
        if not (patient and visit and view):
            continue
        first = first_rows.setdefault((patient, visit, view), row)
        if first != row:
            faults.add(
                f"patient_id={private(patient)}, visit={private(visit)}, view={view} is also in "
                f"row {first}; keep one radiograph per view, or give the visits different names",
                row=row,
                column="view",
            )


def _visits_alike(table: pd.DataFrame) -> list[str]:
    """A note if visits of a patient read alike and are different ones, such as `6w` and `6 W`."""
    if not {"patient_id", "visit"} <= set(table.columns):
        return []
    first_rows: dict[tuple[str, str], tuple[int, str]] = {}
    alike = []
    for row, patient, visit in table[["patient_id", "visit"]].itertuples():
        first, written = first_rows.setdefault((patient, plain_visit(visit)), (row, visit))
        if written != visit:
            alike.append((first, written, row, visit))
    if not alike:
        return []
    first, written, row, visit = alike[0]
    more = f" ({len(alike) - 1} more rows are like this)" if len(alike) > 1 else ""
    return [
        Message(
            f"visit={private(written)} (row {first}) and visit={private(visit)} (row {row}) of one "
            f"patient read alike and are two visits, whose views are not paired{more}; write a "
            "visit in one way, or give two visits names that differ more"
        )
    ]


def _views_from_onehot(
    rows: Sequence[int], cells: dict[str, list[str]], *, faults: Faults
) -> list[str]:
    columns = {name: _read_flags(rows, cells, name, faults=faults) for name in _ONEHOT_VIEWS}
    views = []
    for row, *flags in zip(rows, *columns.values(), strict=True):
        set_views = [view for view, flag in zip(_ONEHOT_VIEWS.values(), flags, strict=True) if flag]
        if len(set_views) != 1 and None not in flags:
            which = "both views are" if set_views else "neither view is"
            faults.add(
                f"view_antpr={flags[0]}, view_later={flags[1]}; {which} set, expected one", row=row
            )
        views.append(set_views[0] if set_views else "")
    return views


def _scores_from_onehot(
    rows: Sequence[int], cells: dict[str, list[str]], cortex: str, *, faults: Faults
) -> list[float]:
    names = [f"{cortex}_cortex_{score}" for score in SCORES]
    columns = [_read_flags(rows, cells, name, faults=faults) for name in names]
    scores = []
    for row, *flags in zip(rows, *columns, strict=True):
        given = [score for score, flag in zip(SCORES, flags, strict=True) if flag]
        if len(given) > 1:
            faults.add(
                f"{cortex}_cortex has the scores {' and '.join(map(str, given))}; expected one, "
                "or none where the cortex is not visible",
                row=row,
                column=f"{cortex}_cortex_{given[1]}",
            )
        scores.append(float(given[0]) if given else np.nan)
    return scores


def _read_flags(
    rows: Sequence[int], cells: dict[str, list[str]], name: str, *, faults: Faults
) -> list[int | None]:
    """The zeros and ones of a column; None if it is missing or a cell is neither."""
    if name not in cells:
        return [None] * len(rows)
    flags: list[int | None] = []
    for row, value in zip(rows, cells[name], strict=True):
        if _ZERO_OR_ONE.fullmatch(value):
            flags.append(int(value[0]))
        else:
            faults.add(
                f"{name}={value_shown(value) or 'empty'}; expected 0 or 1", row=row, column=name
            )
            flags.append(None)
    return flags


def _images_from_names(names: CsvRows, folder: Path, *, source: str, faults: Faults) -> list[str]:
    """The absolute image paths, in the order of the file of names."""
    folder = folder.resolve()
    images: list[str] = []
    first_rows: dict[str, int] = {}
    last = names.first_row - 1
    for row, cells in names.rows:
        for blank in range(last + 1, row):
            faults.add("the file name is empty; expected one per line", row=blank, source=source)
        last = row
        name = cells[0].strip()
        if len(cells) != 1:
            faults.add(
                f"{len(cells)} values, expected one file name per line; put a name with a comma "
                "in quotation marks",
                row=row,
                source=source,
            )
        # Without access to the disk, as the images need not exist.
        image = os.path.normpath(folder / name)
        first = first_rows.setdefault(image, row)
        if first != row:
            faults.add(
                f"{private(name)} is also in row {first}; a radiograph has one row",
                row=row,
                source=source,
            )
        images.append(image)
    return images


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F")
