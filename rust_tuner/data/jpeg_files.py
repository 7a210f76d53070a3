"""Reads the segments of a JPEG file, keeps those with pixels and checks that no scan is missing.

EXIF, colour profiles, thumbnails and the like are left out, so that they cannot fail. The format is
ITU-T T.81, whose annexes B and G define the segments and the scans.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rust_tuner.data.bare_image import SAVE_AGAIN, BareImage, FileErrors
from rust_tuner.data.orientation import read_orientation

JPEG_START = b"\xff\xd8\xff"

_SOI, _EOI, _SOS, _DRI, _APP0, _APP1, _APP14, _COM = 0xD8, 0xD9, 0xDA, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE
_TABLES = (0xC4, 0xC8, 0xCC)
_LOSSLESS, _PROGRESSIVE, _ARITHMETIC = 0xC3, (0xC2, 0xCA), (0xC9, 0xCA, 0xCB)
_EXIF_START, _XMP_START = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
# Within a scan 255 is followed by 0, and restart marks (0xD0-0xD7) belong to it.
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_COEFFICIENTS = 64
# The progressive scripts in use have 10 to 20 scans; each scan costs a pass over the picture.
_MAX_SCANS, MAX_SEGMENTS = 100, 1 << 16
# Without 255, which would begin a marker; irregular, so that it does not encode plausible data.
_SURPLUS = bytes((37 * n + 101) % 251 for n in range(1, 65))
_SURPLUS_OF_PART = _SURPLUS[:8]


@dataclass(frozen=True)
class _Component:
    horizontal: int
    vertical: int


@dataclass(frozen=True)
class _Frame:
    """The header of the picture: its coding, its size and its colour channels by their ids."""

    marker: int
    width: int
    height: int
    components: dict[int, _Component]

    def num_units(self, ids: Sequence[int]) -> int:
        """How many units the scan of these channels is coded in (T.81, A.2)."""
        across = max(component.horizontal for component in self.components.values())
        down = max(component.vertical for component in self.components.values())
        if len(ids) > 1:
            return _ceil(self.width, 8 * across) * _ceil(self.height, 8 * down)
        only = self.components[ids[0]]
        width = _ceil(self.width * only.horizontal, across)
        height = _ceil(self.height * only.vertical, down)
        return _ceil(width, 8) * _ceil(height, 8)


@dataclass
class _Parts:
    """What was read so far.

    Attributes:
        pieces: of the file, without metadata.
        surplus: the same with more data in each scan.
        missing: for each channel and coefficient the bits that no scan has given yet; 64 before the
            first scan.
    """

    pieces: list[bytes] = field(default_factory=list)
    surplus: list[bytes] = field(default_factory=list)
    frame: _Frame | None = None
    restart_interval: int = 0
    num_scans: int = 0
    missing: dict[int, list[int]] = field(default_factory=dict)
    exif: bytes = b""
    xmp: bytes = b""

    def keep(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.surplus.append(piece)


def read_jpeg(content: bytes, *, errors: FileErrors) -> BareImage:
    """Check that no scan of a JPEG file is missing, and leave out what carries no pixels.

    Bytes after the end are ignored: of a file with several pictures (MPO) the first counts.

    Args:
        content: the file, which begins with `JPEG_START`.
        errors: names the file.

    Returns:
        The file, with `surplus` for the caller to compare.

    Raises:
        ImageError: for a file that is damaged, ends early, is too large, or is neither
            greyscale nor of three channels.
    """
    parts = _Parts()
    position = 2
    for _ in range(MAX_SEGMENTS):
        marker, position = _next_marker(content, position, errors=errors)
        if marker == _EOI:
            return _whole(parts, errors=errors)
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        if marker < 0xC0 or marker == _SOI:
            raise errors.damaged(f"not a JPEG segment at byte {position - 2}")
        end = position + int.from_bytes(content[position : position + 2], "big")
        if end < position + 2:
            raise errors.damaged(f"not a JPEG segment at byte {position - 2}")
        if end > len(content):
            raise errors.damaged("the end is missing")
        body = content[position + 2 : end]
        segment = bytes((255, marker)) + content[position:end]
        position = end
        if marker == _SOS:
            match = _SCAN_END.search(content, end)
            if match is None:
                raise errors.damaged("the end is missing")
            position = match.start()
            _add_scan(parts, segment, body, content[end:position], errors=errors)
        elif 0xC0 <= marker <= 0xCF and marker not in _TABLES:
            if parts.frame is not None:
                raise errors.damaged("two headers")
            parts.frame = _read_frame(marker, body, errors=errors)
            parts.missing = {name: [64] * _COEFFICIENTS for name in parts.frame.components}
            parts.keep(segment)
        elif marker == _APP1:
            _add_metadata(parts, body)
        elif marker in (_APP0, _APP14) or not (_APP0 <= marker <= 0xEF or marker == _COM):
            if marker == _DRI:
                parts.restart_interval = int.from_bytes(body[:2], "big")
            parts.keep(segment)
    raise errors.damaged(f"more than {MAX_SEGMENTS} segments")


def _next_marker(content: bytes, position: int, *, errors: FileErrors) -> tuple[int, int]:
    """The next marker and the position behind it; other bytes before it are skipped."""
    position = content.find(b"\xff", position)
    while 0 <= position < len(content) - 1:
        marker = content[position + 1]
        if marker == 0:
            position = content.find(b"\xff", position + 2)
        elif marker == 255:
            position += 1
        else:
            return marker, position + 2
    raise errors.damaged("the end is missing")


def _read_frame(marker: int, body: bytes, *, errors: FileErrors) -> _Frame:
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise errors.damaged("a header of the wrong size")
    bits, num_channels = body[0], body[5]
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    errors.check_size(width, height)
    if bits != 8:
        raise errors.error(f"a JPEG of {bits} bits; {SAVE_AGAIN}")
    if num_channels not in (1, 3):
        mode = "CMYK" if num_channels == 4 else f"of {num_channels} channels"
        raise errors.error(f"colour mode {mode}, expected greyscale or RGB; {SAVE_AGAIN}")
    channels = {
        name: _Component(sampling >> 4, sampling & 15)
        for name, sampling in zip(body[6::3], body[7::3], strict=True)
    }
    factors = [factor for item in channels.values() for factor in (item.horizontal, item.vertical)]
    if len(channels) != num_channels or not all(1 <= factor <= 4 for factor in factors):
        raise errors.damaged("a header with impossible colour channels")
    return _Frame(marker, width, height, channels)


def _add_scan(
    parts: _Parts, segment: bytes, body: bytes, data: bytes, *, errors: FileErrors
) -> None:
    """Add a scan: its channels, the coefficients that it gives, and its data."""
    frame, count = parts.frame, body[0] if body else 0
    if frame is None or not 1 <= count <= 4 or len(body) != 4 + 2 * count:
        raise errors.damaged("an invalid scan")
    parts.num_scans += 1
    if parts.num_scans > _MAX_SCANS:
        raise errors.damaged(f"more than {_MAX_SCANS} scans")
    ids = list(body[1 : 1 + 2 * count : 2])
    if not set(ids) <= set(frame.components) or len(set(ids)) != count:
        raise errors.damaged("a scan of colour channels that the header does not name")
    first, last, bits = body[-3:]
    if frame.marker not in _PROGRESSIVE:
        first, last, bits = 0, _COEFFICIENTS - 1, 0
    for name in ids:
        for coefficient in range(first, min(last, _COEFFICIENTS - 1) + 1):
            parts.missing[name][coefficient] = bits & 15
    restarts = sum(1 for _ in _RESTART.finditer(data))
    units = frame.width * frame.height if frame.marker == _LOSSLESS else frame.num_units(ids)
    if restarts > units:
        raise errors.damaged(f"{restarts} restarts for {units} units")
    if parts.restart_interval and frame.marker != _LOSSLESS:
        expected = _ceil(units, parts.restart_interval) - 1
        if restarts < expected:
            raise errors.damaged(f"a scan ends after part {restarts + 1} of {expected + 1}")
    more = _RESTART.sub(lambda mark: _SURPLUS_OF_PART + mark[0], data)
    parts.pieces += [segment, data]
    parts.surplus += [segment, more, _SURPLUS]


def _add_metadata(parts: _Parts, body: bytes) -> None:
    if body.startswith(_EXIF_START):
        # EXIF above 64 KiB continues in the next segment.
        parts.exif += body[len(_EXIF_START) :] if parts.exif else body
    elif body.startswith(_XMP_START):
        parts.xmp = body[len(_XMP_START) :]


def _whole(parts: _Parts, *, errors: FileErrors) -> BareImage:
    frame = parts.frame
    if frame is None or not parts.num_scans:
        raise errors.damaged("no pixels")
    if any(bits for coefficients in parts.missing.values() for bits in coefficients):
        raise errors.damaged("the last scans are missing")
    start, end = bytes((255, _SOI)), bytes((255, _EOI))
    bare = BareImage(
        b"".join([start, *parts.pieces, end]),
        frame.width,
        frame.height,
        read_orientation(exif=parts.exif, xmp=parts.xmp),
    )
    if frame.marker in _ARITHMETIC:
        # An arithmetic coder may leave out zeros at the end of its data.
        return bare
    return replace(bare, surplus=b"".join([start, *parts.surplus, end]))


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)
