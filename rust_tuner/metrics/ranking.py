"""Exact ranking figures: AUROC per label and macro, masked or not, and the view-only baseline.

Labels are columns. A figure is NaN where it is undefined, never a substitute value.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from rust_tuner.errors import MetricError
from rust_tuner.labels import NUM_VIEWS

FloatArray = npt.NDArray[np.float64]


def auroc(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> FloatArray:
    """Exact area under the ROC curve of each label, ties counted half.

    The Mann-Whitney form: the share of (positive, negative) pairs that the score orders rightly
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
    """
    truth, score, counted = _checked(y_true, y_score, mask)
    # What does not count is ranked behind everything else, where it moves no other rank.
    ranks = rankdata(np.where(counted, score, np.inf), axis=0)
    positive = truth & counted
    num_positive = positive.sum(axis=0, dtype=np.float64)
    num_negative = counted.sum(axis=0, dtype=np.float64) - num_positive
    pairs = num_positive * num_negative
    rank_sum = np.where(positive, ranks, 0.0).sum(axis=0)
    area = np.full(truth.shape[1], np.nan)
    wins = rank_sum - num_positive * (num_positive + 1) / 2
    np.divide(wins, pairs, out=area, where=pairs > 0)
    return area


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
        MetricError: where no label has both a positive and a negative; and as `auroc`.
    """
    areas = auroc(y_true, y_score, mask)
    defined = ~np.isnan(areas)
    if not defined.any():
        place = f"{where}: " if where else ""
        raise MetricError(
            f"{place}AUROC is undefined for all {len(areas)} labels: none has both a positive "
            "and a negative row; use fewer folds or more patients"
        )
    return float(areas[defined].mean())


@dataclass(frozen=True)
class ViewOnlyBaseline:
    """What a predictor that knows nothing but the view would score.

    Attributes:
        auroc: 18-label macro AUROC.
        cortex_auroc: 16-label macro AUROC, each cortex only where it is visible.
    """

    auroc: float
    cortex_auroc: float


def view_only_baseline(
    training_labels: npt.ArrayLike,
    validation_labels: npt.ArrayLike,
    validation_visible: npt.ArrayLike,
    *,
    where: str = "",
) -> ViewOnlyBaseline:
    """Score the predictor that answers each view with that view's prevalence of every label.

    Args:
        training_labels: (m, 18) label vectors that the prevalences are taken from.
        validation_labels: (n, 18) label vectors to predict.
        validation_visible: (n, 16) bool, which cortex labels are visible.
        where: what the data are, such as `fold 3`, for the error message.

    Raises:
        MetricError: as `macro_auroc`.
    """
    training = np.asarray(training_labels, dtype=np.float64)
    validation = np.asarray(validation_labels, dtype=np.float64)
    overall = training.mean(axis=0)
    score = np.tile(overall, (len(validation), 1))
    for view in range(NUM_VIEWS):
        shown = training[:, view] == 1
        if shown.any():
            score[validation[:, view] == 1] = training[shown].mean(axis=0)
    return ViewOnlyBaseline(
        auroc=macro_auroc(validation, score, where=where),
        cortex_auroc=macro_auroc(
            validation[:, NUM_VIEWS:], score[:, NUM_VIEWS:], validation_visible, where=where
        ),
    )


def _checked(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, mask: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.bool_], FloatArray, npt.NDArray[np.bool_]]:
    truth = np.asarray(y_true)
    score = np.asarray(y_score, dtype=np.float64)
    counted = np.ones(truth.shape, dtype=np.bool_) if mask is None else np.asarray(mask)
    if truth.ndim != 2 or truth.shape != score.shape or truth.shape != counted.shape:
        raise MetricError(
            f"y_true {truth.shape}, y_score {score.shape}, mask {counted.shape}; expected one "
            "shape (n, labels)"
        )
    if counted.dtype != np.bool_:
        raise MetricError(f"mask of dtype {counted.dtype}; expected bool")
    if not np.isin(truth, (0, 1)).all():
        raise MetricError("y_true holds values other than 0 and 1")
    if not np.isfinite(score[counted]).all():
        rows, columns = np.nonzero(~np.isfinite(score) & counted)
        raise MetricError(
            f"y_score holds {score[rows[0], columns[0]]} at row {rows[0]}, label {columns[0]}; "
            "expected finite scores"
        )
    return truth == 1, score, counted
