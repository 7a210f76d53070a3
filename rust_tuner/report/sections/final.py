"""The section of the page on the final model: its cross-validation and the hold-out set."""

import pandas as pd

from rust_tuner.analysis.against_view import holdout_standings
from rust_tuner.analysis.next_step import command, is_unfinished
from rust_tuner.analysis.study_figures import SCORE_FIGURES
from rust_tuner.analysis.tables import HOLDOUT, curves_table, final_table
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.looks import Look, count_text
from rust_tuner.report.page import PageTable, Room, Section, attempt, decimal, text
from rust_tuner.report.sections.baselines import draw_project_curves
from rust_tuner.scope import AUROCS, CORTEX_SCOPE, LABEL_SCOPE
from rust_tuner.words import FIGURES, METRICS, counted, figure_name, words


def final_section(records: StudyRecords, room: Room) -> Section:
    """The tuned model: cross-validated, then on the hold-out set."""
    section = Section("final", "Final model")
    figures = final_table(records)
    if records.cross_validation is None:
        section.missing.append(
            f"The final model has not been cross-validated: {command('final', records.directory)}"
        )
    else:
        if is_unfinished(records.cross_validation):
            section.missing.append(
                f"Its cross-validation is not finished: {command('final', records.directory)}"
            )
        draw_project_curves(
            section, room, records.cross_validation, name="final_curves", title="Tuned model"
        )
        project = records.cross_validation
        attempt(
            section,
            "The published layout of the final model",
            lambda: room.table(
                "as_published_final_model_kfold", curves_table(project, model="final")
            ),
        )
    if not figures.empty:
        files = {"CSV": room.table("final", figures)}
        evaluations = {"cross_validation": "cross-validation", "holdout": "hold-out set"}
        rows = [
            [
                text(evaluations[row["evaluation"]]),
                text(row["kind"]),
                text(_metric_name(row["metric"], row["evaluation"])),
                *(decimal(row[name]) for name in ("value", "std", "view_only")),
            ]
            for row in figures.to_dict("records")
        ]
        header = ("evaluation", "kind", "figure", "value", "SD over folds", "view only")
        section.tables.append(PageTable("The tuned model", header, rows, files))
    holdout = records.holdout
    looks = records.looks
    if holdout is not None:
        times = "once" if len(looks) < 2 else f"{len(looks)} times, the last"
        condition = " if no earlier look has changed anything" if len(looks) > 1 else ""
        section.lead.append(
            f"The hold-out set, {counted(holdout.radiographs, 'radiograph')} of "
            f"{counted(holdout.patients, 'patient')}, was evaluated {times} on {holdout.date}; "
            f"its figures are an estimate{condition}."
        )
        section.lead += [
            f"{METRICS[item.metric]}, against the view alone: {item.doubt or item.in_words}."
            for item in holdout_standings(records)
        ]
    elif looks:
        section.missing.append(
            f"The hold-out set was {count_text(looks)}: on {looks[-1]}. The figures are not in "
            "final/holdout.json."
        )
    else:
        section.missing.append(
            "The hold-out set has not been evaluated; it is sealed: "
            f"{command('final', records.directory)}"
        )
    if len(looks) > 1 or any(look.state == "begun" for look in looks):
        attempt(section, "The table of looks", lambda: _looks(section, room, looks))
    return section


def _metric_name(metric: str, evaluation: str) -> str:
    """A metric in words; the three figures of the published study are marked as such."""
    name = metric.removeprefix(CORTEX_SCOPE.prefix)
    if metric in SCORE_FIGURES:
        return f"{figure_name(name)}, most likely scores"
    if evaluation != HOLDOUT or name not in FIGURES:
        return METRICS.get(metric, words(metric))
    if name != metric:
        return f"{figure_name(name)}, {CORTEX_SCOPE.name}"
    title, _, published = figure_name(name, published=True).partition(" (")
    return f"{title}, {LABEL_SCOPE.name}" + (f" ({published}" if published else "")


def _looks(section: Section, room: Room, looks: tuple[Look, ...]) -> None:
    """Every look at the hold-out set: its date, model, reason and figures."""
    table = pd.DataFrame([look.to_json() | dict(look.metrics) for look in looks])
    names = ("date", "model_sha256", "reason", "state", *AUROCS)
    table = table.reindex(columns=list(names))
    files = {"CSV": room.table("holdout_looks", table)}
    rows = [
        [*(text(row[name]) for name in names[:4]), *(decimal(row[name]) for name in names[4:])]
        for row in table.astype({name: "float64" for name in names[4:]}).to_dict("records")
    ]
    section.tables.append(
        PageTable(f"The hold-out set was {count_text(looks)}", names, rows, files)
    )
