"""Draws where in a search space the scores are high: scatter plot, slices and heat map.

Rings and bands mark what cannot be distinguished from the best trial, because the best score is
partly chance. Ties and noise are computed elsewhere.
"""

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import FigureBase
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter, NullLocator

from rust_tuner.errors import RustTunerError
from rust_tuner.figures.style import (
    CHARACTER,
    GREY,
    MISSING,
    ORANGE,
    SEQUENTIAL,
    SKY,
    SMALLEST_TEXT,
    VERMILION,
    draw_reference,
    ink_on,
    legend_below,
    score_label,
    styled,
    wrapped,
)
from rust_tuner.models.space import SearchSpace, is_logarithmic
from rust_tuner.words import counted, power_number, words

FloatArray = npt.NDArray[np.float64]

# Characters that fit beside an axis.
_LONGEST_LABEL = 38
# The column of a table of trials that marks those statistically tied with the best.
TIED = "tied_with_best"

_BEST_RING: dict[str, Any] = {
    "marker": "o",
    "linestyle": "none",
    "markersize": 8,
    "markerfacecolor": "none",
    "markeredgecolor": VERMILION,
    "markeredgewidth": 1.5,
    "zorder": 6,
}
_TIED_RING: dict[str, Any] = {
    "marker": "o",
    "linestyle": "none",
    "markersize": 6.2,
    "markerfacecolor": "none",
    "markeredgecolor": "black",
    "markeredgewidth": 0.8,
    "zorder": 5,
}
# Narrower cells, in inches, cannot hold three digits of the smallest text.
_NARROWEST_CELL = 0.27
_SLICE_TICKS = 4
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
    done = _chosen_last(trials.dropna(subset=[score]).sort_values(score), best)
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
    _ring(done, axes, "dropout_rate", "batch_size", score=score)
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
def draw_slices(
    trials: pd.DataFrame,
    *,
    figure: FigureBase,
    names: tuple[str, ...],
    score: str = "score",
    metric: str = "auroc",
    noise: float | None = None,
    view_only: float | None = None,
    best: int | None = None,
    logarithmic: Collection[str] | None = None,
    lower_is_better: bool = False,
) -> None:
    """The score along each hyperparameter, a panel each; the noise floor as a band at the best.

    Hyperparameters may be numbers, text or Booleans; a trial without one is not in its panel.

    Args:
        trials: the hyperparameters and the score, empty if a trial failed; `tied_with_best`
            as in `draw_regime_1`.
        figure: where to draw.
        names: the hyperparameters.
        score: the column.
        metric: what the score is.
        noise: the difference that the scores of two repeats of one configuration exceed in at most
            5 % of cases (`difference` of `noise_spread`); no band if None.
        view_only: the view-only baseline, drawn as a line.
        best: index of the chosen trial; None for the trial with the best score.
        logarithmic: hyperparameters, all positive, that are drawn on a logarithmic scale, and
            named as they are; if None, those of a study, which have names of their own.
        lower_is_better: whether low scores are best.

    Raises:
        RustTunerError: for a learning rate or epsilon that is not positive.
    """
    ordered = trials.dropna(subset=[score]).sort_values(score, ascending=not lower_is_better)
    done = _chosen_last(ordered, best)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    whole = panels[0].figure
    # Characters that fit below a panel.
    fitting = int(0.8 * whole.bbox.width / whole.dpi / len(names) / CHARACTER)
    for panel, name in zip(panels, names, strict=True):
        if noise is not None and len(done):
            top = float(done[score].iloc[-1])
            # Only AUROCs have a noise floor.
            other = min(top + noise, 1.0) if lower_is_better else max(top - noise, 0.0)
            label = f"noise floor: {noise:.3f}"
            panel.axhspan(other, top, color=SKY, alpha=0.35, linewidth=0, label=label)
        drawn, categories = _on_axis(done, name)
        panel.plot(
            drawn[name],
            drawn[score],
            linestyle="none",
            marker="o",
            markersize=3,
            markerfacecolor=ORANGE,
            markeredgecolor="black",
            markeredgewidth=0.3,
            label="trial",
            zorder=3,
        )
        _ring(drawn, panel, name, score, score=score, lower_is_better=lower_is_better)
        if view_only is not None:
            draw_reference(panel, view_only, label=f"view only: {view_only:.3f}")
        if categories:
            panel.set_xticks(range(len(categories)), categories)
            if sum(len(name) + 1 for name in categories) > fitting:
                panel.tick_params(axis="x", labelrotation=90)
            panel.set_xlim(-0.5, len(categories) - 0.5)
        elif len(drawn) and (is_logarithmic(name) if logarithmic is None else name in logarithmic):
            values = np.unique(drawn[name].to_numpy(np.float64))
            # Of many values, drawn at random, only the ends are labelled.
            many = logarithmic is not None and len(values) > _SLICE_TICKS
            label_logarithmic(panel, "x", values[[0, -1]] if many else values, _SLICE_TICKS)
        panel.margins(x=0.06)
        is_marked = logarithmic is not None and name in logarithmic
        named = words(name) + (" (log)" if is_marked else "")
        panel.set_xlabel(wrapped(axis_name(name) if logarithmic is None else named, fitting))
    panels[0].set_ylabel(wrapped(score_label(metric), _LONGEST_LABEL))
    panels[0].set_title(f"n = {counted(len(done), 'trial')}")
    legend_below(panels[0], num_columns=2)


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
    done = _chosen_last(trials.dropna(subset=[score]).sort_values(score), best)
    tied = _tied(done.iloc[:-1])
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


