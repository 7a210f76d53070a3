"""The section of the page on the first models, and the curves of a cross-validation."""

import functools
from collections.abc import Mapping

import pandas as pd

from rust_tuner.analysis.columns import baseline_columns
from rust_tuner.analysis.drawn import best_epoch, mean_curve, with_means
from rust_tuner.analysis.next_step import command
from rust_tuner.analysis.tables import curves_table, fold_scores
from rust_tuner.analysis.tie_note import tie_note
from rust_tuner.analysis.verdict import MODEL_NAMES, view_only_of
from rust_tuner.figures.curves import draw_baselines, draw_curves
from rust_tuner.figures.style import Drawing
from rust_tuner.records.baselines import baseline_results
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.project import Project
from rust_tuner.report.page import Picture, Room, Section, attempt, cortices_first, folded, results
from rust_tuner.scope import CORTEX_SCOPE, LABEL_SCOPE
from rust_tuner.words import METRICS, chooses_epoch, epoch_of_score

# The figure that leads, and the one that folds away beside it.
_ORDER = (CORTEX_SCOPE.metric, LABEL_SCOPE.metric)


def baselines_section(records: StudyRecords, room: Room) -> Section:
    """The first models side by side, and their curves."""
    section = Section("baselines", "First models")
    if not records.baselines:
        section.missing.append(
            f"The first models have not been run: {command('baselines', records.directory)}"
        )
        return section
    rule = next(iter(records.baselines.values())).run.score_epoch
    lead = f"Cross-validation of the first models, each at {epoch_of_score(rule)}."
    if chooses_epoch(rule):
        lead += (
            " This choice makes all of them look slightly better, so these are selection scores."
        )
    section.lead.append(lead)

    def table() -> None:
        models = baseline_results(records.directory)
        files = {"CSV": room.table("baselines", models)}
        metric = next(iter(records.baselines.values())).objective.removeprefix("val_")
        note = tie_note(models, name="model", score=metric)
        section.lead += [note] if note else []
        title, rows = "First models, chance and view only", models.to_dict("records")
        section.tables.append(results(title, rows, cortices_first(baseline_columns()), files))

    def side_by_side() -> None:
        # This raises an error if the models were not compared on the same data.
        baseline_results(records.directory)
        done = {name: item for name, item in records.baselines.items() if item.best is not None}
        if not done:
            section.missing.append("No first model is finished, so there is no figure.")
            return
        section.pictures.append(folded([_side_by_side(done, room, metric) for metric in _ORDER]))

    attempt(section, "The table of first models", table)
    attempt(section, "The first models' figures", side_by_side)
    for name, project in records.baselines.items():
        title = MODEL_NAMES[name]
        draw_project_curves(section, room, project, name=f"curves_{name}", title=title)

    def published() -> None:
        curves = [curves_table(item, model=name) for name, item in records.baselines.items()]
        room.table("as_published_initial_evaluation", pd.concat(curves))

    attempt(section, "The published layout of the first models", published)
    return section


def _side_by_side(done: Mapping[str, Project], room: Room, metric: str) -> Picture:
    scores = pd.concat(
        [_fold_scores(name, project, metric) for name, project in done.items()], ignore_index=True
    )
    view_only = view_only_of(next(iter(done.values()))).get(metric)
    means = scores.drop_duplicates("model").set_index("model")["mean"]
    listed = "; ".join(f"{MODEL_NAMES[name]} {means[name]:.3f}" for name in done)
    baseline = "" if view_only is None else f" View only: {view_only:.3f}."
    return room.picture(
        f"baselines_{metric}",
        Drawing(
            functools.partial(
                draw_baselines, scores, metric=metric, view_only=view_only, names=MODEL_NAMES
            ),
            height=0.9 + 0.48 * len(done),
        ),
        scores.assign(view_only=view_only, chance=0.5),
        caption=f"First models, {METRICS[metric]}: folds (circles), mean and its 95 % "
        "interval, allowing for the training data that folds share (Nadeau and Bengio).",
        alt=f"Mean {METRICS[metric]} over the folds: {listed}.{baseline}",
    )


def _fold_scores(name: str, project: Project, metric: str) -> pd.DataFrame:
    """The folds of a model's best trial, with the interval of its score."""
    scores = fold_scores(project, metric).assign(model=name)[["model", "fold", "value"]]
    assert project.best is not None
    interval = project.best.interval(metric)
    return scores.assign(mean=interval.value, low=interval.low, high=interval.high)


def draw_project_curves(
    section: Section, room: Room, project: Project, *, name: str, title: str
) -> None:
    """Draw the curves of a project's best trial, both AUROCs."""

    def draw() -> None:
        pictures = []
        for metric in _ORDER:
            view_only = view_only_of(project).get(metric)
            curves = curves_table(project, model=project.folder.name, metric=metric)
            best = project.best
            epoch = None if best is None or best.epoch is None else best.epoch + 1
            last = mean_curve(curves[curves["split"] == "validation"], metric)
            at = epoch or best_epoch(last, metric)
            assert at is not None
            pictures.append(
                room.picture(
                    f"{name}_{metric}",
                    Drawing(
                        functools.partial(
                            draw_curves,
                            curves,
                            metric=metric,
                            view_only=view_only,
                            epoch=epoch,
                            title=title,
                        ),
                        height=2.9,
                    ),
                    with_means(curves, metric).assign(chosen_epoch=at, view_only=view_only),
                    caption=f"{title}: {METRICS[metric]}, training and validation of each fold.",
                    alt=f"Mean validation {METRICS[metric]} of {title}: {last.iloc[0]:.3f} after "
                    f"epoch 1, {last[at]:.3f} after epoch {at}, {last.iloc[-1]:.3f} after epoch "
                    f"{last.index[-1]}.",
                )
            )
        section.pictures.append(folded(pictures))

    attempt(section, f"The curves of {title}", draw)
