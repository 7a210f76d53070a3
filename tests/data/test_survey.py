"""What a file says about itself, and how files that belong to no study are read."""

import io
from pathlib import Path

import numpy as np
import pytest
from image_bytes import join_png, png_chunks
from PIL import Image

from rust_tuner.data.images import load_image
from rust_tuner.data.reading import AS_STORED, Framing, Reading
from rust_tuner.data.survey import readings_of_new, survey
from rust_tuner.errors import ImageError


def deep(folder: Path, highest: int, *, name: str = "x.png", sbit: int | None = None) -> Path:
    pixels = np.linspace(0, highest, 30 * 20).astype(np.uint16).reshape(20, 30)
    return save(folder, pixels, name=name, sbit=sbit)


def save(folder: Path, pixels: object, *, name: str = "x.png", sbit: int | None = None) -> Path:
    assert isinstance(pixels, np.ndarray)
    path = folder / name
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG" if name.endswith("png") else "TIFF")
    content = stream.getvalue()
    if sbit is not None:
        chunks = png_chunks(content)
        content = join_png([chunks[0], (b"sBIT", bytes([sbit])), *chunks[1:]])
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("highest", "sbit", "bits"),
    [
        # Not scaled, as many programs do.
        (4095, 12, 12),
        (700, 12, 12),
        # Scaled to 16 bits, as the standard says.
        (65535, 12, 16),
        (4095, None, None),
        (700, 16, 16),
    ],
)
def test_bits_that_a_png_states_are_used(
    tmp_path: Path, highest: int, sbit: int | None, bits: int | None
) -> None:
    path = deep(tmp_path, highest, sbit=sbit)
    (image,) = survey([path], [AS_STORED])
    assert not isinstance(image, ImageError)
    assert (image.kind, image.highest, image.stated_bits) == ("PNG", highest, bits)


def test_a_dark_png_that_is_scaled_as_the_standard_says_is_not_brightened(tmp_path: Path) -> None:
    pixels = (np.arange(600, dtype=np.uint16) % 100 * 16).reshape(20, 30)
    (image,) = survey([save(tmp_path, pixels, sbit=12)], [AS_STORED])
    assert not isinstance(image, ImageError)
    assert image.stated_bits == 16


def test_8_bits_and_colour_have_no_bits_to_decide(tmp_path: Path) -> None:
    grey = np.zeros((9, 9), np.uint8)
    paths = [save(tmp_path, grey), save(tmp_path, np.zeros((9, 9, 3), np.uint8), name="c.tif")]
    for image in survey(paths, [AS_STORED] * 2):
        assert not isinstance(image, ImageError)
        assert image.highest is None


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_new_files_are_read_as_those_of_the_study(tmp_path: Path, name: str) -> None:
    dark = deep(tmp_path, 900, name=name)
    assert readings_of_new([dark], known=None) == (AS_STORED,)
    assert readings_of_new([dark], known=[12]) == (Reading(12),)
    framing = Framing.of("none", True)
    (reading,) = readings_of_new([dark], known=[10], framing=framing)
    assert reading == Reading(10, framing=framing)


def test_new_files_of_two_scanners_are_read_as_each_of_them_alone(tmp_path: Path) -> None:
    paths = []
    for folder, highest, count in (("a", 4095, 2), ("b", 65535, 8)):
        (tmp_path / folder).mkdir()
        paths += [deep(tmp_path / folder, highest, name=f"{i}.png") for i in range(count)]
    together = readings_of_new(paths, known=[12, 16])
    assert together == tuple(readings_of_new([path], known=[12, 16])[0] for path in paths)
    assert [reading.bits for reading in together] == [12] * 2 + [16] * 8


def test_how_new_files_are_read_is_said(tmp_path: Path) -> None:
    paths = [deep(tmp_path, 900, name="x.png"), deep(tmp_path, 65535, name="y.png")]
    notes: list[str] = []
    readings = readings_of_new(paths, known=[12], say=notes.append)
    assert [reading.bits for reading in readings] == [16, 16]
    (note,) = notes
    assert "at most 10 bits" in note
    assert "read with 16 bits" in note


def test_bits_that_a_person_gives_new_files_are_used(tmp_path: Path) -> None:
    paths = [deep(tmp_path, 900, name="x.png"), deep(tmp_path, 65535, name="y.png")]
    paths.append(save(tmp_path, np.zeros((9, 9), np.uint8), name="z.png"))
    found = readings_of_new(paths, known=[16], given=[10, None, 12])
    assert [reading.bits for reading in found] == [10, 16, 16]
    # This model reads all files as they are stored.
    assert set(readings_of_new(paths, known=None, given=[10, None, 12])) == {AS_STORED}


def test_white_as_zero_is_inverted_within_the_bits_that_are_used(tmp_path: Path) -> None:
    """A 12-bit TIFF whose largest value is black."""
    path = deep(tmp_path, 4095, name="x.tif")
    upright = load_image(path, size=30, reading=Reading(12))
    content = path.read_bytes()
    at = content.index(bytes([6, 1, 3, 0, 1, 0, 0, 0, 1, 0]))
    path.write_bytes(content[: at + 8] + b"\0" + content[at + 9 :])
    np.testing.assert_allclose(load_image(path, size=30, reading=Reading(12)), -upright, atol=1e-5)


def test_a_file_that_cannot_be_decoded_is_returned_as_its_error(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (error,) = survey([tmp_path / "x.png"], [AS_STORED])
    assert isinstance(error, ImageError)
