"""Every figure of the package drawn once from made-up and published tables, for the tests to see.

A builder takes `Tables` and gives a figure; `FIGURES` names them all.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from report_predictions import make_predictions
from report_searches import write_baselines, write_regime_1, write_regime_2

from rust_tuner.analysis.assessment import POOLED, as_predictions, reliability_bins
from rust_tuner.analysis.gallery import worst_errors
from rust_tuner.analysis.tables import (
    best_epoch_scores,
    curves_table,
    fold_scores,
    ranked_curves,
    trials_table,
)
from rust_tuner.analysis.totals import trajectory_table, visit_scale, visit_table
from rust_tuner.figures.curves import draw_baselines, draw_curve_grid, draw_curves
from rust_tuner.figures.final import (
    draw_calibration,
    draw_confusion,
    draw_precision_recall,
    draw_roc,
)
from rust_tuner.figures.gallery import draw_gallery, gallery_height
from rust_tuner.figures.published import draw_curves_beside, draw_models_beside, draw_trials_beside
from rust_tuner.figures.published_study import PUBLISHED_VIEW_ONLY, read_published
from rust_tuner.figures.regimes import draw_regime_1, draw_regime_2
from rust_tuner.figures.rings import TIED
from rust_tuner.figures.search import draw_fold_boxes, draw_search_progress
from rust_tuner.figures.slices import draw_slices
from rust_tuner.figures.style import new_axes, new_figure
from rust_tuner.figures.summary import draw_summary
from rust_tuner.figures.totals import draw_bland_altman, draw_totals, draw_trajectories
from rust_tuner.metrics import total_agreement
from rust_tuner.records.predictions import (
    confusion_table,
    label_table,
    precision_recall_table,
    roc_table,
)
from rust_tuner.records.project import Project, read_project

NAMES = ("batch_size", "dropout_rate")
VIEW_ONLY = {"published": PUBLISHED_VIEW_ONLY, "here": 0.7}


@dataclass(frozen=True)
class Tables:
    """Projects by folder name, and predictions of a hold-out set."""

    projects: dict[str, Project]
    predictions: pd.DataFrame


def write_tables(place: Path) -> Tables:
    write_baselines(place, ("lenet1998", "inceptionv3_radimagenet"), num_folds=10, epochs=40)
    write_regime_1(place / "regime_1")
    write_regime_2(
        place / "regime_2",
        rates=tuple(10.0**-n for n in range(1, 5)),
        epsilons=tuple(10.0**-n for n in range(1, 9)),
    )
    projects = {path.name: read_project(path) for path in sorted(place.iterdir())}
    return Tables(projects, make_predictions(rows=80))


def with_ties(trials: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """A table of trials whose best few are called tied, in the type of a table with gaps."""
    tied = trials["rank"] <= count
    return trials.assign(**{TIED: tied.astype("boolean")})


def lines_of(axes: Axes, label: str) -> Line2D:
    """The one line whose label begins so."""
    (line,) = [line for line in axes.get_lines() if str(line.get_label()).startswith(label)]
    return line


def baseline_scores(tables: Tables, metric: str = "auroc") -> pd.DataFrame:
    return pd.concat(
        [
            fold_scores(tables.projects[name], metric).assign(model=name)
            for name in ("lenet1998", "inceptionv3_radimagenet")
        ]
    )


def sides(published: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(
        [published.assign(side="published"), ours.assign(side="here")], ignore_index=True
    )


def curves(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=2.9)
    table = curves_table(tables.projects["lenet1998"], model="lenet1998", metric="cortex_auroc")
    draw_curves(table, axes=axes, metric="cortex_auroc", view_only=0.5, title="LeNet")
    return axes.figure


def published_curves(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=2.9)
    table = read_published("initial_evaluation")
    table = table[table["model"] == "inceptionv3_end2end"]
    draw_curves(table, axes=axes, view_only=PUBLISHED_VIEW_ONLY, title="InceptionV3, end to end")
    return axes.figure


def curve_grid(tables: "Tables") -> Figure:
    figure = new_figure(height=4)
    table = ranked_curves(tables.projects["regime_1"])
    draw_curve_grid(table, figure=figure, names=NAMES, num_trials=12, view_only=0.7)
    return figure


def baselines(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=1.9)
    names = {"inceptionv3_radimagenet": "InceptionV3, RadImageNet"}
    scores = baseline_scores(tables, "cortex_auroc")
    draw_baselines(scores, axes=axes, metric="cortex_auroc", view_only=0.5, names=names)
    return axes.figure


def regime_1(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=2.9)
    table = with_ties(trials_table(tables.projects["regime_1"]))
    table.loc[[3, 4], "score"] = np.nan
    draw_regime_1(table, axes=axes, num_folds=6)
    return axes.figure


def published_regime_1(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=2.9)
    draw_regime_1(read_published("regime_1"), axes=axes, score="max_val_auroc", num_folds=6)
    return axes.figure


def regime_1_slices(tables: "Tables") -> Figure:
    figure = new_figure(height=2.8)
    table = with_ties(trials_table(tables.projects["regime_1"]))
    draw_slices(table, figure=figure, names=NAMES, noise=0.02, view_only=0.7)
    return figure


def regime_2(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=2.6)
    table = with_ties(trials_table(tables.projects["regime_2"]))
    draw_regime_2(table, axes=axes, num_folds=6, metric="cortex_auroc")
    return axes.figure


def regime_2_slices(tables: "Tables") -> Figure:
    figure = new_figure(height=2.8)
    draw_slices(
        read_published("regime_2"),
        figure=figure,
        names=("learning_rate", "epsilon"),
        score="max_val_auroc",
        noise=0.017,
        view_only=PUBLISHED_VIEW_ONLY,
    )
    return figure


def progress(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes()
    draw_search_progress(trials_table(tables.projects["regime_1"]), axes=axes, view_only=0.7)
    return axes.figure


def fold_boxes(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=3.1)
    scores = fold_scores(tables.projects["regime_1"], "auroc")
    draw_fold_boxes(scores, axes=axes, names=NAMES, view_only=0.7)
    return axes.figure


def roc(tables: "Tables") -> Figure:
    figure = new_figure(height=4.7)
    draw_roc(roc_table(label_table(tables.predictions)), figure=figure)
    return figure


def precision_recall(tables: "Tables") -> Figure:
    figure = new_figure(height=4.7)
    draw_precision_recall(precision_recall_table(label_table(tables.predictions)), figure=figure)
    return figure


def confusion(tables: "Tables") -> Figure:
    figure = new_figure(height=3.7)
    draw_confusion(confusion_table(tables.predictions), figure=figure)
    return figure


def calibration(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=3.3)
    bins = reliability_bins(as_predictions(tables.predictions))
    draw_calibration(bins[bins["label"] == POOLED], axes=axes, error=0.123)
    return axes.figure


def totals(tables: "Tables") -> Figure | SubFigure:
    visits = visit_table(tables.predictions)
    axes = new_axes(height=3.6)
    agreement = total_agreement(visits["true_total"], visits["predicted_total"])
    draw_totals(visits, axes=axes, agreement=agreement)
    return axes.figure


def bland_altman(tables: "Tables") -> Figure | SubFigure:
    visits = visit_table(tables.predictions)
    axes = new_axes(height=3)
    agreement = total_agreement(visits["true_total"], visits["predicted_total"])
    draw_bland_altman(visits, axes=axes, agreement=agreement)
    return axes.figure


def trajectories(tables: "Tables") -> Figure:
    visits = visit_table(tables.predictions)
    figure = new_figure(height=4.4)
    unit = visit_scale(visits["visit"]).unit
    draw_trajectories(trajectory_table(visits), figure=figure, unit=unit)
    return figure


def gallery(tables: "Tables") -> Figure:
    errors = worst_errors(tables.predictions)
    figure = new_figure(height=gallery_height(len(errors)))
    rng = np.random.default_rng(0)
    pictures = {
        name: rng.integers(0, 256, (128, 128), dtype=np.uint8) for name in errors["image"][1:]
    }
    draw_gallery(errors, figure=figure, thumbnails=pictures, num_radiographs=80)
    return figure


def beside_curves(tables: "Tables") -> Figure | SubFigure:
    axes = new_axes(height=2.9)
    ours = curves_table(tables.projects["lenet1998"], model="final")
    both = sides(read_published("final_model_kfold"), ours)
    draw_curves_beside(both, axes=axes, view_only=VIEW_ONLY, title="Tuned model")
    return axes.figure


def beside_models(tables: "Tables") -> Figure | SubFigure:
    ours = best_epoch_scores(
        pd.concat(
            [
                curves_table(tables.projects[name], model=name)
                for name in ("lenet1998", "inceptionv3_radimagenet")
            ]
        )
    )
    theirs = best_epoch_scores(read_published("initial_evaluation"))
    axes = new_axes(height=3.4)
    names = {name: f"Inception, {name[-11:]}" for name in theirs["model"]}
    draw_models_beside(sides(theirs, ours), axes=axes, view_only=VIEW_ONLY, names=names)
    return axes.figure


def beside_trials(tables: "Tables") -> Figure:
    ours = trials_table(tables.projects["regime_2"]).rename(columns={"score": "max_val_auroc"})
    both = sides(read_published("regime_2"), ours)
    figure = new_figure(height=2.7)
    draw_trials_beside(both, figure=figure, names=("learning_rate", "epsilon"), view_only=VIEW_ONLY)
    return figure


def summary(tables: "Tables") -> Figure | SubFigure:
    parts = (
        ("best of 4 first models, 10 folds", "selection score"),
        ("Regime I: best of 100 trials, 6 folds", "selection score"),
        ("tuned model, cross-validated, 10 folds", "selection score"),
        ("tuned model, hold-out set of 181 patients", "estimate"),
    )
    rows = [
        (part, kind, metric, low + 0.02, low, low + 0.04, view_only)
        for part, kind in parts
        for metric, low, view_only in (("auroc", 0.79, 0.806), ("cortex_auroc", 0.61, 0.5))
    ]
    columns = ["part", "kind", "metric", "value", "low", "high", "view_only"]
    axes = new_axes(height=2.4)
    draw_summary(pd.DataFrame(rows, columns=columns), axes=axes, metric="cortex_auroc")
    return axes.figure


FIGURES = (
    curves,
    published_curves,
    curve_grid,
    baselines,
    regime_1,
    published_regime_1,
    regime_1_slices,
    regime_2,
    regime_2_slices,
    progress,
    fold_boxes,
    roc,
    precision_recall,
    confusion,
    calibration,
    totals,
    bland_altman,
    trajectories,
    gallery,
    beside_curves,
    beside_models,
    beside_trials,
    summary,
)
