"""Decisions: scikit-learn's figures, NaN where undefined, ties at the threshold positive."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from rust_tuner.errors import MetricError
from rust_tuner.metrics import decisions

Array = npt.NDArray[np.float64]
Problem = tuple[Array, Array, npt.NDArray[np.bool_], float]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Labels, probabilities, a mask and a threshold that probabilities often equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(0, 40)), draw(st.integers(1, 6)))
    truth = (rng.random(shape) < rng.choice([0.0, 0.1, 0.5, 1.0], size=shape[1])) * 1.0
    prob = rng.random(shape) ** rng.choice([0.2, 1.0, 5.0], size=shape[1])
    mask = rng.random(shape) < draw(st.sampled_from([0.1, 0.7, 1.0]))
    decimals = draw(st.sampled_from([0, 1, 16]))
    return truth, np.round(prob, decimals), mask, draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))  # type: ignore[return-value]


@settings(deadline=None)
@given(problems())
def test_each_label_agrees_exactly_with_scikit_learn(problem: Problem) -> None:
    truth, prob, mask, threshold = problem
    for counted, given_mask in ((mask, mask), (np.ones_like(mask), None)):
        table = decisions(truth, prob, threshold, given_mask)
        for label in range(truth.shape[1]):
            rows = counted[:, label]
            found = (table.precision[label], table.recall[label], table.f1[label])
            assert table.rows[label] == rows.sum()
            assert table.positives[label] == truth[rows, label].sum()
            if not rows.any():
                assert np.isnan(found).all()
                continue
            *expected, _ = precision_recall_fscore_support(
                truth[rows, label],
                np.where(prob[rows, label] < threshold, 0.0, 1.0),
                average="binary",
                zero_division=np.nan,
            )
            np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(problems())
def test_macro_is_the_mean_over_the_defined_labels(problem: Problem) -> None:
    table = decisions(*problem[:2], problem[3], problem[2])
    for name in ("precision", "recall", "f1"):
        values = getattr(table, name)
        defined = [value for value in values if not np.isnan(value)]
        macro = getattr(table, f"macro_{name}")
        if defined:
            assert macro == pytest.approx(np.mean(defined), abs=1e-15)
        else:
            assert np.isnan(macro)


@settings(deadline=None)
@given(problems(), st.sampled_from([0.0, 1.0, 7.0, np.nan, -np.inf]))
def test_what_is_masked_does_not_count(problem: Problem, value: float) -> None:
    truth, prob, mask, threshold = problem
    expected = decisions(truth, prob, threshold, mask)
    found = decisions(
        np.where(mask, truth, 1 - truth), np.where(mask, prob, value), threshold, mask
    )
    for name in ("precision", "recall", "f1", "positives", "rows"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_probability_at_the_threshold_is_a_positive_decision() -> None:
    below = np.nextafter(0.5, 0)
    table = decisions([[1, 1], [1, 1]], [[0.5, below], [below, below]])
    np.testing.assert_array_equal(table.recall, [0.5, 0.0])
    np.testing.assert_array_equal(table.precision, [1.0, np.nan])


def test_single_precision_is_compared_in_double() -> None:
    assert decisions([[1]], np.asarray([[0.3]], np.float32), 0.3).recall == [1.0]
    assert decisions([[1]], np.asarray([[0.7]], np.float32), 0.7).recall == [0.0]


def test_hand_checked_figures_with_each_way_of_being_undefined() -> None:
    # By column: plain, nothing decided positive, nothing positive, neither, nothing right.
    truth = [[1, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    prob = [[0.9, 0, 0.8, 0, 0], [0.6, 0, 0, 0, 1], [0.7, 0, 0, 0, 0], [0.1, 0, 0, 0, 0]]
    table = decisions(truth, prob)
    np.testing.assert_array_equal(table.precision, [2 / 3, np.nan, 0, np.nan, 0])
    np.testing.assert_array_equal(table.recall, [2 / 3, 0, np.nan, np.nan, 0])
    np.testing.assert_array_equal(table.f1, [2 / 3, 0, 0, np.nan, 0])
    np.testing.assert_array_equal(table.positives, [3, 2, 0, 0, 1])
    np.testing.assert_array_equal(table.rows, [4] * 5)
    assert table.macro_precision == pytest.approx(2 / 9)
    assert table.macro_recall == pytest.approx(2 / 9)
    assert table.macro_f1 == pytest.approx(1 / 6)
    assert table.threshold == 0.5


@pytest.mark.parametrize(
    ("truth", "prob", "threshold", "mask", "message"),
    [
        ([[0, 1]], [[0.1]], 0.5, None, r"y_true \(1, 2\), y_prob \(1, 1\).*one shape"),
        ([[2]], [[0.1]], 0.5, None, "y_true holds values other than 0 and 1"),
        ([[0], [1]], [[0.1], [np.nan]], 0.5, None, "y_prob holds nan at row 1, label 0; expected"),
        ([[0, 1]], [[0.1, 1.5]], 0.5, None, r"holds 1.5 at row 0, label 1; .* in \[0, 1\]"),
        ([[0]], [[-0.1]], 0.5, None, r"y_prob holds -0.1 at row 0, label 0"),
        ([[0]], [[0.1]], 1.1, None, r"threshold=1.1; expected a probability in \[0, 1\]"),
        ([[0]], [[0.1]], np.nan, None, "threshold=nan"),
        ([[0]], [[0.1]], 0.5, [[1]], "mask of dtype int64; expected bool"),
    ],
)
def test_input_without_a_meaning_is_refused(
    truth: Any, prob: Any, threshold: float, mask: Any, message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        decisions(truth, prob, threshold, mask)
