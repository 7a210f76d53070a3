"""PNG files: every row is there or the file is refused; nothing else of the file matters."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_bytes import (
    PNG_START,
    Pixels,
    chunk,
    encode,
    exif,
    header,
    join_png,
    noise,
    packed_rows,
    png_chunks,
    radiograph,
    raw_png,
    with_chunk,
)
from PIL import Image

from rust_tuner.data import png_files
from rust_tuner.data.images import load_image
from rust_tuner.errors import ImageError

FORMS = [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (1, 3), (2, 3), (4, 3), (8, 3), (8, 4)]
FORMS += [(8, 6)]
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

Load = Callable[[bytes], Pixels]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(content: bytes) -> Any:
        (tmp_path / "x.png").write_bytes(content)
        return load_image(tmp_path / "x.png", size=16, row=3)

    return load


def picture(depth: int, colour: int, height: int = 23, width: int = 13) -> Pixels:
    rng = np.random.default_rng(depth)
    levels = min(1 << depth, 64) if colour == 3 else 1 << depth
    return rng.integers(0, levels, (height, width, SAMPLES[colour]))


@pytest.mark.parametrize(("depth", "colour"), FORMS)
def test_an_interlaced_picture_is_the_same_picture(load: Load, depth: int, colour: int) -> None:
    pixels = picture(depth, colour)
    plain = load(raw_png(pixels, depth=depth, colour=colour))
    assert len(np.unique(plain)) > 8
    np.testing.assert_array_equal(
        load(raw_png(pixels, depth=depth, colour=colour, interlaced=True)), plain
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (2, 3), (9, 4)])
def test_a_small_interlaced_picture_has_fewer_passes(load: Load, height: int, width: int) -> None:
    pixels = picture(8, 0, height, width)
    plain = load(raw_png(pixels, depth=8, colour=0))
    np.testing.assert_array_equal(load(raw_png(pixels, depth=8, colour=0, interlaced=True)), plain)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("depth", "colour"), FORMS)
def test_a_picture_whose_data_ends_early_is_refused(
    load: Load, depth: int, colour: int, interlaced: bool
) -> None:
    pixels = picture(depth, colour)
    share = r"\d+% of its data" if interlaced else r"\d+ of its 23 rows"
    for keep in (0, 0.01, 1 / 3, 0.9, 0.99):
        content = raw_png(pixels, depth=depth, colour=colour, interlaced=interlaced, keep=keep)
        with pytest.raises(ImageError, match=rf"x\.png row 3: .*the picture ends after {share}"):
            load(content)


def test_the_message_says_how_many_rows_are_there(load: Load) -> None:
    content = raw_png(picture(8, 0, 30, 13), depth=8, colour=0, keep=1 / 3)
    with pytest.raises(ImageError, match=r"the picture ends after 10 of its 30 rows\); copy"):
        load(content)


def test_a_stream_that_is_cut_within_whole_chunks_is_refused(load: Load) -> None:
    ((kind, data),) = [
        part for part in png_chunks(encode(noise(60, 50), "PNG")) if part[0] == b"IDAT"
    ]
    for length in range(0, len(data) - 8, 97):
        content = PNG_START + header(50, 60, 8, 0) + chunk(kind, data[:length])
        with pytest.raises(ImageError, match=r"the picture ends after \d+ of its 60 rows"):
            load(content + chunk(b"IEND", b""))


def test_the_data_may_come_in_any_number_of_chunks(load: Load) -> None:
    whole = encode(noise(60, 50), "PNG")
    data = b"".join(body for kind, body in png_chunks(whole) if kind == b"IDAT")
    start = (b"IHDR", png_chunks(whole)[0][1])
    for step in (1, 7, 1000):
        parts = [(b"IDAT", data[place : place + step]) for place in range(0, len(data), step)]
        spread = join_png([start, (b"IDAT", b""), *parts, (b"IDAT", b""), (b"IEND", b"")])
        np.testing.assert_array_equal(load(spread), load(whole))


def test_a_picture_that_compresses_a_thousandfold_is_whole(load: Load) -> None:
    flat = np.full((3000, 900), 77, dtype=np.uint8)
    np.testing.assert_allclose(load(encode(flat, "PNG")), 77 / 127.5 - 1, atol=1e-6)
    rows = packed_rows(flat[:-1, :, None], 8)
    cut = [(b"IHDR", header(900, 3000, 8, 0)[8:-4]), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    with pytest.raises(ImageError, match="ends after 2999 of its 3000 rows"):
        load(join_png(cut))


def test_wrong_checksums_of_pixels_are_refused(load: Load) -> None:
    pixels = picture(8, 3)
    content = raw_png(pixels, depth=8, colour=3)
    for kind in (b"IHDR", b"PLTE", b"IDAT"):
        changed = bytearray(content)
        place = content.index(kind)
        length = int.from_bytes(content[place - 4 : place], "big")
        changed[place + 4 + length] ^= 1
        with pytest.raises(ImageError, match=rf"damaged .*wrong checksum of {kind.decode()}"):
            load(bytes(changed))


def test_a_wrong_checksum_within_the_stream_is_refused(load: Load) -> None:
    data = bytearray(zlib.compress(packed_rows(picture(8, 0), 8)))
    data[-1] ^= 1
    content = PNG_START + header(13, 23, 8, 0) + chunk(b"IDAT", bytes(data)) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=r"damaged .*incorrect data check"):
        load(content)


@pytest.mark.parametrize("size", [100, 1 << 21])
@pytest.mark.parametrize(
    "kind", [b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"cHRM", b"pHYs", b"acTL", b"prVt"]
)
def test_a_chunk_without_pixels_condemns_no_file(load: Load, kind: bytes, size: int) -> None:
    whole = encode(radiograph(40, 30), "PNG")
    expected = load(whole)
    noisy = np.random.default_rng(0).bytes(size)
    for body in (b"name\0\0" + zlib.compress(bytes(size)), noisy, b"", b"name\0\1\0\0\0" + noisy):
        np.testing.assert_array_equal(load(with_chunk(whole, kind, body)), expected)
    damaged = bytearray(with_chunk(whole, kind, b"name\0text"))
    damaged[damaged.index(kind) + 6] ^= 255
    np.testing.assert_array_equal(load(bytes(damaged)), expected)


def test_bytes_after_the_end_and_too_many_rows_do_not_matter(load: Load) -> None:
    pixels = picture(8, 0)
    whole = raw_png(pixels, depth=8, colour=0)
    np.testing.assert_array_equal(load(whole + os.urandom(1000)), load(whole))
    rows = packed_rows(np.concatenate([pixels] * 200), 8)
    longer = [(b"IHDR", header(13, 23, 8, 0)[8:-4]), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    np.testing.assert_array_equal(load(join_png(longer)), load(whole))


@pytest.mark.parametrize("number", range(1, 9))
def test_a_png_is_turned_as_its_metadata_say(load: Load, number: int) -> None:
    grey = Image.fromarray(radiograph(40, 30))
    whole = encode(grey, "PNG")
    turned = Image.Exif()
    turned[0x0112] = number
    upright = encode(grey, "PNG", exif=turned)
    expected = load(upright)
    reference = Image.Transpose
    methods = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    if number in methods:
        turned_pixels = grey.transpose(reference(methods[number]))
        np.testing.assert_array_equal(expected, load(encode(turned_pixels, "PNG")))
    else:
        np.testing.assert_array_equal(expected, load(whole))
    digits = turned.tobytes().hex().encode()
    profile = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 32\n" + digits + b"\n")
    np.testing.assert_array_equal(load(with_chunk(whole, b"zTXt", profile)), expected)
    for flags, packed in ((b"\0\0", bytes), (b"\1\0", zlib.compress)):
        packet = packed(f'<x tiff:Orientation="{number}"/>'.encode())
        xmp = b"XML:com.adobe.xmp\0" + flags + b"\0\0" + packet
        np.testing.assert_array_equal(load(with_chunk(whole, b"iTXt", xmp)), expected)
    # Without its checksum it says nothing.
    damaged = bytearray(
        with_chunk(whole, b"eXIf", exif([(0x0112, 3, 1, bytes((number, 0, 0, 0)))]))
    )
    damaged[damaged.index(b"eXIf") + 5] ^= 255
    np.testing.assert_array_equal(load(bytes(damaged)), load(whole))


@pytest.mark.parametrize(
    ("palette", "message"),
    [
        (None, "no palette"),
        (bytes(5), "no palette, or one of the wrong size"),
        (bytes(3 * 5), "no palette, or one of the wrong size"),
        (b"", "no palette, or one of the wrong size"),
        (bytes(3 * 2), "colour 3 of a palette of 2"),
    ],
)
def test_a_palette_that_lacks_a_colour_is_refused(
    load: Load, palette: bytes | None, message: str
) -> None:
    chunks = png_chunks(raw_png(picture(2, 3), depth=2, colour=3))
    chunks = [part for part in chunks if part[0] != b"PLTE"]
    chunks[1:1] = [] if palette is None else [(b"PLTE", palette)]
    with pytest.raises(ImageError, match=message):
        load(join_png(chunks))


def test_an_animation_is_refused_and_one_frame_is_a_picture(load: Load) -> None:
    whole = encode(radiograph(40, 30), "PNG")
    frames = with_chunk(whole, b"acTL", struct.pack(">II", 3, 0))
    with pytest.raises(ImageError, match="an animation"):
        load(frames)
    single = with_chunk(whole, b"acTL", struct.pack(">II", 1, 0))
    np.testing.assert_array_equal(load(single), load(whole))
    with pytest.raises(ImageError, match="an animation"):
        load(with_chunk(single, b"fdAT", struct.pack(">I", 1)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PNG_START, "the end is missing"),
        (PNG_START + chunk(b"IEND", b""), "no PNG header"),
        (PNG_START + header(3, 3, 8, 0) + chunk(b"IEND", b""), "no pixels"),
        (PNG_START + header(3, 3, 8, 0) * 2 + chunk(b"IEND", b""), "no PNG header, or more than"),
        (PNG_START + chunk(b"IDAT", b"") + header(3, 3, 8, 0) + chunk(b"IEND", b""), "no PNG head"),
        (PNG_START + chunk(b"IHDR", bytes(5)) + chunk(b"IEND", b""), "no PNG header"),
        (PNG_START + header(3, 3, 3, 0) + chunk(b"IEND", b""), "unknown kind of PNG, 3 bits"),
        (PNG_START + header(3, 3, 8, 5) + chunk(b"IEND", b""), "unknown kind .* colour type 5"),
        (PNG_START + header(3, 3, 16, 3) + chunk(b"IEND", b""), "unknown kind of PNG, 16 bits"),
        (PNG_START + header(0, 3, 8, 0) + chunk(b"IEND", b""), "0 by 3 pixels"),
        (PNG_START + header(70_000, 1, 8, 0) + chunk(b"IEND", b""), "70000 by 1 pixels, too large"),
        (PNG_START + b"\xff\xff\xff\xff" + b"IDAT" + bytes(50), "the end is missing"),
        (PNG_START + bytes(50), "not a PNG chunk at byte 8"),
    ],
)
def test_another_form_is_refused_with_what_is_wrong(
    load: Load, content: bytes, message: str
) -> None:
    with pytest.raises(ImageError, match=rf"x\.png row 3: .*{message}"):
        load(content)


def test_chunks_without_end_are_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_files, "MAX_CHUNKS", 100)
    with pytest.raises(ImageError, match="more than 100 chunks"):
        load(PNG_START + chunk(b"teST", b"") * 200)
