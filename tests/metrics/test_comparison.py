"""Comparison: the paper's test of two trials, and ties among many that keep their level."""

from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.uncertainty import false_positives, noisier, untied
from rust_tuner.errors import MetricError
from rust_tuner.metrics import corrected_t_test, tied_with_best

Array = npt.NDArray[np.float64]

fold_scores = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).normal(0.8, 0.02, size=(2, 6))
)


@settings(deadline=None)
@given(fold_scores, st.sampled_from([(5, 1), (100.5, 20), (1, 1)]))
def test_the_corrected_statistic_is_the_naive_one_with_more_variance(
    scores: Array, sizes: tuple[float, float]
) -> None:
    found = corrected_t_test(*scores, *sizes)  # type: ignore[call-arg]
    naive = stats.ttest_rel(*scores)
    expected = naive.statistic / np.sqrt((1 / 6 + sizes[1] / sizes[0]) * 6)
    assert found.statistic == pytest.approx(expected, rel=1e-9)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(expected), 5), rel=1e-9)
    assert found.p_value >= naive.pvalue
    assert found.difference == pytest.approx(scores[0].mean() - scores[1].mean(), abs=1e-15)
    assert found.degrees_of_freedom == 5


@settings(deadline=None)
@given(fold_scores)
def test_exchanging_the_trials_turns_the_statistic_round(scores: Array) -> None:
    found, exchanged = corrected_t_test(*scores, 5, 1), corrected_t_test(*scores[::-1], 5, 1)  # type: ignore[call-arg]
    assert exchanged.statistic == pytest.approx(-found.statistic)
    assert exchanged.p_value == pytest.approx(found.p_value)


def test_trials_that_differ_in_no_fold_or_by_the_same_in_each() -> None:
    scores = np.array([0.7, 0.8, 0.9])
    assert astuple(corrected_t_test(scores, scores, 2, 1)) == (0.0, 0.0, 1.0, 2)
    whole = np.array([1, 2, 3])
    assert astuple(corrected_t_test(whole - 1, whole, 2, 1)) == (-1.0, -np.inf, 2 / 2**3, 2)
    # The mean of six times 0.1 is not 0.1 in float64.
    assert astuple(corrected_t_test([0.1] * 6, [0.0] * 6, 5, 1)) == (0.1, np.inf, 2 / 2**6, 5)
    # Nor is 0.8 - 0.7 equal to 0.7 - 0.6.
    found = corrected_t_test([0.8, 0.7, 0.9], [0.7, 0.6, 0.8], 2, 1)
    assert (found.statistic, found.p_value) == (np.inf, 2 / 2**3)


@pytest.mark.parametrize("num_folds", [2, 3, 5])
@pytest.mark.parametrize("num_rows", [10, 50])
@pytest.mark.parametrize("num_trials", [2, 4])
def test_equal_trials_whose_scores_are_shares_of_few_rows_are_tied(
    num_folds: int, num_rows: int, num_trials: int
) -> None:
    """They often differ by the same amount on every fold, which is no evidence."""
    rng = np.random.default_rng(0)
    num_draws = 400
    draws = rng.binomial(num_rows, 0.7, size=(num_draws, num_trials, num_folds)) / num_rows
    untied = [not tied_with_best(scores, num_folds - 1, 1).all() for scores in draws]
    assert np.mean(untied) <= 0.05


def test_a_trial_that_is_worse_by_the_same_amount_on_many_folds_is_not_tied() -> None:
    best = np.linspace(0.7, 0.9, 10)
    scores = np.stack([best, best - 0.1, best - 0.2])
    assert tied_with_best(scores, 9, 1).tolist() == [True, False, False]
    assert tied_with_best(scores[:, :4], 3, 1).all()


def test_a_hand_checked_test() -> None:
    # Differences 1, 2, 3: their variance is 1, times 1/3 + 1/2.
    found = corrected_t_test([2, 4, 6], [1, 2, 3], 2, 1)
    assert found.statistic == pytest.approx(2 / np.sqrt(5 / 6))
    assert found.p_value == pytest.approx(0.15984, abs=1e-5)


