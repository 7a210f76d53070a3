"""Figures from counts and sums as functions of the rows' weights, for resampling.

A weight is how often a row counts; weights of one give the figures of `decisions`, `calibration`
and `agreement`. Each class names its figures in `names`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rust_tuner.labels import CORTICES, SCORES
from rust_tuner.metrics.agreement import LIMIT_REACH, confusion_figures
from rust_tuner.metrics.class_figures import class_figures
from rust_tuner.metrics.ranking import checked_labels, ratio
from rust_tuner.metrics.weighted_ranking import mean_of_defined

FloatArray = npt.NDArray[np.float64]

# Relative to a sum of squares; smaller values are float64 rounding.
_ROUNDING = 1e-12


class WeightedDecisions:
    """Precision, recall and F1 of each label and their means, at one threshold."""

    def __init__(
        self,
        y_true: npt.ArrayLike,
        y_prob: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
        *,
        threshold: float,
    ) -> None:
        """Decide every label; arguments and errors as in `decisions`."""
        truth, prob, counted = checked_labels(y_true, y_prob, mask, score_name="y_prob", unit=True)
        decided, positive = (prob >= threshold) & counted, truth & counted
        self._parts = np.concatenate([positive & decided, positive, decided], axis=1) * 1.0

    def __call__(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights to (resamples, 3 * (1 + labels)).

        Macro and each label's precision, then recall, then F1.
        """
        hits, positives, chosen = np.split(weights.T @ self._parts, 3, axis=1)
        figures = (ratio(hits, chosen), ratio(hits, positives), ratio(2 * hits, positives + chosen))
        return np.concatenate([part for each in figures for part in _with_mean(each)], axis=1)


class WeightedShare:
    """The share of rows that are positive."""

    def __init__(self, positive: npt.ArrayLike) -> None:
        """Take (n,) zeros and ones."""
        values = np.asarray(positive, dtype=np.float64)
        self._parts = np.stack([values, np.ones_like(values)], axis=1)

    def __call__(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights to (resamples, 1)."""
        positives, rows = (weights.T @ self._parts).T
        return ratio(positives, rows)[:, None]


class WeightedBrier:
    """The Brier score of each label and their mean."""

    def __init__(
        self, y_true: npt.ArrayLike, y_prob: npt.ArrayLike, mask: npt.ArrayLike | None = None
    ) -> None:
        """Square the differences; arguments and errors as in `brier_score`."""
        truth, prob, counted = checked_labels(y_true, y_prob, mask, score_name="y_prob", unit=True)
        squares = np.where(counted, np.where(counted, prob, 0.0) - truth, 0.0) ** 2
        self._parts = np.concatenate([squares, counted], axis=1)

    def __call__(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights to (resamples, 1 + labels), the mean first."""
        squares, rows = np.split(weights.T @ self._parts, 2, axis=1)
        return np.concatenate(_with_mean(ratio(squares, rows)), axis=1)


class WeightedAgreement:
    """Figures of the most likely scores of each cortex, and their means over the cortices."""

    names = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "within_one")

    def __init__(self, reference: npt.ArrayLike, predicted: npt.ArrayLike) -> None:
        """Count the pairs.

        Args:
            reference: (n, 4) scores in the order of `CORTICES`, 1-4 or NaN.
            predicted: (n, 4) scores of the same radiographs.
        """
        left, right = (
            np.asarray(side, dtype=np.float64)[:, :, None] == np.array(SCORES)
            for side in (reference, predicted)
        )
        pairs = left[:, :, :, None] & right[:, :, None, :]
        self._parts = pairs.reshape(len(pairs), len(CORTICES) * len(SCORES) ** 2) * 1.0

    def __call__(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights to (resamples, 25) in the order of `names`.

        Each as the mean over the cortices, then of each cortex.
        """
        confusion = self.confusion(weights)
        kappa, accuracy, within_one = confusion_figures(confusion)
        of_classes = class_figures(confusion)
        figures = (accuracy, of_classes.balanced_accuracy, of_classes.macro_f1, kappa, within_one)
        return np.concatenate([part for each in figures for part in _with_mean(each)], axis=1)

    def confusion(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights to (resamples, 4, 4, 4) by cortex, true and predicted score."""
        counts: FloatArray = weights.T @ self._parts
        return counts.reshape(-1, len(CORTICES), len(SCORES), len(SCORES))


class WeightedTotals:
    """Mean absolute error, bias, limits of agreement and ICC(2,1) of two sets of totals."""

    names = ("mae", "bias", "lower_limit", "upper_limit", "icc")

    def __init__(self, reference: FloatArray, predicted: FloatArray) -> None:
        """Take totals (n,) without NaN; differences are predicted minus reference."""
        middle = float(np.concatenate([reference, predicted]).mean()) if len(reference) else 0.0
        # Centred, so that no sum of squares is the small difference of two large ones.
        x, y = reference - middle, predicted - middle
        sums = [np.ones_like(x), x, y, (x + y) ** 2 / 4, (y - x) ** 2, np.abs(y - x)]
        self._parts = np.stack(sums, axis=1)

    def __call__(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights to (resamples, 5) in the order of `names`."""
        n, x, y, squares, differences, distances = (weights.T @ self._parts).T
        bias, mean = ratio(y - x, n), ratio(x + y, 2 * n)
        spread = _variance(differences, bias, n)
        rows = 2 * _variance(squares, mean, n)
        error, columns = spread / 2, n * bias**2 / 2
        whole = rows + error + 2 * ratio(columns - error, n)
        reach = LIMIT_REACH * np.sqrt(spread)
        figures = (
            ratio(distances, n),
            bias,
            bias - reach,
            bias + reach,
            ratio(rows - error, whole),
        )
        return np.stack(figures, axis=1)


class WeightedUnion:
    """Sensitivity, specificity and predictive values of union."""

    names = ("sensitivity", "specificity", "positive_predictive_value", "negative_predictive_value")

    def __init__(
        self,
        reference: FloatArray,
        predicted: FloatArray,
        *,
        threshold: float,
        cutoff: float | None = None,
    ) -> None:
        """Take totals (n,) without NaN.

        Args:
            reference: at least the threshold is union.
            predicted: at least the cut-off is predicted union.
            threshold: of the reference.
            cutoff: of the prediction; the threshold if None.
        """
        truth = reference >= threshold
        answer = predicted >= (threshold if cutoff is None else cutoff)
        cells = [truth & answer, ~truth & ~answer, truth, ~truth, answer, ~answer]
        self._parts = np.stack(cells, axis=1) * 1.0

    def __call__(self, weights: FloatArray) -> FloatArray:
        """(n, resamples) weights to (resamples, 4) in the order of `names`."""
        true_positive, true_negative, *wholes = (weights.T @ self._parts).T
        parts = (true_positive, true_negative, true_positive, true_negative)
        return np.stack([ratio(p, w) for p, w in zip(parts, wholes, strict=True)], axis=1)


def _variance(squares: FloatArray, mean: FloatArray, n: FloatArray) -> FloatArray:
    """The variance (n - 1) from a sum of squares; a rounding residue counts as zero."""
    rest = squares - n * mean**2
    rest[rest <= _ROUNDING * squares] = 0.0
    return ratio(rest, n - 1)


def _with_mean(figures: FloatArray) -> Sequence[FloatArray]:
    """The mean of the defined figures, and the figures."""
    return mean_of_defined(figures), figures
