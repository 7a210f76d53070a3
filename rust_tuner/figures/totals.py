"""Draws RUST totals: predicted against true, their differences, and patients' healing."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rust_tuner.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    SKY,
    SMALLEST_TEXT,
    VERMILION,
    legend_below,
    styled,
)
from rust_tuner.labels import HIGHEST_TOTAL, LOWEST_TOTAL
from rust_tuner.metrics import TotalAgreement
from rust_tuner.metrics.uncertainty import Interval
from rust_tuner.words import counted

TOTAL = "RUST total (points)"
_TICKS = (4, 7, 10, 13, 16)
# Area of a marker of one visit, in points squared.
_AREA = 14
_SIZES_SHOWN = 3
# Names of visits longer than this do not fit below a small panel.
_LONGEST_NAME = 6
# The height of a label of two lines, as a share of half the height of the axis.
_LABEL_HEIGHT = 0.32


@styled
def draw_totals(visits: pd.DataFrame, *, axes: Axes, agreement: TotalAgreement) -> None:
    """Predicted against true total of each visit; a marker's area is the number of visits.

    Args:
        visits: from `totals.visit_table`.
        axes: where to draw.
        agreement: of the two totals.
    """
    ends = (LOWEST_TOTAL - 0.7, HIGHEST_TOTAL + 0.7)
    axes.plot(ends, ends, color=GREY, linewidth=0.7, linestyle=":", label="equal")
    _draw_counts(visits["true_total"], visits["predicted_total"], axes=axes)
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_xticks(_TICKS)
    axes.set_yticks(_TICKS)
    axes.set_aspect("equal")
    axes.set_xlabel(f"True {TOTAL}")
    axes.set_ylabel(f"Predicted {TOTAL}")
    axes.set_title(
        f"{_counted(visits)}\nMAE {agreement.mae:.2f} points; ICC {_interval(agreement.icc)}"
    )
    legend_below(axes, num_columns=4)


@styled
def draw_bland_altman(visits: pd.DataFrame, *, axes: Axes, agreement: TotalAgreement) -> None:
    """Difference of the totals against their mean, with the bias and the limits of agreement.

    Args:
        visits: from `totals.visit_table`.
        axes: where to draw.
        agreement: of the two totals; the bands around its lines are their 95 % intervals.
    """
    difference = visits["predicted_total"] - visits["true_total"]
    lines = (
        ("bias", agreement.bias, "-", BLUE),
        ("upper limit", agreement.upper_limit, (0, (4, 1.5)), VERMILION),
        ("lower limit", agreement.lower_limit, (0, (4, 1.5)), VERMILION),
    )
    for _, line, style, colour in lines:
        if np.isnan(line.value):
            continue
        if not np.isnan(line.low):
            axes.axhspan(line.low, line.high, color=colour, alpha=0.13, linewidth=0)
        axes.axhline(line.value, color=colour, linestyle=style, linewidth=1)
    axes.axhline(0, color=GREY, linewidth=0.6, linestyle=":")
    middle = (visits["predicted_total"] + visits["true_total"]) / 2
    _draw_counts(middle, difference, axes=axes)
    reach = max(
        2.0,
        float(difference.abs().max() if len(difference) else 0.0) + 0.5,
        *(
            abs(end)
            for _, line, _, _ in lines
            for end in (line.value, line.low, line.high)
            if np.isfinite(end)
        ),
    )
    axes.set_ylim(-1.05 * reach, 1.05 * reach)
    named = sorted((line.value, name) for name, line, _, _ in lines if np.isfinite(line.value))
    heights = _apart([value for value, _ in named], reach * _LABEL_HEIGHT)
    for (value, name), height in zip(named, heights, strict=True):
        axes.annotate(
            f"{name}\n{value:+z.2f}",
            xy=(1.01, height),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=SMALLEST_TEXT,
        )
    axes.set_xlim(LOWEST_TOTAL - 0.7, HIGHEST_TOTAL + 0.7)
    axes.set_xticks(_TICKS)
    axes.yaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.set_xlabel(f"Mean of predicted and true {TOTAL}")
    axes.set_ylabel("Predicted - true (points)")
    banded = [name for name, line, _, _ in lines if np.isfinite(line.low)]
    title = f"\nbands: 95 % intervals of {'bias' if len(banded) == 1 else 'bias and limits'}"
    axes.set_title(_counted(visits) + (title if banded else ""))
    legend_below(axes, num_columns=3)


@styled
def draw_trajectories(
    visits: pd.DataFrame, *, figure: Figure, unit: str | None = None, is_ordinal: bool = False
) -> None:
    """Healing of patients: true and predicted total over their visits, a panel each.

    Args:
        visits: from `totals.trajectory_table`.
        figure: where to draw.
        unit: the unit of the visits' positions, such as `weeks`; None to write the names of visits.
        is_ordinal: whether the positions give only the order.
    """
    patients = list(dict.fromkeys(visits["patient_id"]))
    num_columns = min(3, max(1, len(patients)))
    num_rows = max(1, -(-len(patients) // num_columns))
    panels = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    for panel, patient in zip(panels.flat, patients, strict=False):
        rows = visits[visits["patient_id"] == patient].sort_values("place")
        for name, side, colour, style, face, size in (
            ("true", "true_total", BLUE, "-", BLUE, 3.0),
            # Open, larger and above, so that both are seen where they are equal.
            ("predicted", "predicted_total", ORANGE, (0, (3, 1.2)), "none", 5.5),
        ):
            panel.plot(
                rows["place"],
                rows[side],
                color=colour,
                linestyle=style,
                marker="o",
                markersize=size,
                markerfacecolor=face,
                markeredgewidth=0.9,
                label=name,
                zorder=4,
            )
        panel.set_title(f"MAE {rows['error'].iloc[0]:.1f}", fontsize=SMALLEST_TEXT)
    for panel in panels.flat[len(patients) :]:
        panel.set_axis_off()
    shown = visits.drop_duplicates("place").sort_values("place")
    ends = (shown["place"].min(), shown["place"].max())
    margin = 0.1 * (ends[1] - ends[0]) or 0.5
    panels[0, 0].set_xlim(ends[0] - margin, ends[1] + margin)
    panels[0, 0].set_ylim(LOWEST_TOTAL - 0.7, HIGHEST_TOTAL + 0.7)
    panels[0, 0].set_yticks((4, 10, 16))
    names = shown["visit"].astype(str)
    if unit is None and names.str.len().max() <= _LONGEST_NAME and len(shown) <= 4:
        panels[0, 0].set_xticks(shown["place"], names)
    else:
        panels[0, 0].xaxis.set_major_locator(MaxNLocator(3, integer=True))
    for column in range(num_columns):
        used = [row for row in range(num_rows) if row * num_columns + column < len(patients)]
        panels[used[-1], column].tick_params(labelbottom=True)
        panels[used[-1], column].set_xlabel(unit.capitalize() if unit else "Visit")
    figure.supylabel(TOTAL, fontsize=7.5)
    total = visits.attrs.get("patients", len(patients))
    figure.suptitle(
        f"{len(patients)} of n = {counted(total, 'patient')} with two visits or more,\n"
        "from smallest to largest mean absolute error (MAE)"
        + ("\nvisits in the order of the table, not of time" if is_ordinal else ""),
        ha="left",
        x=0.01,
    )
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def _draw_counts(x: pd.Series, y: pd.Series, *, axes: Axes) -> None:
    """Draw a marker at each position; its area is the number of visits there."""
    counts = pd.DataFrame({"x": x, "y": y}).groupby(["x", "y"]).size().reset_index(name="visits")
    axes.scatter(
        counts["x"],
        counts["y"],
        s=_AREA * counts["visits"],
        facecolors=SKY,
        edgecolors="black",
        linewidths=0.5,
        zorder=3,
    )
    largest = int(counts["visits"].max()) if len(counts) else 1
    for size in np.unique(np.linspace(1, largest, _SIZES_SHOWN).round().astype(int)):
        axes.add_line(
            Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                markersize=float(np.sqrt(_AREA * size)),
                markerfacecolor=SKY,
                markeredgecolor="black",
                markeredgewidth=0.5,
                label=f"{size} visit{'s' if size > 1 else ''}",
            )
        )


def _apart(heights: Sequence[float], distance: float) -> list[float]:
    """Ascending heights of labels, moved as little as needed to be a distance apart."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + distance) if placed else height)
    # All go down by half of the longest way up.
    shift = max((up - height for up, height in zip(placed, heights, strict=True)), default=0) / 2
    return [up - shift for up in placed]


def _counted(visits: pd.DataFrame) -> str:
    patients = counted(visits["patient_id"].nunique(), "patient")
    return f"n = {counted(len(visits), 'visit')} of {patients}"


def _interval(interval: Interval) -> str:
    if np.isnan(interval.value):
        return "undefined"
    ends = "" if np.isnan(interval.low) else f" ({interval.low:z.2f} to {interval.high:z.2f})"
    return f"{interval.value:z.2f}{ends}"
