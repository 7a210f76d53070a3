"""Reads the orientation of a picture from EXIF or XMP, and nothing else.

Like viewers, it ignores damaged metadata: if they cannot be read, the picture counts as upright,
and there is no error.
"""

import re
import struct

UPRIGHT = 1

_EXIF_START = b"Exif\0\0"
_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4
_HEADER_BYTES, _COUNT_BYTES, _ENTRY_BYTES = 8, 2, 12
# As Pillow looks for it: an attribute or an element with a digit.
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def read_orientation(*, exif: bytes, xmp: bytes) -> int:
    """The orientation that a file's metadata gives; EXIF before XMP.

    Args:
        exif: a TIFF header and its first directory, with or without the mark of a JPEG segment
            before it; empty if the file has none.
        xmp: an XMP packet; empty if the file has none.

    Returns:
        1-8 as EXIF 2.32 (table 6, tag 0x0112) defines it; 1, upright, if neither gives one.
    """
    value = _from_exif(exif)
    if value is None:
        match = _XMP_ORIENTATION.search(xmp)
        value = int(match[1]) if match else UPRIGHT
    return value if UPRIGHT <= value <= 8 else UPRIGHT


def _from_exif(exif: bytes) -> int | None:
    """The value of the orientation tag in the first directory, None if it is absent."""
    tiff = exif.removeprefix(_EXIF_START).removeprefix(_EXIF_START)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < _HEADER_BYTES:
        return None
    magic, offset = struct.unpack_from(f"{order}HI", tiff, 2)
    if magic != 42 or offset + _COUNT_BYTES > len(tiff):
        return None
    (num_entries,) = struct.unpack_from(f"{order}H", tiff, offset)
    first = offset + _COUNT_BYTES
    for entry in range(first, first + num_entries * _ENTRY_BYTES, _ENTRY_BYTES):
        if entry + _ENTRY_BYTES > len(tiff):
            return None
        tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, entry)
        if tag == _ORIENTATION_TAG:
            if count != 1 or kind not in (_SHORT, _LONG):
                return None
            code = "H" if kind == _SHORT else "I"
            return int(struct.unpack_from(f"{order}{code}", tiff, entry + 8)[0])
    return None
