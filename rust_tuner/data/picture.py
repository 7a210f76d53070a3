"""A decoded picture: how it is resized, cropped and identified."""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from rust_tuner.data.decoding_memory import PIXELS_RESIZED_AT_ONCE
from rust_tuner.data.reading import ALL_BITS, Box

FloatImage = npt.NDArray[np.float32]

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
MAX_8_BIT = 255
# A strip of float32 in three channels is 1.5 MiB, which stays in a processor's cache.
STRIP_PIXELS = 1 << 17


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
        return self.kind in ("PNG", "TIFF") and self._image.mode in DEEP_MODES

    def highest(self) -> int:
        """The largest value of a deep picture."""
        return max(int(strip.max()) for strip in raw_strips(self._image))

    def is_multiple_of(self, step: int) -> bool:
        """Whether all values of a deep picture are multiples of a number."""
        return all(not (strip % step).any() for strip in raw_strips(self._image))

    def strips(self) -> Iterator[FloatImage]:
        """The rows from top to bottom: (rows, width, channels) float32 in [0, 1].

        Both depths are divided in float32, so that 257 times a value over 65535 is the same number.
        Transparent pixels lie over black.
        """
        for strip in self._upright_strips():
            yield 1 - strip if self.is_inverted else strip

    def _upright_strips(self) -> Iterator[FloatImage]:
        white = (1 << self.bits) - 1
        for strip in raw_strips(self._image):
            if strip.dtype != np.uint8:
                yield np.minimum(strip, white).astype(np.float32) / np.float32(white)
                continue
            pixels = strip[:, :, : self.channels].astype(np.float32)
            pixels /= np.float32(MAX_8_BIT)
            if strip.shape[2] == 4:
                pixels *= strip[:, :, 3:].astype(np.float32) / np.float32(MAX_8_BIT)
            yield pixels

    def content_sha256(self) -> str:
        """The SHA-256 of the pixels; equal for a copy in another format or bit depth."""
        digest = hashlib.sha256(repr((self.height, self.width, self.channels)).encode())
        for strip in self.strips():
            digest.update(np.ascontiguousarray(strip).data)
        return digest.hexdigest()

    def is_uniform(self) -> bool:
        """Whether all pixels have one value, so that the picture shows nothing."""
        first: FloatImage | None = None
        for strip in self.strips():
            first = strip[:1, :1] if first is None else first
            if (strip != first).any():
                return False
        return True

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


def raw_strips(image: Image.Image) -> Iterator[npt.NDArray[np.uint8 | np.uint16 | np.int32]]:
    """(rows, width, 1, 3 or 4) as stored: 8 bits, or 16 bits of one channel."""
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        if image.mode not in DEEP_MODES:
            if image.has_transparency_data:
                strip = strip.convert("RGBA")
            elif image.mode == "1":
                strip = strip.convert("L")
            elif image.mode != "L":
                strip = strip.convert("RGB")
        yield np.atleast_3d(np.asarray(strip))


def checksum_of(image: Image.Image) -> int:
    """A checksum of all pixels."""
    checksum = 0
    for strip in raw_strips(image):
        checksum = zlib.crc32(np.ascontiguousarray(strip).data, checksum)
    return checksum


def _resize(channel: FloatImage, size: tuple[int, int]) -> FloatImage:
    """Resize one channel to (width, height) in float32."""
    picture = Image.fromarray(np.ascontiguousarray(channel))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
