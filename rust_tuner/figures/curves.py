"""Draws the curves of a cross-validation, of one model or several trials, and models side by side.

A figure function takes a tidy table and an `Axes`, or a `Figure` if it draws several panels;
it computes no score. How figures look belongs to `style`.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rust_tuner.analysis.drawn import INTERVAL, best_epoch, mean_curve, with_intervals
from rust_tuner.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    REFERENCE,
    SMALLEST_TEXT,
    draw_reference,
    legend_below,
    styled,
    title_above,
)
from rust_tuner.words import METRICS, short_number, words

# (name, colour, line style) of the two splits in the published layout.
_SPLITS = (("train", "training", ORANGE, (0, (3, 1.2))), ("validation", "validation", BLUE, "-"))


@styled
def draw_curves(
    curves: pd.DataFrame,
    *,
    axes: Axes,
    metric: str = "auroc",
    epoch: int | None = None,
    view_only: float | None = None,
    title: str = "",
    name: str | None = None,
) -> None:
    """One model's training and validation curves: each fold thin, their mean thick.

    Args:
        curves: `split, epoch, fold` and the metric, as published; epochs from 1.
        axes: where to draw.
        metric: the column.
        epoch: the chosen epoch, from 1; the best of the mean validation curve if None, unless the
            metric's name does not say which is best.
        view_only: the view-only baseline, drawn as a line.
        title: a line above the number of folds.
        name: the metric's, for people; that of a study's metric if None.
    """
    num_folds = curves["fold"].nunique()
    _draw_fold_lines(curves, axes=axes, metric=metric)
    validation = curves[curves["split"] == "validation"]
    mean = mean_curve(validation, metric)
    if epoch is None and len(mean):
        epoch = best_epoch(mean, metric)
    if epoch is not None and epoch in mean.index:
        axes.axvline(epoch, color=GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=0)
        axes.plot(
            [epoch],
            [mean[epoch]],
            marker="o",
            markersize=5,
            markerfacecolor="white",
            markeredgecolor=BLUE,
            linestyle="none",
            label=f"epoch {epoch}: {mean[epoch]:.3f}",
            zorder=5,
        )
    if view_only is not None:
        draw_reference(axes, view_only, label=f"view only: {view_only:.3f}")
    axes.set_xlabel("Epoch")
    axes.set_ylabel(METRICS.get(metric, metric) if name is None else name)
    _whole_epochs(axes, curves)
    lines = [title] if title else []
    axes.set_title("\n".join([*lines, f"n = {num_folds} folds and their mean"]))
    legend_below(axes, num_columns=2)


@styled
def draw_curve_grid(
    curves: pd.DataFrame,
    *,
    figure: Figure,
    metric: str = "auroc",
    names: tuple[str, ...] = (),
    num_trials: int | None = None,
    view_only: float | None = None,
) -> None:
    """Small multiples: the curves of some trials from the best to the worst.

    Args:
        curves: from `tables.ranked_curves`.
        figure: where to draw.
        metric: the column.
        names: the hyperparameters shown above each panel.
        num_trials: the number of completed trials in all.
        view_only: the view-only baseline, drawn as a line.
    """
    ranks = sorted(curves["rank"].unique())
    num_columns = min(3, len(ranks))
    num_rows = -(-len(ranks) // num_columns)
    panels = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    for panel, rank in zip(panels.flat, ranks, strict=False):
        rows = curves[curves["rank"] == rank]
        _draw_fold_lines(rows, axes=panel, metric=metric)
        first = rows.iloc[0]
        values = ", ".join(short_number(first[name]) for name in names)
        panel.set_title(
            "\n".join(filter(None, [f"#{rank}: {first['score']:.3f}", values])),
            fontsize=SMALLEST_TEXT,
        )
        _whole_epochs(panel, curves, count=2)
        if view_only is not None:
            draw_reference(panel, view_only, label=f"view only: {view_only:.3f}")
    for panel in panels.flat[len(ranks) :]:
        panel.set_axis_off()
    for column in range(num_columns):
        shown = [row for row in range(num_rows) if row * num_columns + column < len(ranks)]
        panels[shown[-1], column].tick_params(labelbottom=True)
        panels[shown[-1], column].set_xlabel("Epoch")
    of_all = f" of {num_trials}" if num_trials else ""
    over = [f"Rank{of_all}: score" + (f"; {', '.join(map(words, names))}" if names else "")]
    folds = curves["fold"].nunique()
    figure.suptitle(f"{over[0]}\nn = {folds} folds each", ha="left", x=0.01)
    figure.supylabel(METRICS.get(metric, metric), fontsize=7.5)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)


@styled
def draw_baselines(
    scores: pd.DataFrame,
    *,
    axes: Axes,
    metric: str = "auroc",
    view_only: float | None = None,
    chance: float | None = 0.5,
    names: dict[str, str] | None = None,
) -> None:
    """The first models side by side: folds, their mean and its 95 % interval.

    Args:
        scores: `model, fold, value`, drawn in this order from the top, and `mean, low, high` of
            each model; `drawn.with_intervals` computes them if they are missing.
        axes: where to draw.
        metric: what the values are.
        view_only: the view-only baseline, drawn as a line.
        chance: the value expected by chance, drawn as a line.
        names: display names of the models.
    """
    models = list(dict.fromkeys(scores["model"]))
    scores = scores if set(INTERVAL) <= set(scores) else with_intervals(scores)
    tick_labels = []
    for position, model in enumerate(models):
        rows = scores[scores["model"] == model]
        values = rows["value"].to_numpy(dtype=np.float64)
        mean, low, high = (float(rows[name].iloc[0]) for name in INTERVAL)
        interval = "" if np.isnan(low) else f" ({low:.3f}-{high:.3f})"
        tick_labels.append(f"{(names or {}).get(model, model)}\n{mean:.3f}{interval}")
        axes.plot(
            values,
            np.full(len(values), position - 0.16),
            linestyle="none",
            marker="o",
            markersize=3,
            markerfacecolor="none",
            markeredgecolor=GREY,
            markeredgewidth=0.6,
        )
        if interval:
            axes.plot(
                [low, high],
                [position + 0.16] * 2,
                color=BLUE,
                linewidth=1.2,
                marker="|",
                markersize=6,
                zorder=3,
            )
        axes.plot(mean, position + 0.16, color=BLUE, marker="D", markersize=4, zorder=4)
    if chance is not None:
        axes.axvline(chance, color=GREY, linewidth=0.8, linestyle=":", label="chance")
    if view_only is not None:
        axes.axvline(view_only, label=f"view only: {view_only:.3f}", **REFERENCE)
    axes.set_yticks(range(len(models)), tick_labels)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"Validation {METRICS.get(metric, metric)}")
    folds = sorted(set(scores.groupby("model")["fold"].nunique()))
    number = "-".join(str(n) for n in folds)
    title_above(axes, f"○ n = {number} folds; ◆ mean, 95 % interval")
    legend_below(axes, num_columns=2)


def _draw_fold_lines(curves: pd.DataFrame, *, axes: Axes, metric: str) -> None:
    for split, name, colour, style in _SPLITS:
        rows = curves[curves["split"] == split]
        if rows.empty:
            continue
        for _, fold in rows.groupby("fold"):
            lone = "." if len(fold) == 1 else None
            axes.plot(
                fold["epoch"],
                fold[metric],
                color=colour,
                linewidth=0.4,
                alpha=0.45,
                marker=lone,
                markersize=3,
            )
        mean = mean_curve(rows, metric)
        lone = "o" if len(mean) == 1 else None
        axes.plot(
            mean.index,
            mean,
            color=colour,
            linestyle=style,
            linewidth=1.6,
            marker=lone,
            markersize=3,
            label=name,
            zorder=4,
        )


def _whole_epochs(axes: Axes, curves: pd.DataFrame, *, count: int = 5) -> None:
    last = int(curves["epoch"].max())
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, last) if last / step <= count)
    axes.set_xticks([1, *range(step, last + 1, step)] if step > 1 else range(1, last + 1))
    axes.set_xlim(1 - 0.02 * last, last * 1.02)
