"""The interval of a cross-validation's mean: the corrected test's own, and wide enough."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import RepeatedKFold, ShuffleSplit

from experiments.fold_intervals import cells, coverage
from rust_tuner.errors import MetricError
from rust_tuner.metrics import corrected_t_test
from rust_tuner.metrics.fold_interval import UNIT, fold_interval


@pytest.mark.parametrize("num_folds", [2, 3, 6, 10])
def test_it_ends_where_the_corrected_test_rejects_at_5_percent(num_folds: int) -> None:
    scores = np.random.default_rng(num_folds).normal(0.8, 0.02, num_folds)
    found = fold_interval(scores)
    assert found.value == pytest.approx(scores.mean())
    for end in (found.low, found.high):
        test = corrected_t_test(scores, np.full(num_folds, end), num_folds - 1, 1)
        assert test.p_value == pytest.approx(0.05)


def test_without_shared_data_it_is_students_interval() -> None:
    scores = np.random.default_rng(0).normal(0.8, 0.02, 8)
    found = fold_interval(scores, overlap=1e-12)
    expected = stats.t.interval(0.95, 7, scores.mean(), stats.sem(scores))
    assert (found.low, found.high) == pytest.approx(expected)


def test_a_larger_overlap_makes_it_wider() -> None:
    scores = [0.7, 0.75, 0.8]
    narrow, wide = (fold_interval(scores, overlap=overlap) for overlap in (0.1, 1.0))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_interval_of_an_auroc_ends_at_0_and_1() -> None:
    high, low = fold_interval([0.99, 0.9, 0.95], bounds=UNIT), fold_interval([0, 0.1], bounds=UNIT)
    free = fold_interval([0.99, 0.9, 0.95])
    assert free.high > 1
    assert (high.low, high.high) == (free.low, 1.0)
    assert (low.low, low.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([0.7], "it has fewer than two folds"),
        ([0.7, math.nan, 0.8], "it is undefined in a fold"),
        ([math.nan], "it has fewer than two folds"),
    ],
)
def test_what_cannot_be_known_is_nan(scores: list[float], reason: str) -> None:
    found = fold_interval(scores, bounds=UNIT)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.reason == reason


def test_scores_outside_their_range_are_refused_but_for_rounding() -> None:
    with pytest.raises(MetricError, match=r"scores from 81 to 88 outside \(0\.0, 1\.0\)"):
        fold_interval([81, 85, 83, 88], bounds=UNIT)
    found = fold_interval([1.0000001, 1.0000002], bounds=UNIT)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(
    "splitter",
    [
        RepeatedKFold(n_splits=5, n_repeats=6, random_state=0),
        ShuffleSplit(15, test_size=0.3, random_state=0),
    ],
    ids=lambda splitter: type(splitter).__name__,
)
def test_with_the_overlap_of_repeated_splits_it_covers_and_without_it_does_not(
    splitter: Any,
) -> None:
    rng = np.random.default_rng(0)
    covered = {"with": 0, "without": 0}
    trials, rows = 60, 60
    for _ in range(trials):
        truth = np.arange(rows) % 2
        values = rng.normal(size=(rows, 3)) + 0.4 * truth[:, None]
        scores = []
        overlaps = []
        for training, held in splitter.split(values):
            centres = [values[training][truth[training] == side].mean(axis=0) for side in (0, 1)]
            distances = [((values[held] - centre) ** 2).sum(axis=1) for centre in centres]
            scores.append(float(((distances[1] < distances[0]) == truth[held]).mean()))
            overlaps.append(len(held) / len(training))
        # What a model that is trained on as many rows is right about, by its centres.
        expected = stats.norm.cdf(0.4 * np.sqrt(3) / 2) - 0.015
        for name, overlap in (("with", float(np.mean(overlaps))), ("without", None)):
            interval = fold_interval(scores, overlap=overlap, bounds=UNIT)
            covered[name] += interval.low <= expected <= interval.high
    assert covered["with"] / trials > 0.9
    assert covered["without"] / trials < 0.8


@pytest.mark.parametrize("score", [0.75, 1.0, 0.0])
def test_equal_folds_show_no_spread_and_have_no_interval(score: float) -> None:
    found = fold_interval([score] * 3, bounds=UNIT)
    assert found.value == score
    assert np.isnan([found.low, found.high]).all()
    assert found.reason == "all folds have the same score"


@pytest.mark.slow
@pytest.mark.parametrize("score", ["accuracy", "auroc"])
def test_within_the_range_it_covers_up_to_its_corners(score: str) -> None:
    settings = cells((score,), (0.5, 0.9, 0.99), (2, 3, 10), (40, 400), (0.0, 0.3))
    found = {cell: coverage(cell, num_sets=300) for cell in settings}
    # Three standard errors of 300 data sets below what 500 of them showed at worst, 92.7 %.
    low = {cell: covers for cell, (covers, shown) in found.items() if shown > 0.1 and covers < 0.88}
    assert low == {}


def test_wrong_input_is_refused() -> None:
    with pytest.raises(MetricError, match=r"shape \(0,\); expected \(folds,\)"):
        fold_interval([])
    with pytest.raises(MetricError, match=r"shape \(1, 2\)"):
        fold_interval([[0.1, 0.2]])
    with pytest.raises(MetricError, match="overlap=0; expected the positive number"):
        fold_interval([0.1, 0.2], overlap=0)
