"""Turns radiographs into model input, and makes the checks that need their pixels.

Decoding belongs to `pictures`; `check_content` accepts what `load_image` can decode.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rust_tuner.data.faults import Faults
from rust_tuner.data.pictures import open_picture
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.reading import AS_STORED, WHOLE, Framing, Reading, framed
from rust_tuner.data.survey import SurveyedImage, survey
from rust_tuner.errors import ImageError, marked, private
from rust_tuner.files import sha256_of_json
from rust_tuner.protocol import Resize

FloatImage = npt.NDArray[np.float32]

# The scaling of intensities in `load_image`, as named in records: black -1, white 1. InceptionV3's
# ImageNet weights expect it, and so do RadImageNet's, whose own code says (x - 127.5) * 2 / 255.
PREPROCESSING = "minus_one_to_one"


def load_image(
    path: str | Path,
    *,
    size: int = 299,
    resize: Resize = "squash",
    row: int | None = None,
    reading: Reading = AS_STORED,
) -> FloatImage:
    """Load one radiograph as model input.

    Reads PNG, JPEG, TIFF and DICOM: greyscale (1 to 16 bits), colour (8 bits) or palette. Black is
    -1 and white 1: 0-255 for 8 bits, and 0-65535 for 16 unless `reading` says otherwise. It is
    resized in float32 (bilinear, averaging where it shrinks), so 16 bits of depth survive. The
    picture is turned upright by the orientation in its EXIF or XMP. Transparent pixels are
    composited over black, the background of a radiograph. Embedded colour profiles are not applied.

    A file is judged by its pixels. All that its header announces must be present: a picture that
    ends early is refused, even if its file does not. Damage inside a PNG is found by its checksums;
    a JPEG has none, so only what breaks its decoding is found. Data without pixels (text, profiles,
    the rest of EXIF, bytes after the end) is not read and never makes a file invalid. Of a file
    with several JPEG pictures (MPO) the first is used; animations are refused.

    Args:
        path: the file.
        size: side of the square in pixels.
        resize: `squash` to the square, or `letterbox`: the aspect ratio kept, the rest black,
            the image in the middle.
        row: the manifest's row, for messages.
        reading: how many bits of a 16-bit file are used, and which part of the picture.

    Returns:
        (size, size, 3) float32 in [-1, 1]; the three channels of a greyscale image are equal.

    Raises:
        ImageError: naming the file and row, if it is missing, empty, damaged, truncated, too
            large, or of a kind whose depth cannot be kept.
    """
    if resize not in ("squash", "letterbox"):
        raise ImageError(f"resize={resize!r}; expected squash or letterbox")
    with open_picture(path, row=row, reading=reading) as picture:
        width, height = picture.width, picture.height
        scale = size / max(height, width)
        if resize == "squash":
            target = (size, size)
        else:
            target = (max(1, round(width * scale)), max(1, round(height * scale)))
        channels = picture.resize(target, prepare=lambda strip: strip * 2 - 1)
    left, top = (size - target[0]) // 2, (size - target[1]) // 2
    square = np.full((size, size, 3), -1, dtype=np.float32)
    inner = np.clip(np.stack(channels, axis=2), -1, 1)
    square[top : top + target[1], left : left + target[0]] = inner
    return square


def check_content(
    radiographs: Radiographs, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[str, ...]:
    """Decode every radiograph once and make the checks that need its pixels.

    Two images are duplicates if their decoded pixels are equal at full size. A copy under another
    name, format or bit depth is found; a copy that was compressed again is not.

    Args:
        radiographs: n radiographs.
        on_progress: called with the number of images done and n, after each.

    Returns:
        The n SHA-256 of the files' bytes, to address what is computed from them.

    Raises:
        ManifestError: listing every image that cannot be decoded, and every duplicate, first those
            of two patients, because a patient could be on both sides of a split.
    """
    return tuple(
        image.file_sha256 for image in survey_content(radiographs, on_progress=on_progress)
    )


def survey_content(
    radiographs: Radiographs,
    *,
    framing: Framing = WHOLE,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[SurveyedImage, ...]:
    """Like `check_content`, with all that is known of each file.

    Args:
        radiographs: n radiographs.
        framing: which part of each picture is used, which must be there.
        on_progress: called with the number of images done and n, after each.

    Raises:
        ManifestError: as `check_content`, and for pictures without the part that is used.
    """
    faults = Faults(radiographs.source)
    patients, rows = radiographs.written_patients, radiographs.rows
    surveyed: list[SurveyedImage] = []
    first_positions: dict[str, int] = {}
    readings = framed(radiographs.readings, framing)
    for position, result in enumerate(survey(radiographs.images, readings)):
        row, image = rows[position], radiographs.images[position]
        if isinstance(result, ImageError):
            faults.add(f"image={marked(result)}", row=row, column="image")
        else:
            surveyed.append(result)
            first = first_positions.setdefault(result.content_sha256, position)
            same = f"image={private(image)}; the same picture as row {rows[first]}"
            if patients[first] != patients[position]:
                faults.add(
                    f"{same}, which belongs to patient {private(patients[first])}, but this row "
                    f"to patient {private(patients[position])}; find out whose it is and remove "
                    "the other",
                    row=row,
                    column="image",
                    grave=True,
                )
            elif first != position:
                faults.add(
                    f"{same}, of the same patient; remove one of the two", row=row, column="image"
                )
        if on_progress is not None:
            on_progress(position + 1, len(radiographs))
    faults.raise_any()
    return tuple(surveyed)


def images_sha256(radiographs: Radiographs, hashes: Sequence[str]) -> str:
    """SHA-256 of which file is whose radiograph, independent of row order and file names.

    Args:
        radiographs: n radiographs.
        hashes: the SHA-256 of each file's bytes.
    """
    table = radiographs.written
    owned = zip(table["patient_id"], table["visit"], table["view"], hashes, strict=True)
    return sha256_of_json(sorted(owned))
