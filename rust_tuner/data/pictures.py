"""Decodes image files strip by strip, within a memory limit that all threads share.

Conversion to model input belongs to `images`, the rendering of DICOM to `dicom`.
"""

import ctypes
import hashlib
import io
import os
import stat
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rust_tuner.data.bare_image import SAVE_AGAIN, BareImage, FileErrors
from rust_tuner.data.borders import SIDE, inner_box
from rust_tuner.data.dicom import is_dicom, open_dicom
from rust_tuner.data.jpeg_files import JPEG_START, read_jpeg
from rust_tuner.data.png_files import PNG_START, read_png
from rust_tuner.data.reading import ALL_BITS, AS_STORED, Box, Reading
from rust_tuner.data.tiff_files import TIFF_STARTS, read_tiff
from rust_tuner.errors import ImageError

FloatImage = npt.NDArray[np.float32]

# Each thread holds one picture, so more threads need more memory and are hardly faster.
DECODING_THREADS = min(8, os.cpu_count() or 1)
# An uncompressed colour picture of the largest size that is read, plus a quarter.
MAX_FILE_BYTES = 5 << 26

_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_MODES = (*_DEEP_MODES, "1", "L", "LA", "P", "PA", "RGB", "RGBA")
_MAX_8_BIT, _MAX_16_BIT = 255, (1 << ALL_BITS) - 1
# A strip of float32 in three channels is 1.5 MiB, which stays in a processor's cache.
STRIP_PIXELS = 1 << 17
# A detector of 43 by 43 cm with pixels of 0.1 mm has 18.5 million pixels.
PIXELS_RESIZED_AT_ONCE = 20_000_000
PIXELS_AT_ONCE = 1 << 25
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


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright, as its file stores it: 1 to 4 bytes a pixel.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: 1 if all pixels are grey, whatever the file's mode; else 3.
        file_sha256: of the file's bytes.
        steps: how a DICOM file's values became pixels, in order; empty for other files.
        notes: what a person should know about a DICOM file.
        kind: `PNG`, `JPEG`, `TIFF` or `DICOM`.
        stated_bits: how many bits the file says it uses: of DICOM, or in the chunk `sBIT` of a
            16-bit greyscale PNG; None if it says nothing.
        bits: those that a deep picture is read with, see `Reading.bits`.
        is_inverted: whether the file's largest value is black.
        spacing: millimetres from row to row and from column to column; None if not known.
    """

    width: int
    height: int
    channels: int
    file_sha256: str
    _image: Image.Image
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kind: str = ""
    stated_bits: int | None = None
    bits: int = ALL_BITS
    is_inverted: bool = False
    spacing: tuple[float, float] | None = None

    @property
    def is_deep(self) -> bool:
        """Whether it is a file of 16 bits whose used bits its format does not say for certain."""
        return self.kind in ("PNG", "TIFF") and self._image.mode in _DEEP_MODES

    def highest(self) -> int:
        """The largest value of a deep picture."""
        return max(int(strip.max()) for strip in _raw_strips(self._image))

    def is_multiple_of(self, step: int) -> bool:
        """Whether all values of a deep picture are multiples of a number."""
        return all(not (strip % step).any() for strip in _raw_strips(self._image))

    def strips(self) -> Iterator[FloatImage]:
        """The rows from top to bottom: (rows, width, channels) float32 in [0, 1].

        Both depths are divided in float32, so that 257 times a value over 65535 is the same number.
        Transparent pixels lie over black.
        """
        for strip in self._upright_strips():
            yield 1 - strip if self.is_inverted else strip

    def _upright_strips(self) -> Iterator[FloatImage]:
        white = (1 << self.bits) - 1
        for strip in _raw_strips(self._image):
            if strip.dtype != np.uint8:
                yield np.minimum(strip, white).astype(np.float32) / np.float32(white)
                continue
            pixels = strip[:, :, : self.channels].astype(np.float32)
            pixels /= np.float32(_MAX_8_BIT)
            if strip.shape[2] == 4:
                pixels *= strip[:, :, 3:].astype(np.float32) / np.float32(_MAX_8_BIT)
            yield pixels

    def content_sha256(self) -> str:
        """The SHA-256 of the pixels; equal for a copy in another format or bit depth."""
        digest = hashlib.sha256(repr((self.height, self.width, self.channels)).encode())
        for strip in self.strips():
            digest.update(np.ascontiguousarray(strip).data)
        return digest.hexdigest()

    def resize(
        self, size: tuple[int, int], *, prepare: Callable[[FloatImage], FloatImage]
    ) -> list[FloatImage]:
        """Resize each channel in float32, bilinear, averaging where it shrinks.

        A picture of ordinary size is resized by Pillow in one step. For a larger one the rows are
        resized strip by strip and then the columns, which needs less memory. Pillow chooses the
        order of the two by the sizes, and the last bit depends on it.

        Args:
            size: (width, height) of the result.
            prepare: function from a strip (rows, width, channels) to the values to resize, with any
                number of channels.

        Returns:
            (height, width) float32, one for each channel.
        """
        large = self.width * self.height > PIXELS_RESIZED_AT_ONCE
        width = size[0] if large else self.width
        channels: list[FloatImage] = []
        top = 0
        for strip in self.strips():
            values = prepare(strip)
            bottom = top + len(values)
            for index in range(values.shape[2]):
                if index == len(channels):
                    channels.append(np.empty((self.height, width), dtype=np.float32))
                part = values[:, :, index]
                channels[index][top:bottom] = _resize(part, (width, len(part))) if large else part
            top = bottom
        return [_resize(channel, size) for channel in channels]

    def cropped(self, box: Box) -> "Picture":
        """A part of the picture; left, top, right and bottom in its pixels."""
        image = self._image.crop(box)
        return replace(self, width=image.width, height=image.height, _image=image)

    def close(self) -> None:
        """Release the pixels."""
        self._image.close()

    def thumbnail(self, size: int) -> FloatImage:
        """The picture squashed to (size, size) grey, float32 in [0, 1]."""
        (grey,) = self.resize((size, size), prepare=lambda strip: strip.mean(axis=2, keepdims=True))
        return np.clip(grey, 0, 1)


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


def used_box(picture: Picture, reading: Reading, errors: FileErrors) -> Box | None:
    """The part of a whole picture that a reading uses; None for all of it.

    Raises:
        ImageError: if the picture has no such part, or no spacing to crop it by.
    """
    box = _asked_box(picture, reading, errors)
    if not reading.framing.remove_borders:
        return box
    asked = picture if box is None else picture.cropped(box)
    left, top = (0, 0) if box is None else box[:2]
    inner = inner_box(asked.thumbnail(SIDE), width=asked.width, height=asked.height)
    return left + inner[0], top + inner[1], left + inner[2], top + inner[3]


@contextmanager
def _whole_picture(errors: FileErrors, reading: Reading) -> Iterator[Picture]:
    with ExitStack() as stack:
        large_file = _file_size(errors) > _LARGE_FILE_BYTES
        if large_file:
            stack.enter_context(MEMORY.hold(PIXELS_AT_ONCE))
        content = _read_bytes(errors)
        file_sha256 = hashlib.sha256(content).hexdigest()
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
            stack.callback(_return_memory)
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


def _asked_box(picture: Picture, reading: Reading, errors: FileErrors) -> Box | None:
    """The part of a picture that is asked for; None for all of it."""
    width, height = picture.width, picture.height
    if reading.box is not None:
        left, top, right, bottom = reading.box
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise errors.error(
                f"crop_left={left}, crop_top={top}, crop_right={right}, crop_bottom={bottom} of "
                f"{width} by {height} pixels; expected left below right and top below bottom, in "
                "pixels of the upright picture"
            )
        return reading.box
    side = reading.framing.centre_mm
    if side is None:
        return None
    if picture.spacing is None:
        what = (
            "PixelSpacing (0028,0030) and ImagerPixelSpacing (0018,1164) are missing or 0"
            if picture.kind == "DICOM"
            else f"a {picture.kind} file has no pixel spacing"
        )
        raise errors.error(
            f"cannot be cropped to {side:g} mm, since {what}; give its crop_left, crop_top, "
            "crop_right and crop_bottom in the manifest, or do not crop"
        )
    down, across = picture.spacing
    # Not beyond the picture: where it is smaller, all of it is used.
    wide, high = min(width, round(side / across)), min(height, round(side / down))
    if min(wide, high) < 1:
        raise errors.error(
            f"pixels of {across:g} by {down:g} mm, so {side:g} mm are less than a pixel; check "
            "PixelSpacing (0028,0030)"
        )
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


class Memory:
    """Counts decoded pixels, and lets threads wait while there are too many."""

    def __init__(self, capacity: int) -> None:
        """Let so many pixels be open at once."""
        self._capacity = self._free = capacity
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Wait until so many pixels fit; a picture above the capacity waits for all of it."""
        amount = min(amount, self._capacity)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()


