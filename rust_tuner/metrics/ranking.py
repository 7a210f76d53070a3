"""Exact ranking figures, masked or not: AUROC, average precision, and the view-only baseline.

Labels are columns. A figure is NaN where it is undefined, never a substitute value.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError

FloatArray = npt.NDArray[np.float64]


def auroc(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> FloatArray:
    """Exact area under the ROC curve of each label, ties counted half.

    The Mann-Whitney form: the share of (positive, negative) pairs that the score orders correctly
    (Hanley and McNeil, Radiology 1982, doi:10.1148/radiology.143.1.7063747).

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores of any scale.
        mask: (n, labels) bool, or None for all; entries that are False do not count.

    Returns:
        (labels,) float64 in [0, 1]; NaN where a label has no positive or no negative.

    Raises:
        MetricError: for shapes that differ, labels other than 0 and 1, or scores that are not
            finite.

    Examples:
        >>> auroc([[1], [0], [1], [0]], [[0.9], [0.2], [0.4], [0.4]])
        array([0.875])
    """
    truth, score, counted = checked_labels(y_true, y_score, mask)
    return _Ranking(np.where(counted, score, 0.0)).areas(truth & counted, ~truth & counted)


def macro_auroc(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    where: str = "",
) -> float:
    """The mean AUROC over the labels where it is defined.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores.
        mask: (n, labels) bool, or None for all.
        where: what the data are, such as `fold 3`, for the error message.

    Raises:
        MetricError: if no label has both a positive and a negative; and as `auroc`.

    Examples:
        >>> y_true = [[1, 0], [0, 1], [1, 1], [0, 0]]
        >>> y_score = [[0.9, 0.2], [0.4, 0.7], [0.6, 0.6], [0.5, 0.7]]
        >>> macro_auroc(y_true, y_score)
        0.8125
    """
    areas = auroc(y_true, y_score, mask)
    return _mean_of_defined(areas, len(areas), where)


def macro_aurocs(
    y_true: Sequence[npt.NDArray[np.floating]],
    y_score: Sequence[npt.NDArray[np.floating]],
    masks: Sequence[Sequence[npt.NDArray[np.bool_]]],
    *,
    where: Sequence[str],
) -> list[list[float]]:
    """`macro_auroc` of several folds under several masks at once; each score is ranked once.

    Args:
        y_true: for each fold (n, labels) zeros and ones; folds may differ in n.
        y_score: for each fold (n, labels) finite scores.
        masks: for each kind of figure and each fold (n, labels) bool.
        where: the name of each fold, for the error message.

    Returns:
        For each mask the macro AUROC of each fold.

    Raises:
        MetricError: as `macro_auroc`.

    Examples:
        >>> import numpy as np
        >>> truth = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
        >>> score = np.array([[0.9, 0.2], [0.4, 0.7], [0.6, 0.6], [0.5, 0.7]])
        >>> everywhere, first_label = np.ones((4, 2), dtype=bool), np.array([[True, False]] * 4)
        >>> masks = [[everywhere, everywhere], [first_label, first_label]]
        >>> macro_aurocs([truth, truth], [score, 1 - score], masks, where=["fold 0", "fold 1"])
        [[0.8125, 0.1875], [1.0, 0.0]]
    """
    for truth, score, name in zip(y_true, y_score, where, strict=True):
        if truth.shape != score.shape:
            raise MetricError(f"{name}: y_true {truth.shape}, y_score {score.shape}; they differ")
        if not np.isfinite(score).all():
            raise MetricError(f"{name}: y_score holds values that are not finite")
    # Rows that pad a shorter fold are NaN, which equals nothing, and are in no mask.
    ranking = _Ranking(_stack(y_score, fill=np.nan))
    positive: npt.NDArray[np.bool_] = _stack([labels == 1 for labels in y_true], fill=False)
    figures = []
    for mask in masks:
        counted: npt.NDArray[np.bool_] = _stack(mask, fill=False)
        areas = ranking.areas(positive & counted, ~positive & counted)
        num_labels = [int(np.any(rows, axis=0).sum()) for rows in mask]
        figures.append(
            [
                _mean_of_defined(areas[fold], num_labels[fold], name)
                for fold, name in enumerate(where)
            ]
        )
    return figures


def micro_auroc(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> float:
    """The AUROC of all entries of all labels in one ranking.

    Scores must be comparable between labels, and frequent labels weigh more.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores of one scale.
        mask: (n, labels) bool, or None for all.

    Returns:
        A number in [0, 1]; NaN where there is no positive or no negative at all.

    Raises:
        MetricError: as `auroc`.

    Examples:
        >>> micro_auroc([[1, 0], [0, 1]], [[0.9, 0.2], [0.4, 0.3]])
        0.75
    """
    truth, score, counted = checked_labels(y_true, y_score, mask)
    return float(auroc(truth[counted][:, None], score[counted][:, None])[0])


def average_precision(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> FloatArray:
    """Average precision of each label: the sum over its precision-recall curve, not interpolated.

    The sum over the distinct scores of (gain in recall) x (precision of all rows that score at
    least as high), as in scikit-learn; rows with equal scores enter together. A label that every
    row has is undefined, as its AUROC is; scikit-learn gives 1, whatever the scores are.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores of any scale.
        mask: (n, labels) bool, or None for all; entries that are False do not count.

    Returns:
        (labels,) float64 in (0, 1]; NaN where a label has no positive or no negative. The value
        expected by chance is the label's prevalence, not 0.5.

    Raises:
        MetricError: as `auroc`.

    Examples:
        >>> average_precision([[1], [0], [1], [0]], [[0.9], [0.6], [0.4], [0.2]]).round(3)
        array([0.833])
    """
    truth, score, counted = checked_labels(y_true, y_score, mask)
    ranking = _Ranking(np.where(counted, score, 0.0))
    return ranking.average_precisions(truth & counted, ~truth & counted)


def macro_average_precision(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> float:
    """The mean average precision over the labels where it is defined; NaN where none is.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores of any scale.
        mask: (n, labels) bool, or None for all.

    Raises:
        MetricError: as `auroc`.

    Examples:
        >>> macro_average_precision([[1, 0], [0, 1], [1, 0]], [[0.9, 0.2], [0.4, 0.7], [0.6, 0.8]])
        0.75
    """
    return macro_average(average_precision(y_true, y_score, mask)).value


def micro_average_precision(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> float:
    """The average precision of all entries of all labels in one ranking.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores of one scale.
        mask: (n, labels) bool, or None for all.

    Returns:
        A number in (0, 1]; NaN where there is no positive or no negative at all.

    Raises:
        MetricError: as `auroc`.

    Examples:
        >>> micro_average_precision([[1, 0], [0, 1], [1, 0]], [[0.9, 0.2], [0.4, 0.7], [0.6, 0.8]])
        0.8055555555555555
    """
    truth, score, counted = checked_labels(y_true, y_score, mask)
    return float(average_precision(truth[counted][:, None], score[counted][:, None])[0])


@dataclass(frozen=True)
class MacroAverage:
    """A mean over labels, and the number of labels averaged.

    Attributes:
        value: the mean over the labels that define the figure; NaN where none does.
        defined: how many labels define it.
        labels: the number of labels.
    """

    value: float
    defined: int
    labels: int

    def __str__(self) -> str:
        """Such as `0.812 (17 of 18 labels defined)`."""
        return f"{self.value:.3f} ({self.defined} of {self.labels} labels defined)"


def macro_average(figures: npt.ArrayLike) -> MacroAverage:
    """The mean of the figures of labels (labels,) that are not NaN, and how many these are.

    Examples:
        >>> print(macro_average([0.8, 0.6, float("nan")]))
        0.700 (2 of 3 labels defined)
    """
    values = np.asarray(figures, dtype=np.float64)
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if len(defined) else float("nan")
    return MacroAverage(mean, len(defined), len(values))


def checked_labels(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    mask: npt.ArrayLike | None,
    *,
    score_name: str = "y_score",
    unit: bool = False,
) -> tuple[npt.NDArray[np.bool_], FloatArray, npt.NDArray[np.bool_]]:
    """Labels, scores and mask as (n, labels) bool, float64 and bool.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) scores, finite where they count.
        mask: (n, labels) bool, or None for all.
        score_name: what the caller calls its scores, for the error message.
        unit: whether the scores that count must be in [0, 1].

    Raises:
        MetricError: if an argument is invalid; the message names it.
    """
    truth = np.asarray(y_true)
    score = np.asarray(y_score, dtype=np.float64)
    counted = np.ones(truth.shape, dtype=np.bool_) if mask is None else np.asarray(mask)
    if truth.ndim != 2 or truth.shape != score.shape or truth.shape != counted.shape:
        raise MetricError(
            f"y_true {truth.shape}, {score_name} {score.shape}, mask {counted.shape}; expected "
            "one shape (n, labels)"
        )
    if counted.dtype != np.bool_:
        raise MetricError(f"mask of dtype {counted.dtype}; expected bool")
    if not ((truth == 0) | (truth == 1)).all():
        raise MetricError("y_true holds values other than 0 and 1")
    legal = (score >= 0) & (score <= 1) if unit else np.isfinite(score)
    if not legal[counted].all():
        row, column = np.argwhere(~legal & counted)[0]
        expected = "probabilities in [0, 1]" if unit else "finite scores"
        raise MetricError(
            f"{score_name} holds {score[row, column]} at row {row}, label {column}; "
            f"expected {expected}"
        )
    return truth == 1, score, counted


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> FloatArray:
    """Part divided by whole, element by element, for arrays of one shape; NaN where whole is 0."""
    share = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=share, where=whole != 0)
    return share


class _Ranking:
    """Scores (..., n, labels) in ascending order, to count pairs of any positives and negatives.

    Columns of the input are stored as rows, which suits the processor's cache.
    """

    def __init__(self, score: npt.NDArray[np.floating]) -> None:
        columns = _columns(score)
        self._shape = (*score.shape[:-2], score.shape[-1])
        starts = columns.shape[1] * np.arange(len(columns))[:, None]
        self._order = np.argsort(columns, axis=1) + starts
        ordered = columns.ravel()[self._order]
        is_first, is_last = np.ones((2, *columns.shape), dtype=np.bool_)
        is_first[:, 1:] = is_last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
        # Positions that share their score with another, and the first and last position of that
        # score.
        self._tied = np.flatnonzero(~(is_first & is_last))
        group = np.cumsum(is_first.ravel()[self._tied]) - 1
        self._first = self._tied[is_first.ravel()[self._tied]][group]
        self._last = self._tied[is_last.ravel()[self._tied]][group]

    def areas(self, positive: npt.NDArray[np.bool_], negative: npt.NDArray[np.bool_]) -> FloatArray:
        """The AUROC of each label; what is neither positive nor negative does not count."""
        won, lost = self._ordered(positive), self._ordered(negative)
        through: FloatArray = np.cumsum(lost, axis=1, dtype=np.float64)
        below = through
        if len(self._tied):
            # Half of the rows with the same score count as below.
            reached, each = through.ravel(), lost.ravel()
            shared = (reached[self._first] - each[self._first] + reached[self._last]) / 2
            below = through.copy()
            below.ravel()[self._tied] = shared
        pairs = np.count_nonzero(won, axis=1) * np.count_nonzero(lost, axis=1)
        return ratio(np.einsum("ij,ij->i", won, below), pairs).reshape(self._shape)

    def average_precisions(
        self, positive: npt.NDArray[np.bool_], negative: npt.NDArray[np.bool_]
    ) -> FloatArray:
        """The average precision of each label; what is neither does not count."""
        won, lost = self._ordered(positive), self._ordered(negative)
        hits, misses = self._from_here(won), self._from_here(lost)
        # Every positive row is one step of recall.
        precision = np.where(won, ratio(hits, hits + misses), 0.0)
        # Without a negative it is 1, whatever the scores are.
        whole = np.count_nonzero(won, axis=1) * lost.any(axis=1)
        return ratio(precision.sum(axis=1), whole).reshape(self._shape)

    def _ordered(self, flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        ordered: npt.NDArray[np.bool_] = _columns(flags).ravel()[self._order]
        return ordered

    def _from_here(self, ordered: npt.NDArray[np.bool_]) -> FloatArray:
        """How many of the rows in ascending order score at least as high as each."""
        above: FloatArray = np.cumsum(ordered[:, ::-1], axis=1, dtype=np.float64)[:, ::-1].copy()
        above.ravel()[self._tied] = above.ravel()[self._first]
        return above


def _columns(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(..., n, labels) to (... x labels, n)."""
    turned = np.ascontiguousarray(np.swapaxes(values, -1, -2))
    return turned.reshape(math.prod(turned.shape[:-1]), turned.shape[-1])


def _mean_of_defined(areas: FloatArray, num_labels: int, where: str) -> float:
    defined = ~np.isnan(areas)
    if not defined.any():
        prefix = f"{where}: " if where else ""
        whose = f" for all {num_labels} labels: none has"
        if num_labels == 1:
            whose = ": the label does not have"
        raise MetricError(
            f"{prefix}AUROC is undefined{whose} both a positive and a negative row; use fewer "
            "folds or more data"
        )
    return float(areas[defined].mean())


def _stack(parts: Sequence[npt.NDArray[Any]], *, fill: float) -> npt.NDArray[Any]:
    """Stack arrays (n, labels) of different n, padding the shorter ones."""
    shape = (len(parts), max(len(part) for part in parts), parts[0].shape[1])
    stacked = np.full(shape, fill, dtype=parts[0].dtype)
    for filled, part in zip(stacked, parts, strict=True):
        filled[: len(part)] = part
    return stacked
