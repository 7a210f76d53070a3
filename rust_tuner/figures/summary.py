"""The one figure of what came out: every part's score with its interval beside the view alone."""

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
    known = scores.dropna(subset=["value"])
    places = {part: place for place, part in enumerate(parts)}
    panels = figure.subplots(1, len(METRICS_TOLD), sharey=True)
    for panel, metric in zip(panels, METRICS_TOLD, strict=True):
        for row in known[known["metric"] == metric].to_dict("records"):
            place, (colour, marker) = places[row["part"]], _LOOKS[row["kind"]]
            panel.plot([row["low"], row["high"]], [place] * 2, color=colour, marker="|")
            panel.plot(
                row["value"],
                place,
                color=colour,
                marker=marker,
                markersize=5,
                markeredgecolor="black",
                markeredgewidth=0.5,
                zorder=4,
            )
            panel.annotate(
                f"{row['value']:.3f}",
                (row["value"], place),
                xytext=(0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=SMALLEST_TEXT,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
                zorder=5,
            )
            panel.plot([row["view_only"]] * 2, [place - 0.42, place + 0.42], **REFERENCE)
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
    handles.append(Line2D([], [], label="the view alone", **REFERENCE))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
