"""Marks the best trial in a figure, and those that are tied with it.

The best score is partly chance, so what cannot be distinguished from it is marked, too. Ties are
computed elsewhere.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from rust_tuner.figures.style import VERMILION

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


def tied_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that are known to be tied with the best."""
    if TIED not in trials:
        return trials.iloc[:0]
    return trials[trials[TIED].astype("boolean").fillna(False).to_numpy(dtype=bool)]


def chosen_last(done: pd.DataFrame, best: int | None) -> pd.DataFrame:
    """Trials in the order of their scores, but the chosen one last."""
    if best is None or best not in done.index:
        return done
    return pd.concat([done.drop(index=best), done.loc[[best]]])


def ring(
    done: pd.DataFrame, axes: Axes, x: str, y: str, *, score: str, lower_is_better: bool = False
) -> None:
    """Ring the best, the last row, and what is tied with it."""
    if done.empty:
        return
    best = done.iloc[-1]
    tied = tied_trials(done.iloc[:-1])
    if len(tied):
        axes.plot(tied[x], tied[y], label=f"tied with the best ({len(tied)})", **_TIED_RING)
    top = done[score].min() if lower_is_better else done[score].max()
    name = "best" if best[score] == top else "chosen"
    axes.plot([best[x]], [best[y]], label=f"{name}: {best[score]:.3f}", **_BEST_RING)
