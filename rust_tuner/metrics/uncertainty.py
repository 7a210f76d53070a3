"""How sure a figure is: bootstrap intervals over patients, and tests between trials' fold scores.

Radiographs of one patient are alike, so patients are what is drawn; and the folds of one
cross-validation share their training data, so their scores are not independent.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from rust_tuner.errors import MetricError
from rust_tuner.metrics.ranking import checked_labels

FloatArray = npt.NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]

# Of 95 percent intervals.
TAILS = (0.025, 0.975)
# Weights are made in blocks of about this many, which a core's cache holds.
_BLOCK = 250_000


@dataclass(frozen=True)
class Interval:
    """A figure between the ends of its 95 % confidence interval; NaN where undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BootstrapInterval(Interval):
    """A figure with its 95 % percentile interval.

    Attributes:
        num_resamples: how many resamples were drawn.
        num_undefined: in how many of them the figure was undefined; the interval is of the rest.
    """

    num_resamples: int
    num_undefined: int


@dataclass(frozen=True)
class AurocIntervals:
    """AUROC with its uncertainty over patients.

    Attributes:
        macro: of the macro AUROC; as in `macro_auroc`, a resample's is the mean over the labels
            that are defined in it.
        labels: of each label's AUROC.
        num_incomplete: in how many resamples a label was undefined that the data define.
    """

    macro: BootstrapInterval
    labels: tuple[BootstrapInterval, ...]
    num_incomplete: int


def patient_bootstrap(
    statistic: Statistic,
    patient_ids: npt.ArrayLike,
    *,
    rng: int | np.random.Generator,
    num_resamples: int = 2000,
) -> tuple[BootstrapInterval, ...]:
    """95 % percentile intervals from resamples of whole patients.

    As many patients are drawn with replacement as there are; all rows of a patient come along
    (the cluster bootstrap; Field and Welsh, J R Stat Soc B 2007).

    Args:
        statistic: takes weights (n, resamples), how often each row is in each resample (float64
            whole numbers), and gives (resamples, figures), NaN where a figure is undefined. All
            ones are the data themselves.
        patient_ids: (n,) the patient of each row.
        rng: a seed, or a generator to go on drawing from.
        num_resamples: how many resamples to draw, at least 1.

    Returns:
        One interval for each figure.

    Raises:
        MetricError: for patient_ids of another shape, fewer than two patients, or no resamples.
    """
    found, resampled = _resample(statistic, patient_ids, rng, num_resamples)
    return _intervals(found, resampled)


def auroc_intervals(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patient_ids: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    rng: int | np.random.Generator,
    num_resamples: int = 2000,
) -> AurocIntervals:
    """`patient_bootstrap` of the AUROC, macro and of each label, from the same resamples.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores.
        patient_ids: (n,) the patient of each row.
        mask: (n, labels) bool, or None for all; entries that are False do not count.
        rng: a seed, or a generator to go on drawing from.
        num_resamples: how many resamples to draw, at least 1.

    Raises:
        MetricError: as `auroc` and `patient_bootstrap`.
    """
    statistic = WeightedAuroc(y_true, y_score, mask)
    found, resampled = _resample(statistic, patient_ids, rng, num_resamples)
    (macro,) = _intervals(mean_of_defined(found), mean_of_defined(resampled))
    missing = np.isnan(resampled) & ~np.isnan(found)
    return AurocIntervals(macro, _intervals(found, resampled), int(missing.any(axis=1).sum()))


