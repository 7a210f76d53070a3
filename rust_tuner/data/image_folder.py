"""Finds the radiographs in a folder, with what their tags or names say about them.

What they are matched with belongs to `matching`.
"""

import datetime
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rust_tuner.data.dicom import is_dicom
from rust_tuner.data.dicom_elements import read_tags
from rust_tuner.data.faults import value_shown
from rust_tuner.data.sheet_scores import read_date, read_side, read_view
from rust_tuner.errors import ImageError, ManifestError, Message, marked, private
from rust_tuner.files import is_utf8, require_utf8

_DICOM_SUFFIXES = (".dcm", ".dicom")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", *_DICOM_SUFFIXES)
# Archives write DICOM files without a suffix, or name them by their UID, which ends in digits.
_NO_SUFFIX = re.compile(r"\.?[0-9]*")
# The element MediaStorageSOPClassUID (0002,0002) of the table of contents of a CD.
_DIRECTORY = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
_START_BYTES = 512
_NOT_TEXT = "its name, or that of its folder, is not UTF-8; rename it (convmv renames whole trees)"
_NAMES = ("patient_id", "visit", "date", "view", "side")


@dataclass(frozen=True)
class FoundImage:
    """A radiograph in a folder.

    Attributes:
        path: absolute.
        patient_id: None if nothing says it.
        visit: its name; None if nothing says it.
        date: when it was taken; None if nothing says it.
        view: `ap` or `lateral`; None if nothing says it.
        side: `left`, `right` or None.
        problem: why it cannot be used by its own tags or name; None if it can.
        folder: absolute, the one that was searched; None if it is not known.
    """

    path: Path
    patient_id: str | None = None
    visit: str | None = None
    date: datetime.date | None = None
    view: str | None = None
    side: str | None = None
    problem: str | None = None
    folder: Path | None = None


