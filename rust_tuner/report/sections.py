"""The sections of the page on data, split, first models, the two searches, and provenance."""

import functools
import math
from typing import Any

import pandas as pd

from rust_tuner.report import figures_search
from rust_tuner.report.figures import (
    DOUBLE_WIDTH,
    METRICS,
    draw_baselines,
    draw_curve_grid,
    draw_curves,
    new_axes,
    new_figure,
    short_number,
)
from rust_tuner.report.page import (
    Cell,
    PageTable,
    Room,
    Section,
    attempt,
    decimal,
    facts_table,
    short,
    text,
    whole,
)
from rust_tuner.report.sections_figures import tell_worth
from rust_tuner.report.study_records import StudyRecords
from rust_tuner.report.tables import (
    curves_table,
    fold_scores,
    published_regime_1,
    published_regime_2,
    ranked_curves,
    searched_values,
    trials_table,
)
from rust_tuner.report.verdict import MODEL_NAMES, SEARCH_NAMES, view_only_of
from rust_tuner.search.baseline_table import baseline_results
from rust_tuner.search.nested_records import NESTED
from rust_tuner.search.records import REGIME_1, Project

_COLUMNS_OF_TRIALS = ("rank", "trial", "status")
_NARROW_GRID = 8
_BOXES = 10


def data_section(records: StudyRecords) -> Section:
    """Which radiographs, and how they are prepared."""
    section = Section("data", "Data")
    study = records.study
    if study is None:
        section.missing.append("study.json is not there or cannot be read.")
        return section
    protocol = study["protocol"]
    section.lead.append(
        f"{study['radiographs']} radiographs of {study['patients']} patients, from "
        f"{study.get('manifest', 'a manifest that is not recorded')}."
    )
    cortices = protocol.get("view_cortices") or {}
    expected = {
        f"cortices expected on {view}": ", ".join(names) for view, names in cortices.items()
    }
    facts = {
        "radiographs": study["radiographs"],
        "patients": study["patients"],
        "image size": protocol.get("image_size"),
        "resize": protocol.get("resize"),
        "flips": protocol.get("flips"),
        **expected,
        "SHA-256 of patients, views and scores": study.get("radiographs_sha256"),
        "SHA-256 of the images": study.get("images_sha256"),
    }
    section.tables.append(facts_table("The radiographs", facts))
    return section


def split_section(records: StudyRecords) -> Section:
    """Which patients are sealed, and the folds of the others."""
    section = Section("split", "Split")
    split = records.split
    if split is None:
        section.missing.append("split.json is not there or cannot be read.")
        return section
    development, holdout = len(split["development"]), len(split["holdout"])
    section.lead.append(
        f"{holdout} of {development + holdout} patients were sealed before anything was trained; "
        f"{development} patients are the development set. A patient is never on two sides."
    )
    rows = []
    for number, record in sorted(split["folds"].items(), key=lambda item: int(item[0])):
        sizes = pd.Series(record["patients"]).value_counts()
        told = f"{sizes.min()} to {sizes.max()}"
        rows.append([whole(int(number)), (told, float(sizes.min())), whole(record["seed"])])
    if rows:
        section.tables.append(
            PageTable("Folds of the development set", ("folds", "patients a fold", "seed"), rows)
        )
    facts = {"seed": split.get("seed"), "fraction": split.get("fraction")}
    section.tables.append(facts_table("The hold-out set", facts | {"SHA-256": split["sha256"]}))
    return section


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
        file = room.table("baselines", found)
        header = ("model", "tied", "AUROC", "± SD", "visible cortices", "± SD", "epoch", "folds")
        names = ("auroc", "auroc_std", "cortex_auroc", "cortex_auroc_std")
        rows = [
            [
                text(MODEL_NAMES.get(row["model"], row["model"])),
                _yes_or_no(row["tied_with_best"]),
                *(decimal(row[name]) for name in names),
                whole(row["epoch"], plus=1),
                whole(row["folds"]),
            ]
            for row in found.to_dict("records")
        ]
        section.tables.append(PageTable("First models, chance and view only", header, rows, file))

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
                caption=f"First models, {METRICS[metric]}: folds (circles), mean and SD.",
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