def test_the_level_is_exact_where_folds_correlate_as_assumed() -> None:
    rng = np.random.default_rng(0)
    num_draws, num_folds = 4000, 6
    # The paper's guess: a correlation of n_test / (n_test + n_train).
    shared = np.sqrt(1 / num_folds) * rng.normal(size=(num_draws, 1))
    own = np.sqrt(1 - 1 / num_folds) * rng.normal(size=(num_draws, num_folds))
    nothing = np.zeros(num_folds)
    p_values = [corrected_t_test(row, nothing, num_folds - 1, 1).p_value for row in shared + own]
    for level in (0.01, 0.05, 0.2, 0.5):
        error = np.sqrt(level * (1 - level) / num_draws)
        assert np.mean(np.array(p_values) < level) == pytest.approx(level, abs=3 * error)


def equal_trials(rng: np.random.Generator, num_trials: int, num_folds: int) -> Array:
    """Fold scores of equal trials; what folds share and how they correlate is as supposed."""
    shared = np.sqrt(1 / num_folds) * rng.normal(size=(num_trials, 1))
    own = np.sqrt(1 - 1 / num_folds) * rng.normal(size=(num_trials, num_folds))
    result: Array = 0.8 + 0.03 * rng.normal(size=num_folds) + 0.01 * (shared + own)
    return result


@settings(deadline=None)
@given(fold_scores, st.sampled_from([0.01, 0.05, 0.3]))
def test_two_trials_are_tied_where_the_corrected_test_does_not_tell_them_apart(
    scores: Array, alpha: float
) -> None:
    p_value = corrected_t_test(*scores, 500, 100).p_value  # type: ignore[call-arg]
    tied = tied_with_best(scores, 500, 100, alpha)
    assert tied[scores.mean(axis=1).argmax()]
    assert tied.all() == (p_value >= alpha)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from([3, 6]))
