"""The images that a person names: files, folders or manifests, and which of them are one visit."""

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rust_tuner.data.cells import COLUMNS, CROP_COLUMNS, OPTIONAL_COLUMNS, normalise_cells
from rust_tuner.data.csv_text import header_names, read_columns
from rust_tuner.data.faults import Faults
from rust_tuner.data.image_folder import FoundImage, find_images
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.reading import Box
from rust_tuner.data.sheet_columns import names_images_alone
from rust_tuner.data.sheets import Sheet, is_excel, read_sheet
from rust_tuner.errors import ManifestError
from rust_tuner.files import is_utf8, require_utf8
from rust_tuner.labels import VIEWS

_MANIFEST_SUFFIX = ".csv"
_VISIT = ("patient_id", "visit", "view")
# The first line of a table of predictions.
PREDICTED = re.compile("image,view,view_probability,")
# The name of a view as a word of a file's name, such as in 017_ap.png, 017-LAT.jpg or ap017.png.
_VIEW = re.compile(r"(?<![a-z])(ap|lateral|lat)(?![a-z])", re.IGNORECASE)

Pair = tuple[int, int]


@dataclass(frozen=True)
class ImageList:
    """Images, and the pairs of views among them.

    Attributes:
        images: the files, each once.
        pairs: positions of the AP and the lateral view of each visit.
        by_visit: how many of the pairs a manifest or DICOM tags tell; names tell the others.
        boxes: the part of each image that a manifest says is used; None for the whole image.
    """

    images: tuple[Path, ...]
    pairs: tuple[Pair, ...]
    by_visit: int = 0
    boxes: tuple[Box | None, ...] = ()


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
    keys: dict[Path, tuple[str, ...] | None] = {}
    boxes: dict[Path, Box] = {}
    for item in map(Path, given):
        if item.is_dir():
            keys |= {image.path: _by_tags(image) for image in find_images(item)}
        elif item.suffix.lower() == _MANIFEST_SUFFIX or is_excel(item):
            of_manifest, cropped = _images_of(item)
            keys |= of_manifest
            boxes |= cropped
        else:
            written[item.absolute()] = item
            keys.setdefault(item.absolute(), None)
    images = tuple(written.get(path, path) for path in keys)
    for path in images:
        if not is_utf8(path):
            require_utf8(path)
    visits = [None if key is None else (key[:-1], key[-1]) for key in keys.values()]
    by_visit = _pairs(visits)
    paired = {position for pair in by_visit for position in pair}
    others = [
        None if position in paired or visits[position] else _name_and_view(path)
        for position, path in enumerate(images)
    ]
    pairs = sorted([*by_visit, *_pairs(others)], key=min)
    parts = tuple(boxes.get(path) for path in keys)
    return ImageList(images, tuple(pairs), len(by_visit), parts)


def _by_tags(image: FoundImage) -> tuple[str, ...] | None:
    """Patient, date, side and view of a DICOM file that has them."""
    if image.patient_id is None or image.date is None or image.view is None:
        return None
    return (image.patient_id, image.date.isoformat(), image.side or "", image.view)


def _images_of(
    manifest: Path,
) -> tuple[dict[Path, tuple[str, ...] | None], dict[Path, Box]]:
    """The images of a manifest, with patient, visit and view if it has all three; and crops."""
    if "image" not in header_names(manifest):
        return _images_of_table(manifest)
    faults = Faults(manifest.name)
    rows, cells = read_columns(
        manifest,
        required=["image"],
        optional=(*COLUMNS[1:], *OPTIONAL_COLUMNS),
        faults=faults,
        ignored=[],
    )
    _require_paths(rows, cells.get("image", ()), faults)
    crops = {name: cells[name] for name in CROP_COLUMNS if name in cells}
    edges = normalise_cells(rows, crops, faults=faults)
    faults.raise_any()
    images = [(manifest.parent / image).absolute() for image in cells["image"]]
    boxes: dict[Path, Box] = {}
    if crops:
        for path, box in zip(images, edges[list(CROP_COLUMNS)].to_numpy(), strict=True):
            if not np.isnan(box).any():
                boxes[path] = (int(box[0]), int(box[1]), int(box[2]), int(box[3]))
    if not all(name in cells for name in _VISIT):
        return dict.fromkeys(images), boxes
    visits = zip(*(cells[name] for name in _VISIT), strict=True)
    return {
        image: visit if visit[-1] in VIEWS else None
        for image, visit in zip(images, visits, strict=True)
    }, boxes


def _images_of_table(path: Path) -> tuple[dict[Path, tuple[str, ...] | None], dict[Path, Box]]:
    """The same of a table of another form, whose columns are clear; or which only names images."""
    # What is wrong with a table, a manifest's errors say best.
    sheet = None
    with contextlib.suppress(ManifestError):
        sheet = read_sheet(path)
    if sheet is not None and names_images_alone(sheet.columns):
        return _images_of_sheet(path, sheet), {}
    radiographs = load_manifest(path, distinct_patients=True)
    texts = [radiographs.table[name].tolist() for name in _VISIT]
    visits: dict[Path, tuple[str, ...] | None] = {}
    boxes: dict[Path, Box] = {}
    for image, reading, *visit in zip(
        radiographs.images, radiographs.readings, *texts, strict=True
    ):
        visits[image] = tuple(map(str, visit))
        if reading.box is not None:
            boxes[image] = reading.box
    return visits, boxes


def _images_of_sheet(path: Path, sheet: Sheet) -> dict[Path, tuple[str, ...] | None]:
    images = [cells["image"] for _, cells in sheet.rows]
    faults = Faults(path.name)
    _require_paths([row for row, _ in sheet.rows], images, faults)
    faults.raise_any()
    return dict.fromkeys((path.parent / image).absolute() for image in images)


def _require_paths(rows: Sequence[int], images: Iterable[str], faults: Faults) -> None:
    for row, image in zip(rows, images, strict=False):
        if not image:
            faults.add("image is empty; give the path of the image", row=row)


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
