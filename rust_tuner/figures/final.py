"""Draws the final model on the hold-out set: curves, confusion and calibration per cortex."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from rust_tuner.analysis.drawn import precision_steps
from rust_tuner.figures.style import (
    BLUE,
    GREEN,
    GREY,
    MISSING,
    ORANGE,
    SMALLEST_TEXT,
    VERMILION,
    styled,
)
from rust_tuner.labels import CORTICES, SCORES

# Curves of fewer positives, or fewer negatives, are steps of chance and are not drawn.
FEWEST_DRAWN = 10


# The colours of a right answer, and of one that is off by 1 and by more points.
_OFF_BY = (BLUE, ORANGE, VERMILION)
# The opacity of the rarest and of the only answer; black and white text stay legible on both.
_FAINTEST, _FAINTEST_WRONG, _STRONGEST = 0.15, 0.35, 0.7
_COLOURS = (BLUE, ORANGE, GREEN, VERMILION)
_STYLES = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (5, 1.2, 1, 1.2)))


@styled
def draw_roc(points: pd.DataFrame, *, figure: Figure) -> None:
    """ROC curves of the four scores of each cortex, where it is visible.

    Args:
        points: from `predictions.roc_table`.
        figure: where to draw.
    """
    panels = _cortex_panels(figure, "False positive rate", "True positive rate")
    for cortex, axes in panels.items():
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
        _draw_scores(
            points[points["cortex"] == cortex],
            cortex=cortex,
            axes=axes,
            x="false_positive_rate",
            y="true_positive_rate",
            figure_name="auroc",
            num_columns=1,
        )
    figure.suptitle(
        "ROC per cortex where visible;\nscore: AUROC (n = positives)", ha="left", x=0.01
    )


@styled
def draw_precision_recall(points: pd.DataFrame, *, figure: Figure) -> None:
    """Precision-recall curves of the four scores of each cortex, where it is visible.

    Args:
        points: from `predictions.precision_recall_table`.
        figure: where to draw.
    """
    panels = _cortex_panels(figure, "Recall", "Precision")
    for cortex, axes in panels.items():
        _draw_scores(
            points[points["cortex"] == cortex],
            cortex=cortex,
            axes=axes,
            x="recall",
            y="precision",
            figure_name="average_precision",
            num_columns=1,
        )
    figure.suptitle(
        "Precision-recall per cortex where visible;\nscore: average precision (share; positives)",
        ha="left",
        x=0.01,
    )


@styled
def draw_confusion(counts: pd.DataFrame, *, figure: Figure) -> None:
    """The most likely score against the true one for each cortex, where it is visible.

    Right answers are blue; wrong ones are orange, and vermilion where they are two points off or
    more. A cell is stronger the larger its share of the true score's radiographs.

    Args:
        counts: from `predictions.confusion_table`.
        figure: where to draw.
    """
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, cortex in zip(panels.flat, CORTICES, strict=True):
        rows = counts[counts["cortex"] == cortex]
        number = rows.pivot(index="true_score", columns="predicted_score", values="count")
        for row in rows.to_dict("records"):
            _draw_cell(axes, row)
        axes.set_xlim(0.5, len(SCORES) + 0.5)
        axes.set_ylim(len(SCORES) + 0.5, 0.5)
        axes.set_xticks(SCORES)
        axes.set_yticks(SCORES)
        axes.set_box_aspect(1)
        axes.tick_params(length=0)
        axes.set_title(
            f"{cortex}: {np.trace(number)} of n = {number.to_numpy().sum()}", fontsize=SMALLEST_TEXT
        )
    figure.suptitle("Radiographs that show the cortex; how many agree", ha="left", x=0.01)
    for axes in panels[1]:
        axes.set_xlabel("Most likely score")
    for axes in panels[:, 0]:
        axes.set_ylabel("True score")
    names = ("right", "off by 1", "off by 2 or 3")
    patches = [
        Patch(facecolor=(*colour, _STRONGEST), edgecolor=colour, linewidth=0.5, label=name)
        for name, colour in zip(names, _OFF_BY, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=3)


def _draw_cell(axes: Axes, row: dict[Hashable, Any]) -> None:
    """One cell: its colour tells how far off the answer is, its strength how frequent it is."""
    across, up, share = row["predicted_score"], row["true_score"], row["share"]
    distance = abs(across - up)
    colour = _OFF_BY[min(distance, 2)]
    faintest = _FAINTEST_WRONG if distance else _FAINTEST
    # Transparent, so that it lies on light paper and on dark alike.
    strength = faintest + (_STRONGEST - faintest) * share
    face = to_rgba(colour, strength) if row["count"] else "none"
    cell = Rectangle(
        (across - 0.46, up - 0.46),
        0.92,
        0.92,
        facecolor=MISSING if np.isnan(share) else face,
        edgecolor=colour if distance == 0 else "none",
        linewidth=0.8,
    )
    axes.add_patch(cell)
    text = "" if np.isnan(share) else str(row["count"])
    axes.text(across, up, text, ha="center", va="center", fontsize=SMALLEST_TEXT)


@styled
def draw_calibration(bins: pd.DataFrame, *, axes: Axes, error: float = float("nan")) -> None:
    """Predicted probability against observed share, all visible cortex labels pooled.

    Args:
        bins: from `assessment.reliability_bins`, of all labels together.
        axes: where to draw.
        error: their expected calibration error; not shown if NaN.
    """
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=":", label="perfect")
    names = ("mean_probability", "share_positive", "share_low", "share_high")
    predicted, observed, low, high = (bins[name].to_numpy(dtype=np.float64) for name in names)
    axes.errorbar(
        predicted,
        observed,
        yerr=np.nan_to_num(np.clip([observed - low, high - observed], 0, None)),
        color=BLUE,
        marker="o",
        markersize=3.5,
        capsize=2,
        elinewidth=0.8,
        label="bin, 95 % interval",
    )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("Mean predicted probability")
    axes.set_ylabel("Observed share of positives")
    error_text = "" if np.isnan(error) else f"; calibration error {error:.3f}"
    axes.set_title(f"n = {int(bins['rows'].sum())} visible labels\nin {len(bins)} bins{error_text}")
    axes.legend(loc="upper left")


def _cortex_panels(figure: Figure, x: str, y: str) -> dict[str, Axes]:
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes in panels.flat:
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(x)
        axes.set_box_aspect(1)
    for axes in panels[:, 0]:
        axes.set_ylabel(y)
    return dict(zip(CORTICES, panels.flat, strict=True))


def is_drawn(row: Mapping[Any, Any]) -> bool:
    """Whether a label has enough positives and negatives for a curve."""
    return bool(min(row["positives"], row["rows"] - row["positives"]) >= FEWEST_DRAWN)


def _draw_scores(
    points: pd.DataFrame,
    *,
    cortex: str,
    axes: Axes,
    x: str,
    y: str,
    figure_name: str,
    num_columns: int,
) -> None:
    total, handles = 0, []
    for score, colour, style in zip(SCORES, _COLOURS, _STYLES, strict=True):
        rows = points[points["score"] == score]
        if rows.empty:
            continue
        first = rows.iloc[0]
        total = int(first["rows"])
        number = f"n = {first['positives']:.0f}"
        if not is_drawn(first.to_dict()):
            label = f"{score}: too few ({number})"
            handles.append(Line2D([], [], linestyle="none", label=label))
            continue
        area_text = f"{first[figure_name]:.2f} ({number})"
        if figure_name == "average_precision":
            area_text = f"{first[figure_name]:.2f} ({first['positives'] / total:.2f}; {number})"
        across, up = (rows[name].to_numpy(dtype=np.float64) for name in (x, y))
        if y == "precision":
            across, up = precision_steps(across, up)
        label = f"{score}: {area_text}"
        handles += axes.plot(across, up, color=colour, linestyle=style, label=label)
    if not handles:
        axes.set_title(f"{cortex}: not scored", fontsize=SMALLEST_TEXT)
        return
    axes.set_title(f"{cortex}, n = {total}", fontsize=SMALLEST_TEXT)
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.42),
        ncols=num_columns,
        borderaxespad=0,
        columnspacing=1,
        labelspacing=0.3,
    )
