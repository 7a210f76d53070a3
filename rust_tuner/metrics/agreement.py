"""Agreement of two readers, or of a model and a reader: cortex scores, visit totals, union.

A pair in which either side is missing (NaN) is left out. A figure is NaN where it is undefined.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.labels import CORTICES, HIGHEST_TOTAL, LOWEST_TOTAL, SCORES
from rust_tuner.metrics.class_figures import class_figures
from rust_tuner.metrics.distributions import f_quantile, t_quantile
from rust_tuner.metrics.ranking import ratio
from rust_tuner.metrics.uncertainty import TAILS, Interval

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Bland and Altman's limits hold 95 % of the differences: the normal quantile of 0.975.
LIMIT_REACH = 1.959963984540054


@dataclass(frozen=True)
class ScoreAgreement:
    """How two scorings of the same cortices agree; arrays are in the order of `CORTICES`.

    Attributes:
        confusion: (4, 4, 4) int64 by cortex, reference score and predicted score.
        pairs: (4,) int64, the pairs counted.
        kappa: (4,) float64, quadratic-weighted kappa in [-1, 1]; NaN if both sides give the same
            single score throughout, or if there are no pairs.
        exact: (4,) float64, the share of equal pairs; for a model against the reference it is the
            accuracy.
        within_one: (4,) float64, the share of pairs that differ by one at most.
        balanced_accuracy: (4,) float64, the mean recall of the scores; see `class_figures`.
        macro_f1: (4,) float64, the mean F1 of the scores; see `class_figures`.
    """

    confusion: IntArray
    pairs: IntArray
    kappa: FloatArray
    exact: FloatArray
    within_one: FloatArray
    balanced_accuracy: FloatArray
    macro_f1: FloatArray


def score_agreement(reference: npt.ArrayLike, predicted: npt.ArrayLike) -> ScoreAgreement:
    """Compare the scores of each cortex; kappa as in Cohen, Psychol Bull 1968.

    Args:
        reference: (n, 4) scores in the order of `CORTICES`, 1-4 or NaN.
        predicted: (n, 4) scores of the same radiographs or visits.

    Raises:
        MetricError: for shapes that differ, or values that are neither 1-4 nor NaN.

    Examples:
        >>> reference = [[1, 2, 3, 4], [2, 2, 4, 4], [4, 1, 1, 3]]
        >>> predicted = [[1, 2, 3, 4], [3, 2, 4, 4], [4, 1, 2, 3]]
        >>> agreement = score_agreement(reference, predicted)
        >>> agreement.exact.round(2)
        array([0.67, 1.  , 0.67, 1.  ])
        >>> agreement.within_one
        array([1., 1., 1., 1.])
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (reference, predicted)]
    shapes = [side.shape for side in sides]
    if shapes[0] != shapes[1] or shapes[0][1:] != (len(CORTICES),):
        raise MetricError(
            f"reference {shapes[0]}, predicted {shapes[1]}; expected one shape (n, {len(CORTICES)})"
        )
    for name, side in zip(("reference", "predicted"), sides, strict=True):
        wrong = ~(np.isnan(side) | np.isin(side, SCORES))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise MetricError(
                f"{name} row {row}: {CORTICES[column]}={side[row, column]:g}; a RUST score is "
                "1-4 or NaN"
            )
    # (cortices, n, scores) zeros and ones; a NaN equals no score.
    left, right = (side.T[:, :, None] == np.array(SCORES) for side in sides)
    confusion = np.einsum("cni,cnj->cij", left.astype(np.int64), right.astype(np.int64))
    pairs = confusion.sum(axis=(1, 2))
    kappa, exact, within_one = confusion_figures(confusion)
    of_classes = class_figures(confusion)
    return ScoreAgreement(
        confusion=confusion,
        pairs=pairs,
        kappa=kappa,
        exact=exact,
        within_one=within_one,
        balanced_accuracy=of_classes.balanced_accuracy,
        macro_f1=of_classes.macro_f1,
    )


