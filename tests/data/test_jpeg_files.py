"""JPEG files: every scan is there or the file is refused; nothing else of the file matters."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_bytes import Pixels, encode, exif, join_jpeg, jpeg_parts, radiograph, segment
from PIL import Image, ImageFile

from rust_tuner.data import jpeg_files
from rust_tuner.data.images import load_image
from rust_tuner.errors import ImageError

SOF, SOS, EOI = 0xC0, 0xDA, 0xD9
WRITERS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "many restarts": {"restart_marker_blocks": 1},
    "progressive restarts": {"progressive": True, "restart_marker_rows": 1},
    "whole colour": {"subsampling": 0},
    "half colour": {"subsampling": 1},
}

Load = Callable[[bytes], Pixels]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(content: bytes) -> Any:
        (tmp_path / "x.jpg").write_bytes(content)
        return load_image(tmp_path / "x.jpg", size=16, row=3)

    return load


@pytest.fixture(params=[1, 3])
def pixels(request: pytest.FixtureRequest) -> Pixels:
    return radiograph(150, 117, channels=request.param)


@pytest.mark.parametrize("writer", WRITERS)
def test_the_bits_are_those_that_pillow_decodes(
    tmp_path: Path, load: Load, pixels: Pixels, writer: str
) -> None:
    content = encode(pixels, "JPEG", **WRITERS[writer])
    load(content)
    with Image.open(tmp_path / "x.jpg") as image:
        decoded = np.asarray(image)
    np.testing.assert_array_equal(load(content), load(encode(decoded, "PNG")))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("ended", [False, True])
def test_a_picture_that_is_cut_is_refused_also_where_the_file_has_an_end(
    load: Load, pixels: Pixels, writer: str, ended: bool
) -> None:
    content = encode(pixels, "JPEG", **WRITERS[writer])
    start = join_jpeg([part for part in jpeg_parts(content) if part[0] != SOS][:-1])
    # In the last bytes only some bits of the last block are missing.
    places = np.linspace(len(start), len(content) - 12, 12).astype(int)
    for place in places:
        cut = content[:place]
        while cut.endswith(b"\xff"):
            cut = cut[:-1]
        with pytest.raises(ImageError, match=r"x\.jpg row 3: damaged or truncated"):
            load(cut + (b"\xff\xd9" if ended else b""))


def test_a_picture_that_is_cut_is_refused_where_pillow_is_told_to_accept_it(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = encode(radiograph(150, 117), "JPEG")
    for ending in (b"", b"\xff\xd9", bytes(5000)):
        with pytest.raises(ImageError, match="damaged or truncated"):
            load(content[: len(content) // 2] + ending)


def test_missing_scans_and_parts_of_scans_are_refused(load: Load, pixels: Pixels) -> None:
    parts = jpeg_parts(encode(pixels, "JPEG", progressive=True))
    scans = [place for place, (marker, _) in enumerate(parts) if marker == SOS]
    for place in scans:
        with pytest.raises(ImageError, match="damaged or truncated"):
            load(join_jpeg([*parts[:place], (EOI, b"")]))
    with pytest.raises(ImageError, match="no pixels"):
        load(join_jpeg([part for part in parts if part[0] != SOS]))


def test_a_restart_too_few_is_refused(load: Load, pixels: Pixels) -> None:
    content = encode(pixels, "JPEG", restart_marker_rows=1)
    last = max(content.rfind(bytes((255, 0xD0 + number))) for number in range(8))
    with pytest.raises(ImageError, match=r"a scan ends after part \d+ of \d+"):
        load(content[:last] + b"\xff\xd9")
    with pytest.raises(ImageError, match=r"restarts for \d+ units"):
        load(content[:last] + b"\xff\xd0" * 10_000 + b"\xff\xd9")


def test_a_header_of_more_rows_than_there_are_is_refused(load: Load, pixels: Pixels) -> None:
    parts = jpeg_parts(encode(pixels, "JPEG"))
    for height in (200, 300, 60_000):
        taller = [
            (marker, body[:3] + height.to_bytes(2, "big") + body[5:] if marker == SOF else body)
            for marker, body in parts
        ]
        with pytest.raises(ImageError, match="damaged or truncated"):
            load(join_jpeg(taller))


def test_bytes_after_the_end_do_not_matter(load: Load, pixels: Pixels) -> None:
    whole = encode(pixels, "JPEG")
    expected = load(whole)
    for after in (b"\0", b"\xff", b"\xff\xda", whole, os.urandom(3000), b"\xff\xd8\xff\xda" * 99):
        np.testing.assert_array_equal(load(whole + after), expected)


@pytest.mark.parametrize("marker", [*range(0xE1, 0xEE), 0xEF, 0xFE])
def test_a_segment_without_pixels_condemns_no_file(load: Load, marker: int) -> None:
    parts = jpeg_parts(encode(radiograph(60, 50), "JPEG"))
    expected = load(join_jpeg(parts))
    thumbnail = encode(radiograph(8, 8), "JPEG")
    starts = (b"Exif\0\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0", b"http://ns.adobe.com/")
    for body in (b"", os.urandom(100), thumbnail, *(start + os.urandom(200) for start in starts)):
        more = join_jpeg([parts[0], segment(marker, body), *parts[1:]])
        np.testing.assert_array_equal(load(more), expected)


def test_an_exif_text_that_is_stored_as_a_float_is_not_read(load: Load) -> None:
    parts = jpeg_parts(encode(radiograph(60, 50), "JPEG"))
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x011A, 0x0128, 0x8769):
        odd = exif([(tag, 11, 1, b"\0\0\x80?"), (0x0112, 3, 1, b"\3\0\0\0")])
        turned = load(join_jpeg([segment(0xE1, b"Exif\0\0" + odd), *parts]))
        np.testing.assert_allclose(turned, load(join_jpeg(parts))[::-1, ::-1], atol=1e-6)


def test_exif_that_goes_on_in_a_second_segment_is_read(load: Load) -> None:
    parts = jpeg_parts(encode(radiograph(60, 50), "JPEG"))
    odd = exif([(0x0112, 3, 1, b"\3\0\0\0")])
    segments = [segment(0xE1, b"Exif\0\0" + part) for part in (odd[:12], odd[12:])]
    turned = load(join_jpeg([*segments, *parts]))
    np.testing.assert_allclose(turned, load(join_jpeg(parts))[::-1, ::-1], atol=1e-6)


def test_xmp_turns_a_picture_where_exif_does_not(load: Load) -> None:
    parts = jpeg_parts(encode(radiograph(60, 50), "JPEG"))
    xmp = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="3"/>')
    turned = load(join_jpeg([xmp, *parts]))
    np.testing.assert_allclose(turned, load(join_jpeg(parts))[::-1, ::-1], atol=1e-6)


def test_of_several_pictures_the_first_counts(tmp_path: Path, load: Load) -> None:
    first, second = (Image.fromarray(radiograph(60, 50) // part) for part in (1, 2))
    first.save(tmp_path / "several.mpo", save_all=True, append_images=[second])
    content = (tmp_path / "several.mpo").read_bytes()
    np.testing.assert_array_equal(load(content), load(encode(first, "JPEG")))


def test_other_colours_and_depths_are_refused(load: Load) -> None:
    with pytest.raises(ImageError, match="colour mode CMYK, expected greyscale or RGB"):
        load(encode(Image.new("CMYK", (20, 20)), "JPEG"))
    parts = jpeg_parts(encode(radiograph(60, 50), "JPEG"))
    for body, message in (
        (b"\x0c\0\x3c\0\x32\1\1\x11\0", "a JPEG of 12 bits"),
        (b"\x08\0\0\0\x32\1\1\x11\0", "50 by 0 pixels"),
        (b"\x08\0\x3c\0\x32\2\1\x11\0\2\x11\0", "colour mode of 2 channels"),
        (b"\x08\0\x3c\0\x32\1\1\x51\0", "impossible colour channels"),
        (b"\x08\0\x3c\0\x32\3\1\x11\0", "a header of the wrong size"),
        (b"\x08\xff\xff\xff\xff\1\1\x11\0", "65535 by 65535 pixels, too large for a radiograph"),
    ):
        changed = [segment(SOF, body) if part[0] == SOF else part for part in parts]
        with pytest.raises(ImageError, match=message):
            load(join_jpeg(changed))


def test_scans_and_segments_without_end_are_refused(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = jpeg_parts(encode(radiograph(60, 50), "JPEG", progressive=True))
    (last,) = [place for place, part in enumerate(parts) if part[0] == SOS][-1:]
    with pytest.raises(ImageError, match="more than 100 scans"):
        load(join_jpeg(parts[: last + 1] + [parts[last]] * 200 + [parts[-1]]))
    monkeypatch.setattr(jpeg_files, "MAX_SEGMENTS", 50)
    with pytest.raises(ImageError, match="more than 50 segments"):
        load(join_jpeg([segment(0xFE, b"")] * 60 + parts))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xd8\xff", "the end is missing"),
        (b"\xff\xd8\xff\xd9", "no pixels"),
        (b"\xff\xd8\xff\xe0\0\1\xff\xd9", "not a JPEG segment"),
        (b"\xff\xd8\xff\xe0\xff\xff\xff\xd9", "the end is missing"),
        (b"\xff\xd8\xff\x02\0\2\xff\xd9", "not a JPEG segment at byte 2"),
        (b"\xff\xd8\xff\xd8\0\2\xff\xd9", "not a JPEG segment"),
        (b"\xff\xd8\xff\xda\0\x08\1\1\0\0\x3f\0\xff\xd9", "an invalid scan"),
    ],
)
def test_another_form_is_refused_with_what_is_wrong(
    load: Load, content: bytes, message: str
) -> None:
    with pytest.raises(ImageError, match=rf"x\.jpg row 3: damaged or truncated .*{message}"):
        load(content)
