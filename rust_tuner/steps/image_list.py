"""The images that a person names: files, folders or manifests, and which of them are one visit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rust_tuner.data.csv_text import read_columns
from rust_tuner.data.faults import Faults
from rust_tuner.data.image_folder import FoundImage, find_images
from rust_tuner.data.radiographs import COLUMNS, OPTIONAL_COLUMNS
from rust_tuner.labels import VIEWS

_MANIFEST_SUFFIX = ".csv"
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
    """

    images: tuple[Path, ...]
    pairs: tuple[Pair, ...]
    by_visit: int = 0


def list_images(given: Sequence[str | Path]) -> ImageList:
    """Find the images of files, folders and manifests, and pair AP and lateral views.

    A folder stands for all its PNG, JPEG and DICOM files, also in subfolders; tags pair those of
    one patient, date and side. Of a manifest (a CSV file) only the column `image` is needed; with
    `patient_id`, `visit` and `view` it also names the pairs. Other images are paired if their names
    differ in the view only: `017_ap.png` and `017_lat.png`, or `ap/017.png` and `lateral/017.png`.
    If more than two match, none is paired.

    Args:
        given: files, folders and manifests.

    Raises:
        ManifestError: for a folder without images, or a damaged manifest.
    """
    # A file that is named itself keeps its path as it was written.
    written: dict[Path, Path] = {}
    keys: dict[Path, tuple[str, ...] | None] = {}
    for item in map(Path, given):
        if item.is_dir():
            keys |= {image.path: _by_tags(image) for image in find_images(item)}
        elif item.suffix.lower() == _MANIFEST_SUFFIX:
            keys |= _images_of(item)
        else:
            written[item.absolute()] = item
            keys.setdefault(item.absolute(), None)
    images = tuple(written.get(path, path) for path in keys)
    named = [None if key is None else (key[:-1], key[-1]) for key in keys.values()]
    by_visit = _pairs(named)
    paired = {position for pair in by_visit for position in pair}
    others = [
        None if position in paired or named[position] else _name_and_view(path)
        for position, path in enumerate(images)
    ]
    pairs = sorted([*by_visit, *_pairs(others)], key=min)
    return ImageList(images, tuple(pairs), len(by_visit))


def _by_tags(image: FoundImage) -> tuple[str, ...] | None:
    """Patient, date, side and view of a DICOM file that has them."""
    if image.patient_id is None or image.date is None or image.view is None:
        return None
    return (image.patient_id, image.date.isoformat(), image.side or "", image.view)


def _images_of(manifest: Path) -> dict[Path, tuple[str, ...] | None]:
    """The images of a manifest, with patient, visit and view if it has all three."""
    faults = Faults(manifest.name)
    rows, cells = read_columns(
        manifest, required=["image"], optional=(*COLUMNS[1:], *OPTIONAL_COLUMNS), faults=faults
    )
    for row, image in zip(rows, cells.get("image", ()), strict=False):
        if not image:
            faults.add("image is empty; give the path of the image", row=row)
    faults.raise_any()
    images = [(manifest.parent / image).absolute() for image in cells["image"]]
    names = ("patient_id", "visit", "view")
    if not all(name in cells for name in names):
        return dict.fromkeys(images)
    visits = zip(*(cells[name] for name in names), strict=True)
    return {
        image: visit if visit[-1] in VIEWS else None
        for image, visit in zip(images, visits, strict=True)
    }


def _name_and_view(path: Path) -> tuple[tuple[str, ...], str] | None:
    """A file's name without its view, and the view; None if the name has no view."""
    places = (
        (path.stem, str(path.parent), ""),
        (path.parent.name, str(path.parent.parent), path.stem),
    )
    for text, folder, rest in places:
        found = list(_VIEW.finditer(text))
        if found:
            last = found[-1]
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
        if all(len(found) == 1 for found in views.values())
    ]
