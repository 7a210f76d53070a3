"""Images: depth, range and shape are kept, and what cannot be decoded is named.

Long because each kind of file that may come is drawn here and read back.
"""

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rust_tuner.data.images import check_content, images_sha256, load_image
from rust_tuner.data.manifest import Radiographs
from rust_tuner.errors import ImageError, ManifestError

Pixels = npt.NDArray[Any]


def noise(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(folder: Path, pixels: Pixels | Image.Image, name: str = "x.png", **options: Any) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(folder / name, **options)
    return folder / name


def raw_png(*, width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of any header, also of those that Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def radiographs_of(paths: list[Path], patients: list[str] | None = None) -> Radiographs:
    return Radiographs(
        pd.DataFrame(
            {
                "image": [str(path) for path in paths],
                "patient_id": patients or [f"p{n}" for n in range(len(paths))],
                "visit": [str(n) for n in range(len(paths))],
                "view": "ap",
                "medial": 1,
                "lateral": None,
                "anterior": None,
                "posterior": None,
            }
        ),
        source="m.csv",
    )


@pytest.mark.parametrize("shape", [(400, 300, 3), (500, 700, 3), (100, 80, 3), (299, 299, 3)])
def test_squash_agrees_with_resizing_in_8_bits(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    loaded = load_image(save(tmp_path, pixels))
    reference = Image.fromarray(pixels).resize((299, 299), Image.Resampling.BILINEAR)
    assert loaded.shape == (299, 299, 3)
    assert loaded.dtype == np.float32
    in_8_bits = (loaded + 1) / 2 * 255
    assert np.abs(in_8_bits - np.asarray(reference, dtype=np.float64)).max() <= 1.0


def test_an_image_of_the_right_size_is_not_changed(tmp_path: Path) -> None:
    pixels = noise(32, 32)
    loaded = load_image(save(tmp_path, pixels), size=32)
    for channel in range(3):
        np.testing.assert_allclose(loaded[:, :, channel], pixels / 127.5 - 1, atol=1e-6)


def test_sixteen_bits_keep_more_than_256_levels(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 600).astype(np.uint16), (50, 1))
    loaded = load_image(save(tmp_path, ramp))
    assert len(np.unique(loaded)) > 256
    assert loaded.min() == pytest.approx(-1, abs=0.01)
    assert loaded.max() == pytest.approx(1, abs=0.01)
    narrow = np.tile(np.arange(30000, 30032, dtype=np.uint16), (32, 1))
    assert len(np.unique(load_image(save(tmp_path, narrow), size=32))) == 32


def test_sixteen_bits_are_scaled_over_their_whole_range(tmp_path: Path) -> None:
    deep = load_image(save(tmp_path, np.full((8, 8), 4095, dtype=np.uint16)), size=8)
    np.testing.assert_allclose(deep, 4095 / 65535 * 2 - 1, atol=1e-6)


def test_grey_in_any_mode_is_the_same_image(tmp_path: Path) -> None:
    grey = Image.fromarray(noise(40, 30))
    reference = load_image(save(tmp_path, grey))
    deep = np.asarray(grey).astype(np.uint16) * 257
    palette = grey.convert("P")
    for image in (grey.convert("RGB"), grey.convert("LA"), grey.convert("RGBA"), deep, palette):
        np.testing.assert_array_equal(load_image(save(tmp_path, image)), reference)


def test_colour_is_kept(tmp_path: Path) -> None:
    red = load_image(save(tmp_path, Image.new("RGB", (9, 9), (255, 0, 51))), size=9)
    np.testing.assert_allclose(red[4, 4], [1, -1, -0.6], atol=1e-6)
    palette = Image.new("RGB", (9, 9), (255, 0, 51)).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_allclose(load_image(save(tmp_path, palette), size=9)[4, 4], red[4, 4])


def test_black_and_white_of_one_bit(tmp_path: Path) -> None:
    loaded = load_image(save(tmp_path, Image.new("1", (5, 5), 1)), size=5)
    np.testing.assert_array_equal(loaded, 1)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_lies_over_black(tmp_path: Path, mode: str) -> None:
    pixels = np.full((4, 4, len(mode)), 200, dtype=np.uint8)
    pixels[:2, :, -1] = 0
    pixels[2:, :, -1] = 51
    loaded = load_image(save(tmp_path, Image.fromarray(pixels)), size=4)
    np.testing.assert_array_equal(loaded[:2], -1)
    np.testing.assert_allclose(loaded[2:], 200 / 255 * 0.2 * 2 - 1, atol=1e-6)


def test_a_jpeg_is_turned_as_its_orientation_says(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16), dtype=np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = load_image(save(tmp_path, pixels, "x.jpg", exif=exif, quality=95), size=16)
    assert turned[:, 9:].min() > 0.9
    assert turned[:, :7].max() < -0.9


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 120), width=st.integers(1, 120), size=st.integers(8, 64))
def test_letterbox_keeps_the_aspect_ratio_in_the_middle(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, size: int
) -> None:
    path = save(tmp_path_factory.mktemp("box"), np.full((height, width), 255, dtype=np.uint8))
    loaded = load_image(path, size=size, resize="letterbox")
    assert loaded.shape == (size, size, 3)
    assert set(np.unique(loaded)) <= {-1.0, 1.0}
    rows, columns = (loaded[:, :, 0] == 1).any(axis=1), (loaded[:, :, 0] == 1).any(axis=0)
    for filled, side in ((rows, height), (columns, width)):
        assert abs(filled.sum() - max(1, side * size / max(height, width))) <= 0.5
        before, after = np.argmax(filled), np.argmax(filled[::-1])
        assert 0 <= after - before <= 1
        assert filled.sum() + before + after == size


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    deep=st.booleans(),
    resize=st.sampled_from(["squash", "letterbox"]),
    seed=st.integers(0, 99),
)
def test_values_stay_in_range(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    deep: bool,
    resize: Any,
    seed: int,
) -> None:
    pixels = noise(height, width, seed=seed)
    path = save(
        tmp_path_factory.mktemp("range"), pixels.astype(np.uint16) * 257 if deep else pixels
    )
    loaded = load_image(path, size=31, resize=resize)
    assert loaded.shape == (31, 31, 3)
    assert loaded.dtype == np.float32
    assert loaded.min() >= -1 and loaded.max() <= 1


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_an_image_that_lacks_its_end_is_refused(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, noise(60, 50), name)
    content = path.read_bytes()
    # The last 4 bytes of a PNG are the checksum of its empty end mark: nothing is lost with them.
    for cut in (*range(5, 40), *range(40, len(content) - 1, 97)):
        path.write_bytes(content[:-cut])
        with pytest.raises(
            ImageError, match=r"row 7: .*(truncated|neither PNG, JPEG, TIFF nor DICOM)"
        ):
            load_image(path, row=7)


