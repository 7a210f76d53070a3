"""Draws the summary: every part's score with its interval, and the view-only baseline."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rust_tuner.analysis.summary_scores import ESTIMATE, METRICS_TOLD, SELECTION
from rust_tuner.figures.style import BLUE, ORANGE, REFERENCE, SMALLEST_TEXT, styled
from rust_tuner.words import METRICS

_LOOKS = {SELECTION: (ORANGE, "o"), ESTIMATE: (BLUE, "D")}


@styled
def draw_summary(scores: pd.DataFrame, *, figure: Figure) -> None:
    """Both AUROCs of every part, a panel each.

    Args:
        scores: from `summary_scores.summary_scores`.
        figure: where to draw, at double width.
    """
    parts = list(dict.fromkeys(scores["part"]))
    defined = scores.dropna(subset=["value"])
    positions = {part: position for position, part in enumerate(parts)}
    panels = figure.subplots(1, len(METRICS_TOLD), sharey=True)
    for panel, metric in zip(panels, METRICS_TOLD, strict=True):
        for row in defined[defined["metric"] == metric].to_dict("records"):
            position, (colour, marker) = positions[row["part"]], _LOOKS[row["kind"]]
            panel.plot([row["low"], row["high"]], [position] * 2, color=colour, marker="|")
            panel.plot(
                row["value"],
                position,
                color=colour,
                marker=marker,
                markersize=5,
                markeredgecolor="black",
                markeredgewidth=0.5,
                zorder=4,
            )
            panel.annotate(
                f"{row['value']:.3f}",
                (row["value"], position),
                xytext=(0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=SMALLEST_TEXT,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
                zorder=5,
            )
            panel.plot([row["view_only"]] * 2, [position - 0.42, position + 0.42], **REFERENCE)
        panel.set_xlabel(METRICS[metric])
        panel.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(parts)), parts)
    panels[0].set_ylim(len(parts) - 0.4, -0.75)
    figure.suptitle("Score and 95 % interval of each part", ha="left", x=0.01)
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
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
