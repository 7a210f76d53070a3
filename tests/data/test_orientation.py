"""Orientation: what Pillow reads of whole metadata, and nothing of garbled ones."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_bytes import exif
from PIL import Image

from rust_tuner.data.orientation import read_orientation

ORIENTATION = 0x0112
SHORT, LONG, FLOAT, TEXT = 3, 4, 11, 2


def value(number: int, kind: int, order: str) -> bytes:
    return struct.pack(f"{order}{'HH' if kind == SHORT else 'I'}", number, *[0] * (kind == SHORT))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [SHORT, LONG])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("mark", [b"", b"Exif\0\0"])
def test_it_is_what_pillow_reads(order: str, kind: int, number: int, mark: bytes) -> None:
    entry = (ORIENTATION, kind, 1, value(number, kind, order))
    others = [(0x0100, LONG, 1, bytes(4)), (0x0128, SHORT, 1, bytes(4))]
    tiff = exif([others[0], entry, others[1]], order=order)
    reference = Image.Exif()
    reference.load(b"Exif\0\0" + tiff)
    expected = reference[ORIENTATION]
    found = read_orientation(exif=mark + tiff, xmp=b"")
    assert found == (expected if 1 <= expected <= 8 else 1)


def test_what_pillow_writes_is_read() -> None:
    for number in range(1, 9):
        written = Image.Exif()
        written[0x010F] = "a maker"
        written[ORIENTATION] = number
        assert read_orientation(exif=written.tobytes(), xmp=b"") == number


def test_other_tags_do_not_matter_whatever_they_hold() -> None:
    entry = (ORIENTATION, SHORT, 1, value(6, SHORT, "<"))
    # A text as a float, a type that does not exist, a value far outside the file.
    odd = [(0x010F, FLOAT, 1, b"abcd"), (0x0110, 99, 1, bytes(4)), (0x0131, TEXT, 1 << 31, b"zzzz")]
    assert read_orientation(exif=exif([*odd, entry]), xmp=b"") == 6


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"II",
        b"XX*\0" + bytes(20),
        b"II*\0\xff\xff\xff\xff" + bytes(20),
        exif([(ORIENTATION, FLOAT, 1, struct.pack("<f", 6))]),
        exif([(ORIENTATION, TEXT, 2, b"6\0\0\0")]),
        exif([(ORIENTATION, SHORT, 2, b"\6\0\6\0")]),
        exif([(ORIENTATION, SHORT, 1, b"\6\0\0\0")])[:15],
        b"II*\0\x08\0\0\0\xff\xff" + bytes(24),
    ],
)
def test_a_faulty_tag_says_nothing_and_xmp_is_asked(tiff: bytes) -> None:
    assert read_orientation(exif=tiff, xmp=b"") == 1
    assert read_orientation(exif=tiff, xmp=b'<x tiff:Orientation="3"/>') == 3


def test_exif_comes_before_xmp() -> None:
    turned = exif([(ORIENTATION, SHORT, 1, value(8, SHORT, "<"))])
    assert read_orientation(exif=turned, xmp=b"<tiff:Orientation>3</tiff:Orientation>") == 8
    assert read_orientation(exif=b"", xmp=b"<tiff:Orientation>3</tiff:Orientation>") == 3
    assert read_orientation(exif=b"", xmp=b"<tiff:Orientation>9</tiff:Orientation>") == 1


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from([b"", b"II*\0", b"MM\0*", b"Exif\0\0II*\0\x08\0\0\0"]), rest=st.binary()
)
def test_any_bytes_are_an_orientation(start: bytes, rest: bytes) -> None:
    assert 1 <= read_orientation(exif=start + rest, xmp=rest) <= 8