MEMORY = Memory(PIXELS_AT_ONCE)


def _return_memory() -> None:
    """Give freed memory back to the system.

    The GNU C library reserves blocks of the size that Pillow requests for the thread that freed
    them, so each thread would keep the memory of a picture of the largest size.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


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
    return errors.error(f"cannot be read ({error}); check the path and its permissions")


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
        checksum = _checksum(_load(bare.surplus, bare, errors))
    image = _load(bare.content, bare, errors)
    if checksum is not None and _checksum(image) != checksum:
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
    for strip in _raw_strips(image):
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


def _raw_strips(image: Image.Image) -> Iterator[npt.NDArray[np.uint8 | np.uint16 | np.int32]]:
    """(rows, width, 1, 3 or 4) as stored: 8 bits, or 16 bits of one channel."""
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        if image.mode not in _DEEP_MODES:
            if image.has_transparency_data:
                strip = strip.convert("RGBA")
            elif image.mode == "1":
                strip = strip.convert("L")
            elif image.mode != "L":
                strip = strip.convert("RGB")
        yield np.atleast_3d(np.asarray(strip))


def _checksum(image: Image.Image) -> int:
    checksum = 0
    for strip in _raw_strips(image):
        checksum = zlib.crc32(np.ascontiguousarray(strip).data, checksum)
    return checksum


def _resize(channel: FloatImage, size: tuple[int, int]) -> FloatImage:
    """Resize one channel to (width, height) in float32."""
    picture = Image.fromarray(np.ascontiguousarray(channel))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
