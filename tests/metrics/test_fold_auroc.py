"""The fold-averaged AUROC as a function of weights: the same as rows that are there more often."""

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.errors import MetricError
from rust_tuner.metrics import FoldMacroAuroc, auroc_intervals, macro_auroc
from rust_tuner.metrics.fold_auroc import difference

Problem = tuple[
    npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.int64]
]


@pytest.fixture(params=range(5))
def problem(request: pytest.FixtureRequest) -> Problem:
    """Labels, scores with ties, a mask, folds and patients; some label lacks a class in a fold."""
    rng = np.random.default_rng(request.param)
    n, labels = 90, 4
    truth = (rng.random((n, labels)) < 0.4).astype(float)
    score = rng.integers(0, 8, (n, labels)) / 8
    mask = rng.random((n, labels)) < 0.7
    folds = rng.integers(0, 3, n)
    truth[folds == 1, 2] = 0
    return truth, score, mask, folds


def by_hand(
    truth: npt.NDArray[np.float64],
    score: npt.NDArray[np.float64],
    mask: npt.NDArray[np.bool_],
    folds: npt.NDArray[np.int64],
) -> np.floating:
    return np.mean(
        [macro_auroc(truth[folds == f], score[folds == f], mask[folds == f]) for f in range(3)]
    )


def test_all_ones_are_the_mean_over_the_folds(problem: Problem) -> None:
    truth, score, mask, folds = problem
    found = FoldMacroAuroc(truth, score, mask, folds=folds)(np.ones((len(truth), 2)))
    assert found.shape == (2, 1)
    np.testing.assert_allclose(found, by_hand(*problem), atol=1e-12)


def test_a_weight_is_how_often_a_row_is_there(problem: Problem) -> None:
    truth, score, mask, folds = problem
    weights = np.random.default_rng(1).integers(0, 4, len(truth))
    rows = np.repeat(np.arange(len(truth)), weights)
    found = FoldMacroAuroc(truth, score, mask, folds=folds)(weights[:, None].astype(float))
    expected = by_hand(truth[rows], score[rows], mask[rows], folds[rows])
    assert found[0, 0] == pytest.approx(expected, abs=1e-12)


def test_it_is_the_macro_figure_of_auroc_intervals(problem: Problem) -> None:
    truth, score, mask, folds = problem
    patients = np.arange(len(truth)) // 2
    text = auroc_intervals(truth, score, patients, mask, folds=folds)
    found = FoldMacroAuroc(truth, score, mask, folds=folds)(np.ones((len(truth), 1)))
    assert found[0, 0] == pytest.approx(text.macro.value, abs=1e-12)


def test_differences_are_those_of_the_same_weights(problem: Problem) -> None:
    truth, score, mask, folds = problem
    one = FoldMacroAuroc(truth, score, mask, folds=folds)
    other = FoldMacroAuroc(truth, 1 - score, mask, folds=folds)
    weights = np.random.default_rng(2).integers(1, 4, (len(truth), 5)).astype(float)
    np.testing.assert_allclose(difference(one, other)(weights), one(weights) - other(weights))
    # Turned round, an AUROC is one minus itself.
    np.testing.assert_allclose(one(weights) + other(weights), 1.0, atol=1e-12)


def test_without_folds_one_model_scored_all(problem: Problem) -> None:
    truth, score, mask, _ = problem
    found = FoldMacroAuroc(truth, score, mask, folds=None)(np.ones((len(truth), 1)))
    assert found[0, 0] == pytest.approx(macro_auroc(truth, score, mask), abs=1e-12)


def test_folds_of_another_length_are_refused(problem: Problem) -> None:
    truth, score, mask, folds = problem
    with pytest.raises(MetricError, match=r"folds \(89,\); expected \(90,\)"):
        FoldMacroAuroc(truth, score, mask, folds=folds[1:])
