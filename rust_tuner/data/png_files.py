"""Reads the chunks of a PNG file, keeps those with pixels and checks that no row is missing.

Text, colour profiles and the like are left out unread, so that they cannot fail. The format is the
PNG specification, third edition (W3C, 2025).
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rust_tuner.data.bare_image import SAVE_AGAIN, BareImage, FileErrors
from rust_tuner.data.orientation import read_orientation

PNG_START = b"\x89PNG\r\n\x1a\n"

_GREY, _COLOUR, _PALETTE, _GREY_ALPHA, _COLOUR_ALPHA = 0, 2, 3, 4, 6
_SAMPLES = {_GREY: 1, _COLOUR: 3, _PALETTE: 1, _GREY_ALPHA: 2, _COLOUR_ALPHA: 4}
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _PALETTE: (1, 2, 4, 8)}
_NAMES = {_GREY: "I", _COLOUR: "RGB", _GREY_ALPHA: "LA", _COLOUR_ALPHA: "RGBA"}
# Damage to these changes pixels. All others are ignored.
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_END = b"\0\0\0\0IEND\xaeB`\x82"
# First column, first row and steps of the seven passes of an interlaced picture.
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
# A radiograph of 30 MB has 4,000 chunks of the smallest usual size.
MAX_CHUNKS = 1 << 20
_INPUT_BYTES, _OUTPUT_BYTES, _EXTRA_BYTES = 1 << 16, 1 << 20, 1 << 16
_MAX_METADATA = 1 << 22


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    whole: memoryview
    body: memoryview


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def rows(self) -> list[tuple[int, int]]:
        """How many rows each pass has, and the bytes of a row with its filter byte."""
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        bits = self.depth * _SAMPLES[self.colour]
        sizes = [
            (max(0, -(-(self.height - top) // down)), max(0, -(-(self.width - left) // right)))
            for left, top, right, down in passes
        ]
        return [(height, 1 + (width * bits + 7) // 8) for height, width in sizes if width]


def read_png(content: bytes, *, errors: FileErrors) -> BareImage:
    """Check that no row of a PNG file is missing, and leave out what carries no pixels.

    Bytes after the end are ignored, and so are faults in text, colour profiles and other chunks
    without pixels.

    Args:
        content: the file, which begins with `PNG_START`.
        errors: names the file.

    Raises:
        ImageError: for a file that is damaged, ends early, is too large, is animated, or has a
            depth that cannot be kept.
    """
    chunks = list(_chunks(content, errors=errors))
    header = _read_header(chunks, errors=errors)
    kinds = {chunk.kind for chunk in chunks}
    _check_form(header, chunks, errors=errors)
    _check_palette(header, chunks, errors=errors)
    data = [chunk.body for chunk in chunks if chunk.kind == b"IDAT"]
    if not data:
        raise errors.damaged("no pixels")
    _check_rows(header, data, errors=errors)
    parts: list[bytes | memoryview] = [PNG_START]
    for kind in _PIXEL_CHUNKS:
        if kind in kinds and not (kind == b"PLTE" and header.colour != _PALETTE):
            parts += [chunk.whole for chunk in chunks if chunk.kind == kind]
    return BareImage(
        b"".join([*parts, _END]),
        header.width,
        header.height,
        _orientation(chunks),
        stated_bits=_stated_bits(header, chunks),
    )


def _chunks(content: bytes, *, errors: FileErrors) -> Iterator[_Chunk]:
    """The chunks up to the end mark; those that carry no pixels only if they are whole."""
    view = memoryview(content)
    position = len(PNG_START)
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(view):
            raise errors.damaged("the end is missing")
        length, kind = struct.unpack_from(">I4s", view, position)
        if kind == b"IEND":
            return
        end = position + 12 + length
        if not (kind.isalpha() and kind.isascii()):
            raise errors.damaged(f"not a PNG chunk at byte {position}")
        if end > len(view):
            raise errors.damaged("the end is missing")
        (written,) = struct.unpack_from(">I", view, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) == written:
            yield _Chunk(kind, view[position:end], view[position + 8 : end - 4])
        elif kind in _PIXEL_CHUNKS:
            raise errors.damaged(f"wrong checksum of {kind.decode()} at byte {position}")
        position = end
    raise errors.damaged(f"more than {MAX_CHUNKS} chunks")


def _read_header(chunks: Sequence[_Chunk], *, errors: FileErrors) -> _Header:
    pixel_chunks = [chunk for chunk in chunks if chunk.kind in _PIXEL_CHUNKS]
    headers = [chunk for chunk in pixel_chunks if chunk.kind == b"IHDR"]
    if len(headers) != 1 or headers[0] is not pixel_chunks[0] or len(headers[0].body) != 13:
        raise errors.damaged("no PNG header, or more than one")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(
        ">IIBBBBB", headers[0].body
    )
    errors.check_size(width, height)
    is_valid = colour in _SAMPLES and depth in _DEPTHS.get(colour, (8, 16))
    if not is_valid or compression or filters or interlace > 1:
        raise errors.damaged(f"an unknown kind of PNG, {depth} bits of colour type {colour}")
    return _Header(width, height, depth, colour, interlace == 1)


def _check_form(header: _Header, chunks: Sequence[_Chunk], *, errors: FileErrors) -> None:
    """Refuse what Pillow would decode only in part: deep colours and further frames."""
    transparent = any(chunk.kind == b"tRNS" for chunk in chunks)
    if header.depth == 16 and (header.colour != _GREY or transparent):
        raise errors.error(
            f"16 bits in colour or with transparency ({_NAMES[header.colour]};16B), which would "
            f"lose its depth; {SAVE_AGAIN}"
        )
    for chunk in chunks:
        frames = chunk.body[:4] if chunk.kind == b"acTL" and len(chunk.body) == 8 else b""
        if chunk.kind == b"fdAT" or int.from_bytes(frames, "big") > 1:
            raise errors.error(f"an animation; {SAVE_AGAIN}")


def _check_palette(header: _Header, chunks: Sequence[_Chunk], *, errors: FileErrors) -> None:
    if header.colour != _PALETTE:
        return
    sizes = [len(chunk.body) for chunk in chunks if chunk.kind == b"PLTE"]
    if len(sizes) != 1 or not 0 < sizes[0] <= 3 << header.depth or sizes[0] % 3:
        raise errors.damaged("no palette, or one of the wrong size")


def _check_rows(header: _Header, data: Sequence[memoryview], *, errors: FileErrors) -> None:
    """Decompress the pixels piece by piece, and count the bytes.

    If a stream without errors lacks rows, Pillow leaves them black.
    """
    expected = sum(height * row_bytes for height, row_bytes in header.rows)
    inflater = zlib.decompressobj()
    done = 0
    try:
        for piece in _pieces(data):
            left: bytes | memoryview = piece
            made = step = 0
            # If the output reached the limit, more may come without further input.
            while done < expected and not inflater.eof and (left or made == step):
                step = min(_OUTPUT_BYTES, expected - done)
                made = len(inflater.decompress(left, step))
                done += made
                left = inflater.unconsumed_tail
            # The checksum of all rows follows the last one; zlib verifies it.
            if left and not inflater.eof and inflater.decompress(left, _EXTRA_BYTES):
                break
    except zlib.error as error:
        raise errors.damaged(str(error)) from error
    if done >= expected:
        return
    if header.interlaced:
        there = f"after {done / expected:.0%} of its data"
    else:
        there = f"after {done // header.rows[0][1]} of its {header.height} rows"
    raise errors.damaged(f"the picture ends {there}")


def _pieces(data: Sequence[memoryview]) -> Iterator[memoryview]:
    """The data in small pieces: zlib copies the unused rest of a piece with each step."""
    for part in data:
        for start in range(0, len(part), _INPUT_BYTES):
            yield part[start : start + _INPUT_BYTES]


def _stated_bits(header: _Header, chunks: Sequence[_Chunk]) -> int | None:
    """The significant bits of 16-bit grey, of the chunk `sBIT` (PNG, 11.3.2.7)."""
    if header.depth != 16 or header.colour != _GREY:
        return None
    for chunk in chunks:
        if chunk.kind == b"sBIT" and len(chunk.body) == 1 and 1 <= chunk.body[0] <= 16:
            return chunk.body[0]
    return None


def _orientation(chunks: Sequence[_Chunk]) -> int:
    exif, profile, xmp = b"", b"", b""
    for chunk in chunks:
        if chunk.kind == b"eXIf":
            exif = chunk.body.tobytes()
        elif chunk.kind in _TEXT_CHUNKS:
            name = chunk.body[:80].tobytes().partition(b"\0")[0]
            if name == b"Raw profile type exif":
                profile = _unhex(_text(chunk, len(name) + 1))
            elif name == b"XML:com.adobe.xmp":
                xmp = _text(chunk, len(name) + 1)
    return read_orientation(exif=exif or profile, xmp=xmp)


def _text(chunk: _Chunk, start: int) -> bytes:
    """The text of a text chunk behind its name; empty if it cannot be read or is too long."""
    text = chunk.body[start : start + _MAX_METADATA].tobytes()
    compressed = chunk.kind == b"zTXt"
    if chunk.kind == b"zTXt":
        text = text[1:]
    elif chunk.kind == b"iTXt":
        compressed = text[:1] not in (b"", b"\0")
        # Two flags, the language and the translated name come before the text.
        text = [*text[2:].split(b"\0", 2), b"", b""][2]
    if compressed:
        try:
            text = zlib.decompressobj().decompress(text, _MAX_METADATA)
        except zlib.error:
            return b""
    return text


def _unhex(text: bytes) -> bytes:
    """The bytes of a raw profile: a blank line, its name, its length, then hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""
