"""Uncertainty: intervals that cover on data of whole patients."""

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrowing import is_a
from scipy import stats

from experiments.coverage import (
    MACRO_PREVALENCES,
    RADIOGRAPHS,
    Setting,
    label_coverage,
    macro_coverage,
)
from experiments.uncertainty import coverage
from rust_tuner.errors import MetricError
from rust_tuner.metrics import (
    ClusteredAurocs,
    Interval,
    auroc,
    auroc_intervals,
    macro_auroc,
    patient_bootstrap,
    uncertainty,
)
from rust_tuner.metrics.uncertainty import AurocMethod, BootstrapInterval, area_interval

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
    return truth, score, rng.random(shape) < 0.8, patients  # type: ignore[return-value]


problems = st.builds(
    draw_problem,
    st.integers(0, 2**32 - 1),
    st.integers(2, 50),
    st.integers(1, 4),
    st.sampled_from([0, 1, 16]),
)


def ends_of(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def mean_score(score: Array) -> Callable[[Array], Array]:
    """The weighted mean of each column, as a statistic of weights."""
    return lambda weights: (weights.T @ score) / weights.sum(axis=0)[:, None]


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
    found = auroc_intervals(
        truth, score, patients, mask, method="percentile", rng=5, num_resamples=num_resamples
    )
    expected = auroc(truth, score, mask)
    for label, interval in enumerate(found.labels):
        defined = areas[~np.isnan(areas[:, label]), label]
        assert is_a(BootstrapInterval, interval).num_resamples == num_resamples
        assert is_a(BootstrapInterval, interval).num_undefined == num_resamples - len(defined)
        if len(defined):
            ends = expected[label], *np.percentile(defined, [2.5, 97.5])
            np.testing.assert_allclose(ends_of(interval), ends, rtol=0, atol=1e-12)
        else:
            assert np.isnan(ends_of(interval)).all()
    defined = ~np.isnan(expected)
    macros = np.nanmean(areas[:, defined], axis=1)
    ends = macro_auroc(truth, score, mask), *np.percentile(macros, [2.5, 97.5])
    np.testing.assert_allclose(ends_of(found.macro), ends, rtol=0, atol=1e-12)
    assert is_a(BootstrapInterval, found.macro).num_undefined == 0
    assert np.isnan(areas[:, defined]).any()


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


@settings(deadline=None, max_examples=30)
@given(problems, st.integers(0, 2**32 - 1), st.sampled_from(["score", "bca", "percentile"]))
def test_the_order_of_the_rows_does_not_matter(
    problem: Problem, seed: int, method: AurocMethod
) -> None:
    truth, score, mask, patients = problem
    order = np.random.default_rng(seed).permutation(len(truth))
    first = auroc_intervals(truth, score, patients, mask, method=method, num_resamples=50)
    second = auroc_intervals(
        truth[order], score[order], patients[order], mask[order], method=method, num_resamples=50
    )
    # A resample's AUROC that equals the data's but for rounding counts half in BCa.
    atol = 1e-12 if method != "bca" else 0.2
    for one, other in zip(
        (first.macro, *first.labels), (second.macro, *second.labels), strict=True
    ):
        assert one.reason == other.reason
        np.testing.assert_allclose(ends_of(one), ends_of(other), rtol=0, atol=atol)


@settings(deadline=None, max_examples=60)
@given(problems, st.integers(1, 3))
def test_an_interval_holds_its_estimate_and_stays_in_range(
    problem: Problem, num_folds: int
) -> None:
    truth, score, mask, patients = problem
    folds = np.unique(patients, return_inverse=True)[1] % num_folds
    found = auroc_intervals(truth, score, patients, mask, folds=folds)
    for interval in (found.macro, *found.labels):
        if np.isnan(interval.value):
            assert interval.reason == ""
        if np.isnan(interval.low):
            assert np.isnan(interval.high)
            assert bool(interval.reason) == (not np.isnan(interval.value))
        else:
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
            assert interval.low < interval.high
            assert interval.reason == ""


def test_a_label_of_too_few_patients_has_no_interval_and_says_why() -> None:
    patients = np.repeat(np.arange(40), 2)
    truth = np.stack([patients < 4, patients >= 4, patients < 5, patients < 0], axis=1)
    score = truth + np.random.default_rng(0).normal(size=truth.shape)
    few, most, enough, never = auroc_intervals(truth, score, patients).labels
    assert few.reason == "4 patients with this label; an interval needs at least 5"
    assert most.reason == "4 patients without this label; an interval needs at least 5"
    assert few.value == pytest.approx(auroc(truth, score)[0])
    assert enough.low < enough.value < enough.high
    assert np.isnan(never.value)


def test_a_perfect_auroc_has_an_interval_that_narrows_with_the_patients() -> None:
    lows = []
    for num_patients in (20, 100, 1000):
        truth = (np.arange(num_patients) % 2)[:, None]
        found = auroc_intervals(truth, truth * 1.0, np.arange(num_patients))
        for interval in (found.macro, *found.labels):
            assert interval.high == interval.value == 1
        lows.append(found.labels[0].low)
    assert 0.6 < lows[0] < lows[1] < lows[2] < 1


def test_bca_is_that_of_scipy_where_a_patient_has_one_row() -> None:
    score = np.random.default_rng(0).lognormal(size=60)
    (found,) = patient_bootstrap(
        mean_score(score[:, None]), np.arange(60), rng=0, num_resamples=20_000, method="bca"
    )
    expected = stats.bootstrap(
        (score,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.02 * width)
    assert found.high == pytest.approx(expected.high, abs=0.02 * width)
    plain = patient_bootstrap(mean_score(score[:, None]), np.arange(60), rng=0)[0]
    assert found.high - plain.high > 0.05 * width


def test_one_seed_gives_one_interval_and_a_generator_goes_on() -> None:
    _, score, _, patients = draw_problem(0, 50, 1)

    def interval(rng: int | np.random.Generator) -> tuple[float, ...]:
        found = patient_bootstrap(mean_score(score), patients, rng=rng, num_resamples=100)
        return astuple(found[0])

    assert interval(0) == interval(0) == interval(np.random.default_rng(0))
    assert interval(0) != interval(1)
    generator = np.random.default_rng(0)
    assert interval(generator) != interval(generator)


def test_resamples_do_not_depend_on_how_many_are_weighed_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth, score, mask, patients = draw_problem(3, 50, 3)
    options: dict[str, Any] = {"method": "percentile", "rng": 0, "num_resamples": 101}
    expected = auroc_intervals(truth, score, patients, mask, **options)
    monkeypatch.setattr(uncertainty, "BLOCK", 150)
    found = auroc_intervals(truth, score, patients, mask, **options)
    for one, other in zip(
        (found.macro, *found.labels), (expected.macro, *expected.labels), strict=True
    ):
        np.testing.assert_allclose(ends_of(one), ends_of(other), rtol=0, atol=1e-12)


def test_resamples_without_the_only_positive_patient_are_counted_and_left_out() -> None:
    patients = np.repeat(np.arange(10), 3)
    rng = np.random.default_rng(0)
    truth = np.stack([patients == 4, patients % 2 == 0, patients < 0], axis=1)
    score = truth + rng.normal(size=truth.shape)
    found = auroc_intervals(truth, score, patients, method="percentile", rng=0)
    rare, common, never = found.labels
    # A patient is left out of 0.9 ** 10 of the resamples.
    assert is_a(BootstrapInterval, rare).num_undefined / 2000 == pytest.approx(0.349, abs=0.04)
    assert rare.low <= rare.value <= rare.high
    assert is_a(BootstrapInterval, common).num_undefined < 20
    assert (
        is_a(BootstrapInterval, never).num_undefined
        == is_a(BootstrapInterval, never).num_resamples
        == 2000
    )
    assert np.isnan([never.value, never.low, never.high]).all()
    assert is_a(BootstrapInterval, found.macro).num_undefined < 20
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
        (["a", "a"], {}, "1 patient; an interval over patients needs at least 2"),
        ([], {}, "0 patient"),
        ([["a"], ["b"]], {}, r"patient_ids \(2, 1\); expected \(n,\)"),
        (["a", "b"], {"num_resamples": 0}, "num_resamples=0; expected at least 1"),
        (["a", "b", "c"], {}, "weights for 3 rows; expected 2"),
    ],
)
def test_a_bootstrap_without_a_meaning_is_refused(
    patients: Any, options: dict[str, int], message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        auroc_intervals([[0], [1]], [[0.0], [1.0]], patients, method="percentile", rng=0, **options)


@pytest.mark.slow
@pytest.mark.parametrize("radiographs", RADIOGRAPHS)
@pytest.mark.parametrize(
    ("patients", "prevalence", "area"), [(40, 0.05, 0.95), (40, 0.3, 0.95), (100, 0.05, 0.95)]
)
def test_a_labels_interval_covers_in_the_bad_corner(
    radiographs: tuple[int, int], patients: int, prevalence: float, area: float
) -> None:
    setting = Setting(patients, radiographs, area, (prevalence,))
    found = label_coverage(setting, "score", seed=1, num_datasets=4000)
    print(f"\n{setting}: {found}")
    # Three standard errors of the share beside the 93 to 98 % that longer runs measure.
    error = 3 * np.sqrt(0.05 * 0.95 / found.count)
    assert 0.93 - error <= found.covered <= 0.985 + error
    assert max(found.above, found.below) <= 0.05 + error
    plain = label_coverage(setting, "percentile", seed=1, num_datasets=500, num_resamples=300)
    assert plain.covered < 0.93


@pytest.mark.parametrize(("largest", "others"), [(40, 99), (200, 59)])
def test_intervals_cover_though_one_patient_has_many_of_the_rows(largest: int, others: int) -> None:
    """Scores without skill; counting patients alone misses 0.5 in 12 to 30 %."""
    rng = np.random.default_rng(0)
    rows = np.array([largest] + [1 if largest == 40 else 2] * others)
    patients = np.repeat(np.arange(len(rows)), rows)
    misses = num_shown = 0
    for _ in range(40):
        usual = rng.integers(0, 4, len(rows))[patients]
        classes = np.where(rng.random(len(patients)) < 0.8, usual, rng.integers(0, 4, len(usual)))
        own = rng.normal(size=(len(rows), 4))[patients]
        score = np.sqrt(0.5) * (own + rng.normal(size=own.shape))
        found = auroc_intervals(np.eye(4)[classes], score, patients)
        shown = [one for one in (found.macro, *found.labels) if not one.reason]
        num_shown += len(shown)
        misses += sum(not one.low <= 0.5 <= one.high for one in shown)
    assert num_shown > 150
    assert misses / num_shown < 0.05


def test_patients_with_equally_many_rows_all_count() -> None:
    rng = np.random.default_rng(1)
    truth, score = rng.integers(0, 2, (60, 1)), rng.normal(size=(60, 1))
    alone = ClusteredAurocs(truth, score, np.arange(60)).label(0)
    assert alone.effective == alone.patients
    each_twice = np.repeat(np.arange(60), 2)
    twice = ClusteredAurocs(truth[each_twice], score[each_twice], each_twice).label(0)
    assert twice.effective == alone.effective
    assert area_interval(twice) == area_interval(alone)


@pytest.mark.slow
def test_the_macro_interval_covers_though_some_labels_are_rare() -> None:
    for area in (0.6, 0.95):
        setting = Setting(40, (2, 2), area, MACRO_PREVALENCES, shared=0.3)
        found = macro_coverage(setting, "score", seed=1, num_datasets=600)
        print(f"\n{setting}: {found}")
        assert 0.91 <= found.covered <= 0.985


@pytest.mark.slow
def test_the_interval_over_patients_covers_and_one_over_rows_does_not() -> None:
    found = coverage(0, num_datasets=1000)
    print(f"\ncoverage of 95 % intervals: patients {found.ours:.1%}, rows {found.naive:.1%}")
    assert 0.93 <= found.ours <= 0.97
    assert found.naive < 0.9
