"""The variance of any figure over patients, by leaving out one patient at a time.

It takes figures as functions of the rows' weights, like the bootstrap, and needs no random numbers.
It does not suit figures that jump, such as a median; none of ours does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.weighted_ranking import mean_of_defined

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Statistic = Callable[[FloatArray], FloatArray]

# Weights are computed in blocks of about this many, which fit a core's cache.
BLOCK = 250_000


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Figures with their variances over patients.

    Attributes:
        values: (figures,) of the data, NaN where undefined.
        variances: (figures,) of Quenouille and Tukey; NaN if leaving out some patient makes the
            figure undefined.
        biases: (figures,) by how much they are too large on average, of Quenouille.
        degrees: (figures,) the degrees of freedom of the variances, at most `contributing` minus
            one; fewer where few patients make most of the variance.
        accelerations: (figures,) a sixth of their skewness, for BCa; 0 if no patient changes the
            figure.
        moving: (figures,) how many patients change the figure when left out.
        contributing: (figures,) how many change it when left out, or define it by their own rows
            alone: a patient whose error is the mean error does not change a mean.
        defining: (figures,) how many patients define the figure by their own rows alone; for a
            share, those in its denominator.
    """

    values: FloatArray
    variances: FloatArray
    biases: FloatArray
    degrees: FloatArray
    accelerations: FloatArray
    moving: IntArray
    contributing: IntArray
    defining: IntArray


def patient_jackknife(statistic: Statistic, patient_ids: npt.ArrayLike) -> Jackknife:
    """Compute figures without each patient, and for each patient alone.

    The variance is (n - 1) / n times the sum of the squared differences from their mean. On average
    it is not too small (Efron and Stein, Ann Stat 1981, doi:10.1214/aos/1176345462). Its degrees of
    freedom, 2 n / (k - 1) for n differences of kurtosis k, follow from its own variance
    (Satterthwaite, Biometrics Bull 1946, doi:10.2307/3002019).

    Args:
        statistic: maps weights (n, columns), how often each row counts, to (columns, figures), NaN
            where a figure is undefined. Weights of one give the figures of the data.
        patient_ids: (n,) the patient of each row.

    Raises:
        MetricError: for patient_ids of another shape, or none.

    Examples:
        >>> import numpy as np
        >>> values = np.random.default_rng(0).normal(size=80)
        >>> patients = np.repeat(np.arange(40), 2)
        >>> def weighted_mean(weights):
        ...     return (weights.T @ values / weights.sum(axis=0))[:, None]
        >>> jackknife = patient_jackknife(weighted_mean, patients)
        >>> print(f"{jackknife.values[0]:.3f}, standard error {jackknife.variances[0] ** 0.5:.3f}")
        0.120, standard error 0.118
    """
    values = statistic(np.ones((len(np.asarray(patient_ids)), 1)))[0]
    left = of_each_patient(lambda is_own: statistic(1 - is_own), patient_ids)
    alone = of_each_patient(statistic, patient_ids)
    middle = mean_of_defined(left, axis=0)
    kept = middle - left
    # A figure that is undefined without a patient counts as changed by that patient.
    is_moved = ~np.isclose(left, values, rtol=0, atol=1e-12)
    is_defined = ~np.isnan(alone)
    squares, cubes, fourths = (np.nansum(kept**power, axis=0) for power in (2, 3, 4))
    contributing = (is_moved | is_defined).sum(axis=0)
    # One where all differences are equally large, and then the degrees have no other limit.
    kurtosis = np.divide(contributing * fourths, squares**2, out=squares * 0 + 1, where=squares > 0)
    above_one = np.maximum(kurtosis - 1, np.finfo(np.float64).eps)
    return Jackknife(
        values=values,
        variances=_variance(left),
        biases=(len(left) - 1) * (middle[0] - values),
        degrees=np.minimum(contributing - 1, 2 * contributing / above_one),
        accelerations=np.divide(cubes, 6 * squares**1.5, out=squares * 0, where=squares > 0),
        moving=is_moved.sum(axis=0),
        contributing=contributing,
        defining=is_defined.sum(axis=0),
    )


def jackknife_variance(statistic: Statistic, patient_ids: npt.ArrayLike) -> FloatArray:
    """The `variances` of `patient_jackknife` alone, in half the time; arguments as there."""
    return _variance(of_each_patient(lambda counted: statistic(1 - counted), patient_ids))


def of_each_patient(statistic: Statistic, patient_ids: npt.ArrayLike) -> FloatArray:
    """The figures (patients, ...) of weights that are 1 in a patient's rows, else 0.

    Patients are in the order of their sorted ids, and as many at a time as `BLOCK` allows.
    """
    identifiers = np.asarray(patient_ids)
    if identifiers.ndim != 1 or not len(identifiers):
        raise MetricError(f"patient_ids {identifiers.shape}; expected (n,), one for each row")
    patients, patient_of_row = np.unique(identifiers, return_inverse=True)
    size = max(1, BLOCK // len(identifiers))
    parts = []
    for start in range(0, len(patients), size):
        numbers = np.arange(start, min(start + size, len(patients)))
        parts.append(statistic((patient_of_row[:, None] == numbers).astype(np.float64)))
    return np.concatenate(parts)


def _variance(left: FloatArray) -> FloatArray:
    """The variances (figures,) of figures (patients, figures) without each patient."""
    squares: FloatArray = ((left.mean(axis=0) - left) ** 2).sum(axis=0)
    return (len(left) - 1) / len(left) * squares