class WeightedAuroc:
    """Each label's AUROC as a function of the rows' weights; the scores are sorted once."""

    def __init__(
        self, y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None = None
    ) -> None:
        """Sort the scores.

        Args:
            y_true: (n, labels) zeros and ones.
            y_score: (n, labels) finite scores.
            mask: (n, labels) bool, or None for all; entries that are False do not count.

        Raises:
            MetricError: as `auroc`.
        """
        truth, score, counted = checked_labels(y_true, y_score, mask)
        self._num_rows = len(truth)
        self._labels = []
        for label in range(truth.shape[1]):
            order = np.argsort(score[:, label])
            order = order[counted[order, label]]
            is_positive = truth[order, label]
            positives, negatives = order[is_positive], order[~is_positive]
            reached, against = score[positives, label], score[negatives, label]
            self._labels.append(
                (
                    positives,
                    negatives,
                    np.searchsorted(against, reached, "left"),
                    np.searchsorted(against, reached, "right"),
                )
            )

    def __call__(self, weights: FloatArray) -> FloatArray:
        """The AUROC of each label under each column of weights.

        Args:
            weights: (n, resamples) float64, at least 0.

        Returns:
            (resamples, labels) float64, NaN where the positives or negatives weigh nothing.
        """
        if len(weights) != self._num_rows:
            raise MetricError(f"weights for {len(weights)} rows; expected {self._num_rows}")
        areas = np.full((weights.shape[1], len(self._labels)), np.nan)
        for label, (positives, negatives, first, last) in enumerate(self._labels):
            # What the negatives before each place in the order weigh.
            before = np.zeros((len(negatives) + 1, weights.shape[1]))
            np.cumsum(weights[negatives], axis=0, out=before[1:])
            below = before[first]
            if not np.array_equal(first, last):
                # Of what has the same score, half is counted as below.
                below = (below + before[last]) / 2
            won = weights[positives]
            pairs = won.sum(axis=0) * before[-1]
            total = np.einsum("ij,ij->j", won, below)
            np.divide(total, pairs, out=areas[:, label], where=pairs > 0)
        return areas


def mean_of_defined(figures: FloatArray) -> FloatArray:
    """(resamples, figures) to (resamples, 1): the mean of those that are defined, NaN if none."""
    defined = ~np.isnan(figures)
    num_defined = defined.sum(axis=1, keepdims=True)
    mean = np.full(num_defined.shape, np.nan)
    total = np.where(defined, figures, 0.0).sum(axis=1, keepdims=True)
    np.divide(total, num_defined, out=mean, where=num_defined > 0)
    return mean


@dataclass(frozen=True)
class PairedTest:
    """A test of whether two trials differ.

    Attributes:
        difference: the mean of first minus second.
        statistic: Student's t under no difference; infinite where all folds differ by the same.
        p_value: two-sided; 1 where no fold differs.
        degrees_of_freedom: the number of folds less one.
    """

    difference: float
    statistic: float
    p_value: float
    degrees_of_freedom: int


def corrected_t_test(
    first: npt.ArrayLike, second: npt.ArrayLike, n_train: float, n_test: float
) -> PairedTest:
    """The corrected resampled t-test between two trials scored on the same folds.

    Nadeau and Bengio, Machine Learning 2003, doi:10.1023/A:1024068626366: the variance of the
    mean difference is taken as (1 / folds + n_test / n_train) times that of the folds, because
    the folds share training data. The correction is an approximation, though a far better one
    than none.

    Args:
        first: (folds,) finite scores of one trial.
        second: (folds,) finite scores of the other on the same folds.
        n_train: independent units (patients) that a fold trains on, their mean where folds differ.
        n_test: units that a fold is scored on.

    Raises:
        MetricError: for shapes that differ, fewer than two folds, or scores that are not finite.
    """
    scores = _checked_folds(np.stack(_same_shape(first, second)), n_train, n_test)
    return _paired_test(scores[0] - scores[1], n_test / n_train)


