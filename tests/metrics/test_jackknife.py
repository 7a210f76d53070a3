"""The jackknife over patients: what leaving out each of them by hand gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.errors import MetricError
from rust_tuner.metrics import jackknife, patient_jackknife
from rust_tuner.metrics.ranking import ratio

Problem = tuple[
    npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.float64]
]


def recall_and_mean(
    truth: npt.NDArray[Any], decided: npt.NDArray[Any], score: npt.NDArray[Any]
) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """A share of the positives, and a mean of all rows, as functions of weights."""
    parts = np.stack([truth & decided, truth, score, np.ones(len(truth))], axis=1) * 1.0

    def statistic(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        hits, positives, total, rows = (weights.T @ parts).T
        return np.stack([ratio(hits, positives), ratio(total, rows)], axis=1)

    return statistic


@pytest.fixture
def problem() -> Problem:
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 20, size=70)
    return patients, rng.random(70) < 0.2, rng.random(70) < 0.5, rng.normal(size=70)


def test_variances_are_those_of_tables_without_a_patient(problem: Problem) -> None:
    patients, truth, decided, score = problem
    found = patient_jackknife(recall_and_mean(truth, decided, score), patients)
    names = np.unique(patients)
    left = np.array(
        [
            (decided[(patients != name) & truth].mean(), score[patients != name].mean())
            for name in names
        ]
    )
    expected = (len(names) - 1) * left.var(axis=0)
    np.testing.assert_allclose(found.variances, expected, rtol=1e-10)
    np.testing.assert_allclose(found.values, (decided[truth].mean(), score.mean()))
    assert list(found.defining) == [len(set(patients[truth])), len(names)]
    assert list(found.moving) == [
        (~np.isclose(left[:, column], found.values[column], rtol=0, atol=1e-12)).sum()
        for column in range(2)
    ]


def test_a_patient_at_the_mean_contributes_and_does_not_move_it() -> None:
    score = np.array([1.0, -1.0, 0.0, 0.0, 0.0])
    found = patient_jackknife(recall_and_mean(score > 0, score > 0, score), np.arange(5))
    assert found.moving[1] == 2
    assert found.contributing[1] == found.defining[1] == 5
    # The share of those with a label is undefined without its only patient.
    assert (found.moving[0], found.contributing[0], found.defining[0]) == (1, 1, 1)


def test_one_row_a_patient_gives_the_variance_of_the_mean() -> None:
    score = np.random.default_rng(1).normal(size=50)
    found = patient_jackknife(recall_and_mean(score > 0, score > 1, score), np.arange(50))
    assert found.variances[1] == pytest.approx(score.var(ddof=1) / 50)


def test_degrees_of_freedom_fall_where_few_patients_make_most_of_the_variance() -> None:
    def degrees(score: npt.NDArray[np.float64]) -> float:
        patients = np.arange(len(score))
        jackknife = patient_jackknife(recall_and_mean(score > 0, score > 1, score), patients)
        return float(jackknife.degrees[1])

    rng = np.random.default_rng(2)
    # A normal kurtosis of 3 gives n degrees, which the number of patients limits.
    assert degrees(np.array([-1.0, 1.0] * 20)) == 39
    assert degrees(rng.normal(size=4000)) == pytest.approx(4000, rel=0.1)
    score = rng.exponential(size=300)
    kurtosis = np.mean((score - score.mean()) ** 4) / score.var() ** 2
    assert degrees(score) == pytest.approx(600 / (kurtosis - 1))
    assert degrees(score) < 200
    one_decides = np.zeros(40)
    one_decides[0] = 6.0
    # n / (n - 1) more than 2, since the kurtosis of n values is below n.
    assert degrees(one_decides) == pytest.approx(2.1, abs=0.1)
    # Patients without data for a figure tell nothing of how certain its variance is.
    statistic = recall_and_mean(score > 0, score > 1, score)
    alone = patient_jackknife(statistic, np.arange(300))
    more = patient_jackknife(lambda weights: statistic(weights[:300]), np.arange(900))
    assert more.degrees == pytest.approx(alone.degrees)
    # No difference, no variance.
    assert degrees(np.zeros(40)) == 39


def test_the_bias_of_a_square_is_that_of_the_variance() -> None:
    score = np.random.default_rng(3).normal(size=60)

    def squared_mean(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray((weights.T @ score / weights.sum(axis=0)) ** 2)[:, None]

    found = patient_jackknife(squared_mean, np.arange(60))
    # On average, the square of a mean is too large by the variance of the mean.
    assert found.biases[0] == pytest.approx(score.var(ddof=1) / 60, rel=1e-6)


def test_it_does_not_depend_on_how_many_patients_are_left_out_at_a_time(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients, *arrays = problem
    statistic = recall_and_mean(*arrays)
    expected = patient_jackknife(statistic, patients)
    monkeypatch.setattr(jackknife, "BLOCK", 200)
    found = patient_jackknife(statistic, patients)
    np.testing.assert_allclose(found.variances, expected.variances, rtol=1e-12)
    np.testing.assert_array_equal(found.defining, expected.defining)


def test_a_figure_that_one_patient_alone_defines_has_no_variance() -> None:
    patients = np.repeat(np.arange(4), 2)
    statistic = recall_and_mean(patients == 2, patients > 0, patients * 1.0)
    found = patient_jackknife(statistic, patients)
    assert np.isnan(found.variances[0])
    assert found.defining[0] == 1
    assert np.isfinite(found.variances[1])


def test_patients_of_no_rows_are_refused() -> None:
    with pytest.raises(MetricError, match=r"patient_ids \(0,\); expected \(n,\)"):
        patient_jackknife(lambda weights: weights.T, [])
