"""The images that a person names: files, folders or manifests, and which of them are one visit."""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rust_tuner.data.cells import (
    BITS_COLUMN,
    COLUMNS,
    CROP_COLUMNS,
    OPTIONAL_COLUMNS,
    PIXEL_COLUMNS,
    normalise_cells,
)
from rust_tuner.data.csv_text import header_names, read_columns
from rust_tuner.data.faults import Faults
from rust_tuner.data.image_folder import FoundImage, find_images
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.reading import Box
from rust_tuner.data.sheet_columns import columns_of_images
from rust_tuner.data.sheet_scores import read_view
from rust_tuner.data.sheets import is_excel, read_sheet
from rust_tuner.errors import ManifestError, private
from rust_tuner.files import is_utf8, require_utf8
from rust_tuner.labels import VIEWS

_MANIFEST_SUFFIX = ".csv"
_VISIT = ("patient_id", "visit", "view")
# Tells the visits of a table that has no names of them.
_DATE = "date"
# The first line of a table of predictions.
PREDICTED = re.compile("image,view,view_probability,")
# The name of a view as a word of a file's name, such as in 017_ap.png, 017-LAT.jpg or ap017.png.
_VIEW = re.compile(r"(?<![a-z])(ap|lateral|lat)(?![a-z])", re.IGNORECASE)

Pair = tuple[int, int]


@dataclass(frozen=True)
class _Said:
    """What a table or the tags of a file say of an image.

    Attributes:
        visit: patient, visit (or date and side) and view; None unless all are known.
        box: the part of it that is used; None for the whole image.
        bits: how many bits of a 16-bit file are used; None where nothing is said.
    """

    visit: tuple[str, ...] | None = None
    box: Box | None = None
    bits: int | None = None


@dataclass(frozen=True)
class ImageList:
    """Images, and the pairs of views among them.

    Attributes:
        images: the files, each once.
        pairs: positions of the AP and the lateral view of each visit.
        by_visit: how many of the pairs a manifest or DICOM tags tell; names tell the others.
        boxes: the part of each image that a manifest says is used; None for the whole image.
        bits: how many bits of each 16-bit image a manifest says are used; None for another image.
    """

    images: tuple[Path, ...]
    pairs: tuple[Pair, ...]
    by_visit: int = 0
    boxes: tuple[Box | None, ...] = ()
    bits: tuple[int | None, ...] = ()


def list_images(given: Sequence[str | Path]) -> ImageList:
    """Find the images of files, folders and manifests, and pair AP and lateral views.

    A folder stands for all its PNG, JPEG, TIFF and DICOM files, also in subfolders; tags pair those
    of one patient, date and side. Of a manifest only the column `image` is needed; with
    `patient_id`, `visit` and `view` it also names the pairs. Other images are paired if their names
    differ in the view only: `017_ap.png` and `017_lat.png`, or `ap/017.png` and `lateral/017.png`.
    If more than two match, none is paired.

    Args:
        given: files, folders and manifests.

    Raises:
        ManifestError: for a folder without images, or a damaged manifest.
        StorageError: where a name is not UTF-8, so that no table could contain it.
    """
    # A file that is named itself keeps its path as it was written.
    written: dict[Path, Path] = {}
    said: dict[Path, _Said] = {}
    for item in map(Path, given):
        if item.is_dir():
            said |= {image.path: _Said(_by_tags(image)) for image in find_images(item)}
        elif item.suffix.lower() == _MANIFEST_SUFFIX or is_excel(item):
            said |= _images_of(item)
        else:
            written[item.absolute()] = item
            said.setdefault(item.absolute(), _Said())
    images = tuple(written.get(path, path) for path in said)
    for path in images:
        if not is_utf8(path):
            require_utf8(path)
    visits = [
        None if this.visit is None else (this.visit[:-1], this.visit[-1]) for this in said.values()
    ]
    by_visit = _pairs(visits)
    paired = {position for pair in by_visit for position in pair}
    others = [
        None
        if position in paired or visits[position]
        else _name_and_view(Path(os.path.abspath(path)))
        for position, path in enumerate(images)
    ]
    pairs = sorted([*by_visit, *_pairs(others)], key=min)
    boxes = tuple(this.box for this in said.values())
    bits = tuple(this.bits for this in said.values())
    return ImageList(images, tuple(pairs), len(by_visit), boxes, bits)


def _by_tags(image: FoundImage) -> tuple[str, ...] | None:
    """Patient, date, side and view of a DICOM file that has them."""
    if image.patient_id is None or image.date is None or image.view is None:
        return None
    return (image.patient_id, image.date.isoformat(), image.side or "", image.view)