def find_images(
    folder: str | Path,
    *,
    pattern: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[FoundImage]:
    """Find all PNG, JPEG, TIFF and DICOM files in a folder and its subfolders, ordered by path.

    A DICOM file may have no suffix, or one of digits as UIDs do. The table of contents of a CD,
    `DICOMDIR`, is left out.

    Args:
        folder: the folder.
        pattern: what names say, such as `{patient_id}_{visit}_{view}.png`, with `/` between
            folders and `*` for anything; from `patient_id, visit, date, view, side`. Without it,
            DICOM files are read by their tags, and others say nothing about themselves.
        on_progress: called with the number of files read and their total.

    Raises:
        ManifestError: for a folder without images, or a pattern that is not valid.
        StorageError: where a name in the path of the folder is not UTF-8.
    """
    folder = Path(folder)
    require_utf8(folder)
    expression = None if pattern is None else compile_pattern(pattern)
    files = sorted(_files(folder))
    if not files:
        raise ManifestError(
            f"{private(folder)} contains no images; expected files that end in "
            f"{', '.join(SUFFIXES)}"
        )
    images = []
    for done, path in enumerate(files, 1):
        if not is_utf8(path):
            image = FoundImage(path, problem=_NOT_TEXT)
        elif expression is not None:
            image = _by_name(path, folder, expression, pattern or "")
        else:
            image = _by_tags(path)
        problem = None if image.problem is None else Message(image.problem)
        images.append(replace(image, folder=folder.resolve(), problem=problem))
        if on_progress is not None:
            on_progress(done, len(files))
    return images


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern of file names.

    Raises:
        ManifestError: for an unknown name, a repeated one, two with nothing between them, or no
            `{patient_id}`.

    Examples:
        >>> bool(compile_pattern("{patient_id}_{visit}_{view}.png").fullmatch("017_6w_ap.png"))
        True
    """
    parts = re.split(r"(\{[^{}]*\}|\*)", pattern)
    expression, seen = "", []
    before = ""
    for part in filter(None, parts):
        name = part.strip("{}")
        if part[0] in "{*" and before[:1] in ("{", "*"):
            # Nobody could tell where the first ends, and trying all ends may take for ever.
            raise ManifestError(
                f"pattern {pattern!r}: nothing separates {before} and {part}; write what is "
                "between them in every name, such as _"
            )
        before = part
        if part == "*":
            expression += "[^/]*"
        elif not part.startswith("{"):
            expression += re.escape(part)
        elif name not in _NAMES or name in seen:
            fault = "appears twice" if name in seen else "is not known"
            raise ManifestError(
                f"pattern {pattern!r}: {part} {fault}; expected each of "
                f"{', '.join(f'{{{placeholder}}}' for placeholder in _NAMES)} once at most"
            )
        else:
            seen.append(name)
            expression += f"(?P<{name}>[^/]+?)"
    if "patient_id" not in seen:
        raise ManifestError(f"pattern {pattern!r}: it needs {{patient_id}}")
    return re.compile(expression)


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise ManifestError(f"{private(folder)} is not a folder; give the folder of the images")
    # Links to images keep their own names: some archives are links to files named by content.
    for parent, folders, names in os.walk(folder.resolve()):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and _may_be_image(path):
                yield path


def _may_be_image(path: Path) -> bool:
    """Whether a file is an image by its suffix, or DICOM by its first bytes, but no DICOMDIR."""
    if path.name.upper() == "DICOMDIR":
        return False
    if not _may_be_dicom(path):
        return path.suffix.lower() in SUFFIXES
    try:
        with path.open("rb") as stream:
            start = stream.read(_START_BYTES)
    except OSError:
        start = b""
    return is_dicom(start, path) and _DIRECTORY not in start


def _may_be_dicom(path: Path) -> bool:
    """Whether a file's name allows that it is DICOM."""
    suffix = path.suffix.lower()
    return suffix in _DICOM_SUFFIXES or _NO_SUFFIX.fullmatch(suffix) is not None


def _by_name(path: Path, folder: Path, expression: re.Pattern[str], pattern: str) -> FoundImage:
    relative = path.relative_to(folder.resolve()).as_posix()
    match = expression.fullmatch(relative) or expression.fullmatch(path.name)
    if match is None:
        return FoundImage(path, problem=f"its name does not match {pattern}")
    parts = match.groupdict()
    view, date, side = parts.get("view"), parts.get("date"), parts.get("side")
    if view is not None and read_view(view) is None:
        return FoundImage(path, problem=f"{value_shown(view)} in its name is not a view")
    if date is not None and read_date(date) is None:
        return FoundImage(
            path, problem=f"{private(date)} in its name is not a date such as 2021-03-04"
        )
    if side is not None and read_side(side) is None:
        return FoundImage(
            path, problem=f"{value_shown(side)} in its name is not a side (left or right)"
        )
    return FoundImage(
        path,
        patient_id=parts["patient_id"],
        visit=parts.get("visit"),
        date=read_date(date) if date else None,
        view=read_view(view) if view else None,
        side=read_side(side) if side else None,
    )


def _by_tags(path: Path) -> FoundImage:
    if not _may_be_dicom(path):
        return FoundImage(path, problem="no row names it, and it has no tags (give --pattern)")
    try:
        tags = read_tags(path)
    except ImageError as error:
        return FoundImage(path, problem=marked(error))
    view = read_view(tags["ViewPosition"])
    problems: Sequence[str] = [
        problem
        for problem, is_so in (
            ("no PatientID (0010,0020)", not tags["PatientID"]),
            ("no ViewPosition (0018,5101)", not tags["ViewPosition"]),
            (
                f"ViewPosition (0018,5101) is {value_shown(tags['ViewPosition'])}, expected AP or "
                "a lateral one",
                bool(tags["ViewPosition"]) and view is None,
            ),
        )
        if is_so
    ]
    return FoundImage(
        path,
        patient_id=tags["PatientID"] or None,
        date=read_date(tags["AcquisitionDate"] or tags["StudyDate"]),
        view=view,
        side=read_side(tags["ImageLaterality"] or tags["Laterality"]),
        problem="; ".join(problems) or None,
    )
