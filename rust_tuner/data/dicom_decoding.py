"""Decodes the stored values of a DICOM file, whatever its compression.

pydicom and its plugins decode; what they would do with damaged or hostile data is refused before.
"""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.dicom_elements import EXPORT, Elements, first_line

_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_JPEG_12_BIT = "1.2.840.10008.1.2.4.51"
_RLE = "1.2.840.10008.1.2.5"
_IMPLICIT = "1.2.840.10008.1.2"


def stored_values(elements: Elements) -> npt.NDArray[np.int32]:
    """Decode the pixels: the bits that hold them, without overlays in the others.

    Args:
        elements: of a file with one frame and one sample a pixel.

    Returns:
        (rows, columns) int32, negative if the file's values are signed.

    Raises:
        ImageError: for a compression that cannot be decoded, and damage.
    """
    decoded = _decoded(elements)
    bits = elements.integer("BitsStored", default=elements.integer("BitsAllocated"))
    high = elements.integer("HighBit", default=bits - 1)
    shift = high - bits + 1
    if not 1 <= bits <= 16 or shift < 0 or shift + bits > 8 * decoded.dtype.itemsize:
        raise elements.errors.damaged(
            f"BitsStored (0028,0101) {bits} and HighBit (0028,0102) {high} in "
            f"{8 * decoded.dtype.itemsize} bits"
        )
    # In the byte order of the file, which may not be this machine's.
    kind = f"{decoded.dtype.byteorder}u{decoded.dtype.itemsize}"
    unsigned = decoded.view(kind).astype(np.int32)
    values: npt.NDArray[np.int32] = (unsigned >> shift) & ((1 << bits) - 1)
    is_signed = elements.integer("PixelRepresentation", default=0) == 1
    # Negative values fill the bits above them with ones.
    if not is_signed and _has_other_bits(elements, ((1 << bits) - 1) << shift):
        elements.steps.append(f"bits beside the {bits} stored ones removed")
    if is_signed:
        values[values >= 1 << (bits - 1)] -= 1 << bits
    return values


def _has_other_bits(elements: Elements, mask: int) -> bool:
    """Whether an uncompressed file has bits beside those of the mask, such as overlays."""
    syntax = getattr(getattr(elements.dataset, "file_meta", None), "TransferSyntaxUID", None)
    is_compressed = syntax is not None and syntax.is_compressed
    if is_compressed or elements.integer("BitsAllocated") != 16:
        return False
    order = ">" if elements.is_big_endian() else "<"
    content = elements.dataset.PixelData
    count = min(len(content) // 2, elements.width * elements.height)
    raw = np.frombuffer(content, f"{order}u2", count)
    return bool((raw & (0xFFFF ^ mask)).any())


def _decoded(elements: Elements) -> npt.NDArray[Any]:
    """The stored values as the file's compression gives them."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    syntax = _transfer_syntax(elements)
    _check_codestream(elements, syntax)
    # Of two that read JPEG 2000 or RLE, the one that damaged data does not crash.
    plugin = "pylibjpeg" if syntax in _JPEG_2000 else "pydicom" if syntax == _RLE else ""
    try:
        decoder = get_decoder(UID(syntax))
        values, _ = decoder.as_array(elements.dataset, index=0, raw=True, decoding_plugin=plugin)
    except MemoryError:
        raise
    except Exception as error:
        raise elements.errors.error(_undecodable(syntax, error)) from error
    if values.shape != (elements.height, elements.width):
        raise elements.errors.damaged(
            f"a picture of {values.shape}, expected {elements.height} rows of {elements.width}"
        )
    return values


def _transfer_syntax(elements: Elements) -> str:
    syntax = getattr(getattr(elements.dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax:
        return str(syntax)
    # Some archives drop the header; the standard's default is then the only guess.
    bits = elements.integer("BitsAllocated")
    expected = elements.height * elements.width * bits // 8
    if len(elements.dataset.PixelData) not in (expected, expected + 1):
        raise elements.errors.error(
            f"TransferSyntaxUID (0002,0010) is missing, and the pixels are compressed; {EXPORT}"
        )
    elements.notes.append(
        "TransferSyntaxUID (0002,0010) is missing; read as uncompressed, little endian"
    )
    return _IMPLICIT


def _check_codestream(elements: Elements, syntax: str) -> None:
    """Refuse a compressed picture whose own header announces another size."""
    size = _codestream_size(bytes(elements.dataset.PixelData[: 1 << 16]), syntax)
    if size is not None and size != (elements.width, elements.height):
        raise elements.errors.damaged(
            f"compressed pixels of {size[0]} by {size[1]}, but Columns and Rows are "
            f"{elements.width} by {elements.height}"
        )


def _codestream_size(content: bytes, syntax: str) -> tuple[int, int] | None:
    """(width, height) in the header of compressed pixels; None if it has none."""
    if syntax in _JPEG_2000:
        start = content.find(b"\xff\x4f\xff\x51")
        if start < 0 or len(content) < start + 24:
            return None
        x, y, left, top = struct.unpack(">4I", content[start + 8 : start + 24])
        return x - left, y - top
    if not syntax.startswith(_JPEG_FAMILY):
        return None
    start = content.find(b"\xff\xd8\xff")
    position = start + 2
    while start >= 0 and position + 9 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        is_frame = (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7
        if is_frame:
            height, width = struct.unpack(">2H", content[position + 5 : position + 9])
            # A decoder aborts the process if a file states more bits than the decoder supports.
            return (width, height) if 2 <= content[position + 4] <= 16 else (0, 0)
        position += 2 + length
    return None


def _undecodable(syntax: str, error: Exception) -> str:
    from pydicom.uid import UID

    name = UID(syntax).name
    if syntax == _JPEG_12_BIT:
        return (
            f"TransferSyntaxUID (0002,0010) is {name}; no freely licensed decoder reads its 12-bit "
            f"pixels; {EXPORT}"
        )
    is_missing = isinstance(error, NotImplementedError | RuntimeError) and "plugin" in str(error)
    # pydicom itself decodes run lengths.
    if is_missing and syntax != _RLE:
        return (
            f"TransferSyntaxUID (0002,0010) is {name}, which the installed decoders cannot read; "
            f"install rust-tuner with its extra (rust-tuner[dicom]), or {EXPORT}"
        )
    return f"pixels of {name} cannot be decoded ({first_line(error)}); {EXPORT}"
