"""What a figure draws beyond its points: means, intervals and boxes, as columns of its table.

Both the figures and the CSV files beside them use these columns, so a file has every drawn number.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.metrics.fold_interval import UNIT, fold_interval

FloatArray = npt.NDArray[np.float64]

INTERVAL = ("mean", "low", "high")
BOX = ("mean", "median", "lower_quartile", "upper_quartile", "lower_whisker", "upper_whisker")
# In the names of Keras's metrics and of usual ones.
_LOW_IS_BEST = re.compile(
    r"loss|err|entropy|divergence|deviation|hinge|poisson|perplexity|brier|mae|mse|mape|msle"
)
_HIGH_IS_BEST = re.compile(
    r"auc|auroc|acc|precision|recall|f1|score|sensitivity|specificity|kappa|iou|dice|similarity"
    r"|positives_rate|r2"
)
# A whisker ends at the last value within this many times the box's height.
_REACH = 1.5


def with_means(curves: pd.DataFrame, metric: str, *, by: Sequence[str] = ()) -> pd.DataFrame:
    """Curves with the `mean`, `lowest` and `highest` of the folds of each split and epoch.

    Args:
        curves: `split, epoch, fold` and the metric.
        metric: the column.
        by: columns that distinguish several curves.
    """
    folds = curves.groupby([*by, "split", "epoch"], sort=False)[metric]
    return curves.assign(
        mean=folds.transform("mean"), lowest=folds.transform("min"), highest=folds.transform("max")
    )


def mean_curve(curves: pd.DataFrame, metric: str) -> pd.Series:
    """The mean of the folds of one split by epoch, as `with_means` has it."""
    return (
        with_means(curves, metric).drop_duplicates("epoch").set_index("epoch")["mean"].sort_index()
    )


def best_epoch(mean: pd.Series, metric: str) -> int | None:
    """The epoch of the best value of a mean curve that has one, the first of equals.

    None for a metric whose name does not say whether low or high values are best.
    """
    if _LOW_IS_BEST.search(metric.lower()):
        return int(mean.index.to_numpy()[mean.argmin()])
    if _HIGH_IS_BEST.search(metric.lower()):
        return int(mean.index.to_numpy()[mean.argmax()])
    return None


def precision_steps(recall: FloatArray, precision: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The steps whose area is the average precision.

    Between two recalls nothing is known, and a sloping line would look too good. At each recall
    only the highest precision counts.
    """
    reached = np.unique(recall[recall > 0])
    if not len(reached):
        return recall, precision
    best = np.array([precision[recall == value].max() for value in reached])
    across = np.repeat(np.concatenate([[0.0], reached]), 2)[1:-1]
    return across, np.repeat(best, 2)


def with_intervals(scores: pd.DataFrame, *, by: Sequence[str] = ("model",)) -> pd.DataFrame:
    """Scores of folds with their `mean` and its 95 % interval, `low` and `high`.

    The interval is `fold_interval`, which allows for the training data that folds share.

    Args:
        scores: `fold, value`, AUROCs, and perhaps `overlap`, n_test / n_train of a model's folds;
            where it is missing, they are those of k-fold cross-validation.
        by: columns that distinguish several models.
    """
    if scores.empty:
        return scores.assign(**dict.fromkeys(INTERVAL, np.nan))
    parts = []
    for _, rows in scores.groupby(list(by), sort=False):
        overlap = rows["overlap"].iloc[0] if "overlap" in rows else None
        interval = fold_interval(
            rows["value"].to_numpy(dtype=np.float64),
            overlap=None if pd.isna(overlap) else float(overlap),
            bounds=UNIT,
        )
        parts.append(rows.assign(mean=interval.value, low=interval.low, high=interval.high))
    return pd.concat(parts).loc[scores.index]


def with_boxes(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of folds with what a box plot draws of them, in the columns of `BOX`.

    Args:
        scores: `fold, rank, value`; each rank has a box.
    """
    if scores.empty:
        return scores.assign(**dict.fromkeys(BOX, np.nan))
    parts = []
    for _, rows in scores.groupby("rank", sort=False):
        values = rows["value"].to_numpy(dtype=np.float64)
        lower, median, upper = np.percentile(values, [25, 50, 75])
        reach = _REACH * (upper - lower)
        inside = values[(values >= lower - reach) & (values <= upper + reach)]
        ends = min(inside.min(), lower), max(inside.max(), upper)
        drawn = (values.mean(), median, lower, upper, *ends)
        parts.append(rows.assign(**dict(zip(BOX, drawn, strict=True))))
    return pd.concat(parts).loc[scores.index]
