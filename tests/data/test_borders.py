"""Uniform borders are found whatever their brightness; a picture without them stays whole."""

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.data.borders import SIDE, inner_box

Small = npt.NDArray[np.float32]


def picture(*, level: float, top: int = 40, left: int = 20, noise: float = 0.002) -> Small:
    rng = np.random.default_rng(0)
    values = level + rng.normal(0, noise, (SIDE, SIDE))
    inner = (SIDE - 2 * top, SIDE - 2 * left)
    values[top : SIDE - top, left : SIDE - left] = rng.random(inner)
    return np.clip(values, 0, 1).astype(np.float32)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1.0, 1 / 16])
def test_borders_of_any_brightness_are_found(level: float, scale: float) -> None:
    small = picture(level=level) * np.float32(scale)
    assert inner_box(small, width=2 * SIDE, height=SIDE) == (40, 40, 472, 216)


def test_markers_in_a_border_are_removed_with_it() -> None:
    small = picture(level=0)
    small[5:20, 5:20] = 1
    assert inner_box(small, width=SIDE, height=SIDE) == (20, 40, 236, 216)


def test_pictures_without_borders_and_uniform_ones_stay_whole() -> None:
    rng = np.random.default_rng(0)
    whole = (0, 0, 300, 200)
    assert inner_box(rng.random((SIDE, SIDE), np.float32), width=300, height=200) == whole
    for value in (0, 1):
        flat = np.full((SIDE, SIDE), value, np.float32)
        assert inner_box(flat, width=300, height=200) == whole


def test_a_picture_of_which_little_would_be_left_stays_whole() -> None:
    small = picture(level=0, top=100, left=20)
    left, top, right, bottom = inner_box(small, width=SIDE, height=SIDE)
    assert (top, bottom) == (0, SIDE) and (left, right) == (20, SIDE - 20)


def test_a_tiny_picture_keeps_a_pixel() -> None:
    left, top, right, bottom = inner_box(picture(level=0), width=1, height=2)
    assert (left, right) == (0, 1) and top < bottom