def axis_name(name: str) -> str:
    """The axis label of a hyperparameter."""
    named = {item.name: item.axis for item in SearchSpace.hyperparameters().values()}
    label = named.get(name, words(name))
    return f"{label} (log)" if is_logarithmic(name) else label


def _tied(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that are known to be tied with the best."""
    if TIED not in trials:
        return trials.iloc[:0]
    return trials[trials[TIED].astype("boolean").fillna(False).to_numpy(dtype=bool)]


def _chosen_last(done: pd.DataFrame, best: int | None) -> pd.DataFrame:
    """Trials in the order of their scores, but the chosen one last."""
    if best is None or best not in done.index:
        return done
    return pd.concat([done.drop(index=best), done.loc[[best]]])


def _on_axis(done: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Trials with a hyperparameter, as numbers; and its values, where they are not numbers."""
    drawn = done.dropna(subset=[name])
    values = list(drawn[name])
    if all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values):
        return drawn.assign(**{name: drawn[name].astype("float64")}), []
    categories = sorted({str(value) for value in values})
    positions = [categories.index(str(value)) for value in values]
    return drawn.assign(**{name: positions}), categories


def _ring(
    done: pd.DataFrame,
    axes: Axes,
    x: str,
    y: str,
    *,
    score: str,
    lower_is_better: bool = False,
) -> None:
    """Ring the best, the last row, and what is tied with it."""
    if done.empty:
        return
    best = done.iloc[-1]
    tied = _tied(done.iloc[:-1])
    if len(tied):
        axes.plot(tied[x], tied[y], label=f"tied with the best ({len(tied)})", **_TIED_RING)
    top = done[score].min() if lower_is_better else done[score].max()
    name = "best" if best[score] == top else "chosen"
    axes.plot([best[x]], [best[y]], label=f"{name}: {best[score]:.3f}", **_BEST_RING)


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


def label_logarithmic(axes: Axes, which: Literal["x", "y"], values: FloatArray, count: int) -> None:
    """Make an axis logarithmic, with plainly written ticks at no more than `count` values."""
    if not (values > 0).all():
        raise RustTunerError(
            f"{float(values.min()):g} on a logarithmic axis; learning rates and epsilons are "
            "positive, so a record is damaged"
        )
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    ticks = values[:: -(-len(values) // count)]
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_ticks(ticks, [power_number(float(value)) for value in ticks])
