"""The published study's figures drawn anew from its own data, in the style of our reports.

python experiments/published_figures.py FOLDER

Its figure 1.6 (curves of nine trials) and whatever else needs the folds of single trials cannot be
drawn: the published tables of the searches hold one score a trial.
"""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure, FigureBase

from rust_tuner.analysis.drawn import with_intervals
from rust_tuner.analysis.tables import best_epoch_scores
from rust_tuner.analysis.verdict import MODEL_NAMES
from rust_tuner.figures.curves import draw_baselines, draw_curves
from rust_tuner.figures.published_study import PUBLISHED_VIEW_ONLY, read_published
from rust_tuner.figures.regimes import draw_regime_1, draw_regime_2
from rust_tuner.figures.slices import draw_slices
from rust_tuner.figures.style import new_axes, new_figure, save_figure

FOLDS = 6
SCORE = "max_val_auroc"
# What two trials of one and the same configuration differ by in no more than 5 % of cases: 2.77
# times the residual standard deviation of Regime I's scores after a curve in the dropout rate,
# since its batch size had no effect.
NOISE = 2.77 * 0.006

Drawn = tuple[FigureBase | None, pd.DataFrame]


def main() -> None:
    """Draw every figure that the published tables allow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, (figure, data) in (curves() | searches() | {"first_models": first_models()}).items():
        assert isinstance(figure, Figure)
        print(save_figure(figure, folder / name, data)[0])


def curves() -> dict[str, Drawn]:
    """Figures 1.1 to 1.4 and 1.7: each model's AUROC of every fold and epoch."""
    tables = [read_published(name) for name in ("initial_evaluation", "final_model_kfold")]
    drawn: dict[str, Drawn] = {}
    for model, rows in pd.concat(tables).groupby("model", sort=False):
        axes = new_axes(height=2.9)
        title = MODEL_NAMES.get(str(model), "Tuned model")
        draw_curves(rows, axes=axes, view_only=PUBLISHED_VIEW_ONLY, title=title)
        drawn[f"curves_{model}"] = axes.figure, rows
    return drawn


def first_models() -> Drawn:
    """Table 1.3: the first models at the best epoch of their mean curves."""
    scores = best_epoch_scores(read_published("initial_evaluation"))
    axes = new_axes(height=0.9 + 0.48 * scores["model"].nunique())
    scores = with_intervals(scores)
    draw_baselines(scores, axes=axes, view_only=PUBLISHED_VIEW_ONLY, names=MODEL_NAMES)
    return axes.figure, scores


def searches() -> dict[str, Drawn]:
    """Figures 1.5 and 1.8, and the scores along each hyperparameter with the noise floor."""
    drawn: dict[str, Drawn] = {}
    for name, draw in (("regime_1", draw_regime_1), ("regime_2", draw_regime_2)):
        trials = read_published(name)
        axes = new_axes(height=2.8)
        draw(trials, axes=axes, score=SCORE, num_folds=FOLDS)
        drawn[name] = axes.figure, trials
        figure = new_figure(height=2.8)
        draw_slices(
            trials,
            figure=figure,
            names=tuple(column for column in trials.columns if column != SCORE),
            score=SCORE,
            noise=NOISE,
            view_only=PUBLISHED_VIEW_ONLY,
        )
        drawn[f"{name}_slices"] = figure, trials
    return drawn


if __name__ == "__main__":
    main()
