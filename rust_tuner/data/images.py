"""Decodes radiographs into model input, and checks what only their pixels tell.

A file that cannot be decoded whole is an error with its name; nothing is guessed or turned black.
DICOM is not read here.
"""

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from rust_tuner.data.faults import Faults
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ImageError
from rust_tuner.files import sha256_of_json
from rust_tuner.protocol import Resize

FloatImage = npt.NDArray[np.float32]

# What `load_image` does to intensities, as records name it: black -1, white 1. InceptionV3's
# ImageNet weights expect it, and so do RadImageNet's, whose own code says (x - 127.5) * 2 / 255.
PREPROCESSING = "minus_one_to_one"

_FORMATS = ("PNG", "JPEG")
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_MAX_8_BIT, _MAX_16_BIT = 255, 65535
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_SAVE_AGAIN = "export it again as 8-bit PNG or JPEG, or as 16-bit greyscale PNG"
# What Pillow raises for damaged files, by experiment with damaged files.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def load_image(
    path: str | Path, *, size: int = 299, resize: Resize = "squash", row: int | None = None
) -> FloatImage:
    """Load one radiograph as model input.

    PNG and JPEG, greyscale (1 to 16 bits), colour (8 bits) or palette. Black is -1 and white 1:
    0-255 for 8 bits and 0-65535 for 16, whatever range the image uses of it. It is resized in
    float32 (bilinear, averaging where it shrinks), so 16 bits of depth survive. A JPEG is turned
    as its EXIF orientation says. What is transparent is composited over black, the background
    of a radiograph. Embedded colour profiles are not applied. Damage inside a PNG is found by its
    checksums; a JPEG has none, so only what breaks its decoding is found.

    Args:
        path: the file.
        size: side of the square in pixels.
        resize: `squash` to the square, or `letterbox`: the aspect ratio kept, the rest black,
            the image in the middle.
        row: the manifest's row, for messages.

    Returns:
        (size, size, 3) float32 in [-1, 1]; the three channels of a greyscale image are equal.

    Raises:
        ImageError: naming the file and row, where it is missing, empty, damaged, truncated, too
            large, or of a form whose depth cannot be kept.
    """
    if resize not in ("squash", "letterbox"):
        raise ImageError(f"resize={resize!r}; expected squash or letterbox")
    path = Path(path)
    pixels = _decode(_read_bytes(path, row=row), path, row=row) * 2 - 1
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    if resize == "squash":
        target = (size, size)
    else:
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
    channels = [_resize(pixels[:, :, index], target) for index in range(pixels.shape[2])]
    left, top = (size - target[0]) // 2, (size - target[1]) // 2
    square = np.full((size, size, 3), -1, dtype=np.float32)
    square[top : top + target[1], left : left + target[0]] = np.stack(channels, axis=2)
    return square


@dataclass(frozen=True, eq=False)
class DecodedFile:
    """An image file, decoded at full size.

    Attributes:
        pixels: (height, width, 1 or 3) float32 in [0, 1]; 1 where all is grey.
        file_sha256: of the file's bytes.
        content_sha256: of the pixels, the same for a copy in another format or bit depth.
    """

    pixels: FloatImage
    file_sha256: str
    content_sha256: str


def decode_file(path: str | Path, *, row: int | None = None) -> DecodedFile:
    """Decode a file whole, and name it by what it holds.

    Raises:
        ImageError: as `load_image`.
    """
    path = Path(path)
    content = _read_bytes(path, row=row)
    pixels = _decode(content, path, row=row)
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return DecodedFile(pixels, hashlib.sha256(content).hexdigest(), digest.hexdigest())


def thumbnail(pixels: FloatImage, size: int) -> FloatImage:
    """(height, width, channels) pixels squashed to (size, size) grey, averaging where it shrinks.

    Args:
        pixels: float32 in [0, 1].
        size: side of the square in pixels.
    """
    return _resize(pixels.mean(axis=2), (size, size))


