"""Recomputes Keras's AUC, so that studies that reported it can be compared with the exact area.

`keras.metrics.AUC(multi_label=True)` differs from `macro_auroc` in three ways:

- Scores are sorted into 199 bins of [0, 1], and scores in one bin count as tied. A model whose
  probabilities crowd near 0 or 1, as those of rare labels do, loses the order within a bin.
- A label without a positive, or without a negative, counts with an area of 0; here it is left out
  and counted as undefined.
- It has no mask: a cortex that a view does not show is an easy negative. (The same holds for the
  exact 18-label figure, but not for `val_cortex_auroc`.)
"""

import numpy as np
import numpy.typing as npt

from rust_tuner.metrics.ranking import checked_labels, ratio

FloatArray = npt.NDArray[np.float64]

NUM_THRESHOLDS = 200


def keras_aurocs(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, num_thresholds: int = NUM_THRESHOLDS
) -> FloatArray:
    """Each label's area as `keras.metrics.AUC` computes it: trapezoids between thresholds.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) probabilities in [0, 1].
        num_thresholds: as in Keras, at least 2.

    Returns:
        (labels,) float64 in [0, 1]; 0 if a label has no positive or no negative.

    Raises:
        MetricError: for shapes that differ, labels other than 0 and 1, or probabilities outside
            [0, 1].

    Examples:
        >>> keras_aurocs([[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.4]]).round(3)
        array([0.875])
    """
    truth, score, _ = checked_labels(y_true, y_score, None, score_name="y_prob", unit=True)
    num_bins = num_thresholds - 1
    # As in Keras: bin b holds scores above b / num_bins, up to the next edge, in float32.
    bins = np.ceil(score.astype(np.float32) * np.float32(num_bins)).astype(np.int64) - 1
    bins = np.maximum(bins, 0)
    positions = np.arange(truth.shape[1]) * num_bins + bins
    size = truth.shape[1] * num_bins

    def reached(rows: npt.NDArray[np.bool_]) -> FloatArray:
        """How many of the rows score above each threshold, (labels, thresholds)."""
        counts = np.bincount(positions[rows], minlength=size).reshape(-1, num_bins)
        above = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1].astype(np.float64)
        return np.pad(above, ((0, 0), (0, 1)))

    hits, misses = reached(truth), reached(~truth)
    steps = misses[:, :-1] - misses[:, 1:]
    heights = (hits[:, :-1] + hits[:, 1:]) / 2
    areas = ratio((steps * heights).sum(axis=1), hits[:, 0] * misses[:, 0])
    return np.nan_to_num(areas, nan=0.0)


def keras_auroc(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, *, num_thresholds: int = NUM_THRESHOLDS
) -> float:
    """`keras.metrics.AUC(num_thresholds, multi_label=True)`: the mean over all labels.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) probabilities in [0, 1].
        num_thresholds: as in Keras, at least 2.

    Raises:
        MetricError: as `keras_aurocs`.

    Examples:
        >>> round(keras_auroc([[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.4]]), 3)
        0.875
    """
    return float(keras_aurocs(y_true, y_score, num_thresholds=num_thresholds).mean())
