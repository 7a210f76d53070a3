"""Draws the summary: every part's score with its interval, and the view-only baseline."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from rust_tuner.analysis.summary_scores import ESTIMATE, SELECTION
from rust_tuner.figures.style import BLUE, ORANGE, REFERENCE, SMALLEST_TEXT, styled, title_above
from rust_tuner.words import METRICS

_LOOKS = {SELECTION: (ORANGE, "o"), ESTIMATE: (BLUE, "D")}


@styled
def draw_summary(scores: pd.DataFrame, *, axes: Axes, metric: str) -> None:
    """One AUROC of every part, each named above its interval, so that a narrow column is enough.

    Args:
        scores: from `summary_scores.summary_scores`.
        axes: where to draw.
        metric: which of both AUROCs.
    """
    parts = list(dict.fromkeys(scores["part"]))
    defined = scores[scores["metric"] == metric].dropna(subset=["value"])
    positions = {part: position for position, part in enumerate(parts)}
    for row in defined.to_dict("records"):
        position, (colour, marker) = positions[row["part"]], _LOOKS[row["kind"]]
        axes.plot([row["low"], row["high"]], [position] * 2, color=colour, marker="|")
        axes.plot(
            row["value"],
            position,
            color=colour,
            marker=marker,
            markersize=5,
            markeredgecolor="black",
            markeredgewidth=0.5,
            zorder=4,
        )
        axes.plot([row["view_only"]] * 2, [position - 0.2, position + 0.2], **REFERENCE)
        axes.annotate(
            f"{row['part']}: {row['value']:.3f}",
            (0, position),
            xycoords=("axes fraction", "data"),
            xytext=(2, 6),
            textcoords="offset points",
            fontsize=SMALLEST_TEXT,
            zorder=5,
        )
    axes.set_xlabel(METRICS[metric])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(parts) - 0.6, -0.8)
    axes.margins(x=0.08)
    title_above(axes, "Score and 95 % interval of each part")
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            markersize=5,
            markeredgecolor="black",
            markeredgewidth=0.5,
            label=kind,
        )
        for kind, (colour, marker) in _LOOKS.items()
        if kind in set(scores["kind"])
    ]
    handles.append(Line2D([], [], label="view only", **REFERENCE))
    assert axes.figure is not None
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=3)
