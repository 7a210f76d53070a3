"""Weighted ranking figures: scikit-learn's, and those of tables with rows repeated or left out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from rust_tuner.errors import MetricError
from rust_tuner.metrics import (
    WeightedAuroc,
    WeightedAveragePrecision,
    auroc,
    average_precision,
    micro_auroc,
    micro_average_precision,
)
from rust_tuner.metrics.weighted_ranking import Pooled, mean_of_defined

Array = npt.NDArray[np.float64]
Problem = tuple[Array, Array, npt.NDArray[np.bool_]]


def draw_problem(seed: int, num_rows: int, num_labels: int, decimals: int = 16) -> Problem:
    """Labels of any prevalence, scores with more or fewer ties, and a mask."""
    rng = np.random.default_rng(seed)
    shape = (num_rows, num_labels)
    truth = (rng.random(shape) < rng.choice([0.0, 0.05, 0.5, 0.9, 1.0], size=num_labels)) * 1.0
    score = np.round(truth + rng.normal(size=shape), decimals)
    return truth, score, rng.random(shape) < 0.8  # type: ignore[return-value]


problems = st.builds(
    draw_problem,
    st.integers(0, 2**32 - 1),
    st.integers(0, 50),
    st.integers(1, 4),
    st.sampled_from([0, 1, 16]),
)
KINDS = [
    (WeightedAuroc, auroc, micro_auroc),
    (WeightedAveragePrecision, average_precision, micro_average_precision),
]


@settings(deadline=None)
@given(problems, st.sampled_from([1, 3]))
def test_each_label_agrees_with_scikit_learn(problem: Problem, highest: int) -> None:
    truth, score, mask = problem
    weights = np.random.default_rng(0).integers(0, highest + 1, (len(truth), 5)).astype(np.float64)
    areas = WeightedAuroc(truth, score, mask)(weights)
    precisions = WeightedAveragePrecision(truth, score, mask)(weights)
    assert areas.shape == precisions.shape == (5, truth.shape[1])
    for resample, label in np.ndindex(areas.shape):
        rows = mask[:, label] & (weights[:, resample] > 0)
        given = truth[rows, label], score[rows, label]
        weighed = {"sample_weight": weights[rows, resample]}
        if len(np.unique(given[0])) == 2:
            expected = roc_auc_score(*given, **weighed)
            assert areas[resample, label] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(areas[resample, label])
        if len(np.unique(given[0])) == 2:
            expected = average_precision_score(*given, **weighed)
            assert precisions[resample, label] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(precisions[resample, label])


@pytest.mark.parametrize(("weighted", "plain", "micro"), KINDS)
@settings(deadline=None)
@given(problem=problems)
def test_weights_are_how_often_a_row_is_there(
    weighted: Any,
    plain: Callable[..., npt.NDArray[np.float64]],
    micro: Callable[..., float],
    problem: Problem,
) -> None:
    truth, score, mask = problem
    times = np.random.default_rng(1).integers(0, 4, size=len(truth))
    rows = np.repeat(np.arange(len(truth)), times)
    weights = times[:, None].astype(np.float64)
    again = truth[rows], score[rows], mask[rows]
    found = weighted(truth, score, mask)(weights)[0]
    np.testing.assert_allclose(found, plain(*again), rtol=0, atol=1e-12)
    found = Pooled(weighted, truth, score, mask)(weights)
    np.testing.assert_allclose(found, [[micro(*again)]], rtol=0, atol=1e-12)
    once = weighted(truth, score)(np.ones((len(truth), 1)))[0]
    np.testing.assert_allclose(once, plain(truth, score), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("weighted", "plain", "micro"), KINDS)
def test_what_is_masked_does_not_count_whatever_it_is(
    weighted: Any, plain: Callable[..., npt.NDArray[np.float64]], micro: Callable[..., float]
) -> None:
    truth, score, mask = draw_problem(3, 40, 3)
    weights = np.random.default_rng(0).integers(0, 3, (40, 4)).astype(np.float64)
    hidden = np.where(mask, truth, 1 - truth), np.where(mask, score, np.nan), mask
    for make in (weighted, lambda *problem: Pooled(weighted, *problem)):
        expected = make(truth, score, mask)(weights)
        np.testing.assert_array_equal(make(*hidden)(weights), expected)


@pytest.mark.parametrize("weighted", [kind[0] for kind in KINDS])
def test_weights_of_other_rows_are_refused(weighted: Any) -> None:
    for figure in (weighted([[0], [1]], [[0], [1]]), Pooled(weighted, [[0], [1]], [[0], [1]])):
        with pytest.raises(MetricError, match="weights for 3 rows; expected 2"):
            figure(np.ones((3, 1)))


def test_the_mean_of_what_is_defined_is_over_that_alone() -> None:
    figures = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_of_defined(figures), [[2.0], [np.nan]])
    np.testing.assert_array_equal(mean_of_defined(figures, axis=0), [[1.0, np.nan, 3.0]])