def test_ties_follow_the_means_and_the_evidence_asked_for(
    seed: int, num_trials: int, num_folds: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = equal_trials(rng, num_trials, num_folds) + 0.03 * rng.normal(size=(num_trials, 1))
    sizes = num_folds - 1, 1
    tied = tied_with_best(scores, *sizes)
    best = scores[scores.mean(axis=1).argmax()]
    assert tied.dtype == np.bool_
    assert tied[scores.mean(axis=1).argmax()]
    for trial, is_tied in zip(scores, tied, strict=True):
        # Who is not told apart alone is not told apart among many.
        assert is_tied or corrected_t_test(best, trial, *sizes).p_value < 0.05
    assert (tied_with_best(scores, *sizes, 0.005) >= tied).all()
    # What all trials share on a fold says nothing of their differences.
    moved = scores + rng.normal(size=num_folds)
    np.testing.assert_array_equal(tied_with_best(moved, *sizes), tied)
    order = rng.permutation(num_trials)
    np.testing.assert_array_equal(tied_with_best(scores[order], *sizes), tied[order])


@pytest.mark.parametrize("num_trials", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_equal_trials_are_tied_as_often_as_asked(num_trials: int) -> None:
    rng = np.random.default_rng(0)
    num_draws, alpha = 150, 0.2
    untied_sets = [
        not tied_with_best(equal_trials(rng, num_trials, 6), 5, 1, alpha).all()
        for _ in range(num_draws)
    ]
    error = np.sqrt(alpha * (1 - alpha) / num_draws)
    assert np.mean(untied_sets) == pytest.approx(alpha, abs=3 * error)


@pytest.mark.slow
def test_several_truly_best_are_kept_among_worse_ones() -> None:
    rng = np.random.default_rng(0)
    worse = np.repeat([0.0, 0.015], 10)[:, None]
    lost = [
        not tied_with_best(equal_trials(rng, 20, 6) - worse, 5, 1)[:10].all() for _ in range(80)
    ]
    assert np.mean(lost) < 0.1


def test_far_worse_and_noisy_trials_are_untied_and_leave_the_others_their_own_noise() -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        scores = equal_trials(rng, 20, 6)
        # Trials that learned nothing scatter more than those that did.
        scores[12:] = 0.5 + 0.05 * rng.normal(size=(8, 6))
        tied = tied_with_best(scores, 5, 1)
        assert not tied[12:].any()
        np.testing.assert_array_equal(tied[:12], tied_with_best(scores[:12], 5, 1))


def test_one_trial_is_the_best_and_equal_trials_are_tied() -> None:
    np.testing.assert_array_equal(tied_with_best([[0.7, 0.8]], 1, 1), [True])
    scores = [[0.7, 0.8, 0.9], [0.7, 0.8, 0.9], [0.0, 0.1, 0.2001]]
    np.testing.assert_array_equal(tied_with_best(scores, 2, 1), [True, True, False])
    np.testing.assert_array_equal(tied_with_best(scores[:2], 2, 1), [True, True])
    # Rows that differ by the same on every fold leave no doubt.
    scores = [[0.1] * 6, [0.2] * 6, [0.2] * 6]
    np.testing.assert_array_equal(tied_with_best(scores, 5, 1), [False, True, True])


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([0.7, 0.8], {}, r"shape \(2,\); expected \(trials, folds\)"),
        ([[0.7], [0.8]], {}, r"shape \(2, 1\); expected .* at least two folds"),
        (np.empty((0, 3)), {}, r"shape \(0, 3\)"),
        ([[0.7, 0.8], [0.7, np.nan]], {}, "trial 1, fold 1: score nan; expected finite scores"),
        ([[0.7, 0.8]], {"n_train": 0}, "n_train=0, n_test=1; expected positive"),
        ([[0.7, 0.8]], {"n_test": np.nan}, "n_train=2, n_test=nan; expected positive"),
        ([[0.7, 0.8]], {"alpha": 0}, "alpha=0; expected a probability between 0 and 1"),
        ([[0.7, 0.8]], {"alpha": np.nan}, "alpha=nan"),
    ],
)
def test_trials_without_a_meaning_are_refused(
    scores: Any, options: dict[str, float], message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        tied_with_best(scores, **({"n_train": 2, "n_test": 1} | options))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([0.7, 0.8], [0.7], r"scores \(2,\) and \(1,\); expected one shape \(folds,\)"),
        ([[0.7]], [[0.7]], r"scores \(1, 1\) and \(1, 1\)"),
        ([0.7], [0.8], "at least two folds"),
        ([0.7, np.inf], [0.8, 0.8], "trial 0, fold 1: score inf"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(first: Any, second: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        corrected_t_test(first, second, 2, 1)


@pytest.mark.slow
def test_the_corrected_test_holds_its_level_and_the_uncorrected_does_not() -> None:
    # With 30 features a model depends much on its training data, as the correction supposes.
    parts = [false_positives(seed, num_datasets=500, num_features=30) for seed in range(8)]
    corrected = np.mean([part.ours for part in parts])
    uncorrected = np.mean([part.naive for part in parts])
    print(f"\nfalse positives at 5 %: corrected {corrected:.1%}, uncorrected {uncorrected:.1%}")
    assert 0.03 <= corrected <= 0.07
    assert uncorrected > 0.1


@pytest.mark.slow
def test_the_corrected_test_is_cautious_where_models_hardly_vary() -> None:
    parts = [false_positives(seed, num_datasets=500, num_features=3) for seed in range(8)]
    corrected = np.mean([part.ours for part in parts])
    uncorrected = np.mean([part.naive for part in parts])
    print(f"\nfalse positives at 5 %: corrected {corrected:.1%}, uncorrected {uncorrected:.1%}")
    assert corrected < 0.05


@pytest.mark.slow
def test_many_equal_learners_are_tied_and_one_by_one_they_are_not() -> None:
    for num_trials, least in ((10, 0.4), (50, 0.9)):
        found = untied(0, num_datasets=300, num_trials=num_trials)
        print(f"\nof {num_trials} equal some are untied: {found.ours:.1%}, {found.naive:.1%}")
        # The least of the simulation's own error left aside.
        assert found.ours < 0.07
        assert found.naive > least


@pytest.mark.slow
def test_a_trial_that_is_noisier_is_seldom_set_aside_for_that() -> None:
    for factor in (2, 5):
        found = noisier(0, num_datasets=600, factor=factor)
        print(f"\none of 20 with {factor} times the noise: {found.ours:.1%}, {found.naive:.1%}")
        assert found.ours < 0.15