def _images_of(manifest: Path) -> dict[Path, _Said]:
    """The images of a manifest, or of a table of another form, and what it says of each."""
    names = header_names(manifest)
    # `id` may be the number of a row.
    usual = {"image", *COLUMNS[1:], *OPTIONAL_COLUMNS, _DATE, "id"}
    # Columns with other usual names, such as `Patient`, are understood as those of a sheet are.
    if "image" in names and usual.issuperset((columns_of_images(sorted(names)) or {}).values()):
        faults = Faults(manifest.name)
        rows, cells = read_columns(
            manifest,
            required=["image"],
            optional=(*COLUMNS[1:], *OPTIONAL_COLUMNS, _DATE),
            faults=faults,
            ignored=[],
        )
        return _said_of_images(manifest.parent, rows, cells, faults)
    # What is wrong with a table, a manifest's errors say best.
    sheet = None
    with contextlib.suppress(ManifestError):
        sheet = read_sheet(manifest)
    columns = None if sheet is None else columns_of_images(sheet.columns)
    if sheet is not None and columns is not None:
        rows = [row for row, _ in sheet.rows]
        cells = {
            meaning: [row_cells.get(name, "") for _, row_cells in sheet.rows]
            for meaning, name in columns.items()
        }
        return _said_of_images(manifest.parent, rows, cells, Faults(manifest.name))
    radiographs = load_manifest(manifest, distinct_patients=True)
    table = radiographs.table
    given = table[BITS_COLUMN].notna() if BITS_COLUMN in table else [False] * len(table)
    visits = zip(*(table[name].astype(str) for name in _VISIT), strict=True)
    return {
        image: _Said(visit, reading.box, reading.bits if has_bits else None)
        for image, reading, visit, has_bits in zip(
            radiographs.images, radiographs.readings, visits, given, strict=True
        )
    }


def _said_of_images(
    folder: Path, rows: Sequence[int], cells: Mapping[str, Sequence[str]], faults: Faults
) -> dict[Path, _Said]:
    """What the rows of a table say of their images.

    Raises:
        ManifestError: for cells that no image, crop or number of bits can have, and for an image in
            two rows that differ.
    """
    pixels = {name: cells[name] for name in PIXEL_COLUMNS if name in cells}
    numbers = normalise_cells(rows, pixels, faults=faults)
    boxes: list[Box | None] = [None] * len(rows)
    if all(name in numbers for name in CROP_COLUMNS):
        edges = numbers[list(CROP_COLUMNS)].to_numpy()
        boxes = [None if np.isnan(box).any() else _as_box(box) for box in edges]
    bits: list[int | None] = [None] * len(rows)
    if BITS_COLUMN in numbers:
        bits = [None if np.isnan(count) else int(count) for count in numbers[BITS_COLUMN]]
    visits: Iterable[tuple[str, ...] | None] = [None] * len(rows)
    patient_id, visit, view = _VISIT
    of_visit = [patient_id, visit if visit in cells else _DATE, view]
    if all(name in cells for name in of_visit):
        visits = map(_as_visit, *(cells[name] for name in of_visit))
    said: dict[Path, _Said] = {}
    first_rows: dict[Path, int] = {}
    texts = cells.get("image", [""] * len(rows))
    for row, text, known, box, count in zip(rows, texts, visits, boxes, bits, strict=False):
        if not text:
            faults.add("image is empty; give the path of the image", row=row)
            continue
        path, this = _located(folder, text), _Said(known, box, count)
        if said.setdefault(path, this) != this:
            faults.add(
                f"image={private(text)} is also in row {first_rows[path]}, of another visit, view "
                "or part; keep one of them",
                row=row,
            )
        first_rows.setdefault(path, row)
    faults.raise_any()
    return said


def _as_box(edges: npt.NDArray[np.float64]) -> Box:
    left, top, right, bottom = map(int, edges)
    return left, top, right, bottom


def _as_visit(patient_id: str, visit: str, view: str) -> tuple[str, ...] | None:
    """None unless all three are given: two images of nobody in particular are no pair."""
    known_view = read_view(view)
    return (patient_id, visit, known_view) if patient_id and visit and known_view else None


def _located(folder: Path, image: str) -> Path:
    """The file, also if the table was written on Windows."""
    path = (folder / image).absolute()
    return path if path.exists() else (folder / image.replace("\\", "/")).absolute()


def _name_and_view(path: Path) -> tuple[tuple[str, ...], str] | None:
    """A file's name without its view, and the view; None if the name has no view."""
    places = (
        (path.stem, str(path.parent), ""),
        (path.parent.name, str(path.parent.parent), path.stem),
    )
    for text, folder, rest in places:
        matches = list(_VIEW.finditer(text))
        if matches:
            last = matches[-1]
            view = VIEWS[0] if last[0].lower() == VIEWS[0] else VIEWS[1]
            return (folder, text[: last.start()], text[last.end() :], rest), view
    return None


def _pairs(named: Sequence[tuple[tuple[str, ...], str] | None]) -> list[Pair]:
    """Positions of the two views of each name that has one of each."""
    positions: dict[tuple[str, ...], dict[str, list[int]]] = {}
    for position, item in enumerate(named):
        if item is not None:
            name, view = item
            positions.setdefault(name, {view: [] for view in VIEWS})[view].append(position)
    return [
        (views[VIEWS[0]][0], views[VIEWS[1]][0])
        for views in positions.values()
        if all(len(matches) == 1 for matches in views.values())
    ]
