"""Draws where in the two regimes' search spaces the scores are high: scatter plot and heat map.

Rings mark what cannot be distinguished from the best trial; they belong to `rings`.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from rust_tuner.figures.rings import chosen_last, ring, tied_trials
from rust_tuner.figures.style import (
    CHARACTER,
    GREY,
    MISSING,
    SEQUENTIAL,
    SMALLEST_TEXT,
    VERMILION,
    ink_on,
    legend_below,
    score_label,
    styled,
    wrapped,
)
from rust_tuner.figures.value_axes import axis_name, label_logarithmic
from rust_tuner.words import counted

FloatArray = npt.NDArray[np.float64]

# Narrower cells, in inches, cannot hold three digits of the smallest text.
_NARROWEST_CELL = 0.27
# A lone value's cell is this wide, in natural logarithms.
_LONE_CELL = 1.0


@styled
def draw_regime_1(
    trials: pd.DataFrame,
    *,
    axes: Axes,
    score: str = "score",
    metric: str = "auroc",
    num_folds: int | None = None,
    limits: tuple[float, float] | None = None,
    best: int | None = None,
) -> None:
    """Batch size against dropout rate, coloured by score; trials tied with the best are ringed.

    Args:
        trials: `batch_size, dropout_rate` and the score, empty if a trial failed; with a
            boolean column `tied_with_best`, the trials where it holds are ringed.
        axes: where to draw.
        score: the column.
        metric: what the score is.
        num_folds: the number of folds averaged in the score.
        limits: scores at the ends of the colours; the lowest and the highest if None.
        best: index of the chosen trial; None for the trial with the best score.
    """
    done = chosen_last(trials.dropna(subset=[score]).sort_values(score), best)
    failed = trials[trials[score].isna()]
    drawn = axes.scatter(
        done["dropout_rate"],
        done["batch_size"],
        c=done[score].to_numpy(dtype=np.float64),
        norm=Normalize(*limits) if limits else None,
        cmap=SEQUENTIAL,
        s=16,
        edgecolors="black",
        linewidths=0.3,
        zorder=3,
    )
    if len(failed):
        axes.plot(
            failed["dropout_rate"],
            failed["batch_size"],
            linestyle="none",
            marker="x",
            markersize=4,
            color=GREY,
            markeredgewidth=0.8,
            label=f"no score ({len(failed)})",
        )
    ring(done, axes, "dropout_rate", "batch_size", score=score)
    axes.set_xlabel(axis_name("dropout_rate"))
    axes.set_ylabel(axis_name("batch_size"))
    axes.set_ylim(bottom=0)
    axes.margins(x=0.03)
    axes.set_title(f"n = {counted(len(done), 'trial')}")
    assert axes.figure is not None
    bar = axes.figure.colorbar(drawn, ax=axes, aspect=30, pad=0.03)
    bar.set_label(score_label(metric, num_folds))
    bar.outline.set_linewidth(0.5)
    legend_below(axes, num_columns=2)


@styled
def draw_regime_2(
    trials: pd.DataFrame,
    *,
    axes: Axes,
    score: str = "score",
    metric: str = "auroc",
    num_folds: int | None = None,
    limits: tuple[float, float] | None = None,
    best: int | None = None,
) -> None:
    """Learning rate by epsilon on logarithmic axes, with scores in the cells; the best is framed.

    A cell extends to the geometric mean of neighbouring values. If it is too narrow for text, only
    its colour shows the score.

    Args:
        trials: `learning_rate, epsilon` and the score, empty if a trial failed; a dot marks the
            cells where an optional column `tied_with_best` is true.
        axes: where to draw.
        score: the column.
        metric: what the score is.
        num_folds: the number of folds averaged in the score.
        limits: scores at the ends of the colours; the lowest and the highest if None.
        best: index of the chosen trial; None for the trial with the best score.

    Raises:
        RustTunerError: for a learning rate or epsilon that is not positive.
    """
    grid = trials.pivot_table(
        index="learning_rate", columns="epsilon", values=score, dropna=False, sort=True
    )
    values = grid.to_numpy(dtype=np.float64)
    rates, epsilons = (index.to_numpy(dtype=np.float64) for index in (grid.index, grid.columns))
    label_logarithmic(axes, "x", epsilons, len(epsilons))
    label_logarithmic(axes, "y", rates, len(rates))
    across, up = _edges(epsilons), _edges(rates)
    axes.set_facecolor(MISSING)
    mesh = axes.pcolormesh(
        across,
        up,
        np.ma.masked_invalid(values),
        cmap=SEQUENTIAL,
        norm=Normalize(*limits) if limits else None,
        edgecolors="white",
        linewidth=0.5,
    )
    axes.set_xlim(across[0], across[-1])
    axes.set_ylim(up[0], up[-1])
    axes.tick_params(length=0)
    lines = [f"n = {counted(int(np.isfinite(values).sum()), 'trial')}"]
    if np.isfinite(values).any():
        row, column = divmod(int(np.nanargmax(values)), values.shape[1])
        name = "best"
        if best is not None and not trials[score].isna().loc[best]:
            highest = values[row, column]
            row = int(np.flatnonzero(rates == trials.loc[best, "learning_rate"])[0])
            column = int(np.flatnonzero(epsilons == trials.loc[best, "epsilon"])[0])
            name = "best" if values[row, column] == highest else "chosen"
        low, left = up[row], across[column]
        axes.add_patch(
            Rectangle(
                (left, low),
                across[column + 1] - left,
                up[row + 1] - low,
                fill=False,
                edgecolor=VERMILION,
                linewidth=1.8,
                zorder=5,
                clip_on=False,
            )
        )
        lines.append(f"□ {name} {values[row, column]:.3f}")
    done = chosen_last(trials.dropna(subset=[score]).sort_values(score), best)
    tied = tied_trials(done.iloc[:-1])
    marked = {(row["learning_rate"], row["epsilon"]) for row in tied.to_dict("records")}
    if marked:
        lines.append(f"• tied with it ({len(marked)})")
    if np.isnan(values).any():
        lines.append("- no score")
    assert axes.figure is not None
    width = 0.8 * axes.figure.bbox.width / axes.figure.dpi / np.log(across[-1] / across[0])
    for (row, column), value in np.ndenumerate(values):
        if width * np.log(across[column + 1] / across[column]) < _NARROWEST_CELL:
            continue
        is_missing = bool(np.isnan(value))
        text = "-" if is_missing else f"{value:.3f}"
        dot = "\n•" if (rates[row], epsilons[column]) in marked else ""
        axes.text(
            np.sqrt(across[column] * across[column + 1]),
            np.sqrt(up[row] * up[row + 1]),
            text + dot,
            ha="center",
            va="center",
            color="black" if is_missing else ink_on(mesh.to_rgba(value)),
            fontsize=SMALLEST_TEXT,
        )
    axes.set_xlabel(axis_name("epsilon"))
    axes.set_ylabel(axis_name("learning_rate"))
    width = axes.figure.bbox.width / axes.figure.dpi
    # A part that is broken in its middle would be hard to read.
    whole = "; ".join(line.replace(" ", "\N{NO-BREAK SPACE}") for line in lines)
    title = wrapped(whole, int(0.85 * width / CHARACTER))
    axes.set_title(title.replace("\N{NO-BREAK SPACE}", " "))
    bar = axes.figure.colorbar(mesh, ax=axes, orientation="horizontal", aspect=35, pad=0.02)
    bar.set_label(score_label(metric, num_folds).replace("\n", " "))
    bar.outline.set_linewidth(0.5)


def _edges(values: FloatArray) -> FloatArray:
    """The edges of the cells around ascending values: geometric means of neighbours."""
    logs = np.log(values)
    if len(logs) == 1:
        logs = np.array([logs[0] - _LONE_CELL, logs[0], logs[0] + _LONE_CELL])
    middles = (logs[1:] + logs[:-1]) / 2
    if len(values) > 1:
        middles = np.array([2 * logs[0] - middles[0], *middles, 2 * logs[-1] - middles[-1]])
    edges: FloatArray = np.exp(middles)
    return edges
