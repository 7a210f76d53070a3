"""The variance of a macro AUROC when labels are shuffled between patients under fixed scores.

This is the variance expected by chance for a model without skill. It needs no resampling, and stays
positive when a few patients agree by luck.
"""

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.ranking import checked_labels

FloatArray = npt.NDArray[np.float64]


def shuffled_variance(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patient_ids: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    strata: npt.ArrayLike | None = None,
    folds: npt.ArrayLike | None = None,
    baseline: npt.ArrayLike | None = None,
) -> float:
    """The variance of a macro AUROC if whole patients swapped their labels at random.

    Scores stay fixed; within a fold, each patient receives all labels of another patient. The AUROC
    is a sum over patients of rank sums times labels, so its variance over all permutations is known
    in closed form (Hoeffding, Ann Math Stat 1951, doi:10.1214/aoms/1177729391). If a patient has
    several rows, the mean of their labels is used, which is exact if they are all equal. A patient
    swaps only the labels that some row shows; if two labels are shown by different patients, their
    covariance is approximate.

    It does not include the dependence between folds, each of which is scored by a model that
    trained on the others: the AUROC of a cross-validation varies more than this.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores.
        patient_ids: (n,) the patient of each row.
        mask: (n, labels) bool, or None for all; entries that are False do not count.
        strata: (n,) labels are swapped only between rows with the same value, such as the view;
            None to swap between all.
        folds: (n,) the fold that scored each row; None if one model scored all.
        baseline: (n, labels) scores whose macro AUROC is subtracted; None for nothing.

    Returns:
        The variance, at least 0; 0 if no label has both classes in any fold.

    Raises:
        MetricError: as `auroc`, or for patients, strata or folds of another shape.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> truth, score = rng.integers(0, 2, (80, 2)), rng.normal(size=(80, 2))
        >>> patients = np.repeat(np.arange(40), 2)
        >>> print(f"{shuffled_variance(truth, score, patients) ** 0.5:.3f}")
        0.032
    """
    truth, score, counted = checked_labels(y_true, y_score, mask)
    baseline_scores = None if baseline is None else checked_labels(y_true, baseline, mask)[1]
    owner, stratum, fold = (
        _codes(values, len(truth), name)
        for values, name in ((patient_ids, "patient_ids"), (strata, "strata"), (folds, "folds"))
    )
    total, num_defined = 0.0, 0
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        variance = _of_fold(
            truth[rows],
            score[rows],
            None if baseline_scores is None else baseline_scores[rows],
            counted[rows],
            np.unique(owner[rows], return_inverse=True)[1],
            stratum[rows],
        )
        if variance is not None:
            total, num_defined = total + variance, num_defined + 1
    return total / num_defined**2 if num_defined else 0.0


def _of_fold(
    truth: npt.NDArray[np.bool_],
    score: FloatArray,
    baseline: FloatArray | None,
    counted: npt.NDArray[np.bool_],
    owner: npt.NDArray[np.int64],
    stratum: npt.NDArray[np.int64],
) -> float | None:
    """The variance of one fold; None if no label of it is defined."""
    positives = (truth & counted).sum(axis=0)
    negatives = (~truth & counted).sum(axis=0)
    defined = np.flatnonzero((positives > 0) & (negatives > 0))
    if not len(defined):
        return None
    num_patients = int(owner.max()) + 1
    if num_patients < 2:
        return 0.0
    ranks_of_patients, labels_of_patients, shown_by_patients = [], [], []
    for label in defined:
        rows = counted[:, label]
        ranks = _ranks(score[rows, label])
        if baseline is not None:
            ranks = ranks - _ranks(baseline[rows, label])
        # The AUROC is the positives' rank sum divided by this, minus a constant.
        ranks /= positives[label] * negatives[label] * len(defined)
        for value in np.unique(stratum[rows]):
            in_stratum = stratum[rows] == value
            patients, is_positive = owner[rows][in_stratum], truth[rows, label][in_stratum]
            shown = np.bincount(patients, minlength=num_patients).astype(np.float64)
            with_label = np.bincount(patients, is_positive, num_patients)
            share = np.divide(with_label, shown, out=np.zeros(num_patients), where=shown > 0)
            centred = ranks[in_stratum] - ranks[in_stratum].mean()
            rank_sums = np.bincount(patients, centred, num_patients).astype(np.float64)
            ranks_of_patients.append(_centred(rank_sums, shown))
            labels_of_patients.append(_centred(share, shown))
            shown_by_patients.append(shown > 0)
    ranks, labels, shows = map(np.array, (ranks_of_patients, labels_of_patients, shown_by_patients))
    # Labels are swapped between the patients who show them: of two labels, those who show both.
    of_both = shows.astype(np.float64) @ shows.T
    covariances = (ranks @ ranks.T) * (labels @ labels.T) / np.maximum(of_both - 1, 1)
    return max(0.0, float(covariances.sum()))


def _centred(values: FloatArray, shown: FloatArray) -> FloatArray:
    """Values (patients,) minus the mean of those who show the label; 0 for the others."""
    return np.where(shown > 0, values - values[shown > 0].mean(), 0.0)


def _codes(values: npt.ArrayLike | None, num_rows: int, name: str) -> npt.NDArray[np.int64]:
    if values is None:
        return np.zeros(num_rows, dtype=np.int64)
    given = np.asarray(values)
    if given.shape != (num_rows,):
        raise MetricError(f"{name} {given.shape}; expected ({num_rows},), one for each row")
    return np.unique(given.astype(str), return_inverse=True)[1].astype(np.int64)


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, equal values sharing their mean, as `scipy.stats.rankdata` gives them."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    return np.asarray((below + up_to + 1) / 2, dtype=np.float64)