def regime_section(project: Project | None, name: str, room: Room) -> Section:
    """One of the two searches: its trials and where their scores are high."""
    title = SEARCH_NAMES[name]
    section = Section(name.replace("_", "-"), title)
    if project is None:
        section.missing.append(f"{title} is not there or cannot be read.")
        return section
    table = trials_table(project)
    done = int(table["score"].notna().sum())
    run = project.run
    section.lead.append(
        f"{done} of {run['num_trials']} trials have a score, each the mean of "
        f"{run['subject']['num_folds']} folds of {run['epochs']} epochs."
    )
    if project.best is not None:
        told = ", ".join(
            f"{key.replace('_', ' ')} {short_number(value)}"
            for key, value in project.best.values.items()
        )
        section.lead.append(
            f"Best: trial {project.best.trial} with {project.objective} "
            f"{project.best.score:.4f}, a selection score: {told}."
        )
        attempt(section, "The interval of the best trial", lambda: tell_worth(section, project))
    attempt(section, "The table of trials", lambda: _trials(section, room, project, name))
    metric = project.objective.removeprefix("val_")
    known = view_only_of(project).get(metric)
    shared: dict[str, Any] = {"metric": metric}
    names = tuple(searched_values(project))
    lower = run["objective"]["direction"] == "min"

    def search() -> None:
        folds = int(run["subject"]["num_folds"])
        if name == REGIME_1:
            axes = new_axes(height=2.6)
            figures_search.draw_regime_1(table, axes=axes, num_folds=folds, **shared)
            seen = "Batch size against dropout rate; the colour is the score."
        else:
            wide = table["epsilon"].nunique() > _NARROW_GRID
            axes = new_axes(height=2.6, width=DOUBLE_WIDTH) if wide else new_axes(height=2.6)
            figures_search.draw_regime_2(table, axes=axes, num_folds=folds, **shared)
            seen = "Learning rate by epsilon; the best cell is framed."
        best = project.best
        alt = f"{seen} {done} trials"
        if best is not None:
            values = ", ".join(f"{key} {short_number(best.values[key])}" for key in names)
            alt += f", the best {best.score:.3f} at {values}"
        section.pictures.append(
            room.picture(name, axes.figure, table, caption=f"{title}. {seen}", alt=f"{alt}.")
        )

    def progress() -> None:
        axes = new_axes(height=2.5)
        figures_search.draw_search_progress(
            table, axes=axes, view_only=known, lower_is_better=lower, **shared
        )
        best = table["best_so_far"].dropna()
        told = f", {best.iloc[0]:.3f} after the first, {best.iloc[-1]:.3f} after all"
        section.pictures.append(
            room.picture(
                f"{name}_progress",
                axes.figure,
                table,
                caption=f"{title}. Score of each trial and the best so far.",
                alt=f"The best score so far over {len(table)} trials{told if len(best) else ''}.",
            )
        )

    def boxes() -> None:
        scores = fold_scores(project, metric)
        axes = new_axes(height=3.1)
        figures_search.draw_fold_boxes(
            scores, axes=axes, names=names, count=_BOXES, view_only=known, **shared
        )
        best = scores[scores["rank"] <= _BOXES]
        low, high = best["value"].min(), best["value"].max()
        section.pictures.append(
            room.picture(
                f"{name}_folds",
                axes.figure,
                best,
                caption=f"{title}. How the best trials spread over the folds.",
                alt=f"Box plots of the best {best['rank'].nunique()} trials; their folds range "
                f"from {low:.3f} to {high:.3f}.",
            )
        )

    def grid() -> None:
        curves = ranked_curves(project, metric=metric)
        figure = new_figure(height=0.9 + 1.05 * math.ceil(curves["rank"].nunique() / 3))
        draw_curve_grid(
            curves, figure=figure, names=names, num_trials=done, view_only=known, **shared
        )
        section.pictures.append(
            room.picture(
                f"{name}_curves",
                figure,
                curves,
                caption=f"{title}. Training and validation curves from the best to the worst "
                "trial.",
                alt=f"Curves of {curves['rank'].nunique()} trials between rank 1 and rank {done}.",
            )
        )

    steps = {"search": search, "progress": progress, "fold spread": boxes, "curves": grid}
    if done:
        for what, step in steps.items():
            attempt(section, f"The figure of the {what}", step)
    else:
        section.missing.append("No trial has a score yet, so nothing is drawn.")
    section.missing.extend(project.problems)
    return section


