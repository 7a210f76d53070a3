"""The section of the page that compares a study with the published one, part by part."""

import functools
from collections.abc import Callable

import pandas as pd

from rust_tuner.analysis.drawn import with_intervals, with_means
from rust_tuner.analysis.tables import (
    best_epoch_scores,
    curves_table,
    published_regime_1,
    published_regime_2,
)
from rust_tuner.analysis.verdict import MODEL_NAMES, SEARCH_NAMES, view_only_of
from rust_tuner.figures.published import draw_curves_beside, draw_models_beside, draw_trials_beside
from rust_tuner.figures.published_study import PUBLISHED_VIEW_ONLY, read_published
from rust_tuner.figures.style import Drawing
from rust_tuner.metrics.ties import fold_overlap
from rust_tuner.records.baselines import baseline_results
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.report.page import Picture, Room, Section, attempt
from rust_tuner.words import METRICS

PUBLISHED, HERE = "published", "here"
_LAYOUTS = {REGIME_1: published_regime_1, REGIME_2: published_regime_2}


def published_section(records: StudyRecords, room: Room) -> Section:
    """First models, both searches and the tuned model beside the published figures."""
    section = Section("published", "Beside the published study")
    steps: dict[str, Callable[[], Picture]] = {}
    done = {name: item for name, item in records.baselines.items() if item.best is not None}
    if done:
        steps["first models"] = lambda: _models(room, records, done)
    for name, search in ((REGIME_1, records.regime_1), (REGIME_2, records.regime_2)):
        if search is not None and search.best is not None:
            steps[SEARCH_NAMES[name]] = functools.partial(_trials, room, name, search)
    final = records.cross_validation
    if final is not None and final.best is not None:
        steps["tuned model"] = lambda: _curves(room, final)
    if not steps:
        section.missing.append("No finished part has a counterpart in the published study.")
        return section
    section.lead.append(
        "The published figures are of other radiographs. Their folds divide rows, not patients, "
        "and their searches included the hold-out set. So compare how far each figure is above its "
        f"own view-only line, which is {PUBLISHED_VIEW_ONLY:.3f} for the published study. All "
        f"figures are {METRICS['auroc']}, at the best epoch of the mean curve, as published."
    )

    def add(step: Callable[[], Picture]) -> None:
        section.pictures.append(step())

    for what, step in steps.items():
        attempt(section, f"The comparison of the {what}", functools.partial(add, step))
    return section


def _models(room: Room, records: StudyRecords, projects: dict[str, Project]) -> Picture:
    # This raises an error if the models were not compared on the same data.
    baseline_results(records.directory)
    ours = pd.concat([curves_table(item, model=name) for name, item in projects.items()])
    theirs = read_published("initial_evaluation")
    theirs = theirs[theirs["model"].isin(projects)]
    scores = pd.concat(
        [
            best_epoch_scores(theirs).assign(side=PUBLISHED),
            best_epoch_scores(ours).assign(side=HERE),
        ],
        ignore_index=True,
    )
    overlaps = {name: fold_overlap(item.run.subject.to_json()) for name, item in projects.items()}
    scores["overlap"] = scores["model"].map(overlaps).where(scores["side"] == HERE)
    order = {name: number for number, name in enumerate(projects)}
    scores = scores.sort_values("model", key=lambda names: names.map(order), kind="stable")
    scores = with_intervals(scores, by=("side", "model")).drop(columns="overlap")
    view_only = _view_only(next(iter(projects.values())))
    means = scores.drop_duplicates(["model", "side"])
    listed = "; ".join(
        f"{MODEL_NAMES[row['model']]} {row['side']} {row['mean']:.3f}"
        for row in means.to_dict("records")
    )
    return room.picture(
        "published_baselines",
        Drawing(
            functools.partial(draw_models_beside, scores, view_only=view_only, names=MODEL_NAMES),
            height=1.0 + 0.62 * len(projects),
        ),
        _with_view_only(scores, view_only),
        caption="First models here and as published: means over the folds with 95 % intervals.",
        alt=f"Mean AUROC: {listed}.",
    )


def _trials(room: Room, name: str, project: Project) -> Picture:
    theirs = read_published(name)
    ours = _LAYOUTS[name](project)
    trials = pd.concat([theirs.assign(side=PUBLISHED), ours.assign(side=HERE)], ignore_index=True)
    names = tuple(column for column in theirs.columns if column != "max_val_auroc")
    view_only = _view_only(project)
    best = trials.groupby("side")["max_val_auroc"].max()
    return room.picture(
        f"published_{name}",
        Drawing(
            functools.partial(draw_trials_beside, trials, names=names, view_only=view_only),
            height=2.7,
        ),
        _with_view_only(trials, view_only),
        caption=f"{SEARCH_NAMES[name]} here ({len(ours)} trials) and as published ({len(theirs)}).",
        alt=f"{SEARCH_NAMES[name]}: the best of {len(theirs)} published trials is "
        f"{best[PUBLISHED]:.3f}, of {len(ours)} here {best[HERE]:.3f}.",
    )


def _curves(room: Room, project: Project) -> Picture:
    theirs = read_published("final_model_kfold")
    ours = curves_table(project, model="final")
    curves = pd.concat([theirs.assign(side=PUBLISHED), ours.assign(side=HERE)], ignore_index=True)
    view_only = _view_only(project)
    draw = functools.partial(draw_curves_beside, curves, view_only=view_only, title="Tuned model")
    curves = with_means(curves, "auroc", by=["side"])
    highest = curves[curves["split"] == "validation"].groupby("side")["mean"].max()
    return room.picture(
        "published_final_curves",
        Drawing(draw, height=2.9),
        _with_view_only(curves, view_only),
        caption="Tuned model in cross-validation, here and as published: mean validation AUROC "
        "and the range of the folds.",
        alt=f"Highest mean validation AUROC: published {highest[PUBLISHED]:.3f}, here "
        f"{highest[HERE]:.3f}.",
    )


def _with_view_only(table: pd.DataFrame, view_only: dict[str, float]) -> pd.DataFrame:
    """The table with the drawn view-only line of each side."""
    return table.assign(view_only=table["side"].map(view_only))


def _view_only(project: Project) -> dict[str, float]:
    view_only = {PUBLISHED: PUBLISHED_VIEW_ONLY}
    here = view_only_of(project).get("auroc")
    return view_only if here is None else view_only | {HERE: here}
