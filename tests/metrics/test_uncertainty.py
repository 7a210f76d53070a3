"""Uncertainty: intervals that cover and tests that hold their level on data of whole patients."""

from dataclasses import astuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from rust_tuner.errors import MetricError
from rust_tuner.metrics import (
    WeightedAuroc,
    auroc,
    auroc_intervals,
    corrected_t_test,
    macro_auroc,
    patient_bootstrap,
    tied_with_best,
    uncertainty,
)

Array = npt.NDArray[np.float64]
Problem = tuple[Array, Array, npt.NDArray[np.bool_], npt.NDArray[np.str_]]


def draw_problem(seed: int, num_rows: int, num_labels: int, decimals: int = 16) -> Problem:
    """Labels of any prevalence, scores with more or fewer ties, a mask, and patients."""
    rng = np.random.default_rng(seed)
    shape = (num_rows, num_labels)
    truth = (rng.random(shape) < rng.choice([0.0, 0.05, 0.5, 0.9, 1.0], size=num_labels)) * 1.0
    score = np.round(truth + rng.normal(size=shape), decimals)
    patients = np.array([f"P{patient:02}" for patient in rng.integers(0, 12, size=num_rows)])
    patients[:2] = ("P00", "P11")
    return truth, score, rng.random(shape) < 0.8, patients


problems = st.builds(
    draw_problem,
    st.integers(0, 2**32 - 1),
    st.integers(2, 50),
    st.integers(1, 4),
    st.sampled_from([0, 1, 16]),
)


def mean_score(score: Array):
    """The weighted mean of each column, as a statistic of weights."""
    return lambda weights: (weights.T @ score) / weights.sum(axis=0)[:, None]


@settings(deadline=None)
@given(problems, st.sampled_from([1, 3]))
def test_weighted_auroc_agrees_with_scikit_learn(problem: Problem, highest: int) -> None:
    truth, score, mask, _ = problem
    weights = np.random.default_rng(0).integers(0, highest + 1, (len(truth), 5)).astype(np.float64)
    found = WeightedAuroc(truth, score, mask)(weights)
    assert found.shape == (5, truth.shape[1])
    for resample, label in np.ndindex(found.shape):
        rows = mask[:, label] & (weights[:, resample] > 0)
        if len(np.unique(truth[rows, label])) == 2:
            area = roc_auc_score(
                truth[rows, label], score[rows, label], sample_weight=weights[rows, resample]
            )
            assert found[resample, label] == pytest.approx(area, abs=1e-12)
        else:
            assert np.isnan(found[resample, label])


@settings(deadline=None)
@given(problems)
def test_weights_are_how_often_a_row_is_there(problem: Problem) -> None:
    truth, score, mask, _ = problem
    times = np.random.default_rng(1).integers(0, 4, size=len(truth))
    rows = np.repeat(np.arange(len(truth)), times)
    found = WeightedAuroc(truth, score, mask)(times[:, None].astype(np.float64))
    expected = auroc(truth[rows], score[rows], mask[rows])
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-12)
    once = WeightedAuroc(truth, score)(np.ones((len(truth), 1)))
    np.testing.assert_allclose(once[0], auroc(truth, score), rtol=0, atol=1e-12)


def test_the_intervals_are_those_of_resampled_tables() -> None:
    truth, score, mask, patients = draw_problem(7, 60, 4)
    truth[:, 0] = np.arange(60) % 2
    num_resamples = 200
    names = np.unique(patients)
    rng = np.random.default_rng(5)
    areas = np.empty((num_resamples, 4))
    for resample in range(num_resamples):
        drawn = names[rng.integers(len(names), size=len(names))]
        rows = np.concatenate([np.flatnonzero(patients == name) for name in drawn])
        areas[resample] = auroc(truth[rows], score[rows], mask[rows])
    found = auroc_intervals(truth, score, patients, mask, rng=5, num_resamples=num_resamples)
    expected = auroc(truth, score, mask)
    for label, interval in enumerate(found.labels):
        defined = areas[~np.isnan(areas[:, label]), label]
        assert interval.num_resamples == num_resamples
        assert interval.num_undefined == num_resamples - len(defined)
        if len(defined):
            ends = expected[label], *np.percentile(defined, [2.5, 97.5])
            np.testing.assert_allclose(astuple(interval)[:3], ends, rtol=0, atol=1e-12)
        else:
            assert np.isnan(astuple(interval)[:3]).all()
    defined = ~np.isnan(expected)
    macros = np.nanmean(areas[:, defined], axis=1)
    ends = macro_auroc(truth, score, mask), *np.percentile(macros, [2.5, 97.5])
    np.testing.assert_allclose(astuple(found.macro)[:3], ends, rtol=0, atol=1e-12)
    assert found.macro.num_undefined == 0
    assert found.num_incomplete == np.isnan(areas[:, defined]).any(axis=1).sum() > 0