def check_content(
    radiographs: Radiographs, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[str, ...]:
    """Decode every radiograph once and check what only the pixels tell.

    Two images are the same where their decoded pixels are equal at full size, so that a copy
    under another name, format or bit depth is found; one that was compressed again is not.

    Args:
        radiographs: n radiographs.
        on_progress: called with the number of images done and n, after each.

    Returns:
        The n SHA-256 of the files' bytes, to address what is computed from them.

    Raises:
        ManifestError: listing every image that cannot be decoded, and every image that is there
            twice, first those under two patients: a patient would be on two sides of a split.
    """
    faults = Faults(radiographs.source)
    patients, rows = radiographs.patient_ids, radiographs.rows
    file_hashes: list[str] = []
    first_positions: dict[str, int] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for position, result in enumerate(pool.map(_hash_image, radiographs.images)):
            row, image = rows[position], radiographs.images[position]
            if isinstance(result, ImageError):
                faults.add(f"image={result}", row=row)
            else:
                file_hash, content_hash = result
                file_hashes.append(file_hash)
                first = first_positions.setdefault(content_hash, position)
                same = f"image={image}; the same picture as row {rows[first]}"
                if patients[first] != patients[position]:
                    faults.add(
                        f"{same}, which is of patient {patients[first]}, but this row is of "
                        f"patient {patients[position]}; find out whose it is and remove the other",
                        row=row,
                        grave=True,
                    )
                elif first != position:
                    faults.add(f"{same}, of the same patient; remove one of the two", row=row)
            if on_progress is not None:
                on_progress(position + 1, len(radiographs))
    faults.raise_any()
    return tuple(file_hashes)


def images_sha256(radiographs: Radiographs, hashes: Sequence[str]) -> str:
    """Which file is whose radiograph, whatever the order of rows and the names of files.

    Args:
        radiographs: n radiographs.
        hashes: the SHA-256 of each file's bytes.
    """
    table = radiographs.table
    owned = zip(table["patient_id"], table["visit"], table["view"], hashes, strict=True)
    return sha256_of_json(sorted(owned))


def _hash_image(path: Path) -> tuple[str, str] | ImageError:
    """The SHA-256 of a file and of its pixels; an error is returned, to be told with others."""
    try:
        file = decode_file(path)
    except ImageError as error:
        return error
    # The pixels are let go: a pool holds the answers that nobody has asked for yet.
    return file.file_sha256, file.content_sha256


def _read_bytes(path: Path, *, row: int | None) -> bytes:
    fail = partial(_error, path, row=row)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        told = "the path" if row is None else "the path in the manifest"
        raise fail(f"no such file; check {told}") from error
    except (OSError, ValueError) as error:
        raise fail(f"cannot be read ({error}); check the path and its permissions") from error
    if not content:
        raise fail("the file is empty; copy or export it again")
    return content


def _decode(content: bytes, path: Path, *, row: int | None) -> FloatImage:
    """The pixels at full size: (height, width, 1 or 3) float32 in [0, 1], 1 where all is grey."""
    fail = partial(_error, path, row=row)
    too_large = fail(
        f"more than {Image.MAX_IMAGE_PIXELS} pixels, which no radiograph has; check the file"
    )
    try:
        # Pillow takes a JPEG that lacks its last bytes. An embedded thumbnail ends before the scan
        # of the image begins, so its end does not pass for the image's.
        if content.startswith(_JPEG_START) and (
            content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN)
        ):
            raise fail("truncated, the end of the JPEG is missing; copy or export it again")
        # Decoding alone skips the checksums of a PNG, and a verified image cannot be decoded.
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            image.verify()
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check_form(image, fail)
            image.load()
            return _pixels(ImageOps.exif_transpose(image), fail)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large from error
    except UnidentifiedImageError as error:
        raise fail("neither PNG nor JPEG; " + _SAVE_AGAIN) from error
    except ImageError:
        raise
    except _DECODE_ERRORS as error:
        raise fail(f"damaged or truncated ({error}); copy or export it again") from error


def _check_form(image: ImageFile.ImageFile, fail: Callable[[str], ImageError]) -> None:
    """Refuse what Pillow would decode only in part: deep colours, further frames, bombs."""
    width, height = image.size
    if not width or not height:
        raise fail(f"{width} by {height} pixels; {_SAVE_AGAIN}")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise fail(f"{width} by {height} pixels, which no radiograph has; check the file")
    raw_modes = [str(tile[3]) for tile in image.tile]
    if image.format == "PNG" and any(mode.endswith("16B") for mode in raw_modes):
        if image.mode not in _DEEP_MODES or "transparency" in image.info:
            raise fail(
                f"16 bits in colour or with transparency ({raw_modes[0]}), which would lose its "
                f"depth; {_SAVE_AGAIN}"
            )
    if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
        raise fail(f"an animation; {_SAVE_AGAIN}")


def _pixels(image: Image.Image, fail: Callable[[str], ImageError]) -> FloatImage:
    if image.mode in _DEEP_MODES:
        deep = np.asarray(image)
        return deep.astype(np.float32)[:, :, None] / np.float32(_MAX_16_BIT)
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise fail(f"colour mode {image.mode}, expected greyscale or RGB; {_SAVE_AGAIN}")
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode != "L":
        image = image.convert("RGB")
    # Both depths are divided in float32, so that 257 times a value over 65535 is the same number.
    pixels = np.atleast_3d(np.asarray(image).astype(np.float32)) / np.float32(_MAX_8_BIT)
    if pixels.shape[2] == 4:
        if not pixels[:, :, 3].any():
            raise fail(f"every pixel is transparent; {_SAVE_AGAIN}")
        pixels = pixels[:, :, :3] * pixels[:, :, 3:]
    if pixels.shape[2] == 3 and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, :1]
    return pixels


def _resize(channel: FloatImage, target: tuple[int, int]) -> FloatImage:
    """Resize one channel to (width, height) in float32."""
    resized = Image.fromarray(np.ascontiguousarray(channel)).resize(
        target, Image.Resampling.BILINEAR
    )
    return np.clip(np.asarray(resized, dtype=np.float32), -1, 1)


def _error(path: Path, fault: str, *, row: int | None) -> ImageError:
    where = "" if row is None else f" row {row}"
    return ImageError(f"{path}{where}: {fault}")
