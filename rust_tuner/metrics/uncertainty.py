"""How sure a figure is: intervals by bootstrap over patients.

Radiographs of one patient are alike, so patients are what is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.ranking import checked_labels
from rust_tuner.metrics.weighted_ranking import WeightedAuroc, mean_of_defined

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
            that are defined in it (with folds, of each fold, and then over the folds).
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
    folds: npt.ArrayLike | None = None,
    rng: int | np.random.Generator,
    num_resamples: int = 2000,
) -> AurocIntervals:
    """`patient_bootstrap` of the AUROC, macro and of each label, from the same resamples.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores.
        patient_ids: (n,) the patient of each row.
        mask: (n, labels) bool, or None for all; entries that are False do not count.
        folds: (n,) the fold that scored each row: every figure is each fold's, averaged over the
            folds that define it. None where one model scored all rows.
        rng: a seed, or a generator to go on drawing from.
        num_resamples: how many resamples to draw, at least 1.

    Raises:
        MetricError: as `auroc` and `patient_bootstrap`, or for folds of another shape.
    """
    truth, score, counted = checked_labels(y_true, y_score, mask)
    numbers = np.zeros(len(truth), dtype=np.int64) if folds is None else np.asarray(folds)
    if numbers.shape != (len(truth),):
        raise MetricError(f"folds {numbers.shape}; expected ({len(truth)},)")
    parts = [np.flatnonzero(numbers == fold) for fold in np.unique(numbers)]
    ranked = [(rows, WeightedAuroc(truth[rows], score[rows], counted[rows])) for rows in parts]

    def statistic(weights: FloatArray) -> FloatArray:
        if len(weights) != len(truth):
            raise MetricError(f"weights for {len(weights)} rows; expected {len(truth)}")
        areas = np.stack([of_fold(weights[rows]) for rows, of_fold in ranked])
        with_macro = np.concatenate([mean_of_defined(areas, axis=2), areas], axis=2)
        mean: FloatArray = mean_of_defined(with_macro, axis=0)[0]
        return mean

    found, resampled = _resample(statistic, patient_ids, rng, num_resamples)
    macro, *labels = _intervals(found, resampled)
    missing = np.isnan(resampled[:, 1:]) & ~np.isnan(found[:, 1:])
    return AurocIntervals(macro, tuple(labels), int(missing.any(axis=1).sum()))


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
