"""Calibration of probabilities: Brier score, expected calibration error and reliability table.

Labels are columns. A figure is NaN where it is undefined, never a substitute value.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.ranking import checked_labels, ratio
from rust_tuner.metrics.weighted_counts import WeightedBrier

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NUM_BINS = 10


def brier_score(
    y_true: npt.ArrayLike, y_prob: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> FloatArray:
    """The mean squared difference of probability and outcome of each label.

    Brier, Monthly Weather Review 1950; here the two-class form, half of Brier's original.

    Args:
        y_true: (n, labels) zeros and ones.
        y_prob: (n, labels) probabilities in [0, 1].
        mask: (n, labels) bool, or None for all; entries that are False do not count.

    Returns:
        (labels,) float64 in [0, 1], 0 the best; NaN where no row counts.

    Raises:
        MetricError: for shapes that differ, labels other than 0 and 1, or probabilities outside
            [0, 1].

    Examples:
        >>> brier_score([[1], [0]], [[0.8], [0.4]]).round(2)
        array([0.1])
    """
    figures = WeightedBrier(y_true, y_prob, mask)
    return figures(np.ones((len(np.asarray(y_true)), 1)))[0, 1:]


@dataclass(frozen=True)
class ReliabilityTable:
    """Predicted probabilities against observed shares in bins; the data of a reliability diagram.

    The bins have equal width. Bin b holds the probabilities p with `edges[b] < p <= edges[b + 1]`;
    the first bin also holds 0.

    Attributes:
        edges: (bins + 1,) float64 from 0 to 1.
        rows: (labels, bins) int64, the rows counted.
        mean_probability: (labels, bins) float64; NaN where a bin is empty.
        share_positive: (labels, bins) float64; NaN where a bin is empty.
    """

    edges: FloatArray
    rows: IntArray
    mean_probability: FloatArray
    share_positive: FloatArray

    @property
    def expected_calibration_error(self) -> FloatArray:
        """(labels,) float64: the mean distance of the two over the bins, weighted by rows."""
        distance = np.abs(self.mean_probability - self.share_positive)
        total = np.where(self.rows > 0, distance * self.rows, 0.0).sum(axis=1)
        return ratio(total, self.rows.sum(axis=1))


def reliability_table(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    num_bins: int = NUM_BINS,
) -> ReliabilityTable:
    """Sort the probabilities of each label into bins of equal width.

    Args:
        y_true: (n, labels) zeros and ones.
        y_prob: (n, labels) probabilities in [0, 1].
        mask: (n, labels) bool, or None for all; entries that are False do not count.
        num_bins: the number of bins, at least 1.

    Raises:
        MetricError: as `brier_score`, or for `num_bins` below 1.

    Examples:
        >>> table = reliability_table([[1], [0], [1]], [[0.9], [0.2], [0.3]], num_bins=2)
        >>> table.rows
        array([[2, 1]])
        >>> table.share_positive
        array([[0.5, 1. ]])
    """
    if num_bins < 1:
        raise MetricError(f"num_bins={num_bins}; expected at least 1")
    truth, prob, counted = checked_labels(y_true, y_prob, mask, score_name="y_prob", unit=True)
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    labels = np.nonzero(counted)[1]
    positions = labels * num_bins + np.searchsorted(edges[1:-1], prob[counted])
    shape = (truth.shape[1], num_bins)

    def sums(weights: FloatArray | None) -> npt.NDArray[np.float64 | np.int64]:
        return np.bincount(positions, weights, minlength=shape[0] * num_bins).reshape(shape)

    rows = sums(None).astype(np.int64)
    return ReliabilityTable(
        edges=edges,
        rows=rows,
        mean_probability=ratio(sums(prob[counted]), rows),
        share_positive=ratio(sums(truth[counted].astype(np.float64)), rows),
    )


def expected_calibration_error(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    num_bins: int = NUM_BINS,
) -> FloatArray:
    """The expected calibration error of each label, from bins of equal width.

    The mean distance between a bin's mean probability and its share of positives, weighted by rows
    (Naeini et al., AAAI 2015, applied to the probability of the positive class). It depends on the
    bins and is biased upwards where they hold few rows: so report `num_bins` with it.

    Args:
        y_true: (n, labels) zeros and ones.
        y_prob: (n, labels) probabilities in [0, 1].
        mask: (n, labels) bool, or None for all; entries that are False do not count.
        num_bins: the number of bins, at least 1.

    Returns:
        (labels,) float64 in [0, 1], 0 the best; NaN where no row counts.

    Raises:
        MetricError: as `reliability_table`.

    Examples:
        >>> expected_calibration_error([[1], [0], [1]], [[0.9], [0.2], [0.3]]).round(3)
        array([0.333])
    """
    return reliability_table(y_true, y_prob, mask, num_bins=num_bins).expected_calibration_error