def confusion_figures(confusion: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Quadratic-weighted kappa, exact and within-one agreement of confusion matrices.

    Args:
        confusion: (..., 4, 4) counts or weights by reference score and predicted score.

    Returns:
        Three arrays (...) float64, NaN where undefined.
    """
    distance = np.abs(np.subtract.outer(SCORES, SCORES))
    pairs = confusion.sum(axis=(-2, -1))
    by_chance = confusion.sum(axis=-1)[..., :, None] * confusion.sum(axis=-2)[..., None, :]
    observed = (confusion * distance**2).sum(axis=(-2, -1)) * pairs
    return (
        1 - ratio(observed, (by_chance * distance**2).sum(axis=(-2, -1))),
        ratio((confusion * (distance == 0)).sum(axis=(-2, -1)), pairs),
        ratio((confusion * (distance <= 1)).sum(axis=(-2, -1)), pairs),
    )


@dataclass(frozen=True)
class TotalAgreement:
    """How two sets of RUST totals agree; differences are predicted minus reference.

    Attributes:
        pairs: the visits counted.
        mae: the mean absolute difference, in points of the total.
        icc: ICC(2,1), absolute agreement of single ratings.
        bias: the mean difference.
        lower_limit: Bland and Altman's lower limit of agreement.
        upper_limit: Bland and Altman's upper limit of agreement.
    """

    pairs: int
    mae: float
    icc: Interval
    bias: Interval
    lower_limit: Interval
    upper_limit: Interval


def total_agreement(reference: npt.ArrayLike, predicted: npt.ArrayLike) -> TotalAgreement:
    """Compare the totals of visits.

    Limits of agreement are bias -/+ 1.96 standard deviations of the differences; the standard error
    of a limit is that of Bland and Altman, Stat Methods Med Res 1999
    (doi:10.1177/096228029900800204), section 2.1. Each interval is for a single figure and assumes
    independent visits.

    Args:
        reference: (n,) totals in [4, 16], or NaN.
        predicted: (n,) totals of the same visits, not necessarily whole numbers.

    Raises:
        MetricError: for shapes that differ, or totals outside [4, 16].

    Examples:
        >>> agreement = total_agreement([6, 9, 12, 15, 8, 11], [7, 9, 11, 15, 9, 12])
        >>> round(agreement.mae, 3), round(agreement.bias.value, 3)
        (0.667, 0.333)
    """
    truth, answer = _total_pairs(reference, predicted)
    difference = answer - truth
    num_pairs = len(difference)
    bias = float(difference.mean()) if num_pairs else float("nan")
    spread = float(difference.std(ddof=1)) if num_pairs > 1 else float("nan")
    # With fewer than two pairs all intervals are NaN through the spread.
    freedom = max(num_pairs - 1, 1)
    reach = t_quantile(TAILS[1], freedom) * spread
    bias_error = reach * np.sqrt(1 / max(num_pairs, 1))
    limit_error = reach * np.sqrt(1 / max(num_pairs, 1) + LIMIT_REACH**2 / (2 * freedom))
    return TotalAgreement(
        pairs=num_pairs,
        mae=float(np.abs(difference).mean()) if num_pairs else float("nan"),
        icc=intraclass_correlation(np.stack([truth, answer], axis=1)),
        bias=_around(bias, bias_error),
        lower_limit=_around(bias - LIMIT_REACH * spread, limit_error),
        upper_limit=_around(bias + LIMIT_REACH * spread, limit_error),
    )


def intraclass_correlation(ratings: npt.ArrayLike) -> Interval:
    """ICC(2,1): two-way random effects, absolute agreement, single ratings.

    Shrout and Fleiss, Psychol Bull 1979 (doi:10.1037/0033-2909.86.2.420), ICC(2,1); McGraw and
    Wong, Psychol Methods 1996 (doi:10.1037/1082-989X.1.1.30), ICC(A,1). The figure and its 95 %
    interval follow tables 4 and 7 of the latter.

    Args:
        ratings: (targets, raters); a target with a missing rating (NaN) is left out.

    Returns:
        The ICC, at most 1; NaN with fewer than two targets, or where nothing varies. Where all
        raters agree entirely the interval is [1, 1].

    Raises:
        MetricError: for another shape, fewer than two raters, or infinite ratings.

    Examples:
        >>> round(intraclass_correlation([[6, 7], [9, 9], [12, 11], [15, 15]]).value, 3)
        0.981
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise MetricError(f"ratings {table.shape}; expected (targets, raters), two raters or more")
    if np.isinf(table).any():
        raise MetricError("ratings hold infinite values; expected numbers or NaN")
    table = table[~np.isnan(table).any(axis=1)]
    n, k = table.shape
    if n < 2 or (table == table[0, 0]).all():
        return Interval(float("nan"), float("nan"), float("nan"))
    if (table == table[:, :1]).all():
        return Interval(1.0, 1.0, 1.0)
    by_target, by_rater = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_target[:, None] - by_rater + table.mean()
    rows = k * float(by_target.var(ddof=1))
    columns = n * float(by_rater.var(ddof=1))
    error = float((rest**2).sum()) / ((n - 1) * (k - 1))
    whole = rows + (k - 1) * error + k * (columns - error) / n
    if whole == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    icc = (rows - error) / whole
    of_raters = k * icc * columns
    of_error = (n * (1 - icc) + k * icc * (n - 1)) * error
    split = of_raters**2 / (k - 1) + of_error**2 / ((n - 1) * (k - 1))
    if split == 0:
        return Interval(icc, float("nan"), float("nan"))
    freedom = (of_raters + of_error) ** 2 / split
    above = f_quantile(TAILS[1], n - 1, freedom)
    below = f_quantile(TAILS[1], freedom, n - 1)
    noise = k * columns + (k * n - k - n) * error
    return Interval(
        value=icc,
        low=n * (rows - above * error) / (above * noise + n * rows),
        high=n * (below * rows - error) / (noise + n * below * rows),
    )


@dataclass(frozen=True)
class UnionAgreement:
    """Predicted union, a total of at least the cut-off, against the reference.

    Attributes:
        threshold: in points of the reference's total.
        true_positives: visits united in both.
        false_positives: visits united as predicted only.
        false_negatives: visits united in the reference only.
        true_negatives: visits united in neither.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def sensitivity(self) -> float:
        """The share of united visits that are predicted united; NaN if there are none."""
        return _share(self.true_positives, self.false_negatives)

    @property
    def specificity(self) -> float:
        """The share of visits not united that are predicted so; NaN if there are none."""
        return _share(self.true_negatives, self.false_positives)

    @property
    def positive_predictive_value(self) -> float:
        """The share of visits predicted united that are united; NaN if there are none."""
        return _share(self.true_positives, self.false_positives)

    @property
    def negative_predictive_value(self) -> float:
        """The share of visits predicted not united that are not; NaN if there are none."""
        return _share(self.true_negatives, self.false_negatives)


def union_agreement(
    reference: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    threshold: float,
    cutoff: float | None = None,
) -> UnionAgreement:
    """Compare which visits are united.

    Args:
        reference: (n,) totals in [4, 16], or NaN.
        predicted: (n,) totals of the same visits, not necessarily whole numbers.
        threshold: a reference total of at least this is union; in [4, 16].
        cutoff: a predicted total of at least this is predicted union; in [4, 16], None for the
            threshold.

    Raises:
        MetricError: as `total_agreement`, or for a threshold or cut-off outside [4, 16].

    Examples:
        >>> agreement = union_agreement([14, 12, 15, 8], [13, 13, 16, 7], threshold=13)
        >>> agreement.sensitivity, agreement.specificity
        (1.0, 0.5)
    """
    limits = {"threshold": threshold, "cutoff": threshold if cutoff is None else cutoff}
    for name, value in limits.items():
        if not LOWEST_TOTAL <= value <= HIGHEST_TOTAL:
            raise MetricError(f"{name}={value}; a RUST total is {LOWEST_TOTAL}-{HIGHEST_TOTAL}")
    true_totals, predicted_totals = _total_pairs(reference, predicted)
    truth, answer = true_totals >= threshold, predicted_totals >= limits["cutoff"]
    return UnionAgreement(
        threshold=float(threshold),
        true_positives=int((truth & answer).sum()),
        false_positives=int((~truth & answer).sum()),
        false_negatives=int((truth & ~answer).sum()),
        true_negatives=int((~truth & ~answer).sum()),
    )


def _total_pairs(
    reference: npt.ArrayLike, predicted: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    truth = np.asarray(reference, dtype=np.float64)
    answer = np.asarray(predicted, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != answer.shape:
        raise MetricError(
            f"reference {truth.shape}, predicted {answer.shape}; expected one shape (visits,)"
        )
    for name, side in (("reference", truth), ("predicted", answer)):
        wrong = (side < LOWEST_TOTAL) | (side > HIGHEST_TOTAL)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise MetricError(
                f"{name} row {row}: total {side[row]:g}; a RUST total is "
                f"{LOWEST_TOTAL}-{HIGHEST_TOTAL} or NaN"
            )
    both = ~(np.isnan(truth) | np.isnan(answer))
    return truth[both], answer[both]


def _around(value: float, distance: float) -> Interval:
    if np.isnan(distance):
        return Interval(value, float("nan"), float("nan"))
    return Interval(value, float(value - distance), float(value + distance))


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else float("nan")
