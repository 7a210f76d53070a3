"""Calibration: scikit-learn's Brier score and curve, and errors that the bins explain."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from rust_tuner.errors import MetricError
from rust_tuner.metrics import brier_score, expected_calibration_error, reliability_table

Array = npt.NDArray[np.float64]
Problem = tuple[Array, Array, npt.NDArray[np.bool_]]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Labels, probabilities that often stand at a bin's edge, and a mask."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(0, 60)), draw(st.integers(1, 5)))
    truth = (rng.random(shape) < rng.choice([0.0, 0.1, 0.5, 1.0], size=shape[1])) * 1.0
    prob = rng.random(shape) ** rng.choice([0.2, 1.0, 5.0], size=shape[1])
    mask = rng.random(shape) < draw(st.sampled_from([0.1, 0.7, 1.0]))
    return truth, np.round(prob, draw(st.sampled_from([0, 1, 2, 16]))), mask  # type: ignore[return-value]


@settings(deadline=None)
@given(problems())
def test_each_brier_score_agrees_with_scikit_learn(problem: Problem) -> None:
    truth, prob, mask = problem
    for counted, given_mask in ((mask, mask), (np.ones_like(mask), None)):
        found = brier_score(truth, prob, given_mask)
        for label, score in enumerate(found):
            rows = counted[:, label]
            if rows.any():
                expected = brier_score_loss(truth[rows, label], prob[rows, label], pos_label=1)
                assert score == pytest.approx(expected, abs=1e-14)
            else:
                assert np.isnan(score)


@settings(deadline=None)
@given(problems(), st.sampled_from([1, 2, 5, 10, 15]))
def test_each_curve_agrees_with_scikit_learn(problem: Problem, num_bins: int) -> None:
    truth, prob, mask = problem
    table = reliability_table(truth, prob, mask, num_bins=num_bins)
    np.testing.assert_array_equal(table.edges, np.linspace(0, 1, num_bins + 1))
    assert table.rows.shape == (truth.shape[1], num_bins)
    np.testing.assert_array_equal(table.rows.sum(axis=1), mask.sum(axis=0))
    for label in range(truth.shape[1]):
        rows, filled = mask[:, label], table.rows[label] > 0
        assert np.isnan(table.mean_probability[label, ~filled]).all()
        assert np.isnan(table.share_positive[label, ~filled]).all()
        if not rows.any():
            continue
        share, mean = calibration_curve(
            truth[rows, label], prob[rows, label], n_bins=num_bins, pos_label=1
        )
        np.testing.assert_allclose(table.share_positive[label, filled], share, atol=1e-14)
        np.testing.assert_allclose(table.mean_probability[label, filled], mean, atol=1e-14)


@settings(deadline=None)
@given(problems(), st.sampled_from([1, 3, 10]))
def test_the_expected_calibration_error_is_what_its_definition_says(
    problem: Problem, num_bins: int
) -> None:
    truth, prob, mask = problem
    found = expected_calibration_error(truth, prob, mask, num_bins=num_bins)
    edges = np.linspace(0, 1, num_bins + 1)
    for label in range(truth.shape[1]):
        outcome, said = truth[mask[:, label], label], prob[mask[:, label], label]
        error = 0.0
        for low, high in pairwise(edges):
            inside = (said > low) & (said <= high) if low > 0 else said <= high
            if inside.any():
                error += inside.mean() * abs(outcome[inside].mean() - said[inside].mean())
        if len(said):
            assert found[label] == pytest.approx(error, abs=1e-14)
        else:
            assert np.isnan(found[label])


@settings(deadline=None)
@given(problems())
def test_splitting_bins_can_only_find_more_error(problem: Problem) -> None:
    found = [expected_calibration_error(*problem, num_bins=num) for num in (1, 2, 4, 8)]
    for coarse, fine in pairwise(found):
        assert (np.isnan(coarse) | (fine >= coarse - 1e-12)).all()


@settings(deadline=None)
@given(problems(), st.sampled_from([0.0, 1.0, 7.0, np.nan, -np.inf]))
def test_what_is_masked_does_not_count(problem: Problem, value: float) -> None:
    truth, prob, mask = problem
    other = np.where(mask, truth, 1 - truth), np.where(mask, prob, value), mask
    for function in (brier_score, expected_calibration_error):
        np.testing.assert_array_equal(function(*other), function(*problem))


def test_ten_bins_are_the_default() -> None:
    truth, prob = [[0], [1]], [[0.31], [0.39]]
    assert reliability_table(truth, prob).rows.shape == (1, 10)
    assert expected_calibration_error(truth, prob) == pytest.approx([0.15])


def test_hand_checked_figures() -> None:
    truth = [[1, 0], [0, 0], [1, 0], [0, 0]]
    prob = [[1.0, 0.1], [0.0, 0.1], [0.8, 0.1], [0.8, 0.5]]
    np.testing.assert_allclose(brier_score(truth, prob), [0.17, 0.07])
    np.testing.assert_allclose(expected_calibration_error(truth, prob), [0.15, 0.2])
    # 0.8 stands at the edge of [0.6, 0.8] and [0.8, 1]; the lower one takes it.
    np.testing.assert_array_equal(
        reliability_table(truth, prob, num_bins=5).rows[0], [1, 0, 0, 2, 1]
    )


def test_probabilities_that_come_true_have_a_small_error_and_sharpened_ones_a_large() -> None:
    rng = np.random.default_rng(0)
    prob = rng.random((100_000, 1))
    truth = rng.random(prob.shape) < prob
    assert expected_calibration_error(truth, prob) < 0.01
    sharpened = prob**3 / (prob**3 + (1 - prob) ** 3)
    assert expected_calibration_error(truth, sharpened) > 0.1
    assert brier_score(truth, sharpened) > brier_score(truth, prob)


@pytest.mark.parametrize(
    ("truth", "prob", "mask", "message"),
    [
        ([[0, 1]], [[0.1]], None, r"y_true \(1, 2\), y_prob \(1, 1\).*one shape"),
        ([[2]], [[0.1]], None, "y_true holds values other than 0 and 1"),
        ([[0], [1]], [[0.1], [np.nan]], None, "y_prob holds nan at row 1, label 0"),
        ([[0, 1]], [[0.1, 1.5]], None, r"y_prob holds 1.5 at row 0, label 1; .* in \[0, 1\]"),
        ([[0]], [[0.1]], [[1]], "mask of dtype int64; expected bool"),
    ],
)
def test_input_without_a_meaning_is_refused(truth: Any, prob: Any, mask: Any, message: str) -> None:
    for function in (brier_score, reliability_table, expected_calibration_error):
        with pytest.raises(MetricError, match=message):
            function(truth, prob, mask)


def test_no_bins_are_refused() -> None:
    with pytest.raises(MetricError, match="num_bins=0; expected at least 1"):
        reliability_table([[1]], [[0.5]], num_bins=0)
