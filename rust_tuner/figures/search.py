"""Draws how a search went: the best score so far, and the spread of the best trials over folds."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from rust_tuner.analysis.drawn import with_boxes
from rust_tuner.figures.style import BLUE, ORANGE, draw_reference, legend_below, score_label, styled
from rust_tuner.words import METRICS, counted, short_number, words


@styled
def draw_search_progress(
    trials: pd.DataFrame,
    *,
    axes: Axes,
    score: str = "score",
    metric: str = "auroc",
    view_only: float | None = None,
) -> None:
    """Each trial's score, and the best so far.

    Args:
        trials: from `tables.trials_table`: the score, empty if a trial failed, and
            `best_so_far`.
        axes: where to draw.
        score: the column.
        metric: what the score is.
        view_only: the view-only baseline, drawn as a line.
    """
    values = trials[score].astype("float64").reset_index(drop=True)
    number = np.arange(1, len(values) + 1)
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
    best = trials["best_so_far"]
    axes.step(number, best, where="post", color=BLUE, linewidth=1.4, label="best so far")
    if view_only is not None:
        draw_reference(axes, view_only, label=f"view only: {view_only:.3f}")
    axes.set_xlabel("Trial, in the order of their run")
    axes.set_ylabel(score_label(metric))
    axes.set_xlim(0.5, len(values) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_title(f"n = {counted(int(values.notna().sum()), 'trial')}")
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
    """The spread of the best trials over the folds, best trial first.

    Args:
        scores: from `tables.fold_scores`.
        axes: where to draw.
        metric: what the values are.
        names: the hyperparameters shown below each box.
        count: the largest number of trials shown.
        view_only: the view-only baseline, drawn as a line.
    """
    best = with_boxes(scores[scores["rank"] <= count])
    ranks = sorted(best["rank"].unique())
    boxes = best.drop_duplicates("rank").set_index("rank")
    axes.bxp(
        [
            {
                "med": box["median"],
                "q1": box["lower_quartile"],
                "q3": box["upper_quartile"],
                "whislo": box["lower_whisker"],
                "whishi": box["upper_whisker"],
            }
            for box in (boxes.loc[rank] for rank in ranks)
        ],
        positions=range(len(ranks)),
        widths=0.6,
        showfliers=False,
        medianprops={"color": BLUE, "linewidth": 1.4},
        boxprops={"linewidth": 0.7},
        whiskerprops={"linewidth": 0.7},
        capprops={"linewidth": 0.7},
    )
    # Beside each other where they are alike, and at the same places in every drawing.
    sns.swarmplot(
        best,
        x="rank",
        y="value",
        order=ranks,
        ax=axes,
        size=2.4,
        color=ORANGE,
        edgecolor="black",
        linewidth=0.3,
        zorder=3,
    )
    for position, rank in enumerate(ranks):
        axes.plot(
            position,
            boxes.loc[rank, "mean"],
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
        values = ", ".join(short_number(first[name]) or "-" for name in names)
        labels.append(f"#{rank}" + (f": {values}" if values else ""))
    axes.set_xticks(range(len(ranks)), labels, rotation=90 if names else 0)
    if view_only is not None:
        draw_reference(axes, view_only, label=f"view only: {view_only:.3f}")
    below = f"Rank{': ' if names else ''}{', '.join(map(words, names))}"
    axes.set_xlabel(below)
    axes.set_ylabel(f"Validation {METRICS.get(metric, metric)}")
    folds = best.groupby("rank")["fold"].nunique().max()
    axes.set_title(f"Best {counted(len(ranks), 'trial')}, n = {folds} folds each (◇ mean)")
    legend_below(axes, num_columns=2)
