"""`pixels.json`: how each image file of a study became a picture.

A study reads its images as this record says, so that later versions of the package give the same
pixels. A study without it was prepared by a version that read 16-bit files as stored.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.reading import ALL_BITS
from rust_tuner.data.row_record import row_digests
from rust_tuner.data.survey import SurveyedImage
from rust_tuner.errors import RecordError, ResumeError
from rust_tuner.files import sha256_of_json
from rust_tuner.records.model import HashedRecord, Record, read_record, write_record

PIXELS_FILE = "pixels.json"

_MEND = "restore it from a copy, or use a new study folder"

Pixels = Annotated[int, Field(ge=0, le=65_535)]


class PixelsOfImage(Record):
    """How one file became a picture.

    Attributes:
        row: of the manifest, when the study was prepared.
        digest: of the row, as in `study.json`.
        image_sha256: of the file.
        kind: `PNG`, `JPEG`, `TIFF` or `DICOM`.
        width: of the whole picture.
        height: of the whole picture.
        read_bits: the bits that a 16-bit greyscale PNG or TIFF is read with; None for other files.
        highest: its largest value; None for other files.
        stated_bits: how many bits the file itself says it uses; None if it says nothing.
        steps: how a DICOM file's values became pixels, in order.
        notes: what a person should know about a DICOM file.
        box: left, top, right and bottom of the part that is used; None for all of it.
    """

    row: int
    digest: str
    image_sha256: str
    kind: str
    width: Pixels
    height: Pixels
    read_bits: Annotated[int, Field(ge=1, le=ALL_BITS)] | None = None
    highest: Pixels | None = None
    stated_bits: int | None = None
    steps: list[str]
    notes: list[str]
    box: list[Pixels] | None = None


class PixelsRecord(HashedRecord):
    """`pixels.json`: how each image file of a study became a picture."""

    file_name: ClassVar[str] = PIXELS_FILE

    version: Literal[1]
    images: list[PixelsOfImage]


def write_pixels(
    directory: Path,
    radiographs: Radiographs,
    surveyed: Sequence[SurveyedImage],
    bits: Sequence[int | None],
) -> str:
    """Write the record, atomically.

    Args:
        directory: the study's folder.
        radiographs: n radiographs.
        surveyed: their files.
        bits: that they are read with; None for all but 16-bit greyscale PNG and TIFF.

    Returns:
        Its SHA-256.
    """
    images = [
        {
            "row": row,
            "digest": digest,
            "image_sha256": image.file_sha256,
            "kind": image.kind,
            "width": image.width,
            "height": image.height,
            "read_bits": count,
            "highest": image.highest,
            "stated_bits": image.stated_bits,
            "steps": list(image.steps),
            "notes": list(image.notes),
            "box": None if image.box is None else list(image.box),
        }
        for row, digest, image, count in zip(
            radiographs.rows, row_digests(radiographs), surveyed, bits, strict=True
        )
    ]
    content = {"version": 1, "images": images}
    record = PixelsRecord.of(content | {"sha256": sha256_of_json(content)})
    write_record(directory / PIXELS_FILE, record)
    return record.sha256


def read_pixels(directory: Path, sha256: str) -> PixelsRecord:
    """Read the record of a study.

    Raises:
        ResumeError: if it is missing, damaged, or not the one that `study.json` names.
    """
    path = directory / PIXELS_FILE
    try:
        record = read_record(path, PixelsRecord, mend=_MEND)
    except FileNotFoundError as error:
        raise ResumeError(f"{path} is missing; {_MEND}") from error
    except RecordError as error:
        raise ResumeError(str(error)) from error
    if record.sha256 != sha256:
        raise ResumeError(
            f"{path} is not the one that the study was prepared with (SHA-256 {sha256[:12]}, is "
            f"{record.sha256[:12]}); {_MEND}"
        )
    return record


def read_as_recorded(radiographs: Radiographs, record: PixelsRecord) -> Radiographs:
    """The radiographs, each read with the bits of the record."""
    recorded = {image.digest: image.read_bits for image in record.images}
    return radiographs.with_bits([recorded.get(digest) for digest in row_digests(radiographs)])