def test_a_jpeg_without_its_last_bytes_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, noise(60, 50), "x.jpg")
    content = path.read_bytes()
    for cut in range(1, 5):
        path.write_bytes(content[:-cut])
        with pytest.raises(ImageError, match="truncated"):
            load_image(path)


def test_bytes_after_the_end_of_a_jpeg_do_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path, noise(60, 50), "x.jpg")
    whole = load_image(path)
    path.write_bytes(path.read_bytes() + bytes(10_000))
    np.testing.assert_array_equal(load_image(path), whole)


def test_a_changed_byte_in_a_png_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path, noise(60, 50))
    content = bytearray(path.read_bytes())
    for place in range(50, len(content) - 20, 61):
        changed = content.copy()
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ImageError, match="damaged or truncated"):
            load_image(path)


DEEP_ROW = b"\0" + bytes(range(48)) * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; copy or export it again"),
        (b"patient,score\n1,2\n", "neither PNG, JPEG, TIFF nor DICOM; export it again"),
        (b"BM" + bytes(60), "neither PNG, JPEG, TIFF nor DICOM"),
        (
            raw_png(width=8, height=2, depth=16, colour=2, rows=DEEP_ROW * 2),
            r"16 bits in colour or with transparency \(RGB;16B\), which would lose its depth",
        ),
        (
            raw_png(width=12, height=2, depth=16, colour=6, rows=DEEP_ROW * 2),
            r"16 bits in colour or with transparency \(RGBA;16B\)",
        ),
        (
            raw_png(width=24, height=2, depth=16, colour=4, rows=DEEP_ROW * 2),
            r"16 bits in colour or with transparency \(LA;16B\)",
        ),
        (
            raw_png(width=0, height=2, depth=8, colour=0, rows=b"\0\0"),
            "0 by 2 pixels; export it again",
        ),
        (
            raw_png(width=60_000, height=60_000, depth=8, colour=0, rows=b""),
            "60000 by 60000 pixels, too large for a radiograph; expected at most 89478485 pixels",
        ),
    ],
)
def test_what_cannot_be_decoded_is_named_with_its_row(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"x\.png row 3: ({message})"):
        load_image(tmp_path / "x.png", row=3)
    with pytest.raises(ImageError, match=rf"x\.png: ({message})"):
        load_image(tmp_path / "x.png")


def test_deep_grey_of_any_writer_is_read(tmp_path: Path) -> None:
    row = b"\0" + np.array([0, 256, 65535], dtype=">u2").tobytes()
    content = raw_png(width=3, height=3, depth=16, colour=0, rows=row * 3)
    (tmp_path / "x.png").write_bytes(content)
    expected = np.array([0, 256, 65535]) / 65535 * 2 - 1
    np.testing.assert_allclose(load_image(tmp_path / "x.png", size=3)[1, :, 0], expected, atol=1e-6)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png row 4: no such file; check the path"):
        load_image(tmp_path / "gone.png", row=4)
    with pytest.raises(ImageError, match="cannot be read"):
        load_image(tmp_path)


