"""An image file reduced to its pixel data, and the errors of faulty files.

Reading files belongs to `png_files`, `jpeg_files` and `tiff_files`, decoding them to `pictures`.
"""

from dataclasses import dataclass
from pathlib import Path

from rust_tuner.errors import ImageError, private

# Pillow's own limit against decompression bombs. Stitched radiographs of a whole leg have 30
# million pixels.
MAX_PIXELS = 89_478_485
# The limit of the JPEG format. Longer rows would make strips of pixels large.
MAX_SIDE = 65_535
SAVE_AGAIN = "export it again as 8-bit PNG or JPEG, or as 16-bit greyscale PNG or TIFF"


@dataclass(frozen=True)
class BareImage:
    """A PNG, JPEG or TIFF file reduced to what its pixels need.

    Attributes:
        content: the file: header, tables and compressed pixels.
        width: in pixels, before the picture is turned.
        height: in pixels, before the picture is turned.
        orientation: 1-8 as EXIF defines it; 1 if the file does not specify it.
        surplus: the same JPEG with more data than it needs; None for other files. Its pixels
            differ only where data is missing.
        stated_bits: the bits of a 16-bit greyscale file that it says are used; None if it does not.
        inverted: whether the largest value is black.
    """

    content: bytes
    width: int
    height: int
    orientation: int
    surplus: bytes | None = None
    stated_bits: int | None = None
    inverted: bool = False


CHANGED = (
    "changed while it was in use, or since the study was prepared; restore it, wait until nothing "
    "writes to it any more, and run the same command again"
)


@dataclass(frozen=True)
class FileErrors:
    """Makes the errors of one image file.

    Attributes:
        path: the file.
        row: the manifest's row, or None.
    """

    path: Path
    row: int | None

    def error(self, fault: str) -> ImageError:
        """An error that names the file and the row."""
        where = "" if self.row is None else f" row {self.row}"
        return ImageError(f"{private(self.path)}{where}: {fault}")

    def damaged(self, what: str) -> ImageError:
        """An error for a damaged file."""
        return self.error(f"damaged or truncated ({what}); copy or export it again")

    def check_size(self, width: int, height: int) -> None:
        """Refuse a picture by the size in its header, before anything is decompressed.

        Raises:
            ImageError: for a side of 0 or above `MAX_SIDE`, and for more than `MAX_PIXELS`.
        """
        if not width or not height:
            raise self.error(f"{width} by {height} pixels; {SAVE_AGAIN}")
        if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
            raise self.error(
                f"{width} by {height} pixels, too large for a radiograph; expected at most "
                f"{MAX_PIXELS} pixels and {MAX_SIDE} per side, check the file or export it smaller"
            )
