"""Draws the final model on the hold-out set: curves, confusion and calibration per cortex."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rust_tuner.analysis.drawn import precision_steps
from rust_tuner.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SEQUENTIAL,
    SMALLEST_TEXT,
    VERMILION,
    styled,
    write_cells,
)
from rust_tuner.labels import CORTICES, SCORES

FloatArray = npt.NDArray[np.float64]

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
            axes=axes,
            x="false_positive_rate",
            y="true_positive_rate",
            figure_name="auroc",
            num_columns=2,
        )
    figure.suptitle("ROC per cortex where visible; score: AUROC", ha="left", x=0.01)


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
            axes=axes,
            x="recall",
            y="precision",
            figure_name="average_precision",
            num_columns=1,
        )
    figure.suptitle(
        "Precision-recall per cortex where visible;\nscore: average precision (share of positives)",
        ha="left",
        x=0.01,
    )


@styled
def draw_confusion(counts: pd.DataFrame, *, figure: Figure) -> None:
    """The most likely score against the true one for each cortex, where it is visible.

    Args:
        counts: from `predictions.confusion_table`.
        figure: where to draw.
    """
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, cortex in zip(panels.flat, CORTICES, strict=True):
        rows = counts[counts["cortex"] == cortex]
        share, count = (
            rows.pivot(index="true_score", columns="predicted_score", values=name)
            for name in ("share", "count")
        )
        number = count.to_numpy()
        sns.heatmap(
            share, ax=axes, cmap=SEQUENTIAL, vmin=0, vmax=1, cbar=False, linewidths=0.5, square=True
        )
        axes.set_facecolor("0.92")
        write_cells(axes, np.where(share.isna(), "", number.astype(str)))
        axes.tick_params(length=0, rotation=0)
        axes.set_xlabel("")
        axes.set_ylabel("")
        axes.set_title(
            f"{cortex}: {np.trace(number)} of n = {number.sum()}", fontsize=SMALLEST_TEXT
        )
    bar = figure.colorbar(panels[0, 0].collections[0], ax=panels, aspect=40, pad=0.02)
    bar.set_label("Share of the true score's radiographs")
    bar.outline.set_linewidth(0.5)
    figure.suptitle("Radiographs that show the cortex; how many agree", ha="left", x=0.01)
    figure.supxlabel("Most likely score", fontsize=7.5)
    figure.supylabel("True score", fontsize=7.5)


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


def _draw_scores(
    points: pd.DataFrame, *, axes: Axes, x: str, y: str, figure_name: str, num_columns: int
) -> None:
    total = 0
    for score, colour, style in zip(SCORES, _COLOURS, _STYLES, strict=True):
        rows = points[points["score"] == score]
        if rows.empty:
            continue
        first = rows.iloc[0]
        total = int(first["rows"])
        area = first[figure_name]
        area_text = "-" if pd.isna(area) else f"{area:.2f}"
        if figure_name == "average_precision":
            area_text += f" ({first['positives'] / total:.2f})"
        across, up = (rows[name].to_numpy(dtype=np.float64) for name in (x, y))
        if y == "precision":
            across, up = precision_steps(across, up)
        axes.plot(across, up, color=colour, linestyle=style, label=f"{score}: {area_text}")
    axes.set_title(f"{points['cortex'].iloc[0] if len(points) else ''}, n = {total}", fontsize=7)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.42),
        ncols=num_columns,
        borderaxespad=0,
        columnspacing=1,
        labelspacing=0.3,
    )
