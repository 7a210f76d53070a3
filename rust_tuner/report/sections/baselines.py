"""The section of the page on the first models, and the curves of a cross-validation."""

import functools

import pandas as pd

from rust_tuner.analysis.tables import curves_table, fold_scores
from rust_tuner.analysis.verdict import MODEL_NAMES, view_only_of
from rust_tuner.figures.curves import draw_baselines, draw_curves
from rust_tuner.figures.style import new_axes
from rust_tuner.records.baselines import baseline_results
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.project import Project
from rust_tuner.report.page import (
    PageTable,
    Room,
    Section,
    attempt,
    decimal,
    text,
    whole,
    yes_or_no,
)
from rust_tuner.words import METRICS


def baselines_section(records: StudyRecords, room: Room) -> Section:
    """The first models side by side, and their curves."""
    section = Section("baselines", "First models")
    if not records.baselines:
        section.missing.append("No first model has been run: rust-tuner baselines STUDY")
        return section
    section.lead.append(
        "Cross-validation of the first models, at the best epoch of each mean curve: a choice that "
        "flatters all of them a little, so these are selection scores."
    )

    def table() -> None:
        found = baseline_results(records.directory)
        files = {"CSV": room.table("baselines", found)}
        header = (
            "model",
            "tied",
            METRICS["auroc"],
            "± SD",
            METRICS["cortex_auroc"],
            "± SD",
            "epoch",
            "folds",
        )
        names = ("auroc", "auroc_std", "cortex_auroc", "cortex_auroc_std")
        rows = [
            [
                text(MODEL_NAMES.get(row["model"], row["model"])),
                yes_or_no(row["tied_with_best"]),
                *(decimal(row[name]) for name in names),
                whole(row["epoch"], plus=1),
                whole(row["folds"]),
            ]
            for row in found.to_dict("records")
        ]
        section.tables.append(PageTable("First models, chance and view only", header, rows, files))

    def side_by_side(metric: str) -> None:
        # Models that were not compared on the same data are refused here.
        baseline_results(records.directory)
        done = {name: item for name, item in records.baselines.items() if item.best is not None}
        if not done:
            section.missing.append("No first model is finished, so none is drawn.")
            return
        scores = pd.concat(
            [
                fold_scores(project, metric).assign(model=name)[["model", "fold", "value"]]
                for name, project in done.items()
            ],
            ignore_index=True,
        )
        known = view_only_of(next(iter(done.values()))).get(metric)
        axes = new_axes(height=0.9 + 0.48 * len(done))
        draw_baselines(scores, axes=axes, metric=metric, view_only=known, names=MODEL_NAMES)
        means = {name: scores.loc[scores["model"] == name, "value"].mean() for name in done}
        told = "; ".join(f"{MODEL_NAMES[name]} {mean:.3f}" for name, mean in means.items())
        beside = "" if known is None else f" View only: {known:.3f}."
        section.pictures.append(
            room.picture(
                f"baselines_{metric}",
                axes.figure,
                scores,
                caption=f"First models, {METRICS[metric]}: folds (circles), mean and its 95 % "
                "interval, which counts that the folds share training data (Nadeau and Bengio).",
                alt=f"Mean {METRICS[metric]} over the folds: {told}.{beside}",
            )
        )

    attempt(section, "The table of first models", table)
    for metric in ("auroc", "cortex_auroc"):
        attempt(section, f"The first models' {metric}", functools.partial(side_by_side, metric))
    for name, project in records.baselines.items():
        title = MODEL_NAMES[name]
        draw_project_curves(section, room, project, name=f"curves_{name}", title=title)

    def published() -> None:
        curves = [curves_table(item, model=name) for name, item in records.baselines.items()]
        room.table("as_published_initial_evaluation", pd.concat(curves))

    attempt(section, "The published layout of the first models", published)
    return section


def draw_project_curves(
    section: Section, room: Room, project: Project, *, name: str, title: str
) -> None:
    """Draw the curves of a project's best trial, both AUROCs."""

    def draw() -> None:
        for metric in ("auroc", "cortex_auroc"):
            known = view_only_of(project).get(metric)
            curves = curves_table(project, model=project.folder.name, metric=metric)
            best = project.best
            epoch = None if best is None or best.epoch is None else best.epoch + 1
            axes = new_axes(height=2.9)
            draw_curves(curves, axes=axes, metric=metric, view_only=known, epoch=epoch, title=title)
            last = curves[curves["split"] == "validation"].groupby("epoch")[metric].mean()
            at = epoch or int(last.index.to_numpy()[last.argmax()])
            section.pictures.append(
                room.picture(
                    f"{name}_{metric}",
                    axes.figure,
                    curves,
                    caption=f"{title}: {METRICS[metric]}, training and validation of each fold.",
                    alt=f"Mean validation {METRICS[metric]} of {title}: {last.iloc[0]:.3f} after "
                    f"epoch 1, {last[at]:.3f} after epoch {at}, {last.iloc[-1]:.3f} after epoch "
                    f"{last.index[-1]}.",
                )
            )

    attempt(section, f"The curves of {title}", draw)
