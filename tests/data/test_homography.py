"""Laying one picture onto another: what was done is found, and told from a stretch."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from rust_tuner.data.homography import (
    fit,
    keeping_shape,
    movement,
    project,
    sample,
    square_grid,
    without_stretch,
)

SIDE = 64


def turned_and_scaled(degrees: int, scale: float, slant: float = 0.0) -> npt.NDArray[np.float32]:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    homography = [
        [scale * cosine, -scale * sine, 0.01],
        [scale * sine, scale * cosine, -0.02],
        [0, slant, 1],
    ]
    return np.array([homography], dtype=np.float32)


def seen_through(
    picture: npt.NDArray[np.float32], homography: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """What a picture shows under a homography, (1, side, side)."""
    across, down, _ = project(homography, *square_grid(SIDE, 1 - 1 / SIDE))
    return sample(picture[..., None], across, down)[..., 0].reshape(1, SIDE, SIDE)


@pytest.fixture
def picture() -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(0).standard_normal((1, SIDE, SIDE))
    return gaussian_filter(noise, (0, 2.5, 2.5)).astype(np.float32)


def test_the_identity_gives_back_every_pixel(picture: npt.NDArray[np.float32]) -> None:
    same = seen_through(picture, np.eye(3, dtype=np.float32)[None])
    np.testing.assert_allclose(same, picture, atol=1e-3)


@pytest.mark.parametrize("sign", (1, -1))
@pytest.mark.parametrize(
    ("degrees", "scale", "slant"), [(0, 0.95, 0), (2, 1, 0), (-1, 0.97, 0), (0, 0.97, 0.03)]
)
def test_what_was_done_to_a_picture_is_found(
    picture: npt.NDArray[np.float32], degrees: int, scale: float, slant: float, sign: int
) -> None:
    truth = turned_and_scaled(degrees, scale, slant)
    copy = sign * seen_through(picture, truth)
    start = np.eye(3, dtype=np.float32)[None]
    fitted, alike = fit(copy, picture, start, points=48, steps=12)
    assert alike[0] > 0.98
    np.testing.assert_allclose(fitted, truth, atol=0.012)
    moved = movement(fitted, np.ones(1, np.float32), np.ones(1, np.float32))
    assert moved.degrees[0] == pytest.approx(degrees, abs=0.3)
    assert moved.scale[0] == pytest.approx(scale, abs=0.01)
    assert moved.is_a_copys[0]


def test_a_turn_of_a_narrow_picture_is_a_turn_and_no_stretch() -> None:
    """Squashed to a square, a turned picture is sheared; its aspect ratio tells that it is not."""
    aspect = np.array([0.5], dtype=np.float32)
    squash = np.diag([2.0, 1, 1]).astype(np.float32)
    homography = squash @ turned_and_scaled(4, 1) @ np.linalg.inv(squash)
    moved = movement(homography.astype(np.float32), aspect, aspect)
    assert moved.is_a_copys[0]
    assert moved.in_words(0) == "turned by 4.0 degrees"
    as_square = movement(homography.astype(np.float32), aspect * 2, aspect * 2)
    assert not as_square.is_a_copys[0]


def test_a_stretch_is_no_copys() -> None:
    stretched = np.diag([0.8, 1, 1]).astype(np.float32)[None]
    square = np.ones(1, dtype=np.float32)
    assert not movement(stretched, square, square).is_a_copys[0]


def test_a_fit_that_keeps_the_shape_scales_turns_and_shifts_only(
    picture: npt.NDArray[np.float32],
) -> None:
    aspect = np.array([0.5], dtype=np.float32)
    copy = seen_through(picture, np.diag([0.9, 1, 1]).astype(np.float32)[None])
    start = np.eye(3, dtype=np.float32)[None]
    along = keeping_shape(aspect, aspect)
    fitted, _ = fit(copy, picture, start, points=48, steps=6, directions=along)
    moved = movement(fitted, aspect, aspect)
    assert moved.stretch[0] == pytest.approx(1, abs=1e-3)
    assert moved.slant[0] == 0


def test_a_stretch_is_taken_out_of_a_start_and_a_turn_is_not() -> None:
    aspect = np.array([0.5], dtype=np.float32)
    squash = np.diag([2.0, 1, 1])
    start = squash @ np.diag([0.8, 1, 1]) @ turned_and_scaled(3, 1) @ np.linalg.inv(squash)
    moved = movement(without_stretch(start.astype(np.float32), aspect, aspect), aspect, aspect)
    assert moved.stretch[0] == pytest.approx(1, abs=1e-3)
    assert moved.scale[0] == pytest.approx(0.9, abs=0.01)
    assert moved.degrees[0] == pytest.approx(3, abs=0.3)


def test_without_common_ground_nothing_is_alike(picture: npt.NDArray[np.float32]) -> None:
    away = np.array([[[1, 0, 1.5], [0, 1, 0], [0, 0, 1]]], dtype=np.float32)
    assert fit(picture, picture, away, points=32, steps=0)[1][0] == 0
