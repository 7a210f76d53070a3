"""Any bytes are an image or an `ImageError`, whatever is wrong with them."""

import itertools
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_bytes import (
    PNG_START,
    encode,
    exif,
    join_jpeg,
    join_png,
    jpeg_parts,
    noise,
    png_chunks,
    radiograph,
    raw_png,
    segment,
)
from PIL import Image

from rust_tuner.data.images import load_image
from rust_tuner.errors import ImageError

COLOUR = radiograph(24, 20, channels=3)
TURNED = Image.Exif()
TURNED[0x0112] = 6
PNGS = [
    encode(radiograph(24, 20), "PNG", exif=TURNED),
    encode(COLOUR, "PNG", icc_profile=bytes(500)),
    encode(Image.fromarray(COLOUR).convert("P"), "PNG", transparency=3),
    encode(noise(24, 20, 4), "PNG"),
    raw_png(noise(9, 7, 1) % 4, depth=2, colour=0, interlaced=True),
    raw_png(noise(9, 7, 1).astype(np.uint16) * 257, depth=16, colour=0),
]
JPEGS = [
    encode(radiograph(24, 20), "JPEG", exif=TURNED),
    encode(COLOUR, "JPEG", progressive=True),
    encode(COLOUR, "JPEG", restart_marker_blocks=1, icc_profile=bytes(500)),
]
NUMBERS = st.sampled_from([0, 1, 2, 255, 65_535, 1 << 31, (1 << 32) - 1])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x"


def judge(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            loaded = load_image(path, size=8)
        except ImageError as error:
            assert str(path) in str(error)
            return
    assert loaded.shape == (8, 8, 3)
    assert np.isfinite(loaded).all() and np.abs(loaded).max() <= 1


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A whole file in which bytes were changed, taken out, repeated or put in."""
    content = bytearray(draw(st.sampled_from(PNGS + JPEGS)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["change", "remove", "repeat", "insert", "cut"]))
        if kind == "change":
            content[start:end] = draw(st.binary(min_size=end - start, max_size=end - start))
        elif kind == "remove":
            del content[start:end]
        elif kind == "repeat":
            content[end:end] = content[start:end]
        elif kind == "insert":
            content[start:start] = draw(st.binary(max_size=40))
        else:
            del content[start:]
    return bytes(content)


@st.composite
def odd_pngs(draw: st.DrawFn) -> bytes:
    """Chunks with right checksums, but in any order, number and with any content."""
    chunks = png_chunks(draw(st.sampled_from(PNGS)))
    kinds = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"tEXt", b"zTXt", b"iTXt"]
    kinds += [b"eXIf", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"sBIT"]
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(chunks) - 1)))
        kind = draw(st.sampled_from(["header", "body", "add", "remove", "swap"]))
        if kind == "header":
            fields = draw(st.tuples(*[NUMBERS] * 2, *[st.integers(0, 17)] * 5))
            chunks[:1] = [(b"IHDR", struct.pack(">IIBBBBB", *fields))]
        elif kind == "body" and chunks:
            chunks[place] = (chunks[place][0], draw(st.binary(max_size=60)))
        elif kind == "add":
            body = draw(st.one_of(st.binary(max_size=60), tiffs()))
            chunks.insert(place, (draw(st.sampled_from(kinds)), body))
        elif kind == "remove" and chunks:
            del chunks[place]
        elif chunks:
            other = draw(st.integers(0, len(chunks) - 1))
            chunks[place], chunks[other] = chunks[other], chunks[place]
    return join_png(chunks)


@st.composite
def odd_jpegs(draw: st.DrawFn) -> bytes:
    """Segments of right lengths, but in any order, number and with any content."""
    parts = jpeg_parts(draw(st.sampled_from(JPEGS)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(parts) - 1)))
        kind = draw(st.sampled_from(["bytes", "add", "remove", "swap", "repeat", "exif"]))
        if kind == "bytes" and parts:
            marker, body = parts[place]
            changed = bytearray(body)
            for _ in range(draw(st.integers(1, 6)) if len(body) > 2 else 0):
                changed[draw(st.integers(2, len(body) - 1))] = draw(st.integers(0, 255))
            parts[place] = (marker, bytes(changed))
        elif kind == "add":
            marker = draw(st.integers(0, 255))
            parts.insert(place, segment(marker, draw(st.binary(max_size=60))))
        elif kind == "exif":
            parts.insert(0, segment(0xE1, b"Exif\0\0" + draw(tiffs())))
        elif kind == "remove" and parts:
            del parts[place]
        elif kind == "repeat" and parts:
            parts[place:place] = [parts[place]] * draw(st.sampled_from([1, 2, 300]))
        elif parts:
            other = draw(st.integers(0, len(parts) - 1))
            parts[place], parts[other] = parts[other], parts[place]
    return join_jpeg(parts)


@st.composite
def tiffs(draw: st.DrawFn) -> bytes:
    """EXIF with any tags of any types, some of them cut."""
    entry = st.tuples(
        st.one_of(st.sampled_from([0x0112, 0x0110, 0x8769]), st.integers(0, 65_535)),
        st.integers(0, 20),
        NUMBERS,
        st.binary(min_size=4, max_size=4),
    )
    whole = exif(draw(st.lists(entry, max_size=6)), order=draw(st.sampled_from("<>")))
    return whole[: draw(st.integers(0, len(whole)))]


FUZZ = settings(max_examples=40, deadline=None)


@FUZZ
@given(content=damaged())
def test_damaged_files_are_images_or_image_errors(path: Path, content: bytes) -> None:
    judge(path, content)


@FUZZ
@given(content=odd_pngs())
def test_any_chunks_are_images_or_image_errors(path: Path, content: bytes) -> None:
    judge(path, content)


@FUZZ
@given(content=odd_jpegs())
def test_any_segments_are_images_or_image_errors(path: Path, content: bytes) -> None:
    judge(path, content)


@FUZZ
@given(start=st.sampled_from([b"", PNG_START, b"\xff\xd8\xff"]), rest=st.binary(max_size=300))
def test_any_bytes_are_images_or_image_errors(path: Path, start: bytes, rest: bytes) -> None:
    judge(path, start + rest)


@FUZZ
@given(content=st.sampled_from(JPEGS), metadata=tiffs())
def test_no_exif_condemns_a_jpeg(path: Path, content: bytes, metadata: bytes) -> None:
    parts = [part for part in jpeg_parts(content) if part[0] != 0xE1]
    path.write_bytes(join_jpeg([segment(0xE1, b"Exif\0\0" + metadata), *parts]))
    assert load_image(path, size=8).shape == (8, 8, 3)


@FUZZ
@given(
    content=st.sampled_from(PNGS),
    kind=st.sampled_from([b"eXIf", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"cHRM", b"prVt"]),
    body=st.one_of(st.binary(max_size=60), tiffs()),
)
def test_no_chunk_without_pixels_condemns_a_png(
    path: Path, content: bytes, kind: bytes, body: bytes
) -> None:
    chunks = png_chunks(content)
    path.write_bytes(join_png([chunks[0], (kind, body), *chunks[1:]]))
    assert load_image(path, size=8).shape == (8, 8, 3)


def test_every_single_changed_byte_of_a_png_is_noticed_or_carries_no_pixels(path: Path) -> None:
    for content in PNGS[2:5]:
        path.write_bytes(content)
        expected = load_image(path, size=8)
        for place, bit in itertools.product(range(0, len(content) - 12, 17), (0, 5)):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            try:
                np.testing.assert_array_equal(load_image(path, size=8), expected)
            except ImageError:
                continue
