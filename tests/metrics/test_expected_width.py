"""The expected width of an interval: as wide as the package's own intervals will be."""

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.labels import encode, visible_mask
from rust_tuner.metrics import auroc_intervals
from rust_tuner.metrics.expected_width import (
    _readings,
    expected_half_width,
    expected_resolution,
    patients_for,
)


def radiographs(
    num_patients: int,
    seed: int = 0,
    *,
    shares: tuple[float, float, float, float] = (0.25, 0.25, 0.25, 0.25),
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Labels, visibility and patients: an AP and a lateral view each, scores of these shares."""
    rng = np.random.default_rng(seed)
    scores = np.full((2 * num_patients, 4), np.nan)
    scores[::2, :2] = rng.choice([1, 2, 3, 4], p=shares, size=(num_patients, 2))
    scores[1::2, 2:] = rng.choice([1, 2, 3, 4], p=shares, size=(num_patients, 2))
    views = ["ap", "lateral"] * num_patients
    return encode(views, scores), visible_mask(scores), np.repeat(np.arange(num_patients), 2)


# 5 patients, and rare scores among few patients, are the worst corners.
@pytest.mark.parametrize("num_patients", [5, 10, 60])
@pytest.mark.parametrize("shares", [(0.25, 0.25, 0.25, 0.25), (0.85, 0.05, 0.05, 0.05)])
def test_it_is_about_the_half_width_of_bootstrap_intervals_of_other_readers(
    num_patients: int, shares: tuple[float, float, float, float]
) -> None:
    labels, visible, owners = radiographs(num_patients, shares=shares)
    expected = expected_half_width(labels, visible, owners)
    truth = labels[:, 2:].astype(float)
    rng = np.random.default_rng(7)
    halves = []
    for _ in range(3):
        (scores,) = _readings(truth, owners, rng, readers=1)
        found = auroc_intervals(
            truth, scores, owners, visible, method="bca", num_resamples=300
        ).macro
        halves.append((found.high - found.low) / 2)
    # Score intervals are wider than the bootstrap's with few patients, and cover as promised.
    assert 0.8 < expected / np.mean(halves) < 1.6


@pytest.mark.slow
def test_it_falls_with_the_square_root_of_the_number_of_patients() -> None:
    few = expected_half_width(*radiographs(60))
    many = expected_half_width(*radiographs(240))
    assert few / many == pytest.approx(2, rel=0.15)
    assert patients_for(*radiographs(60), wanted=many) == pytest.approx(240, rel=0.2)
    assert patients_for(*radiographs(60), wanted=few) == pytest.approx(60, rel=0.2)


def test_the_numbers_that_a_small_study_is_told() -> None:
    assert 0.08 < expected_half_width(*radiographs(10)) < 0.18
    assert 0.03 < expected_half_width(*radiographs(60)) < 0.06


@pytest.mark.parametrize("num_patients", [1, 2, 4])
def test_there_is_none_where_there_will_be_no_interval(num_patients: int) -> None:
    assert np.isnan(expected_half_width(*radiographs(num_patients)))


@pytest.mark.slow
def test_more_patients_and_fewer_trials_resolve_smaller_differences() -> None:
    def resolution(num_patients: int, num_trials: int) -> float:
        labels, visible, owners = radiographs(num_patients)
        folds = [
            (np.flatnonzero(owners % 4 != fold), np.flatnonzero(owners % 4 == fold))
            for fold in range(4)
        ]
        return expected_resolution(labels, visible, owners, folds, num_trials=num_trials)

    assert resolution(200, 20) < resolution(40, 20) < resolution(40, 100)


def test_the_same_labels_give_the_same_number() -> None:
    assert expected_half_width(*radiographs(10)) == expected_half_width(*radiographs(10))
