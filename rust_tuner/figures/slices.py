"""Draws the score along each hyperparameter of any search, a panel each."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase

from rust_tuner.figures.rings import chosen_last, ring
from rust_tuner.figures.style import (
    CHARACTER,
    ORANGE,
    SKY,
    draw_reference,
    legend_below,
    score_label,
    styled,
    wrapped,
)
from rust_tuner.figures.value_axes import axis_name, label_logarithmic
from rust_tuner.models.space import is_logarithmic
from rust_tuner.words import counted, words

# Characters that fit beside an axis.
_LONGEST_LABEL = 38
_SLICE_TICKS = 4


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
    done = chosen_last(ordered, best)
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
        ring(drawn, panel, name, score, score=score, lower_is_better=lower_is_better)
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


def _on_axis(done: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Trials with a hyperparameter, as numbers; and its values, where they are not numbers."""
    drawn = done.dropna(subset=[name])
    values = list(drawn[name])
    if all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values):
        return drawn.assign(**{name: drawn[name].astype("float64")}), []
    categories = sorted({str(value) for value in values})
    positions = [categories.index(str(value)) for value in values]
    return drawn.assign(**{name: positions}), categories
