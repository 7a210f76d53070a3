"""Figures of the two searches: where the scores are high, how they were found, how they spread."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from rust_tuner.report.figures import (
    BLUE,
    GREY,
    METRICS,
    ORANGE,
    SEQUENTIAL,
    VERMILION,
    draw_reference,
    legend_below,
    power_number,
    short_number,
    styled,
    words,
    write_cells,
)


@styled
def draw_regime_1(
    trials: pd.DataFrame,
    *,
    axes: Axes,
    score: str = "score",
    metric: str = "auroc",
    num_folds: int | None = None,
) -> None:
    """Batch size against dropout rate, the colour is the score.

    Args:
        trials: `batch_size, dropout_rate` and the score; empty where a trial failed.
        axes: where to draw.
        score: the column.
        metric: what the score is.
        num_folds: of how many folds the score is the mean.
    """
    done = trials.dropna(subset=[score]).sort_values(score)
    failed = trials[trials[score].isna()]
    drawn = axes.scatter(
        done["dropout_rate"],
        done["batch_size"],
        c=done[score].to_numpy(dtype=np.float64),
        cmap=SEQUENTIAL,
        s=16,
        edgecolors="black",
        linewidths=0.3,
        zorder=3,
    )
    lines = [f"n = {len(done)} trials"]
    if len(failed):
        axes.scatter(
            failed["dropout_rate"],
            failed["batch_size"],
            marker="x",
            s=14,
            color=GREY,
            linewidths=0.8,
            label=f"no score ({len(failed)})",
        )
        lines.append(f"x no score ({len(failed)})")
    if len(done):
        best = done.iloc[-1]
        axes.scatter(
            best["dropout_rate"],
            best["batch_size"],
            s=70,
            facecolors="none",
            edgecolors=VERMILION,
            linewidths=1.3,
            zorder=4,
        )
        lines.append(f"○ best {best[score]:.3f}")
    axes.set_xlabel("Dropout rate")
    axes.set_ylabel("Batch size (images)")
    axes.set_ylim(bottom=0)
    axes.set_title("; ".join(lines))
    assert axes.figure is not None
    bar = axes.figure.colorbar(drawn, ax=axes, aspect=30, pad=0.03)
    bar.set_label(_score_label(metric, num_folds))
    bar.outline.set_linewidth(0.5)


@styled
def draw_regime_2(
    trials: pd.DataFrame,
    *,
    axes: Axes,
    score: str = "score",
    metric: str = "auroc",
    num_folds: int | None = None,
) -> None:
    """Learning rate by epsilon, both ascending; the best cell is framed.

    Args:
        trials: `learning_rate, epsilon` and the score; empty where a trial failed.
        axes: where to draw.
        score: the column.
        metric: what the score is.
        num_folds: of how many folds the score is the mean.
    """
    grid = trials.pivot_table(
        index="learning_rate", columns="epsilon", values=score, dropna=False, sort=True
    )
    grid = grid.sort_index(ascending=False)
    values = grid.to_numpy(dtype=np.float64)
    assert axes.figure is not None
    sns.heatmap(
        grid,
        ax=axes,
        cmap=SEQUENTIAL,
        linewidths=0.5,
        cbar_kws={"orientation": "horizontal", "aspect": 35, "pad": 0.02},
    )
    axes.set_facecolor("0.92")
    write_cells(axes, np.where(np.isnan(values), "-", np.char.mod("%.3f", values)))
    lines = [f"n = {int(np.isfinite(values).sum())} trials"]
    if np.isfinite(values).any():
        row, column = divmod(int(np.nanargmax(values)), values.shape[1])
        axes.add_patch(
            Rectangle((column, row), 1, 1, fill=False, edgecolor=VERMILION, linewidth=1.8, zorder=5)
        )
        lines.append(f"□ best {values[row, column]:.3f}")
    if np.isnan(values).any():
        lines.append("- no score")
    axes.set_xticks(
        np.arange(values.shape[1]) + 0.5,
        [power_number(float(value)) for value in grid.columns],
        rotation=0,
    )
    axes.set_yticks(
        np.arange(values.shape[0]) + 0.5,
        [power_number(float(value)) for value in grid.index],
        rotation=0,
    )
    axes.tick_params(length=0)
    axes.set_xlabel("Adam's epsilon (log steps)")
    axes.set_ylabel("Learning rate (log steps)")
    axes.set_title("; ".join(lines))
    bar = axes.collections[0].colorbar
    if bar is not None:
        bar.set_label(_score_label(metric, num_folds).replace("\n", " "))


@styled
def draw_search_progress(
    trials: pd.DataFrame,
    *,
    axes: Axes,
    score: str = "score",
    metric: str = "auroc",
    view_only: float | None = None,
    lower_is_better: bool = False,
) -> None:
    """Each trial's score, and the best so far.

    Args:
        trials: one row a trial in the order they were run; the score is empty where one failed.
        axes: where to draw.
        score: the column.
        metric: what the score is.
        view_only: the view-only baseline, drawn as a line.
        lower_is_better: such as for a loss.
    """
    values = trials[score].astype("float64").reset_index(drop=True)
    number = np.arange(1, len(values) + 1)
    running = (values.cummin() if lower_is_better else values.cummax()).ffill()
    axes.plot(
        number,
        values,
        linestyle="none",
        marker="o",
        markersize=2.8,
        markerfacecolor=ORANGE,
        markeredgecolor="black",
        markeredgewidth=0.3,
        label="trial",
    )
    axes.step(number, running, where="post", color=BLUE, linewidth=1.4, label="best so far")
    if view_only is not None:
        draw_reference(axes, view_only, label=f"view only: {view_only:.3f}")
    axes.set_xlabel("Trial, in the order they were run")
    axes.set_ylabel(_score_label(metric, None))
    axes.set_xlim(0.5, len(values) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"n = {int(values.notna().sum())} trials")
    legend_below(axes, num_columns=3)


@styled
def draw_fold_boxes(
    scores: pd.DataFrame,
    *,
    axes: Axes,
    metric: str = "auroc",
    names: tuple[str, ...] = (),
    count: int = 10,
    view_only: float | None = None,
) -> None:
    """How the best trials spread over the folds, best trial first.

    Args:
        scores: from `tables.fold_scores`.
        axes: where to draw.
        metric: what the values are.
        names: the hyperparameters that stand below each box.
        count: how many trials at most.
        view_only: the view-only baseline, drawn as a line.
    """
    best = scores[scores["rank"] <= count]
    ranks = sorted(best["rank"].unique())
    groups = [best.loc[best["rank"] == rank, "value"].to_numpy(dtype=np.float64) for rank in ranks]
    axes.boxplot(
        groups,
        positions=range(len(ranks)),
        widths=0.6,
        showfliers=False,
        medianprops={"color": BLUE, "linewidth": 1.4},
        boxprops={"linewidth": 0.7},
        whiskerprops={"linewidth": 0.7},
        capprops={"linewidth": 0.7},
    )
    for place, values in enumerate(groups):
        spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
        axes.plot(
            place + spread,
            values,
            linestyle="none",
            marker="o",
            markersize=2.4,
            markerfacecolor=ORANGE,
            markeredgecolor="black",
            markeredgewidth=0.3,
            zorder=3,
        )
        axes.plot(
            place,
            values.mean(),
            marker="D",
            markersize=3.4,
            markerfacecolor="white",
            markeredgecolor="black",
            markeredgewidth=0.7,
            zorder=4,
        )
    labels = []
    for rank in ranks:
        first = best[best["rank"] == rank].iloc[0]
        values = ", ".join(short_number(first[name]) for name in names)
        labels.append(f"#{rank}" + (f": {values}" if values else ""))
    axes.set_xticks(range(len(ranks)), labels, rotation=90 if names else 0)
    if view_only is not None:
        draw_reference(axes, view_only, label=f"view only: {view_only:.3f}")
    below = f"Rank{': ' if names else ''}{', '.join(map(words, names))}"
    axes.set_xlabel(below)
    axes.set_ylabel(f"Validation {METRICS.get(metric, metric)}")
    folds = best.groupby("rank")["fold"].nunique().max()
    axes.set_title(f"Best {len(ranks)} trials, n = {folds} folds each (◇ mean)")
    legend_below(axes, num_columns=2)


def _score_label(metric: str, num_folds: int | None) -> str:
    told = f"\n(mean of {num_folds} folds)" if num_folds else ""
    return f"Validation {METRICS.get(metric, metric)}{told}"