def _trials(section: Section, room: Room, project: Project, name: str) -> None:
    table = trials_table(project)
    file = room.table(name, table)
    published = published_regime_1 if name == REGIME_1 else published_regime_2
    attempt(
        section,
        "The published layout",
        lambda: room.table(f"as_published_{name}", published(project)),
    )
    names = searched_values(project)
    metrics = [m for m in ("val_auroc", "val_cortex_auroc") if m in table]
    spreads = [part for metric in metrics for part in (metric, f"{metric}_std")]
    header = [*_COLUMNS_OF_TRIALS, "tied", "p", *(item.replace("_", " ") for item in names)]
    header += [
        "± SD" if part.endswith("_std") else METRICS[part.removeprefix("val_")] for part in spreads
    ]
    header += ["epoch", "steps an epoch", "seconds"]
    rows = []
    for row in table.sort_values("rank", na_position="last").to_dict("records"):
        cells = [whole(row["rank"]), (row["trial"], float(row["trial"])), text(row["status"])]
        cells += [_yes_or_no(row["tied_with_best"]), decimal(row["p_against_best"])]
        cells += [short(row[item]) for item in names]
        cells += [decimal(row[item]) for item in spreads]
        cells += [whole(row["epoch"], plus=1), whole(row["steps_per_epoch"])]
        rows.append([*cells, decimal(row["seconds"], digits=1)])
    section.tables.append(PageTable("Trials, the best first", header, rows, file))


def _yes_or_no(value: Any) -> Cell:
    return text("" if pd.isna(value) else "yes" if value else "no")


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


def provenance_section(records: StudyRecords) -> Section:
    """Versions, choices, seeds and hashes."""
    section = Section("provenance", "Provenance")
    study = records.study or {}
    if study:
        section.tables.append(
            facts_table("Versions when the study was prepared", study["versions"])
        )
        section.tables.append(facts_table("Protocol", study["protocol"]))
    runs = {name: project.run for name, project in records.projects.items()}
    if records.nested is not None:
        runs[NESTED] = records.nested.run
    rows = []
    for name, run in runs.items():
        subject = run["subject"]
        weights = subject.get("weights") or {}
        rows.append(
            [
                text(name),
                whole(run["seed"]),
                text(weights.get("asked", "-")),
                text(weights.get("sha256", "-")),
                text(subject.get("inputs", "-")),
                text(subject.get("folds", "-")),
                text(", ".join(f"{k} {v}" for k, v in run["versions"].items())),
            ]
        )
    header = (
        "records",
        "seed",
        "weights asked for",
        "SHA-256 of the weights used",
        "SHA-256 of the inputs",
        "SHA-256 of the folds",
        "versions",
    )
    if rows:
        section.tables.append(PageTable("What each part was made with", header, rows))
    if records.holdout is not None:
        facts = {"SHA-256 of the final model": records.holdout.get("model_sha256")}
        section.tables.append(facts_table("Final model", facts))
    if not section.tables:
        section.missing.append("Nothing is recorded.")
    return section
