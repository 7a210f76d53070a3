"""Decodes image files strip by strip, within a memory limit that all threads share.

Conversion to model input belongs to `images`, the rendering of DICOM to `dicom`.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from rust_tuner.data.bare_image import CHANGED, SAVE_AGAIN, BareImage, FileErrors
from rust_tuner.data.decoding_memory import (
    MEMORY,
    PIXELS_AT_ONCE,
    PIXELS_RESIZED_AT_ONCE,
    return_memory,
)
from rust_tuner.data.dicom import is_dicom, open_dicom
from rust_tuner.data.jpeg_files import JPEG_START, read_jpeg
from rust_tuner.data.picture import DEEP_MODES, Picture, checksum_of, raw_strips
from rust_tuner.data.png_files import PNG_START, read_png
from rust_tuner.data.reading import ALL_BITS, AS_STORED, Reading
from rust_tuner.data.tiff_files import TIFF_STARTS, read_tiff
from rust_tuner.data.used_part import used_box
from rust_tuner.errors import ImageError

# Each thread holds one picture, so more threads need more memory and are hardly faster.
DECODING_THREADS = min(8, os.cpu_count() or 1)
# An uncompressed colour picture of the largest size that is read, plus a quarter.
MAX_FILE_BYTES = 5 << 26

_MODES = (*DEEP_MODES, "1", "L", "LA", "P", "PA", "RGB", "RGBA")
_MAX_16_BIT = (1 << ALL_BITS) - 1
_LARGE_FILE_BYTES = 1 << 26
# Rendering DICOM needs so many times the memory of a decoded picture.
_DICOM_SHARE = 4
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def open_picture(
    path: str | Path, *, row: int | None = None, reading: Reading = AS_STORED
) -> Iterator[Picture]:
    """Decode a file; until the block ends, its pixels can be used and its memory is counted.

    A picture of the largest size takes up to 0.9 GB while it is decoded. All open pictures together
    have at most 34 million pixels, unless only one is open: other threads wait. Do not open a
    picture within the block of another.

    Args:
        path: a PNG, JPEG, TIFF or DICOM file.
        row: the manifest's row, for messages.
        reading: which bits are used, and which part of the picture.

    Raises:
        ImageError: naming the file and row, if it is missing, empty, damaged, truncated, too
            large, or of a kind whose depth cannot be kept; if it has not the part that `reading`
            names.
        ExtraError: for a DICOM file if pydicom is missing.
    """
    errors = FileErrors(Path(path), row)
    with _whole_picture(errors, reading) as picture, ExitStack() as stack:
        box = used_box(picture, reading, errors)
        if box is not None:
            picture = picture.cropped(box)
            stack.callback(picture.close)
        yield picture


@contextmanager
def _whole_picture(errors: FileErrors, reading: Reading) -> Iterator[Picture]:
    with ExitStack() as stack:
        large_file = _file_size(errors) > _LARGE_FILE_BYTES
        if large_file:
            stack.enter_context(MEMORY.hold(PIXELS_AT_ONCE))
        content = _read_bytes(errors)
        file_sha256 = hashlib.sha256(content).hexdigest()
        if reading.sha256 not in (None, file_sha256):
            raise errors.error(CHANGED)
        if is_dicom(content, errors.path):
            dicom = open_dicom(content, errors=errors)
            del content
            if not large_file:
                stack.enter_context(MEMORY.hold(_DICOM_SHARE * dicom.width * dicom.height))
            rendered = dicom.render()
            deep = np.rint(rendered.pixels * np.float32(_MAX_16_BIT)).astype(np.uint16)
            image = Image.fromarray(deep)
            stack.callback(image.close)
            yield Picture(
                *image.size,
                1,
                file_sha256,
                image,
                rendered.steps,
                rendered.notes,
                kind="DICOM",
                stated_bits=dicom.bits,
                spacing=dicom.spacing,
            )
            return
        bare, kind = _read_file(content, errors)
        del content
        if not large_file:
            stack.enter_context(MEMORY.hold(bare.width * bare.height))
        # Callbacks run in reverse order, and so before the memory is released. The caller may keep
        # a reference to the picture, so it is closed.
        if bare.width * bare.height > PIXELS_RESIZED_AT_ONCE:
            stack.callback(return_memory)
        image = _decode(bare, errors)
        stack.callback(image.close)
        channels = _survey(image, errors)
        picture = Picture(
            *image.size,
            channels,
            file_sha256,
            image,
            kind=kind,
            stated_bits=bare.stated_bits,
            is_inverted=bare.inverted,
        )
        yield replace(picture, bits=reading.bits) if picture.is_deep else picture


def _file_size(errors: FileErrors) -> int:
    try:
        status = errors.path.stat()
    except FileNotFoundError as error:
        where = "the path" if errors.row is None else "the path in the manifest"
        raise errors.error(f"no such file; check {where}") from error
    except (OSError, ValueError) as error:
        raise _unreadable(errors, error) from error
    if not stat.S_ISREG(status.st_mode):
        # Reading a pipe would block.
        raise errors.error("cannot be read, it is not a regular file; check the path")
    if status.st_size > MAX_FILE_BYTES:
        raise errors.error(
            f"{status.st_size} bytes, too large for a radiograph; expected at most "
            f"{MAX_FILE_BYTES}, check the file"
        )
    return status.st_size


def _read_bytes(errors: FileErrors) -> bytes:
    try:
        content = errors.path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(errors, error) from error
    if not content:
        raise errors.error("the file is empty; copy or export it again")
    return content


def _unreadable(errors: FileErrors, error: Exception) -> ImageError:
    # The text of an error of the system has the path.
    reason = getattr(error, "strerror", None) or error
    return errors.error(f"cannot be read ({reason}); check the path and its permissions")


def _read_file(content: bytes, errors: FileErrors) -> tuple[BareImage, str]:
    """The file without what carries no pixels, and its kind."""
    if content.startswith(PNG_START):
        return read_png(content, errors=errors), "PNG"
    if content.startswith(JPEG_START):
        return read_jpeg(content, errors=errors), "JPEG"
    if content.startswith(TIFF_STARTS):
        return read_tiff(content, errors=errors), "TIFF"
    raise errors.error("neither PNG, JPEG, TIFF nor DICOM; " + SAVE_AGAIN)


def _decode(bare: BareImage, errors: FileErrors) -> Image.Image:
    """The whole picture, upright."""
    checksum = None
    if bare.surplus is not None:
        checksum = checksum_of(_load(bare.surplus, bare, errors))
    image = _load(bare.content, bare, errors)
    if checksum is not None and checksum_of(image) != checksum:
        # libjpeg fills missing data with grey, without an error.
        raise errors.damaged("the picture ends early, or its data is damaged")
    method = _TRANSPOSITIONS.get(bare.orientation)
    return image if method is None else image.transpose(method)


def _load(content: bytes, bare: BareImage, errors: FileErrors) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "TIFF")) as image:
            if image.size != (bare.width, bare.height):
                raise errors.damaged(
                    f"a header of {bare.width} by {bare.height} pixels, and one of "
                    f"{image.size[0]} by {image.size[1]}"
                )
            image.load()
            if image.mode not in _MODES:
                raise errors.error(
                    f"colour mode {image.mode}, expected greyscale or RGB; {SAVE_AGAIN}"
                )
            return image
    except MemoryError as error:
        raise errors.error(
            f"not enough memory for {bare.width} by {bare.height} pixels; free some, or export it "
            "smaller"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise errors.error(f"{error}; check the file, or PIL.Image.MAX_IMAGE_PIXELS") from error
    except ImageError:
        raise
    except Exception as error:
        # Pillow has no error class for damaged data: its plugins raise whatever occurs.
        raise errors.damaged(str(error) or type(error).__name__) from error


def _survey(image: Image.Image, errors: FileErrors) -> int:
    """How many channels a picture needs; an error if nothing is visible.

    Raises:
        ImageError: if all pixels are transparent, or some have no colour in the palette.
    """
    if image.mode == "P" and image.palette is not None:
        colours = len(image.palette.palette) // len(image.palette.mode)
        largest = np.max(np.asarray(image.getextrema()))
        if largest >= colours:
            raise errors.damaged(f"colour {largest} of a palette of {colours}")
    grey, visible = True, False
    for strip in raw_strips(image):
        depth = strip.shape[2]
        clear = strip[:, :, 3] == 0 if depth == 4 else None
        visible = visible or clear is None or not clear.all()
        if grey and depth > 1:
            first = strip[:, :, 0]
            for channel in (1, 2):
                same = strip[:, :, channel] == first
                grey = grey and bool((same if clear is None else same | clear).all())
        if visible and (depth == 1 or not grey):
            break
    if not visible:
        raise errors.error(f"every pixel is transparent; {SAVE_AGAIN}")
    return 1 if grey else 3