def test_other_colour_modes_and_animations_are_refused(tmp_path: Path) -> None:
    cmyk = save(tmp_path, Image.new("CMYK", (8, 8)), "x.jpg")
    with pytest.raises(ImageError, match="colour mode CMYK, expected greyscale or RGB"):
        load_image(cmyk)
    frames = [Image.fromarray(noise(8, 8, seed=n)) for n in range(2)]
    moving = save(tmp_path, frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="an animation"):
        load_image(moving)
    clear = save(tmp_path, np.zeros((4, 4, 4), dtype=np.uint8), "clear.png")
    with pytest.raises(ImageError, match="every pixel is transparent"):
        load_image(clear)


def test_another_way_to_resize_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="resize='crop'; expected squash or letterbox"):
        load_image(save(tmp_path, noise(8, 8)), resize="crop")  # type: ignore[arg-type]


def test_content_of_different_images_passes_and_gives_the_hashes_of_the_files(
    tmp_path: Path,
) -> None:
    paths = [save(tmp_path, noise(20, 20, seed=n), f"{n}.png") for n in range(5)]
    seen: list[tuple[int, int]] = []
    hashes = check_content(
        radiographs_of(paths), on_progress=lambda done, total: seen.append((done, total))
    )
    assert hashes == tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    assert seen == [(n + 1, 5) for n in range(5)]


def test_all_faults_of_content_are_told_together_the_gravest_first(tmp_path: Path) -> None:
    pixels = noise(20, 20)
    paths = [
        save(tmp_path, pixels, "a.png"),
        save(tmp_path, noise(20, 20, seed=1), "b.png"),
        save(tmp_path, pixels, "same_patient.png", compress_level=0),
        tmp_path / "empty.png",
        save(tmp_path, pixels, "other_patient.png"),
    ]
    paths[3].touch()
    with pytest.raises(ManifestError) as caught:
        check_content(radiographs_of(paths, ["p", "q", "p", "r", "s"]))
    grave, same, empty = str(caught.value).splitlines()
    assert grave.startswith("m.csv row 6: image=")
    assert "same picture as row 2, which belongs to patient p, but this row to patient s;" in grave
    assert same.startswith("m.csv row 4: image=")
    assert "same picture as row 2, of the same patient; remove one of the two" in same
    assert empty.startswith("m.csv row 5: image=")
    assert "empty.png: the file is empty" in empty


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "deep", "palette", "metadata"])
def test_a_copy_saved_in_another_form_is_found(tmp_path: Path, kind: str) -> None:
    grey = Image.fromarray(noise(20, 20))
    copies: dict[str, Pixels | Image.Image] = {
        "RGB": grey.convert("RGB"),
        "RGBA": grey.convert("RGBA"),
        "deep": np.asarray(grey).astype(np.uint16) * 257,
        "palette": grey.convert("P"),
        "metadata": grey,
    }
    copy = save(tmp_path, copies[kind], "copy.png", dpi=(300, 300))
    original = save(tmp_path, grey, "original.png")
    assert original.read_bytes() != copy.read_bytes()
    with pytest.raises(ManifestError, match="the same picture as row 2"):
        check_content(radiographs_of([original, copy]))


def test_a_picture_of_another_shape_is_another_picture(tmp_path: Path) -> None:
    pixels = noise(10, 20)
    paths = [save(tmp_path, pixels, "a.png"), save(tmp_path, pixels.reshape(20, 10), "b.png")]
    assert len(check_content(radiographs_of(paths))) == 2


def test_a_file_that_is_broken_in_memory_is_still_an_image_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise(30, 30)).save(buffer, "JPEG")
    rng = np.random.default_rng(0)
    path = tmp_path / "x.jpg"
    refused = 0
    for _ in range(200):
        content = bytearray(buffer.getvalue())
        content[rng.integers(2, len(content) - 2)] = rng.integers(256)
        path.write_bytes(content)
        try:
            assert load_image(path, size=16).shape == (16, 16, 3)
        except ImageError:
            refused += 1
    assert refused > 0


def test_whose_image_a_file_is_is_told_whatever_the_order_of_rows(tmp_path: Path) -> None:
    paths = [save(tmp_path, noise(9, 9, seed=n), f"{n}.png") for n in range(3)]
    radiographs = radiographs_of(paths)
    hashes = ["a", "b", "c"]
    text = images_sha256(radiographs, hashes)
    assert images_sha256(radiographs.subset([2, 0, 1]), ["c", "a", "b"]) == text
    assert images_sha256(radiographs, ["b", "a", "c"]) != text
