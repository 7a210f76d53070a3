"""Computes 95 % intervals of figures over patients.

Radiographs of one patient are alike, so the unit is the patient. AUROCs have a score interval; for
other figures, such as differences, there is the bootstrap.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.clustered_auroc import AreaWithVariance, ClusteredAurocs
from rust_tuner.metrics.fold_auroc import FoldMacroAuroc
from rust_tuner.metrics.jackknife import BLOCK, Statistic, patient_jackknife
from rust_tuner.metrics.ranking import ratio
from rust_tuner.metrics.score_interval import score_interval

FloatArray = npt.NDArray[np.float64]

AurocMethod = Literal["score", "bca", "percentile"]
BootstrapMethod = Literal["percentile", "bca"]

# The quantiles of a 95 % interval.
TAILS = (0.025, 0.975)
# With fewer patients with a label, or without it, an interval reflects the model more than the
# data; `experiments/coverage.py` measures that intervals cover from this number on.
MIN_PATIENTS: Final = 5


@dataclass(frozen=True)
class Interval:
    """A figure between the ends of its 95 % confidence interval.

    Attributes:
        value: the figure; NaN where undefined.
        low: the lower end; NaN where there is no interval.
        high: the upper end.
        reason: why a defined figure has no interval, such as `4 patients with this label; an
            interval needs at least 5`; empty if it has one.
    """

    value: float
    low: float
    high: float
    reason: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class BootstrapInterval(Interval):
    """A figure with its 95 % bootstrap interval.

    Attributes:
        num_resamples: how many resamples were drawn.
        num_undefined: in how many of them the figure was undefined; the interval uses the rest.
    """

    num_resamples: int
    num_undefined: int


@dataclass(frozen=True)
class AurocIntervals:
    """AUROC with its uncertainty over patients.

    Attributes:
        macro: of the macro AUROC; with folds, of each fold's, averaged over the folds.
        labels: of each label's AUROC; with folds, averaged over those that define it.
    """

    macro: Interval
    labels: tuple[Interval, ...]


def patient_bootstrap(
    statistic: Statistic,
    patient_ids: npt.ArrayLike,
    *,
    rng: int | np.random.Generator,
    num_resamples: int = 2000,
    method: BootstrapMethod = "percentile",
) -> tuple[BootstrapInterval, ...]:
    """95 % intervals from resamples of whole patients.

    Each resample draws as many patients as there are, with replacement, and takes all their rows
    (the cluster bootstrap; Field and Welsh, J R Stat Soc B 2007).

    Args:
        statistic: maps weights (n, resamples), how often each row is in each resample (float64
            whole numbers), to (resamples, figures), NaN where a figure is undefined. Weights of one
            give the figures of the data.
        patient_ids: (n,) the patient of each row.
        rng: a seed, or a generator to draw from.
        num_resamples: how many resamples to draw, at least 1.
        method: `percentile`, or `bca`, bias-corrected and accelerated (Efron, J Am Stat Assoc
            1987, doi:10.1080/01621459.1987.10478410).

    Returns:
        One interval for each figure.

    Raises:
        MetricError: for patient_ids of another shape, fewer than two patients, or no resamples.

    Examples:
        >>> import numpy as np
        >>> values = np.random.default_rng(0).normal(size=80)
        >>> patients = np.repeat(np.arange(40), 2)
        >>> def weighted_mean(weights):
        ...     return (weights.T @ values / weights.sum(axis=0))[:, None]
        >>> (interval,) = patient_bootstrap(weighted_mean, patients, rng=1)
        >>> print(f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})")
        0.120 (-0.106 to 0.358)
    """
    estimate, resampled = _resample(statistic, patient_ids, rng, num_resamples)
    tails = np.tile(TAILS, (resampled.shape[1], 1))
    if method == "bca":
        jackknife = patient_jackknife(statistic, patient_ids)
        tails = _corrected_tails(estimate[0], resampled, jackknife.accelerations)
    return _intervals(estimate, resampled, tails)


def auroc_intervals(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    patient_ids: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    folds: npt.ArrayLike | None = None,
    method: AurocMethod = "score",
    rng: int | np.random.Generator = 0,
    num_resamples: int = 2000,
) -> AurocIntervals:
    """95 % intervals over patients of the AUROC, macro and of each label.

    By default they are score intervals with the variance of the clustered AUROC: `ClusteredAurocs`
    and `score_interval`. They need no random numbers, contain their estimate, and keep their
    coverage when labels are rare and AUROCs high: with 40 patients, 5 % positives and an AUROC of
    0.95, 95 % intervals contain the truth in 96 % of data sets, percentile intervals of the
    bootstrap in 60 % (`experiments/ coverage.py`). A label with fewer than `MIN_PATIENTS` patients
    with it, or without it, has no interval, and its `reason` says why.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores.
        patient_ids: (n,) the patient of each row.
        mask: (n, labels) bool, or None for all; entries that are False do not count.
        folds: (n,) the fold that scored each row: every figure is each fold's, averaged over the
            folds that define it. None if one model scored all rows.
        method: `score`, or `bca` or `percentile` for `patient_bootstrap`.
        rng: of the bootstrap, a seed, or a generator to draw from.
        num_resamples: of the bootstrap, at least 1.

    Raises:
        MetricError: as `auroc` and `patient_bootstrap`, or for folds of another shape.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.integers(0, 2, (120, 2))
        >>> score = truth + rng.normal(size=(120, 2))
        >>> patients = np.repeat(np.arange(60), 2)
        >>> intervals = auroc_intervals(truth, score, patients)
        >>> macro = intervals.macro
        >>> print(f"{macro.value:.3f} ({macro.low:.3f} to {macro.high:.3f})")
        0.839 (0.775 to 0.885)
    """
    identifiers = checked_patients(patient_ids)
    if method == "score":
        areas = ClusteredAurocs(y_true, y_score, identifiers, mask, folds=folds)
        return AurocIntervals(
            macro_area_interval(areas.macro()),
            tuple(area_interval(areas.label(label)) for label in range(areas.num_labels)),
        )
    statistic = FoldMacroAuroc(y_true, y_score, mask, folds=folds).with_labels
    macro, *labels = patient_bootstrap(
        statistic, identifiers, rng=rng, num_resamples=num_resamples, method=method
    )
    return AurocIntervals(macro, tuple(labels))


def area_interval(area: AreaWithVariance) -> Interval:
    """The score interval of a label's AUROC, or the reason why it has none."""
    if np.isnan(area.value):
        return Interval(np.nan, np.nan, np.nan)
    if area.patients < MIN_PATIENTS:
        side = "with" if area.positives < MIN_PATIENTS else "without"
        return Interval(
            area.value, np.nan, np.nan, reason=too_few(area.patients, f"{side} this label")
        )
    ends = score_interval(area.value, area.variance, area.model, patients=area.effective)
    return Interval(area.value, *ends)


