"""Draws our curves and scores next to those of the published study.

The two are of different radiographs, so each has its own view-only line: compare how far a score is
above its line.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rust_tuner.analysis.drawn import INTERVAL, with_intervals, with_means
from rust_tuner.figures.style import BLUE, ORANGE, legend_below, styled, title_above
from rust_tuner.figures.value_axes import axis_name, label_logarithmic
from rust_tuner.models.space import is_logarithmic
from rust_tuner.words import METRICS

# Name, colour, line style and marker of the two sides.
SIDES: dict[str, dict[str, Any]] = {
    "published": {"color": ORANGE, "linestyle": (0, (3, 1.2)), "marker": "o"},
    "here": {"color": BLUE, "linestyle": "-", "marker": "s"},
}
_AUROC = METRICS["auroc"]


@styled
def draw_curves_beside(
    curves: pd.DataFrame, *, axes: Axes, view_only: dict[str, float] | None = None, title: str = ""
) -> None:
    """Mean validation curves of one model, ours and the published one; bands are the folds' range.

    Args:
        curves: `side` (`published` or `here`) and the published layout.
        axes: where to draw.
        view_only: the view-only baseline of each side, drawn as a line.
        title: a line above the number of folds.
    """
    validation = curves[curves["split"] == "validation"]
    counts = []
    for side, look in SIDES.items():
        rows = validation[validation["side"] == side]
        if rows.empty:
            continue
        drawn = with_means(rows, "auroc").drop_duplicates("epoch").set_index("epoch").sort_index()
        mean = drawn["mean"]
        colour, style = look["color"], look["linestyle"]
        axes.fill_between(
            mean.index, drawn["lowest"], drawn["highest"], color=colour, alpha=0.2, linewidth=0
        )
        lone = look["marker"] if len(mean) == 1 else None
        axes.plot(mean.index, mean, color=colour, linestyle=style, marker=lone, label=side)
        counts.append(f"{rows['fold'].nunique()} {side}")
        _view_only_line(axes, side, view_only, is_horizontal=True)
    axes.set_xlabel("Epoch")
    axes.set_ylabel(f"Validation {_AUROC}")
    lines = [title] if title else []
    axes.set_title("\n".join([*lines, f"n folds: {', '.join(counts)}; mean and range"]))
    legend_below(axes, num_columns=2)


@styled
def draw_models_beside(
    scores: pd.DataFrame,
    *,
    axes: Axes,
    view_only: dict[str, float] | None = None,
    names: dict[str, str] | None = None,
) -> None:
    """Models side by side, the published one and ours below each other, with 95 % intervals.

    Args:
        scores: `side, model, fold, value`, and `mean, low, high` as in `draw_baselines`; models are
            drawn in this order from the top.
        axes: where to draw.
        view_only: the view-only baseline of each side, drawn as a line.
        names: display names of the models.
    """
    models = list(dict.fromkeys(scores["model"]))
    if not set(INTERVAL) <= set(scores):
        scores = with_intervals(scores, by=("side", "model"))
    tick_labels = []
    for position, model in enumerate(models):
        lines = [(names or {}).get(model, model)]
        for offset, (side, look) in zip((-0.14, 0.14), SIDES.items(), strict=True):
            points = scores[(scores["model"] == model) & (scores["side"] == side)]
            if points.empty:
                continue
            mean, *ends = (float(points[name].iloc[0]) for name in INTERVAL)
            lines.append(f"{side} {mean:.3f}")
            axes.plot(ends, [position + offset] * 2, color=look["color"], marker="|", markersize=6)
            axes.plot(
                mean,
                position + offset,
                color=look["color"],
                marker=look["marker"],
                markersize=4.5,
                markeredgecolor="black",
                markeredgewidth=0.4,
                linestyle="none",
                label=side if side not in axes.get_legend_handles_labels()[1] else None,
            )
        tick_labels.append("\n".join(lines))
    for side in SIDES:
        _view_only_line(axes, side, view_only, is_horizontal=False)
    axes.set_yticks(range(len(models)), tick_labels)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"Validation {_AUROC}")
    folds = [
        f"{rows['fold'].nunique()} {side}"
        for side in SIDES
        if len(rows := scores[scores["side"] == side])
    ]
    title_above(axes, f"n folds: {', '.join(folds)}; mean, 95 % interval")
    legend_below(axes, num_columns=2)


@styled
def draw_trials_beside(
    trials: pd.DataFrame,
    *,
    figure: Figure,
    names: tuple[str, ...],
    view_only: dict[str, float] | None = None,
) -> None:
    """The trials of a search, ours and the published ones, along each hyperparameter.

    Args:
        trials: `side`, the hyperparameters and `max_val_auroc`, the published score.
        figure: where to draw.
        names: the hyperparameters, a panel each.
        view_only: the view-only baseline of each side, drawn as a line.
    """
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for side, look in SIDES.items():
            rows = trials[trials["side"] == side]
            panel.plot(
                rows[name],
                rows["max_val_auroc"],
                linestyle="none",
                marker=look["marker"],
                markersize=3,
                markerfacecolor="none" if side == "published" else look["color"],
                markeredgecolor=look["color"] if side == "published" else "black",
                markeredgewidth=0.7 if side == "published" else 0.3,
                label=f"{side} (n = {len(rows)})",
                zorder=3,
            )
            _view_only_line(panel, side, view_only, is_horizontal=True)
        if is_logarithmic(name):
            label_logarithmic(panel, "x", np.unique(trials[name].to_numpy(np.float64)), 4)
        panel.margins(x=0.06)
        panel.set_xlabel(axis_name(name))
    panels[0].set_ylabel(f"Highest mean validation\n{_AUROC}")
    legend_below(panels[0], num_columns=2)


def _view_only_line(
    axes: Axes, side: str, view_only: dict[str, float] | None, *, is_horizontal: bool
) -> None:
    if view_only is None or side not in view_only:
        return
    look = SIDES[side]
    (axes.axhline if is_horizontal else axes.axvline)(
        view_only[side],
        color=look["color"],
        linewidth=0.9,
        linestyle=(0, (1, 1)) if side == "published" else (0, (5, 1.5, 1, 1.5)),
        label=f"view only, {side}: {view_only[side]:.3f}",
    )
