"""What a decoded image file is, as records of a study and the choice of bits need it.

It decodes each file once; what follows from the results belongs to `images` and `grey_bits`.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rust_tuner.data.bare_image import FileErrors
from rust_tuner.data.cells import BITS_COLUMN
from rust_tuner.data.grey_bits import DeepImage, grey_bits
from rust_tuner.data.picture import Picture
from rust_tuner.data.pictures import DECODING_THREADS, open_picture
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.reading import ALL_BITS, WHOLE, Box, Framing, Reading, framed
from rust_tuner.data.used_part import used_box
from rust_tuner.errors import ImageError


@dataclass(frozen=True)
class SurveyedImage:
    """What a file is.

    Attributes:
        file_sha256: of the file's bytes.
        content_sha256: of its pixels.
        kind: `PNG`, `JPEG`, `TIFF` or `DICOM`.
        width: of the whole picture in pixels.
        height: of the whole picture in pixels.
        highest: the largest value of a 16-bit greyscale PNG or TIFF; None for other files.
        stated_bits: how many bits the file says it uses; None if it says nothing.
        steps: how a DICOM file's values became pixels, in order.
        notes: what a person should know about a DICOM file.
        box: the part that is used; None for the whole picture.
        is_uniform: whether all pixels have one value.
    """

    file_sha256: str
    content_sha256: str
    kind: str
    width: int
    height: int
    highest: int | None = None
    stated_bits: int | None = None
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    box: Box | None = None
    is_uniform: bool = False


def survey(
    paths: Sequence[Path], readings: Sequence[Reading], *, rows: Sequence[int | None] | None = None
) -> Iterator[SurveyedImage | ImageError]:
    """Decode each file once, in parallel; an error is returned, to be reported with others.

    Args:
        paths: n image files.
        readings: how each is read; its part of the picture is only measured.
        rows: of the manifest, for messages.
    """
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        yield from pool.map(_survey_file, paths, readings, rows or [None] * len(paths))


def bits_of_radiographs(
    radiographs: Radiographs, surveyed: Sequence[SurveyedImage | None]
) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """How many bits each image is read with: what the manifest says, else what `grey_bits` decides.

    Args:
        radiographs: n radiographs.
        surveyed: their files; None for one that could not be decoded.

    Returns:
        The bits of n images, None for all but 16-bit greyscale PNG and TIFF; and notes.
    """
    table = radiographs.table
    given = table[BITS_COLUMN].notna().tolist() if BITS_COLUMN in table else [False] * len(table)
    sites = [""] * len(table) if radiographs.sites is None else radiographs.sites.tolist()
    bits: list[int | None] = [reading.bits for reading in radiographs.readings]
    positions, deep = [], []
    for position, image in enumerate(surveyed):
        if image is None or image.highest is None:
            bits[position] = None
        elif not given[position]:
            positions.append(position)
            deep.append(
                DeepImage(
                    radiographs.images[position],
                    image.highest,
                    image.stated_bits,
                    str(radiographs.patient_ids[position]),
                    str(sites[position]),
                )
            )
    decided = grey_bits(deep)
    for position, count in zip(positions, decided.bits, strict=True):
        bits[position] = count
    return tuple(bits), decided.notes


def readings_of_new(
    paths: Sequence[Path],
    *,
    known: Sequence[int] | None = (),
    given: Sequence[int | None] | None = None,
    framing: Framing = WHOLE,
    say: Callable[[str], None] = lambda note: None,
) -> tuple[Reading, ...]:
    """How images are read that belong to no prepared study.

    Args:
        paths: n image files.
        known: the bits that the 16-bit files of a study were read with, whose model expects these;
            None for a model that read them as stored.
        given: the bits of each image that a person has given, None for one without; used for 16-bit
            files alone, unless `known` is None.
        framing: which part of them is used.
        say: called with each note on bits that were decided.

    Returns:
        The reading of each image. Reading one that cannot be decoded reports what is wrong.
    """
    bits = [ALL_BITS] * len(paths)
    if known is not None:
        deep = deep_images(paths)
        stated = {at: count for at, count in enumerate(given or ()) if at in deep and count}
        undecided = {at: image for at, image in deep.items() if at not in stated}
        decided = grey_bits(list(undecided.values()), known=known)
        for note in decided.notes:
            say(note)
        for position, count in (stated | dict(zip(undecided, decided.bits, strict=True))).items():
            bits[position] = count
    return framed([Reading(count) for count in bits], framing)


def deep_images(
    paths: Sequence[Path], *, patients: Sequence[str] | None = None
) -> dict[int, DeepImage]:
    """The 16-bit greyscale PNG and TIFF files among n, by position; others are not decoded.

    Those that cannot be decoded are left out.
    """
    owners = patients or [""] * len(paths)
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        results = pool.map(_deep_image, paths, owners)
        return {index: image for index, image in enumerate(results) if image is not None}


def _survey_file(path: Path, reading: Reading, row: int | None) -> SurveyedImage | ImageError:
    try:
        with open_picture(path) as picture:
            is_deep = picture.is_deep
            return SurveyedImage(
                picture.file_sha256,
                picture.content_sha256(),
                picture.kind,
                picture.width,
                picture.height,
                picture.highest() if is_deep else None,
                _stated_bits(picture) if is_deep else picture.stated_bits,
                picture.steps,
                picture.notes,
                used_box(picture, reading, FileErrors(path, row)),
                picture.is_uniform(),
            )
    except ImageError as error:
        return error


def _deep_image(path: Path, patient: str) -> DeepImage | None:
    """A 16-bit greyscale PNG or TIFF; None for any other file, which is not decoded if possible."""
    try:
        with path.open("rb") as stream:
            start = stream.read(26)
    except OSError:
        # Reading it reports what is wrong.
        return None
    if not (start.startswith(b"\x89PNG") and start[24:26] == b"\x10\0") and start[:2] not in (
        b"II",
        b"MM",
    ):
        return None
    try:
        with open_picture(path) as picture:
            if not picture.is_deep:
                return None
            return DeepImage(path, picture.highest(), _stated_bits(picture), patient)
    except ImageError:
        return None


def _stated_bits(picture: Picture) -> int | None:
    """The bits that values are read with where the file states its significant bits.

    The standard has values scaled to all 16 bits, and the rest of each value filled (PNG, 12.4).
    Some programs state 12 bits and store 0 to 4095.
    """
    stated = picture.stated_bits
    if stated is None:
        return None
    if picture.highest() >= 1 << stated or picture.is_multiple_of(1 << (ALL_BITS - stated)):
        return ALL_BITS
    return stated
