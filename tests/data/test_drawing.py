"""Drawing: a picture is a function of leg, scores and generator, and each leg is its own."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.data.drawing import draw_radiograph
from rust_tuner.data.leg import Anatomy, Outline, sample_anatomy


def anatomies(number: int) -> list[Anatomy]:
    return [sample_anatomy(np.random.default_rng(seed)) for seed in range(number)]


def draw(
    view: str = "ap",
    scores: tuple[int, int] = (1, 1),
    *,
    anatomy: Anatomy | None = None,
    seed: int = 0,
) -> npt.NDArray[np.unsignedinteger]:
    return draw_radiograph(
        view,
        (Outline(scores[0]), Outline(scores[1])),
        anatomy=anatomy or anatomies(1)[0],
        rng=np.random.default_rng(seed),
    )


def middle_of_change(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> tuple[float, ...]:
    """Where pictures differ: the mean row and column as shares of the picture."""
    change = np.abs(one.astype(float) - other.astype(float))
    rows, columns = np.indices(change.shape)
    return tuple(
        float((axis * change).sum() / change.sum() / size)
        for axis, size in zip((rows, columns), change.shape, strict=True)
    )


def test_the_generator_decides_every_pixel_and_the_global_state_none() -> None:
    first = draw(seed=3)
    np.random.seed(1)
    before = np.random.get_state()
    np.testing.assert_array_equal(draw(seed=3), first)
    np.testing.assert_equal(np.random.get_state(), before)
    other = draw(seed=4)
    assert other.shape != first.shape or not np.array_equal(other, first)


def test_no_draw_depends_on_a_score() -> None:
    generators = [np.random.default_rng(5) for _ in range(3)]
    (anatomy,) = anatomies(1)
    for rng, outlines in zip(
        generators,
        [
            (Outline(1), Outline(1)),
            (Outline(4), Outline(2)),
            (Outline(3, hidden=True), Outline(2, hidden=True)),
        ],
        strict=True,
    ):
        draw_radiograph("lateral", outlines, anatomy=anatomy, rng=rng)
    assert len({rng.integers(2**62) for rng in generators}) == 1


def test_legs_are_treated_as_often_and_lie_within_what_is_drawn() -> None:
    legs = anatomies(2000)
    kinds = [leg.implant for leg in legs]
    # The standard error of a share is at most 0.0112.
    for kind, share in (("nail", 0.55), ("plate", 0.20), ("none", 0.25)):
        assert kinds.count(kind) / len(legs) == pytest.approx(share, abs=0.04)  # type: ignore[arg-type]
    assert np.mean([leg.mirrored for leg in legs]) == pytest.approx(0.5, abs=0.04)
    assert all(0.38 <= leg.fracture_height <= 0.62 for leg in legs)
    assert all(leg.callus_height < leg.half_width for leg in legs)
    assert len({leg.half_width for leg in legs}) == len(legs)


@pytest.mark.slow
@pytest.mark.parametrize("view", ["ap", "lateral"])
def test_the_other_leg_has_its_first_outline_on_the_other_side(view: str) -> None:
    for seed, leg in enumerate(anatomies(3)):
        sides = []
        for mirrored in (False, True):
            anatomy = dataclasses.replace(leg, implant="none", mirrored=mirrored)
            pictures = [draw(view, (s, 1), anatomy=anatomy, seed=seed) for s in (1, 3)]
            sides.append(middle_of_change(*pictures)[1])
        assert sides[0] < sides[1]


@pytest.mark.parametrize("height", [0.40, 0.60])
def test_the_score_shows_at_the_height_of_the_fracture(height: float) -> None:
    anatomy: Anatomy = dataclasses.replace(
        anatomies(1)[0], implant="none", fracture_height=height, slopes=(0.0, 0.0)
    )
    for seed in range(3):
        pictures = [draw(scores=(s, s), anatomy=anatomy, seed=seed) for s in (1, 3)]
        assert middle_of_change(*pictures)[0] == pytest.approx(height, abs=0.06)


def test_an_implant_is_the_brightest_thing_in_the_picture() -> None:
    for seed in range(3):
        bright = {}
        for implant in ("none", "nail", "plate"):
            anatomy = dataclasses.replace(anatomies(3)[seed], implant=implant)
            picture = draw(anatomy=anatomy, seed=seed)
            bright[implant] = np.quantile(picture / np.iinfo(picture.dtype).max, 0.99)
        assert bright["none"] < min(bright["nail"], bright["plate"])


def test_pictures_of_sixteen_bits_use_their_range() -> None:
    for seed in range(60):
        picture = draw(seed=seed)
        if picture.dtype == np.uint16:
            assert picture.max() > 255 * 128
            assert len(np.unique(picture)) > 1000
            return
    pytest.fail("none of 60 pictures has 16 bits; one in eight is to have them")
