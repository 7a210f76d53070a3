"""Pixels of phantoms show what the score says, near the fracture and nowhere else."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.data.drawing import draw_radiograph
from rust_tuner.data.leg import Implant, Outline, sample_anatomy
from rust_tuner.labels import SCORES, VIEWS

ALL_SCORES = st.sampled_from(SCORES)
SEEDS = st.integers(0, 2**32 - 1)


# One leg of each kind quickly, others when there is time.
LEGS = pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """The pictures that several tests look at, which are not kept after them."""
    yield
    drawn_pixels.cache_clear()


@functools.cache
def drawn_pixels(
    view: str, first: Outline, second: Outline, seed: int, implant: Implant
) -> npt.NDArray[np.uint8 | np.uint16]:
    anatomy = dataclasses.replace(
        sample_anatomy(np.random.default_rng(seed)), implant=implant, mirrored=False
    )
    rng = np.random.default_rng(seed)
    return draw_radiograph(view, (first, second), anatomy=anatomy, rng=rng)


def draw(
    view: str,
    first: int,
    second: int,
    *,
    seed: int = 0,
    implant: Implant = "none",
    hidden: tuple[bool, bool] = (False, False),
) -> npt.NDArray[np.float64]:
    """A radiograph in [0, 1] of a leg whose first outline is on the left."""
    outlines = Outline(first, hidden=hidden[0]), Outline(second, hidden=hidden[1])
    pixels = drawn_pixels(view, *outlines, seed, implant)
    return pixels / np.iinfo(pixels.dtype).max


def change(
    view: str,
    side: int,
    *,
    seed: int,
    implant: Implant = "none",
    hidden: tuple[bool, bool] = (False, False),
) -> float:
    """How much the picture changes when one outline goes from score 1 to score 3."""
    before, after = [2, 2], [2, 2]
    before[side], after[side] = 1, 3
    pictures = [
        draw(view, *scores, seed=seed, implant=implant, hidden=hidden) for scores in (before, after)
    ]
    return float(np.abs(pictures[1] - pictures[0]).sum())


@given(
    view=st.sampled_from(VIEWS),
    scores=st.tuples(ALL_SCORES, ALL_SCORES),
    hidden=st.tuples(st.booleans(), st.booleans()),
    seed=SEEDS,
)
@settings(max_examples=12, deadline=None)
def test_every_combination_gives_a_picture_in_range(
    view: str, scores: tuple[int, int], hidden: tuple[bool, bool], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = draw_radiograph(
        view,
        (Outline(scores[0], hidden=hidden[0]), Outline(scores[1], hidden=hidden[1])),
        anatomy=sample_anatomy(rng),
        rng=rng,
    )
    height, width = pixels.shape
    assert 500 <= height <= 1100
    assert 250 <= width <= 600
    assert pixels.dtype in (np.uint8, np.uint16)
    assert pixels.std() > 0


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("score", [2, 3, 4])
def test_a_score_changes_pixels_only_near_the_fracture(view: str, score: int) -> None:
    difference = np.abs(draw(view, 1, 1) - draw(view, score, 1))
    rows = np.arange(len(difference)) / len(difference)
    far = (rows < 0.1) | (rows > 0.9)
    assert difference[far].max() < 0.01
    assert difference[~far].max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("darker", "brighter"),
    [(1, 2), (1, 3), (1, 4), (2, 3), (4, 3)],
    ids=lambda score: f"score {score}",
)
def test_lines_are_dark_and_callus_is_bright(view: str, darker: int, brighter: int) -> None:
    for seed in range(3):
        difference = draw(view, brighter, brighter, seed=seed) - draw(
            view, darker, darker, seed=seed
        )
        assert difference[np.abs(difference) > 0.05].mean() > 0


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("score", [2, 3, 4])
def test_each_outline_shows_its_own_score_on_its_own_side(view: str, score: int) -> None:
    middles = []
    for scores in ((score, 1), (1, score)):
        difference = np.abs(draw(view, *scores) - draw(view, 1, 1))
        columns = difference.sum(axis=0)
        middles.append((columns * np.arange(columns.size)).sum() / columns.sum())
    assert middles[1] - middles[0] > 0.1 * difference.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("side", [0, 1])
@LEGS
def test_hiding_a_cortex_covers_its_score_and_leaves_the_other(
    view: str, side: int, seed: int
) -> None:
    hidden = (side == 0, side == 1)
    covered = change(view, side, seed=seed, hidden=hidden)
    assert covered < 0.3 * change(view, side, seed=seed)
    other = change(view, 1 - side, seed=seed, hidden=hidden)
    assert other > 0.9 * change(view, 1 - side, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
@LEGS
def test_hiding_both_cortices_covers_both_scores(view: str, seed: int) -> None:
    for side in (0, 1):
        covered = change(view, side, seed=seed, hidden=(True, True))
        assert covered < 0.15 * change(view, side, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("implant", ["nail", "plate"])
@LEGS
def test_an_implant_leaves_both_scores_in_sight(view: str, implant: Implant, seed: int) -> None:
    for side in (0, 1):
        assert change(view, side, seed=seed, implant=implant) > 0.8 * change(view, side, seed=seed)


def test_the_fibula_stands_apart_in_the_ap_view_and_overlaps_in_the_lateral_view() -> None:
    def separate_bones(view: str, seed: int) -> int:
        picture = draw(view, 4, 4, seed=seed)
        above_the_fracture = slice(int(0.20 * len(picture)), int(0.24 * len(picture)))
        across = np.convolve(picture[above_the_fracture].mean(axis=0), np.ones(5) / 5, "same")
        is_bone = np.concatenate([[False], across > 0.5 * across.max()])
        return int((is_bone[1:] & ~is_bone[:-1]).sum())

    for seed in range(6):
        assert separate_bones("ap", seed) == 2
        assert separate_bones("lateral", seed) == 1