def macro_area_interval(area: AreaWithVariance) -> Interval:
    """The interval of a mean of AUROCs, or of all labels in one ranking, or why there is none.

    Many rankings together are more certain than the single one of the model, so only the data
    count.
    """
    if np.isnan(area.value):
        return Interval(np.nan, np.nan, np.nan)
    if area.patients < MIN_PATIENTS:
        side = "with a label" if area.positives < MIN_PATIENTS else "without one"
        return Interval(area.value, np.nan, np.nan, reason=too_few(area.patients, side))
    if area.variance == 0 and 0 < area.value < 1:
        # As where all answers are the same.
        return Interval(area.value, np.nan, np.nan, reason="no patient changes it")
    # Labels that are all ranked perfectly may be copies of each other, so assume that they are.
    ends = score_interval(
        area.value,
        area.variance,
        area.model,
        patients=area.effective,
        at_the_end=len(area.terms),
        prior=0,
    )
    return Interval(area.value, *ends)


def too_few(patients: int, which: str, least: int = MIN_PATIENTS) -> str:
    """The reason for a missing interval: the number of patients, and how many are needed."""
    noun = "patient" if patients == 1 else "patients"
    return f"{patients} {noun} {which}; an interval needs at least {least}"


def checked_patients(patient_ids: npt.ArrayLike) -> npt.NDArray[Any]:
    """The patient of each row as an array (n,), with at least two different patients.

    Raises:
        MetricError: for another shape or fewer patients.
    """
    identifiers = np.asarray(patient_ids)
    if identifiers.ndim != 1:
        raise MetricError(f"patient_ids {identifiers.shape}; expected (n,), one for each row")
    num_patients = len(np.unique(identifiers))
    if num_patients < 2:
        raise MetricError(f"{num_patients} patient; an interval over patients needs at least 2")
    return identifiers


def _resample(
    statistic: Statistic,
    patient_ids: npt.ArrayLike,
    rng: int | np.random.Generator,
    num_resamples: int,
) -> tuple[FloatArray, FloatArray]:
    """The figures of the data (1, figures) and of the resamples (resamples, figures)."""
    patients, patient_of_row = np.unique(checked_patients(patient_ids), return_inverse=True)
    if num_resamples < 1:
        raise MetricError(f"num_resamples={num_resamples}; expected at least 1")
    generator = np.random.default_rng(rng)
    size = max(1, BLOCK // len(patient_of_row))
    parts = []
    for start in range(0, num_resamples, size):
        count = min(size, num_resamples - start)
        drawn = generator.integers(len(patients), size=(count, len(patients)))
        positions = drawn * count + np.arange(count)[:, None]
        times = np.bincount(positions.ravel(), minlength=len(patients) * count)
        by_patient = times.reshape(len(patients), count).astype(np.float64)
        parts.append(statistic(by_patient[patient_of_row]))
    return statistic(np.ones((len(patient_of_row), 1))), np.concatenate(parts)


def _corrected_tails(
    estimate: FloatArray, resampled: FloatArray, accelerations: FloatArray
) -> FloatArray:
    """BCa's quantiles of the resamples (figures, 2); the plain ones where they are undefined."""
    from scipy import special

    defined = ~np.isnan(resampled)
    below = ((resampled < estimate) & defined).sum(axis=0)
    equal = ((resampled == estimate) & defined).sum(axis=0)
    share = ratio(below + equal / 2, defined.sum(axis=0))
    bias = special.ndtri(share)[:, None]
    moved = bias + special.ndtri(TAILS)
    tails = special.ndtr(bias + moved / (1 - accelerations[:, None] * moved))
    sound = np.isfinite(tails).all(axis=1, keepdims=True)
    return np.where(sound, tails, TAILS)


def _intervals(
    estimate: FloatArray, resampled: FloatArray, tails: FloatArray
) -> tuple[BootstrapInterval, ...]:
    intervals = []
    for value, samples, ends in zip(estimate[0], resampled.T, tails, strict=True):
        defined = samples[~np.isnan(samples)]
        low, high = np.quantile(defined, ends) if len(defined) else (np.nan, np.nan)
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
