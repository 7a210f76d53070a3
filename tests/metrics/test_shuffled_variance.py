"""The variance of a macro AUROC under swapped labels, against swapping them."""

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.errors import MetricError
from rust_tuner.metrics import macro_auroc, shuffled_variance


def problem(
    seed: int = 0, patients: int = 12, rows: int = 2, labels: int = 3
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Patients whose rows share their labels, so that the closed form is exact."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), rows)
    truth = (rng.random((patients, labels)) < 0.5)[owner]
    truth[:rows], truth[rows : 2 * rows] = True, False
    score = rng.normal(size=(patients, labels))[owner] + rng.normal(size=truth.shape)
    return truth, score, owner


def permuted(
    truth: npt.NDArray[np.bool_],
    score: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int64],
    *,
    baseline: npt.NDArray[np.float64] | None = None,
    draws: int = 4000,
    seed: int = 1,
) -> np.float64:
    """The variance by drawing permutations of the patients."""
    rng = np.random.default_rng(seed)
    first = np.searchsorted(owner, np.unique(owner))
    figures = []
    for _ in range(draws):
        swapped = truth[first][rng.permutation(len(first))][owner]
        figure = macro_auroc(swapped, score)
        figures.append(figure - (macro_auroc(swapped, baseline) if baseline is not None else 0))
    return np.float64(np.var(figures))


def test_it_is_the_variance_over_permutations_of_the_patients() -> None:
    truth, score, owner = problem()
    expected = permuted(truth, score, owner)
    assert shuffled_variance(truth, score, owner) == pytest.approx(expected, rel=0.08)


@pytest.mark.slow
def test_of_a_difference_it_is_the_paired_one() -> None:
    truth, score, owner = problem()
    baseline = score + 0.3 * np.random.default_rng(2).normal(size=score.shape)
    expected = permuted(truth, score, owner, baseline=baseline)
    found = shuffled_variance(truth, score, owner, baseline=baseline)
    assert found == pytest.approx(expected, rel=0.08)
    assert found < shuffled_variance(truth, score, owner) / 2
    assert shuffled_variance(truth, score, owner, baseline=score) == 0


def test_of_one_label_and_one_row_a_patient_it_is_mann_whitneys() -> None:
    rng = np.random.default_rng(0)
    truth, score = np.arange(11)[:, None] < 4, rng.normal(size=(11, 1))
    expected = (4 + 7 + 1) / (12 * 4 * 7)
    assert shuffled_variance(truth, score, np.arange(11)) == pytest.approx(expected)


def test_two_patients_are_right_or_wrong_with_equal_chance() -> None:
    truth, score = np.array([[1], [0]]), np.array([[0.9], [0.1]])
    assert shuffled_variance(truth, score, ["a", "b"]) == pytest.approx(0.25)


def test_the_mean_of_folds_varies_as_independent_folds() -> None:
    truth, score, owner = problem(patients=16)
    folds = (owner % 2).astype(int)
    parts = [
        shuffled_variance(truth[folds == fold], score[folds == fold], owner[folds == fold])
        for fold in (0, 1)
    ]
    assert shuffled_variance(truth, score, owner, folds=folds) == pytest.approx(sum(parts) / 4)


def test_strata_and_masks_count_alone() -> None:
    truth, score, owner = problem(rows=1, patients=20)
    mask = np.random.default_rng(0).random(truth.shape) < 0.8
    hidden = np.where(mask, score, 99.0)
    assert shuffled_variance(truth, hidden, owner, mask) == pytest.approx(
        shuffled_variance(truth, score, owner, mask)
    )
    # Within one stratum a patient, nothing can be swapped.
    assert shuffled_variance(truth, score, owner, strata=owner) == pytest.approx(0)


def test_patients_who_show_no_label_change_nothing() -> None:
    truth, score, owner = problem(rows=1, patients=40)
    mask = np.zeros(truth.shape, dtype=bool)
    mask[:8] = True
    found = shuffled_variance(truth, score, owner, mask)
    assert found == pytest.approx(shuffled_variance(truth[:8], score[:8], owner[:8]))
    assert found > 4 * shuffled_variance(truth, score, owner)


@pytest.mark.slow
def test_labels_of_two_views_are_swapped_within_their_own_patients() -> None:
    rng = np.random.default_rng(3)
    view = np.arange(40) % 2
    mask = view[:, None] == np.array([0, 0, 1, 1])
    truth = rng.integers(0, 2, (40, 4)).astype(bool) & mask
    score = rng.normal(size=(40, 4))
    figures = []
    for _ in range(3000):
        swapped = truth.copy()
        for side in (0, 1):
            swapped[view == side] = truth[view == side][rng.permutation(20)]
        figures.append(macro_auroc(swapped, score, mask))
    found = shuffled_variance(truth, score, np.arange(40), mask, strata=view)
    assert found == pytest.approx(np.var(figures), rel=0.08)


def test_where_nothing_is_defined_it_is_zero() -> None:
    assert shuffled_variance(np.zeros((4, 2)), np.zeros((4, 2)), np.arange(4)) == 0


def test_other_shapes_are_refused() -> None:
    truth, score, owner = problem()
    with pytest.raises(MetricError, match=r"strata \(3,\); expected \(24,\)"):
        shuffled_variance(truth, score, owner, strata=[1, 2, 3])
