"""Draws the curves of one trial of any search from its history."""

import pandas as pd
from matplotlib.axes import Axes

from rust_tuner.errors import SearchError
from rust_tuner.figures.curves import draw_curves
from rust_tuner.words import metric_name

_SPLITS = {"training": "train", "validation": "validation"}


def draw_history(
    history: pd.DataFrame,
    *,
    metric: str,
    axes: Axes,
    trial: str | None = None,
    epoch: int | None = None,
) -> None:
    """The training and validation curves of a trial: each fold thin, their mean thick.

    Args:
        history: from `tuner.history()`: `trial, fold, epoch, split, metric, value`.
        metric: without `val_`, such as `accuracy`.
        axes: where to draw.
        trial: its name, such as `0003`; the only trial of the history where None.
        epoch: the epoch of the score, from 0, which is marked; the best of the mean validation
            curve where None, unless the metric's name does not say which is best.

    Raises:
        SearchError: where the history has no such metric or trial, or several trials.
    """
    rows = history[history["metric"] == metric]
    if rows.empty:
        offered = ", ".join(sorted(set(history["metric"])))
        raise SearchError(f"the history has no metric {metric!r}; it has {offered}")
    trials = sorted(set(rows["trial"]))
    if trial is None and len(trials) > 1:
        raise SearchError(f"the history has {len(trials)} trials; give one of them as trial=")
    chosen = trials[0] if trial is None else trial
    rows = rows[rows["trial"] == chosen].sort_values(["split", "fold", "epoch"])
    if rows.empty:
        raise SearchError(f"the history has no trial {chosen!r} with {metric}")
    curves = pd.DataFrame(
        {
            "split": rows["split"].map(_SPLITS),
            # As in published figures, epochs and folds count from 1.
            "epoch": rows["epoch"] + 1,
            "fold": rows["fold"] + 1,
            metric: rows["value"],
        }
    )
    draw_curves(
        curves,
        axes=axes,
        metric=metric,
        epoch=None if epoch is None else epoch + 1,
        name=metric_name(metric, is_study="cortex_auroc" in set(history["metric"])),
    )
