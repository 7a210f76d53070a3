"""TIFF: whole pictures of 8 and 16 bits with any compression that notices damage, or an error."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_bytes import radiograph
from PIL import Image

from rust_tuner.data.images import load_image
from rust_tuner.data.pictures import open_picture
from rust_tuner.data.tiff_files import read_tiff
from rust_tuner.errors import ImageError

Save = Callable[..., Path]
COMPRESSIONS = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"]
GREY = radiograph(40, 33)
DEEP = (GREY.astype(np.uint16) * 257) ^ np.arange(33, dtype=np.uint16)
COLOUR = radiograph(40, 33, channels=3)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(pixels: npt.NDArray[Any], **options: Any) -> Path:
        path = tmp_path / "x.tif"
        path.write_bytes(encoded(pixels, **options))
        return path

    return save


def encoded(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF", **options)
    return stream.getvalue()


def stored(path: Path) -> npt.NDArray[Any]:
    """The pixels of a file in [0, 1]."""
    with open_picture(path) as picture:
        return np.concatenate(list(picture.strips())).squeeze()


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("pixels", [GREY, DEEP, COLOUR], ids=["8", "16", "RGB"])
def test_a_tiff_is_the_picture_that_was_saved(save: Save, compression: Any, pixels: Any) -> None:
    white = np.iinfo(pixels.dtype).max
    path = save(pixels, compression=compression)
    np.testing.assert_array_equal(stored(path), pixels.astype(np.float32) / np.float32(white))


@pytest.mark.parametrize("pixels", [GREY, DEEP, COLOUR], ids=["8", "16", "RGB"])
def test_a_predictor_and_several_strips_are_read(save: Save, pixels: Any) -> None:
    path = save(pixels, compression="tiff_lzw", tiffinfo={317: 2, 278: 7})
    white = np.iinfo(pixels.dtype).max
    np.testing.assert_array_equal(stored(path), pixels.astype(np.float32) / np.float32(white))


def tiff(
    pixels: npt.NDArray[Any], *, order: str = "<", following: int = 0, **changes: Any
) -> bytes:
    """An uncompressed file of one strip; `changes` by tag, such as `t262=0`."""
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    height, width = pixels.shape[:2]
    tags = {256: width, 257: height, 258: 8 * pixels.itemsize, 259: 1, 262: 1, 273: 8, 277: 1}
    tags |= {278: height, 279: len(data)} | {int(name[1:]): to for name, to in changes.items()}
    data += b"\0" * (len(data) % 2)
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 4, 1) + struct.pack(f"{order}I", value)
        for tag, value in sorted(tags.items())
        if value is not None
    )
    number = sum(value is not None for value in tags.values())
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"".join(
        [
            mark,
            struct.pack(f"{order}I", 8 + len(data)),
            data,
            struct.pack(f"{order}H", number),
            entries,
            struct.pack(f"{order}I", following),
        ]
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("pixels", [GREY, DEEP], ids=["8", "16"])
def test_both_byte_orders_and_white_as_zero_are_read(
    tmp_path: Path, order: str, pixels: Any
) -> None:
    path, white = tmp_path / "x.tif", np.float32(np.iinfo(pixels.dtype).max)
    path.write_bytes(tiff(pixels, order=order))
    upright = stored(path)
    np.testing.assert_array_equal(upright, pixels.astype(np.float32) / white)
    path.write_bytes(tiff(pixels, order=order, t262=0))
    np.testing.assert_array_equal(stored(path), 1 - upright)


@pytest.mark.parametrize("order", "<>")
def test_a_tiff_is_turned_as_it_says(tmp_path: Path, order: str) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(DEEP, order=order, t274=6))
    expected = np.rot90(DEEP, -1).astype(np.float32) / np.float32(65535)
    np.testing.assert_array_equal(stored(path), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tiff(GREY, following=8), "a TIFF of several pages; export the radiograph"),
        (tiff(GREY, t256=60_000, t257=60_000), "60000 by 60000 pixels, too large"),
        (tiff(GREY, t257=0), "40 by 0 pixels|33 by 0 pixels"),
        (tiff(GREY, t262=3), "PhotometricInterpretation 3"),
        (tiff(GREY, t258=1), "1 channels of 1 bits"),
        (tiff(GREY, t339=2), "signed or floating-point"),
        (tiff(GREY, t259=7), "compression JPEG"),
        (tiff(GREY, t259=4), "compression CCITT"),
        (tiff(GREY, t259=12345), "compression number 12345"),
        (tiff(GREY, t266=2), "bits of each byte reversed"),
        (tiff(GREY, t279=40), "too short"),
        (tiff(GREY, t273=1 << 20), "the end is missing"),
        (tiff(GREY, t278=10), "1 of its 4 strips"),
        (tiff(GREY, t273=None), "no pixels"),
        (b"II+\0" + bytes(20), "a BigTIFF"),
        (b"II*\0" + bytes(20), "no directory"),
        (b"MM\0*", "the end is missing"),
    ],
)
def test_what_is_refused_is_named_with_file_and_row(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"x\.tif row 3: .*({message})"):
        load_image(path, size=8, row=3)


def test_several_pages_of_pillow_are_refused(save: Save) -> None:
    path = save(GREY, save_all=True, append_images=[Image.fromarray(GREY)])
    with pytest.raises(ImageError, match="several pages"):
        load_image(path, size=8)


@pytest.mark.parametrize("compression", COMPRESSIONS[1:])
def test_a_tiff_whose_data_ends_early_is_refused(save: Save, compression: str) -> None:
    """The data of the last strip is cut, though its number of bytes is right."""
    content = encoded(DEEP, compression=compression)
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    changed = bytearray(content)
    for position in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, _, number = struct.unpack_from("<HHII", content, position)
        if tag == 279:
            assert kind in (3, 4)
            struct.pack_into("<I", changed, position + 8, number // 2)
    path = save(DEEP)
    path.write_bytes(bytes(changed))
    with pytest.raises(ImageError, match=r"x\.tif: damaged"):
        load_image(path, size=8)


def test_tags_that_name_people_do_not_reach_the_decoder() -> None:
    from rust_tuner.data.bare_image import FileErrors

    content = encoded(GREY, tiffinfo={315: "Jane Doe", 270: "born 1950"})
    assert b"Jane Doe" in content
    bare = read_tiff(content, errors=FileErrors(Path("x.tif"), None))
    assert b"Jane" not in bare.content and b"1950" not in bare.content


FILES = [encoded(pixels, compression=name) for pixels in (GREY, DEEP) for name in COMPRESSIONS]
FILES += [tiff(DEEP, order=">"), encoded(COLOUR, compression="tiff_lzw")]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(FILES)))
    (start,) = struct.unpack_from("<I" if content[:2] == b"II" else ">I", content, 4)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["tag", "tag", "byte", "cut", "repeat"]))
        if kind == "tag" and start + 14 < len(content):
            at = start + 2 + draw(st.integers(0, max(0, len(content) - start - 3)))
            content[at : at + 1] = bytes([draw(st.sampled_from([0, 1, 2, 4, 7, 127, 255]))])
        elif kind == "byte" and content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[draw(st.integers(0, len(content))) :]
        elif kind == "repeat":
            at = draw(st.integers(0, len(content)))
            content[at:at] = content[at : at + 30]
    return bytes(content)


@settings(max_examples=100, deadline=None)
@given(content=damaged())
def test_damaged_files_are_images_or_image_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.tif"
    path.write_bytes(content)
    try:
        loaded = load_image(path, size=8)
    except ImageError as error:
        assert str(path) in str(error)
        return
    assert np.isfinite(loaded).all() and np.abs(loaded).max() <= 1
