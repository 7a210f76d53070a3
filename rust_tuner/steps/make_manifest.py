"""Makes a manifest from a folder of images and a table of scores.

Reading, understanding and joining belong to `data`; this step writes the files.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rust_tuner.data.csv_output import csv_text
from rust_tuner.data.faults import Faults
from rust_tuner.data.image_folder import find_images
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.matching import Matching, match
from rust_tuner.data.patient_ids import two_spellings, visibly
from rust_tuner.data.radiographs import FIRST_ROW
from rust_tuner.data.sheet_columns import Columns, understand_columns
from rust_tuner.data.sheet_scores import read_scored_views
from rust_tuner.data.sheets import is_excel, read_sheet
from rust_tuner.errors import ManifestError, Message, marked, private
from rust_tuner.files import atomic_path, require_utf8, write_text
from rust_tuner.labels import CORTICES
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import ANATOMICAL_VIEWS


@dataclass(frozen=True)
class MadeManifest:
    """What was made.

    Attributes:
        path: the manifest.
        unmatched: the table of what was not joined; None if all was.
        columns: what the table's columns were read as.
        matching: what was joined.
        notes: what was assumed or left out.
    """

    path: Path
    unmatched: Path | None
    columns: Columns
    matching: Matching
    notes: tuple[str, ...]


def make_manifest(
    images: str | Path,
    scores: str | Path,
    path: str | Path,
    *,
    pattern: str | None = None,
    columns: Mapping[str, str] | None = None,
    sheet: str | None = None,
    view_cortices: Mapping[str, tuple[str, ...]] = ANATOMICAL_VIEWS,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> MadeManifest:
    """Join images with scores, and write a manifest that `rust-tuner prepare` takes.

    Beside the manifest, `NAME_unmatched.csv` lists what was not joined and why. Where both legs of
    a patient were scored at one visit, the manifest has two, such as `6w left` and `6w right`. A
    manifest with faults is not written. Show the pairs to a person before training:
    `report.contact_sheet.write_contact_sheet`.

    Args:
        images: folder of PNG, JPEG or DICOM files.
        scores: table of scores, `.xlsx` or CSV: one row per radiograph, visit or patient.
        path: the manifest to write.
        pattern: what file names say, such as `{patient_id}_{visit}_{view}.png`; without it, the
            table names the images, or DICOM tags say what they are.
        columns: column name by meaning, if the usual names do not say it; see
            `sheet_columns.understand_columns`.
        sheet: of an Excel file with several.
        view_cortices: the cortices that each view shows.
        overwrite: whether a manifest that is there already is replaced.
        progress: where to report; nowhere by default.

    Raises:
        ManifestError: for a table or folder that cannot be understood, if nothing matches, for a
            manifest that is there already, and for one with faults, by the rows of the table.
        ExtraError: if openpyxl or pydicom is needed and missing.
        StorageError: if a file cannot be written, or its path is not UTF-8.
    """
    report = progress or Silent()
    path = Path(path)
    require_utf8(path)
    if not path.name or path.is_dir():
        raise ManifestError(
            f"{private(path)} is a folder; give the manifest a file name, such as --out m.csv"
        )
    if is_excel(path):
        raise ManifestError(
            f"{private(path)}: a manifest is a CSV file; give a name such as --out m.csv"
        )
    for written in (path, _unmatched_path(path)):
        if written.resolve() == Path(scores).resolve():
            raise ManifestError(
                f"{private(written)} is the table of scores; write the manifest elsewhere"
            )
    if not overwrite and os.path.lexists(path):
        raise ManifestError(
            f"{private(path)} exists; give another name with --out, or --overwrite to replace it"
        )
    table = read_sheet(scores, sheet=sheet)
    understood = understand_columns(table.columns, given=columns, source=table.source)
    scored, notes = read_scored_views(table, understood, view_cortices=view_cortices)
    with report.task("reading images", 1) as task:
        listed = find_images(images, pattern=pattern)
        task.advance()
    matching = match(scored, listed)
    if not matching.pairs:
        first = matching.scores[0] if matching.scores else None
        why = f"{first.place}: {marked(first.reason)}" if first else "the table has no scores"
        raise ManifestError(
            f"no row of {table.source} fits an image in {private(images)}; the first is {why}"
        )
    folder = path.resolve().parent
    rows = [
        {
            "image": Path(os.path.relpath(pair.image.path, folder)).as_posix(),
            "patient_id": pair.scores.patient_id,
            "visit": pair.visit,
            "view": pair.scores.view,
            **{cortex: pair.scores.scores.get(cortex) for cortex in CORTICES},
            **({"site": pair.scores.site} if "site" in understood.fields else {}),
        }
        for pair in matching.pairs
    ]
    manifest = pd.DataFrame(rows).astype(dict.fromkeys(CORTICES, "Int64"))
    with atomic_path(path) as aside:
        # Not as `csv_text`, which changes ids that a spreadsheet would run: this file is read
        # again.
        aside.write_bytes(manifest.to_csv(index=False, lineterminator="\n").encode())
        # Before it gets its name, since `prepare` would refuse a manifest with faults.
        _check(aside, [pair.scores.row for pair in matching.pairs], table.source)
        unmatched = _write_unmatched(path, matching)
    return MadeManifest(
        path,
        unmatched,
        understood,
        matching,
        (*table.notes, *notes, *matching.notes, *_alike(matching)),
    )


def _check(manifest: Path, rows: Sequence[int], source: str) -> None:
    """Load a manifest, and name its faults by the rows of the table that it was made from."""
    try:
        load_manifest(manifest, distinct_patients=True)
    except ManifestError as error:
        faults = Faults(source)
        for fault in error.faults:
            row = None if fault.row is None else rows[fault.row - FIRST_ROW]
            faults.add(marked(fault.message), row=row, column=fault.column)
        faults.raise_any()
        raise


def _write_unmatched(path: Path, matching: Matching) -> Path | None:
    rows = [("table", item.what, item.reason) for item in matching.scores]
    rows += [("image", item.what, item.reason) for item in matching.images]
    target = _unmatched_path(path)
    if not rows:
        target.unlink(missing_ok=True)
        return None
    write_text(target, csv_text(pd.DataFrame(rows, columns=["of", "what", "reason"])))
    return target


def _alike(matching: Matching) -> list[str]:
    """What `prepare` will ask about patients whose ids read alike."""
    rows = [pair.scores.row for pair in matching.pairs]
    return [
        Message(
            f"patient {private(visibly(pair.other))} reads like {private(visibly(pair.first))} "
            f"(rows {rows[pair.positions[0]]} and {rows[pair.first_position]}); write one id in "
            "one way, or, if they are different people, give prepare --distinct-patients"
        )
        for pair in two_spellings([pair.scores.patient_id for pair in matching.pairs])
    ]


def _unmatched_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_unmatched.csv")