def test_all_rows_of_a_patient_are_drawn_together_and_patients_as_often_as_there_are() -> None:
    patients = np.array(["b", "a", "b", "c", "a", "b"])
    seen = []

    def statistic(weights: Array) -> Array:
        seen.append(weights)
        return weights[:1].T

    patient_bootstrap(statistic, patients, rng=0, num_resamples=3000)
    weights = np.concatenate([part for part in seen if part.shape[1] > 1], axis=1)
    assert weights.shape == (6, 3000)
    np.testing.assert_array_equal(weights[[0, 1]], weights[[2, 4]])
    np.testing.assert_array_equal(weights[0], weights[5])
    each = weights[[1, 0, 3]]
    np.testing.assert_array_equal(each.sum(axis=0), 3)
    # Binomial, three draws of one in three.
    shares = [(each == times).mean() for times in range(4)]
    np.testing.assert_allclose(shares, [8 / 27, 12 / 27, 6 / 27, 1 / 27], atol=0.015)


@settings(deadline=None, max_examples=20)
@given(problems, st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(problem: Problem, seed: int) -> None:
    truth, score, mask, patients = problem
    order = np.random.default_rng(seed).permutation(len(truth))
    first = auroc_intervals(truth, score, patients, mask, rng=0, num_resamples=50)
    second = auroc_intervals(
        truth[order], score[order], patients[order], mask[order], rng=0, num_resamples=50
    )
    for one, other in zip(
        (first.macro, *first.labels), (second.macro, *second.labels), strict=True
    ):
        np.testing.assert_allclose(astuple(one), astuple(other), rtol=0, atol=1e-12)


def test_one_seed_gives_one_interval_and_a_generator_goes_on() -> None:
    _, score, _, patients = draw_problem(0, 50, 1)

    def interval(rng: int | np.random.Generator) -> tuple[float, ...]:
        found = patient_bootstrap(mean_score(score), patients, rng=rng, num_resamples=100)
        return astuple(found[0])

    assert interval(0) == interval(0) == interval(np.random.default_rng(0))
    assert interval(0) != interval(1)
    generator = np.random.default_rng(0)
    assert interval(generator) != interval(generator)


def test_resamples_do_not_depend_on_how_many_are_weighed_at_a_time(monkeypatch) -> None:
    truth, score, mask, patients = draw_problem(3, 50, 3)
    expected = auroc_intervals(truth, score, patients, mask, rng=0, num_resamples=101)
    monkeypatch.setattr(uncertainty, "_BLOCK", 150)
    found = auroc_intervals(truth, score, patients, mask, rng=0, num_resamples=101)
    for one, other in zip(
        (found.macro, *found.labels), (expected.macro, *expected.labels), strict=True
    ):
        np.testing.assert_allclose(astuple(one), astuple(other), rtol=0, atol=1e-12)


def test_resamples_without_the_only_positive_patient_are_counted_and_left_out() -> None:
    patients = np.repeat(np.arange(10), 3)
    rng = np.random.default_rng(0)
    truth = np.stack([patients == 4, patients % 2 == 0, patients < 0], axis=1)
    score = truth + rng.normal(size=truth.shape)
    found = auroc_intervals(truth, score, patients, rng=0)
    rare, common, never = found.labels
    # A patient is left out of 0.9 ** 10 of the resamples.
    assert rare.num_undefined / 2000 == pytest.approx(0.349, abs=0.04)
    assert rare.low <= rare.value <= rare.high
    assert common.num_undefined < 20
    assert never.num_undefined == never.num_resamples == 2000
    assert np.isnan([never.value, never.low, never.high]).all()
    # The label that is never defined makes no resample incomplete.
    assert rare.num_undefined <= found.num_incomplete < rare.num_undefined + 20
    assert found.macro.num_undefined < 20
    assert found.macro.low <= found.macro.value <= found.macro.high


def test_a_statistic_of_several_figures_gets_an_interval_each() -> None:
    _, score, _, patients = draw_problem(0, 50, 3)
    found = patient_bootstrap(mean_score(score), patients, rng=0)
    assert [interval.value for interval in found] == pytest.approx(list(score.mean(axis=0)))
    assert all(interval.low < interval.value < interval.high for interval in found)


def test_patients_of_one_radiograph_give_the_error_of_the_mean() -> None:
    score = np.random.default_rng(0).normal(size=(400, 1))
    (found,) = patient_bootstrap(mean_score(score), np.arange(400), rng=0, num_resamples=4000)
    half = stats.norm.ppf(0.975) * score.std() / np.sqrt(400)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.05)


