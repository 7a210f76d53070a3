"""Precision, recall and F1 of each label at one threshold, masked or not.

Labels are columns. A figure is NaN where it is undefined, never a substitute value.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.ranking import checked_labels, macro_average
from rust_tuner.metrics.weighted_counts import WeightedDecisions

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DecisionTable:
    """The figures of each label's decisions at one threshold.

    Attributes:
        threshold: a probability of at least this is a positive decision.
        precision: (labels,) float64, TP / (TP + FP); NaN where nothing is decided positive.
        recall: (labels,) float64, TP / (TP + FN); NaN where nothing is positive.
        f1: (labels,) float64, 2 TP / (2 TP + FP + FN); NaN only where nothing is positive and
            nothing is decided positive.
        positives: (labels,) int64, the positive rows among those counted.
        rows: (labels,) int64, the rows counted.
    """

    threshold: float
    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    positives: IntArray
    rows: IntArray

    @property
    def macro_precision(self) -> float:
        """The mean precision over the labels where it is defined; NaN where none is."""
        return macro_average(self.precision).value

    @property
    def macro_recall(self) -> float:
        """The mean recall over the labels where it is defined; NaN where none is."""
        return macro_average(self.recall).value

    @property
    def macro_f1(self) -> float:
        """The mean F1 over the labels where it is defined; NaN where none is."""
        return macro_average(self.f1).value


def decisions(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    threshold: float = 0.5,
    mask: npt.ArrayLike | None = None,
) -> DecisionTable:
    """Decide every label at one threshold and compute precision, recall and F1.

    A probability that equals the threshold is a positive decision; the two are compared in
    float64, so the float32 nearest to 0.3 (which is above 0.3) is positive at 0.3.

    Args:
        y_true: (n, labels) zeros and ones.
        y_prob: (n, labels) probabilities in [0, 1].
        threshold: in [0, 1].
        mask: (n, labels) bool, or None for all; entries that are False do not count.

    Raises:
        MetricError: for shapes that differ, labels other than 0 and 1, or probabilities or a
            threshold outside [0, 1].

    Examples:
        >>> table = decisions([[1], [0], [1], [0]], [[0.9], [0.6], [0.4], [0.2]])
        >>> table.precision, table.recall
        (array([0.5]), array([0.5]))
    """
    if not 0 <= threshold <= 1:
        raise MetricError(f"threshold={threshold}; expected a probability in [0, 1]")
    truth, prob, counted = checked_labels(y_true, y_prob, mask, score_name="y_prob", unit=True)
    figures = WeightedDecisions(truth, prob, counted, threshold=threshold)
    precision, recall, f1 = figures(np.ones((len(truth), 1))).reshape(3, -1)[:, 1:]
    return DecisionTable(
        threshold=float(threshold),
        precision=precision,
        recall=recall,
        f1=f1,
        positives=(truth & counted).sum(axis=0),
        rows=counted.sum(axis=0),
    )