def tied_with_best(
    fold_scores: npt.ArrayLike, n_train: float, n_test: float, alpha: float = 0.05
) -> npt.NDArray[np.bool_]:
    """Which trials the corrected test cannot tell from the one with the highest mean.

    The trials are compared one by one: alpha is that of each comparison, with no correction for
    their number nor for the best having been picked by the same scores. So true ties look untied
    more often than alpha: at 0.05, of trials that are all equal 11 % with 10 of them and 23 %
    with 50 (simulated, 6 folds).

    Args:
        fold_scores: (trials, folds) finite scores, higher is better.
        n_train: as in `corrected_t_test`.
        n_test: as in `corrected_t_test`.
        alpha: in (0, 1); a trial whose p-value is below it is not tied.

    Returns:
        (trials,) bool; the best itself is True.

    Raises:
        MetricError: as `corrected_t_test`, for no trials, or for an alpha outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise MetricError(f"alpha={alpha}; expected a probability between 0 and 1")
    scores = _checked_folds(fold_scores, n_train, n_test)
    best = scores[scores.mean(axis=1).argmax()]
    p_values = [_paired_test(best - trial, n_test / n_train).p_value for trial in scores]
    return np.array(p_values) >= alpha


def _paired_test(difference: FloatArray, overlap: float) -> PairedTest:
    num_folds = len(difference)
    mean = float(difference.mean())
    error = float(np.sqrt(difference.var(ddof=1) * (1 / num_folds + overlap)))
    if (difference == difference[0]).all():
        # Rounding of the mean would make a tiny error of none.
        mean, error = float(difference[0]), 0.0
    if error == 0:
        statistic = float(np.copysign(np.inf, mean)) if mean else 0.0
    else:
        statistic = mean / error
    return PairedTest(
        difference=mean,
        statistic=statistic,
        p_value=float(2 * stats.t.sf(abs(statistic), num_folds - 1)),
        degrees_of_freedom=num_folds - 1,
    )


def _same_shape(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise MetricError(f"scores {one.shape} and {other.shape}; expected one shape (folds,)")
    return one, other


def _checked_folds(fold_scores: npt.ArrayLike, n_train: float, n_test: float) -> FloatArray:
    scores = np.asarray(fold_scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) < 1 or scores.shape[1] < 2:
        raise MetricError(
            f"scores of shape {scores.shape}; expected (trials, folds) with at least two folds"
        )
    if not np.isfinite(scores).all():
        trial, fold = np.argwhere(~np.isfinite(scores))[0]
        raise MetricError(
            f"trial {trial}, fold {fold}: score {scores[trial, fold]}; expected finite scores, "
            "leave out trials that failed"
        )
    if not (n_train > 0 and n_test > 0):
        raise MetricError(f"n_train={n_train}, n_test={n_test}; expected positive numbers")
    return scores


def _resample(
    statistic: Statistic,
    patient_ids: npt.ArrayLike,
    rng: int | np.random.Generator,
    num_resamples: int,
) -> tuple[FloatArray, FloatArray]:
    """The figures of the data (1, figures) and of the resamples (resamples, figures)."""
    identifiers = np.asarray(patient_ids)
    if identifiers.ndim != 1:
        raise MetricError(f"patient_ids {identifiers.shape}; expected (n,), one for each row")
    patients, patient_of_row = np.unique(identifiers, return_inverse=True)
    if len(patients) < 2:
        raise MetricError(f"{len(patients)} patient; a bootstrap over patients takes at least 2")
    if num_resamples < 1:
        raise MetricError(f"num_resamples={num_resamples}; expected at least 1")
    generator = np.random.default_rng(rng)
    size = max(1, _BLOCK // len(patient_of_row))
    parts = []
    for start in range(0, num_resamples, size):
        count = min(size, num_resamples - start)
        drawn = generator.integers(len(patients), size=(count, len(patients)))
        places = drawn * count + np.arange(count)[:, None]
        times = np.bincount(places.ravel(), minlength=len(patients) * count)
        by_patient = times.reshape(len(patients), count).astype(np.float64)
        parts.append(statistic(by_patient[patient_of_row]))
    return statistic(np.ones((len(patient_of_row), 1))), np.concatenate(parts)


def _intervals(found: FloatArray, resampled: FloatArray) -> tuple[BootstrapInterval, ...]:
    intervals = []
    for value, samples in zip(found[0], resampled.T, strict=True):
        defined = samples[~np.isnan(samples)]
        low, high = np.quantile(defined, TAILS) if len(defined) else (np.nan, np.nan)
        intervals.append(
            BootstrapInterval(
                value=float(value),
                low=float(low),
                high=float(high),
                num_resamples=len(samples),
                num_undefined=len(samples) - len(defined),
            )
        )
    return tuple(intervals)