@pytest.mark.parametrize(
    ("patients", "options", "message"),
    [
        (["a", "a"], {}, "1 patient; a bootstrap over patients takes at least 2"),
        ([], {}, "0 patient"),
        ([["a"], ["b"]], {}, r"patient_ids \(2, 1\); expected \(n,\)"),
        (["a", "b"], {"num_resamples": 0}, "num_resamples=0; expected at least 1"),
        (["a", "b", "c"], {}, "weights for 3 rows; expected 2"),
    ],
)
def test_a_bootstrap_without_a_meaning_is_refused(
    patients: object, options: dict[str, int], message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        auroc_intervals([[0], [1]], [[0.0], [1.0]], patients, rng=0, **options)


fold_scores = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).normal(0.8, 0.02, size=(2, 6))
)


@settings(deadline=None)
@given(fold_scores, st.sampled_from([(5, 1), (100.5, 20), (1, 1)]))
def test_the_corrected_statistic_is_the_naive_one_with_more_variance(
    scores: Array, sizes: tuple[float, float]
) -> None:
    found = corrected_t_test(*scores, *sizes)
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
    found, exchanged = corrected_t_test(*scores, 5, 1), corrected_t_test(*scores[::-1], 5, 1)
    assert exchanged.statistic == pytest.approx(-found.statistic)
    assert exchanged.p_value == pytest.approx(found.p_value)


def test_trials_that_differ_in_no_fold_or_by_the_same_in_each() -> None:
    scores = np.array([0.7, 0.8, 0.9])
    assert astuple(corrected_t_test(scores, scores, 2, 1)) == (0.0, 0.0, 1.0, 2)
    whole = np.array([1, 2, 3])
    assert astuple(corrected_t_test(whole - 1, whole, 2, 1)) == (-1.0, -np.inf, 0.0, 2)
    # The mean of six times 0.1 is not 0.1 in float64.
    assert astuple(corrected_t_test([0.1] * 6, [0.0] * 6, 5, 1)) == (0.1, np.inf, 0.0, 5)


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


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.05, 0.3]))
def test_tied_trials_are_those_that_the_test_cannot_tell_from_the_best(
    seed: int, alpha: float
) -> None:
    rng = np.random.default_rng(seed)
    scores = 0.8 + 0.02 * rng.normal(size=(8, 1)) + 0.01 * rng.normal(size=(8, 6))
    best = int(scores.mean(axis=1).argmax())
    tied = tied_with_best(scores, 500, 100, alpha)
    assert tied.dtype == np.bool_
    assert tied[best]
    for trial in range(8):
        p_value = corrected_t_test(scores[best], scores[trial], 500, 100).p_value
        assert tied[trial] == (p_value >= alpha)
    # Who asks for more evidence leaves more trials tied.
    assert (tied_with_best(scores, 500, 100, alpha / 10) >= tied).all()


