"""Reads the tags of a TIFF file, keeps those of its pixels and checks that nothing is missing.

Other tags are left out unread, so that they cannot fail and name nobody. The format is TIFF 6.0
(Adobe, 1992).
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.data.bare_image import SAVE_AGAIN, BareImage, FileErrors

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_FILL_ORDER, _STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP = 266, 273, 274, 277, 278
_STRIP_BYTES, _PLANAR, _PREDICTOR = 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_EXTRA, _SAMPLE_FORMAT = 338, 339
_WANTED = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIP_OFFSETS),
    *(_ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR, _TILE_WIDTH),
    *(_TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _EXTRA, _SAMPLE_FORMAT),
}
_SIZES = {1: 1, 3: 2, 4: 4}
_KINDS = {1: "u1", 3: "u2", 4: "u4"}
_SHORT, _LONG = 3, 4
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_NONE = 1
# Those that notice damage or the lack of data. A JPEG inside a TIFF does not.
_COMPRESSIONS = {
    **{1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits"},
    **{34925: "LZMA", 50000: "Zstandard"},
}
_PREDICTED = (5, 8, 32946, 34925, 50000)
_OTHERS = {2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "JPEG", 7: "JPEG", 50001: "WebP"}
# A tile has at least 16 by 16 pixels (TIFF 6.0, section 15).
_LEAST_TILE, _LARGEST_TILE = 16, 1 << 12
_MAX_TAGS, _MAX_PARTS = 1 << 12, 1 << 17

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Parts:
    """The strips or tiles of a picture.

    Attributes:
        offsets: where each begins in the file.
        counts: its bytes.
        width: of a tile; of the picture for strips.
        height: of a tile; the rows of a strip.
        is_tiled: whether they are tiles.
    """

    offsets: Numbers
    counts: Numbers
    width: int
    height: int
    is_tiled: bool


def read_tiff(content: bytes, *, errors: FileErrors) -> BareImage:
    """Check that no strip or tile of a TIFF file is missing, and leave out all other tags.

    Args:
        content: the file, which begins with one of `TIFF_STARTS`.
        errors: names the file.

    Raises:
        ImageError: for a file that is damaged, ends early, is too large, has several pages, or is
            neither greyscale of 8 or 16 bits nor RGB of 8.
    """
    order = "<" if content.startswith(b"II") else ">"
    if content[2:4] in (b"+\0", b"\0+"):
        raise errors.error(f"a BigTIFF; {SAVE_AGAIN}")
    tags = _read_tags(content, order, errors)
    width, height = _one(tags, _WIDTH, 0), _one(tags, _HEIGHT, 0)
    errors.check_size(width, height)
    samples, depth, photometric = _form(tags, errors)
    compression = _one(tags, _COMPRESSION, _NONE)
    if compression not in _COMPRESSIONS:
        name = _OTHERS.get(compression, f"number {compression}")
        raise errors.error(f"a TIFF of compression {name}; {SAVE_AGAIN}")
    parts = _parts(tags, width, height, errors)
    _check_parts(content, parts, compression, samples * depth // 8, height, errors)
    predictor = _one(tags, _PREDICTOR, 1) if compression in _PREDICTED else 1
    if predictor not in (1, 2):
        raise errors.error(f"a TIFF of predictor {predictor}, for floating point; {SAVE_AGAIN}")
    kept = {
        _WIDTH: [width],
        _HEIGHT: [height],
        _BITS: [depth] * samples,
        _COMPRESSION: [compression],
        _PHOTOMETRIC: [_RGB if samples == 3 else _BLACK_IS_ZERO],
        _SAMPLES: [samples],
        _PLANAR: [1],
        **({_PREDICTOR: [2]} if predictor == 2 else {}),
    }
    orientation = _one(tags, _ORIENTATION, 1)
    return BareImage(
        _written(content, order, kept, parts),
        width,
        height,
        orientation if 1 <= orientation <= 8 else 1,
        inverted=photometric == _WHITE_IS_ZERO,
    )


def _read_tags(content: bytes, order: str, errors: FileErrors) -> dict[int, Numbers]:
    """The wanted tags of the only directory."""
    if len(content) < 8:
        raise errors.damaged("the end is missing")
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    if start < 8 or start + 2 > len(content):
        raise errors.damaged("no directory")
    (count,) = struct.unpack_from(f"{order}H", content, start)
    end = start + 2 + 12 * count
    if not 0 < count <= _MAX_TAGS or end + 4 > len(content):
        raise errors.damaged("the directory is not whole")
    (following,) = struct.unpack_from(f"{order}I", content, end)
    if following:
        raise errors.error(
            "a TIFF of several pages; export the radiograph that was scored as a file of its own"
        )
    tags: dict[int, Numbers] = {}
    for index in range(count):
        position = start + 2 + 12 * index
        tag, kind, length = struct.unpack_from(f"{order}HHI", content, position)
        if tag not in _WANTED:
            continue
        if kind not in _SIZES or not 0 < length <= _MAX_PARTS:
            raise errors.damaged(f"tag {tag} of kind {kind} and length {length}")
        size = _SIZES[kind] * length
        at = position + 8
        if size > 4:
            (at,) = struct.unpack_from(f"{order}I", content, at)
        if at + size > len(content):
            raise errors.damaged("the end is missing")
        values = np.frombuffer(content, f"{order}{_KINDS[kind]}", length, at)
        tags.setdefault(tag, values.astype(np.int64))
    return tags


def _one(tags: dict[int, Numbers], tag: int, default: int) -> int:
    return int(tags[tag][0]) if tag in tags else default


def _form(tags: dict[int, Numbers], errors: FileErrors) -> tuple[int, int, int]:
    """Samples a pixel, bits of a sample, and what they mean."""
    samples, photometric = _one(tags, _SAMPLES, 1), _one(tags, _PHOTOMETRIC, -1)
    depths = set(tags.get(_BITS, np.array([1])).tolist())
    formats = set(tags.get(_SAMPLE_FORMAT, np.array([1])).tolist())
    depth = max(depths)
    is_grey = samples == 1 and photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and depth in (8, 16)
    is_colour = samples == 3 and photometric == _RGB and depth == 8
    if formats != {1}:
        raise errors.error(f"a TIFF of signed or floating-point values; {SAVE_AGAIN}")
    if len(depths) != 1 or not (is_grey or is_colour) or _EXTRA in tags:
        raise errors.error(
            f"a TIFF of {samples} channels of {depth} bits (PhotometricInterpretation "
            f"{photometric}); expected greyscale of 8 or 16 bits, or RGB of 8; {SAVE_AGAIN}"
        )
    if samples == 3 and _one(tags, _PLANAR, 1) != 1:
        raise errors.error(f"a TIFF with each colour apart; {SAVE_AGAIN}")
    if _one(tags, _FILL_ORDER, 1) != 1:
        raise errors.error(f"a TIFF with the bits of each byte reversed; {SAVE_AGAIN}")
    return samples, depth, photometric


def _parts(tags: dict[int, Numbers], width: int, height: int, errors: FileErrors) -> _Parts:
    is_tiled = _TILE_OFFSETS in tags
    names = (_TILE_OFFSETS, _TILE_BYTES) if is_tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
    if not all(name in tags for name in names):
        raise errors.damaged("no pixels")
    offsets, counts = (tags[name] for name in names)
    across, down = width, min(_one(tags, _ROWS_PER_STRIP, height), height)
    if is_tiled:
        across, down = _one(tags, _TILE_WIDTH, 0), _one(tags, _TILE_HEIGHT, 0)
        sides = (across, down)
        if any(not _LEAST_TILE <= side <= _LARGEST_TILE or side % 16 for side in sides):
            raise errors.damaged(f"tiles of {across} by {down} pixels")
    if down < 1:
        raise errors.damaged("strips without rows")
    expected = -(-width // across) * -(-height // down)
    if len(offsets) != expected or len(counts) != expected:
        name = "tiles" if is_tiled else "strips"
        raise errors.damaged(f"{min(len(offsets), len(counts))} of its {expected} {name}")
    return _Parts(offsets, counts, across, down, is_tiled)


def _check_parts(
    content: bytes,
    parts: _Parts,
    compression: int,
    pixel_bytes: int,
    height: int,
    errors: FileErrors,
) -> None:
    if (parts.offsets + parts.counts > len(content)).any():
        raise errors.damaged("the end is missing")
    least = np.ones(len(parts.counts), dtype=np.int64)
    if compression == _NONE:
        rows = np.full(len(parts.counts), parts.height, dtype=np.int64)
        if not parts.is_tiled:
            rows[-1] = height - parts.height * (len(rows) - 1)
        least = rows * parts.width * pixel_bytes
    if (parts.counts < least).any():
        raise errors.damaged("a strip or tile is too short")
    # A strip that many share would make the file larger than it is.
    if parts.counts.sum() > 2 * len(content):
        raise errors.damaged("strips or tiles that overlap")


def _written(content: bytes, order: str, kept: dict[int, list[int]], parts: _Parts) -> bytes:
    """A file of the same pixels with no other tags."""
    names = (_TILE_OFFSETS, _TILE_BYTES) if parts.is_tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
    starts = 8 + np.concatenate([[0], np.cumsum(parts.counts + parts.counts % 2)])
    sizes = (
        {_TILE_WIDTH: [parts.width], _TILE_HEIGHT: [parts.height]}
        if parts.is_tiled
        else {_ROWS_PER_STRIP: [parts.height]}
    )
    tags = kept | sizes | {names[0]: starts[:-1].tolist(), names[1]: parts.counts.tolist()}
    directory = int(starts[-1])
    data = directory + 2 + 12 * len(tags) + 4
    entries: list[bytes] = []
    values: list[bytes] = []
    for tag, numbers in sorted(tags.items()):
        is_short = tag not in names
        kind, letter = (_SHORT, "H") if is_short else (_LONG, "I")
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(packed) > 4:
            at = data + sum(len(value) for value in values)
            values.append(packed + b"\0" * (len(packed) % 2))
            packed = struct.pack(f"{order}I", at)
        entries.append(struct.pack(f"{order}HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0"))
    mark = b"II*\0" if order == "<" else b"MM\0*"
    pieces = [mark, struct.pack(f"{order}I", directory)]
    for offset, count in zip(parts.offsets.tolist(), parts.counts.tolist(), strict=True):
        pieces += [content[offset : offset + count], b"\0" * (count % 2)]
    pieces += [struct.pack(f"{order}H", len(tags)), *entries, b"\0" * 4, *values]
    return b"".join(pieces)
