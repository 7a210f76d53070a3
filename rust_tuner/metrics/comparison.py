"""Tests whether trials differ, from the fold scores of two trials or of many.

The folds of one cross-validation share their training data, so their scores are not independent.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.distributions import studentized_range_tail, t_tail

FloatArray = npt.NDArray[np.float64]

ALPHA = 0.05
# Relative to the scores; differences below it are those of float64.
_ROUNDING = 1e-13


@dataclass(frozen=True)
class PairedTest:
    """A test of whether two trials differ.

    Attributes:
        difference: the mean of first minus second.
        statistic: Student's t statistic; infinite if all folds differ by the same amount.
        p_value: two-sided; 1 if no fold differs, and that of a sign test, 2 / 2^folds, if all
            folds differ by the same amount. Scores that are shares of a few rows do so by chance,
            and show no spread to compare the difference with.
        degrees_of_freedom: the number of folds minus one.
    """

    difference: float
    statistic: float
    p_value: float
    degrees_of_freedom: int


def corrected_t_test(
    first: npt.ArrayLike, second: npt.ArrayLike, n_train: float, n_test: float
) -> PairedTest:
    """The corrected resampled t-test between two trials scored on the same folds.

    Nadeau and Bengio, Machine Learning 2003, doi:10.1023/A:1024068626366: the variance of the mean
    difference is taken as (1 / folds + n_test / n_train) times that of the folds, because the folds
    share training data. The correction is an approximation, but far better than none.

    Args:
        first: (folds,) finite scores of one trial.
        second: (folds,) finite scores of the other on the same folds.
        n_train: independent units (patients) that a fold trains on; the mean if folds differ.
        n_test: units that a fold is scored on.

    Raises:
        MetricError: for shapes that differ, fewer than two folds, or scores that are not finite.

    Examples:
        >>> test = corrected_t_test([0.81, 0.79, 0.84], [0.78, 0.77, 0.80], n_train=40, n_test=20)
        >>> round(test.difference, 3), round(test.p_value, 3)
        (0.03, 0.081)
    """
    scores = _checked_folds(np.stack(_same_shape(first, second)), n_train, n_test)
    return _paired_test(scores[0], scores[1], n_test / n_train)


def tied_with_best(
    fold_scores: npt.ArrayLike, n_train: float, n_test: float, alpha: float = ALPHA
) -> npt.NDArray[np.bool_]:
    """Which trials cannot be distinguished from the one with the highest mean, tested jointly.

    A trial is not tied if two tests reject it:

    - A model confidence set (Hansen, Lunde and Nason, Econometrica 2011, doi:10.3982/ECTA5771):
      Tukey's range test asks whether all trials are equal. If it rejects, the worst trial is
      removed and the rest is tested again, until it no longer rejects. The test compares the
      difference of the highest and the lowest mean with the studentised range, which allows for the
      best trial having been chosen by the same scores. Its variance is that of `corrected_t_test`,
      estimated from all trials of the set together, without the effect that a fold has on all
      trials.
    - `corrected_t_test` against the best, with the variance of the pair: a trial is not rejected
      only because it is noisier than the others.

    If several trials are truly the best, all of them are tied with a probability of about 1 - alpha
    or more, however many they are, as far as the assumption of `corrected_t_test` holds. Comparing
    each trial separately with the best one at 0.05 would almost always reject some of 50 equal
    trials (`experiments/uncertainty.py` simulates both).

    Args:
        fold_scores: (trials, folds) finite scores, higher is better.
        n_train: as in `corrected_t_test`.
        n_test: as in `corrected_t_test`.
        alpha: in (0, 1), for all trials together.

    Returns:
        (trials,) bool; the best itself is True.

    Raises:
        MetricError: as `corrected_t_test`, for no trials, or for an alpha outside (0, 1).

    Examples:
        >>> scores = [[0.81, 0.79, 0.80], [0.80, 0.80, 0.78], [0.50, 0.49, 0.51]]
        >>> tied_with_best(scores, n_train=40, n_test=20)
        array([ True,  True, False])
    """
    if not 0 < alpha < 1:
        raise MetricError(f"alpha={alpha}; expected a probability between 0 and 1")
    scores = _checked_folds(fold_scores, n_train, n_test)
    overlap = n_test / n_train
    means = scores.mean(axis=1)
    order = np.argsort(-means, kind="stable")
    num_kept = _count_tied(scores[order], overlap, alpha)
    # Compared by the mean, so that equal trials are all kept or all removed.
    tied = means >= means[order[num_kept - 1]]
    alone = [_paired_test(scores[order[0]], trial, overlap).p_value for trial in scores]
    is_tied: npt.NDArray[np.bool_] = tied | (np.array(alone) >= alpha)
    return is_tied


def _count_tied(scores: FloatArray, overlap: float, alpha: float) -> int:
    """How many trials, best first, remain when the range test no longer rejects."""
    num_folds = scores.shape[1]
    for num_trials in range(len(scores), 1, -1):
        kept = scores[:num_trials]
        means = kept.mean(axis=1)
        spread = float(means[0] - means[-1])
        rest = kept - means[:, None] - kept.mean(axis=0) + kept.mean()
        freedom = (num_trials - 1) * (num_folds - 1)
        error = float(np.sqrt((rest**2).sum() / freedom * (1 / num_folds + overlap)))
        rounding = _ROUNDING * np.abs(kept).max()
        if spread <= rounding:
            return num_trials
        # If trials differ by the same amount on every fold, the error is rounding alone, and the
        # test of each pair decides.
        if error <= rounding:
            continue
        if _is_likely(spread / error, num_trials, freedom, alpha):
            return num_trials
    return 1


def _is_likely(statistic: float, num_means: int, freedom: int, alpha: float) -> bool:
    """Whether a studentised range of at least this has a probability of alpha or more."""
    # That of two means is Student's; of more means it is larger, and at most that of all pairs
    # together. Most ranges are far from alpha, and SciPy's statistics take a second to import.
    of_a_pair = 2 * t_tail(statistic / math.sqrt(2), freedom)
    if of_a_pair >= alpha:
        return True
    if math.comb(num_means, 2) * of_a_pair < alpha:
        return False
    return _range_p_value(statistic, num_means, freedom) >= alpha


@functools.lru_cache(maxsize=4096)
def _range_p_value(statistic: float, num_means: int, freedom: int) -> float:
    """The probability of a studentised range of at least this; cached, as it takes about 10 ms."""
    return studentized_range_tail(statistic, num_means, freedom)


def _paired_test(first: FloatArray, second: FloatArray, overlap: float) -> PairedTest:
    difference = first - second
    num_folds, mean = len(difference), float(difference.mean())
    rounding = _ROUNDING * float(np.abs([first, second]).max())
    if np.ptp(difference) <= rounding:
        # Rounding would turn a zero error into a tiny one.
        is_equal = abs(mean) <= rounding
        mean = 0.0 if is_equal else float(difference[0])
        statistic = 0.0 if is_equal else float(np.copysign(np.inf, mean))
        p_value = 1.0 if is_equal else _sign_test(num_folds)
    else:
        statistic = mean / math.sqrt(float(difference.var(ddof=1)) * (1 / num_folds + overlap))
        p_value = 2 * t_tail(abs(statistic), num_folds - 1)
    return PairedTest(
        difference=mean, statistic=statistic, p_value=p_value, degrees_of_freedom=num_folds - 1
    )


def _sign_test(num_folds: int) -> float:
    """The two-sided probability that all folds differ in one direction if none is preferred."""
    return float(2.0 ** (1 - num_folds))


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