def test_one_trial_is_the_best_and_equal_trials_are_tied() -> None:
    np.testing.assert_array_equal(tied_with_best([[0.7, 0.8]], 1, 1), [True])
    scores = [[0.7, 0.8, 0.9], [0.7, 0.8, 0.9], [0.0, 0.1, 0.2001]]
    np.testing.assert_array_equal(tied_with_best(scores, 2, 1), [True, True, False])


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
    scores: object, options: dict[str, float], message: str
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
def test_scores_that_cannot_be_compared_are_refused(
    first: object, second: object, message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        corrected_t_test(first, second, 2, 1)


def covered(seed: int, *, num_datasets: int, num_patients: int) -> tuple[float, float]:
    """How often the interval of a macro AUROC holds its true value: by patients, by rows.

    A patient has one to four radiographs, one outcome for each of three labels, and a share in
    the scores' noise; the true areas follow from the normal distribution.
    """
    effects = np.array([0.6, 1.2, 1.8])
    true_macro = stats.norm.cdf(effects / np.sqrt(2)).mean()
    rng = np.random.default_rng(seed)
    hits = np.zeros(2)
    for _ in range(num_datasets):
        patients = np.repeat(np.arange(num_patients), rng.integers(1, 5, size=num_patients))
        truth = rng.random((num_patients, 3)) < 0.3
        of_patient = truth * effects + np.sqrt(0.6) * rng.normal(size=truth.shape)
        score = of_patient[patients] + np.sqrt(0.4) * rng.normal(size=(len(patients), 3))
        for way, drawn in enumerate((patients, np.arange(len(patients)))):
            found = auroc_intervals(truth[patients], score, drawn, rng=rng, num_resamples=1000)
            hits[way] += found.macro.low <= true_macro <= found.macro.high
    by_patients, by_rows = hits / num_datasets
    return float(by_patients), float(by_rows)


@pytest.mark.slow
def test_the_patient_bootstrap_covers_and_a_bootstrap_of_rows_does_not() -> None:
    by_patients, by_rows = covered(0, num_datasets=1000, num_patients=200)
    print(f"\ncoverage of 95 % intervals: patients {by_patients:.1%}, rows {by_rows:.1%}")
    assert 0.93 <= by_patients <= 0.97
    assert by_rows < 0.9


def rejections(seed: int, *, num_datasets: int, num_features: int) -> tuple[float, float]:
    """How often two learners that are equally good are told apart: corrected, uncorrected.

    Each learner scores by the difference of its classes' means over features of its own, all of
    one distribution: neither is better, though on any one data set their models differ. 120
    patients of three radiographs each, six folds of whole patients.
    """
    rng = np.random.default_rng(seed)
    num_patients, num_views, num_folds = 120, 3, 6
    fold = np.repeat(np.arange(num_patients) % num_folds, num_views)
    truth = np.repeat(rng.random((num_patients, num_datasets)) < 0.5, num_views, axis=0)
    trials = np.empty((2, num_datasets, num_folds))
    for trial in trials:
        shape = (num_patients, num_datasets, num_features)
        features = np.repeat(rng.normal(size=shape), num_views, axis=0)
        features += rng.normal(size=features.shape)
        features[..., 0] += truth
        for number in range(num_folds):
            known = fold != number
            is_positive = truth[known, :, None]
            means = [
                (features[known] * members).sum(axis=0) / members.sum(axis=0)
                for members in (is_positive, ~is_positive)
            ]
            score = np.einsum("ndf,df->nd", features[~known], means[0] - means[1])
            trial[:, number] = auroc(truth[~known], score)
    corrected = [
        corrected_t_test(*pair, n_train=100, n_test=20).p_value < 0.05
        for pair in zip(*trials, strict=True)
    ]
    uncorrected = stats.ttest_rel(*trials, axis=1).pvalue < 0.05
    return float(np.mean(corrected)), float(np.mean(uncorrected))


@pytest.mark.slow
def test_the_corrected_test_holds_its_level_and_the_uncorrected_does_not() -> None:
    # With 30 features a model depends much on its training data, as the correction supposes.
    parts = [rejections(seed, num_datasets=500, num_features=30) for seed in range(8)]
    corrected, uncorrected = np.mean(parts, axis=0)
    print(f"\nfalse positives at 5 %: corrected {corrected:.1%}, uncorrected {uncorrected:.1%}")
    assert 0.03 <= corrected <= 0.07
    assert uncorrected > 0.1


@pytest.mark.slow
def test_the_corrected_test_is_cautious_where_models_hardly_vary() -> None:
    parts = [rejections(seed, num_datasets=500, num_features=3) for seed in range(8)]
    corrected, uncorrected = np.mean(parts, axis=0)
    print(f"\nfalse positives at 5 %: corrected {corrected:.1%}, uncorrected {uncorrected:.1%}")
    assert corrected < 0.05
