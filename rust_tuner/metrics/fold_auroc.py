"""The macro AUROC of a cross-validation as a function of the rows' weights, for resampling.

Each fold is ranked separately and the folds are averaged, as for a trial's score. Differences of
two models are built from it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.ranking import checked_labels
from rust_tuner.metrics.weighted_ranking import WeightedAuroc, mean_of_defined

FloatArray = npt.NDArray[np.float64]


class FoldMacroAuroc:
    """The macro AUROC, averaged over the folds, as a function of the rows' weights."""

    def __init__(
        self,
        y_true: npt.ArrayLike,
        y_score: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
        *,
        folds: npt.ArrayLike | None,
    ) -> None:
        """Sort the scores of each fold.

        Args:
            y_true: (n, labels) zeros and ones.
            y_score: (n, labels) finite scores.
            mask: (n, labels) bool, or None for all; entries that are False do not count.
            folds: (n,) the fold that scored each row; None if one model scored all.

        Raises:
            MetricError: as `auroc`, or for folds of another shape.
        """
        truth, score, counted = checked_labels(y_true, y_score, mask)
        numbers = np.zeros(len(truth), dtype=np.int64) if folds is None else np.asarray(folds)
        if numbers.shape != (len(truth),):
            raise MetricError(f"folds {numbers.shape}; expected ({len(truth)},)")
        self._num_rows = len(truth)
        parts = [np.flatnonzero(numbers == fold) for fold in np.unique(numbers)]
        self._folds = [
            (rows, WeightedAuroc(truth[rows], score[rows], counted[rows])) for rows in parts
        ]

    def __call__(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights to (resamples, 1) figures; NaN where no fold defines one."""
        macro: FloatArray = mean_of_defined(mean_of_defined(self._areas(weights), axis=2), axis=0)[
            0
        ]
        return macro

    def with_labels(self, weights: FloatArray) -> FloatArray:
        """Likewise (resamples, 1 + labels): the macro AUROC, then each label's over the folds."""
        labels = mean_of_defined(self._areas(weights), axis=0)[0]
        return np.concatenate([self(weights), labels], axis=1)

    def _areas(self, weights: FloatArray) -> FloatArray:
        """The AUROC of each label in each fold, (folds, resamples, labels)."""
        if len(weights) != self._num_rows:
            raise MetricError(f"weights for {len(weights)} rows; expected {self._num_rows}")
        return np.stack([auroc(weights[rows]) for rows, auroc in self._folds])


def difference(
    first: Callable[[FloatArray], FloatArray], second: Callable[[FloatArray], FloatArray]
) -> Callable[[FloatArray], FloatArray]:
    """First minus second, on the same resamples."""
    return lambda weights: first(weights) - second(weights)
