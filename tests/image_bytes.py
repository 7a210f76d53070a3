"""Takes PNG and JPEG files apart and puts them together, also as no writer does."""

import io
import itertools
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]
Part = tuple[int, bytes]

PNG_START = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
ADAM7 += ((0, 1, 1, 2),)  # type: ignore[assignment]


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def radiograph(height: int, width: int, *, channels: int = 1) -> Pixels:
    """A smooth picture with some noise, as photographs compress."""
    ramp = np.add.outer(np.linspace(0, 120, height), np.linspace(0, 90, width))
    pixels = np.clip(ramp + np.random.default_rng(1).normal(0, 6, (height, width)), 0, 255)
    grey = pixels.astype(np.uint8)
    return grey if channels == 1 else np.stack([grey, grey // 2, 255 - grey], axis=2)


def encode(pixels: Pixels | Image.Image, kind: str, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def header(width: int, height: int, depth: int, colour: int, *, interlaced: bool = False) -> bytes:
    body = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return chunk(b"IHDR", body)


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], len(PNG_START)
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunks.append((kind, content[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def join_png(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    return PNG_START + b"".join(itertools.starmap(chunk, chunks))


def with_chunk(content: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    chunks = png_chunks(content)
    place = [name for name, _ in chunks].index(b"IDAT")
    return join_png([*chunks[:place], (kind, body), *chunks[place:]])


def packed_rows(pixels: Pixels, depth: int) -> bytes:
    """Unfiltered rows of a PNG: (height, width, samples) of values below 2**depth."""
    height = len(pixels)
    flat = pixels.reshape(height, -1)
    if depth == 16:
        rows = flat.astype(">u2").view(np.uint8).reshape(height, -1)
    elif depth == 8:
        rows = flat.astype(np.uint8)
    else:
        bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in rows)


def raw_png(
    pixels: Pixels, *, depth: int, colour: int, interlaced: bool = False, keep: float = 1.0
) -> bytes:
    """A PNG whose whole and valid stream holds only a share of its rows, in any form.

    Args:
        pixels: (height, width, samples).
        depth: bits of a sample.
        colour: the colour type.
        interlaced: whether the rows come in the seven passes of Adam7.
        keep: which share of the bytes of the rows is there.
    """
    height, width = pixels.shape[:2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [pixels[top::down, left::right] for left, top, right, down in passes]
    rows = b"".join(packed_rows(part, depth) for part in parts if part.size)
    rows = rows[: round(len(rows) * keep)]
    palette = [(b"PLTE", bytes(range(3 << min(depth, 6))))] if colour == 3 else []
    return (
        PNG_START
        + header(width, height, depth, colour, interlaced=interlaced)
        + b"".join(itertools.starmap(chunk, palette))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def jpeg_parts(content: bytes) -> list[Part]:
    """(marker, what follows it) for each segment, a scan's data included."""
    parts: list[Part] = []
    position = 2
    while True:
        marker = content[position + 1]
        if marker == 0xD9:
            return [*parts, (marker, b"")]
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == 0xDA:
            while content[end] != 255 or content[end + 1] in (0, *range(0xD0, 0xD8)):
                end += 1
        parts.append((marker, content[position + 2 : end]))
        position = end


def join_jpeg(parts: Sequence[Part]) -> bytes:
    return b"\xff\xd8" + b"".join(bytes((255, marker)) + body for marker, body in parts)


def segment(marker: int, body: bytes) -> Part:
    return marker, (len(body) + 2).to_bytes(2, "big") + body


def exif(entries: Sequence[tuple[int, int, int, bytes]], *, order: str = "<") -> bytes:
    """A TIFF header and a directory of (tag, type, count, four bytes of value)."""
    start = {"<": b"II", ">": b"MM"}[order]
    body = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    directory = struct.pack(f"{order}HIH", 42, 8, len(entries)) + body
    return start + directory + bytes(4)
