"""Ranking figures as functions of the rows' weights, for resampling.

A weight is how often a row counts; weights of one give the figures of the data. Scores are sorted
once for all resamples.
"""

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.ranking import checked_labels, ratio

FloatArray = npt.NDArray[np.float64]


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
        _require_rows(weights, self._num_rows)
        areas = np.full((weights.shape[1], len(self._labels)), np.nan)
        for label, (positives, negatives, first, last) in enumerate(self._labels):
            # The weight of the negatives before each position in the order.
            before = _running_sums(weights[negatives])
            below = before[first]
            if not np.array_equal(first, last):
                # Half of the rows with the same score count as below.
                below = (below + before[last]) / 2
            won = weights[positives]
            pairs = won.sum(axis=0) * before[-1]
            total = np.einsum("ij,ij->j", won, below)
            np.divide(total, pairs, out=areas[:, label], where=pairs > 0)
        return areas


class WeightedAveragePrecision:
    """Each label's average precision as a function of the rows' weights."""

    def __init__(
        self, y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None = None
    ) -> None:
        """Sort the scores; arguments and errors as in `WeightedAuroc`."""
        truth, score, counted = checked_labels(y_true, y_score, mask)
        self._num_rows = len(truth)
        self._labels = []
        for label in range(truth.shape[1]):
            order = np.argsort(-score[:, label], kind="stable")
            order = order[counted[order, label]]
            falling = -score[order, label]
            is_positive = truth[order, label]
            # Rows with equal scores enter together: each counts with all up to the last of them.
            last = np.searchsorted(falling, falling[is_positive], "right")
            self._labels.append((order, is_positive, last))

    def __call__(self, weights: FloatArray) -> FloatArray:
        """The average precision of each label under each column of weights.

        Args:
            weights: (n, resamples) float64, at least 0.

        Returns:
            (resamples, labels) float64, NaN where the positives or the negatives weigh nothing.
        """
        _require_rows(weights, self._num_rows)
        figures = np.full((weights.shape[1], len(self._labels)), np.nan)
        for label, (order, is_positive, last) in enumerate(self._labels):
            ordered = weights[order]
            won = ordered[is_positive]
            hits = _running_sums(np.where(is_positive[:, None], ordered, 0.0))[last]
            # A row with a positive weight has a total of at least that.
            precision = np.divide(hits, _running_sums(ordered)[last], where=won > 0, out=hits * 0)
            total = np.einsum("ij,ij->j", won, precision)
            has_negatives = ordered[~is_positive].any(axis=0)
            figures[:, label] = ratio(total, won.sum(axis=0) * has_negatives)
        return figures


class Pooled:
    """A figure of all entries of all labels in one ranking, as a function of the rows' weights."""

    def __init__(
        self,
        kind: type[WeightedAuroc] | type[WeightedAveragePrecision],
        y_true: npt.ArrayLike,
        y_score: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
    ) -> None:
        """Flatten the entries that count into the rows of one label."""
        truth, score, counted = checked_labels(y_true, y_score, mask)
        self._num_rows = len(truth)
        self._row_of_entry = np.nonzero(counted)[0]
        self._figure = kind(truth[counted][:, None], score[counted][:, None])

    def __call__(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights of rows to (resamples, 1) figures."""
        _require_rows(weights, self._num_rows)
        return self._figure(weights[self._row_of_entry])


def mean_of_defined(figures: FloatArray, axis: int = 1) -> FloatArray:
    """The mean of the defined figures along an axis, which is kept; NaN where none is defined."""
    defined = ~np.isnan(figures)
    num_defined = defined.sum(axis=axis, keepdims=True)
    total = np.where(defined, figures, 0.0).sum(axis=axis, keepdims=True)
    return ratio(total, num_defined)


def _running_sums(ordered: FloatArray) -> FloatArray:
    """(n, resamples) to (n + 1, resamples): the weight of the rows before each position."""
    sums = np.zeros((len(ordered) + 1, ordered.shape[1]))
    np.cumsum(ordered, axis=0, out=sums[1:])
    return sums


def _require_rows(weights: FloatArray, num_rows: int) -> None:
    if len(weights) != num_rows:
        raise MetricError(f"weights for {len(weights)} rows; expected {num_rows}")
