"""The report of a search that is not part of a study: its best trial, figures and tables.

The page of a study belongs to `html`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from rust_tuner import __version__
from rust_tuner.analysis.columns import Column
from rust_tuner.analysis.drawn import with_boxes
from rust_tuner.analysis.selection import chosen_by_score
from rust_tuner.analysis.tables import fold_scores, searched_values, trials_table
from rust_tuner.analysis.tie_note import tie_note
from rust_tuner.figures.history import draw_history
from rust_tuner.figures.search import draw_fold_boxes, draw_search_progress
from rust_tuner.figures.slices import draw_slices
from rust_tuner.figures.style import COLUMN_WIDTH, DOUBLE_WIDTH, Drawing
from rust_tuner.files import write_text
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.trial_tables import history_table, hyperparameter_columns
from rust_tuner.report.page import Room, Section, attempt, facts_table, results
from rust_tuner.report.templating import environment
from rust_tuner.report.writing import written
from rust_tuner.words import counted, metric_name, short_number, words

REPORT = "report"
INDEX = "index.html"

_LONG_TABLE, _FIRST_ROWS = 40, 10
_BOXES = 10
_PANELS = 4
# How many times the lowest value the highest one is where a logarithmic scale shows them better.
_FAR_APART = 100
_SECTIONS = [("answer", "Answer"), ("search", "Trials"), ("facts", "How it was searched")]

# Of a trial that is the only one with a score, by what was chosen by it.
_SELECTION = "a selection score, not an estimate for new data."
_ALONE = {
    "trial": f"It was compared with trials that were stopped, so its score is {_SELECTION}",
    "hyperparameters": f"Hyperparameters were chosen on the same folds before: {_SELECTION}",
    "epoch": f"Its epoch was chosen by this score: {_SELECTION}",
    None: "No other trial has a score, so nothing was chosen by it.",
}


def write_search_report(folder: str | Path) -> Path:
    """Write `report` in a project folder, finished or not.

    Args:
        folder: the project folder of a search.

    Returns:
        The page, `report/index.html`; figures and tables are files beside it.

    Raises:
        ResumeError: if it is not a search folder.
        RecordError: if its manifest is damaged.
        LockedError: if another process is writing the report.
    """
    project = read_project(folder)
    return written(Path(folder) / REPORT, functools.partial(_write, project))


def _write(project: Project, room: Room) -> Path:
    section = _search_section(project, room)
    text = (
        environment(has_glossary=False)
        .get_template("search.html")
        .render(
            name=project.folder.resolve().name,
            version=__version__,
            answer=_answer(project),
            values=[] if project.best is None else _values(project),
            section=section,
            groups=[("Search", _SECTIONS)],
            facts=facts_table("How it was searched", _facts(project)),
            long=_LONG_TABLE,
            first=_FIRST_ROWS,
        )
    )
    index = room.folder / INDEX
    write_text(index, text)
    return index


def _answer(project: Project) -> list[str]:
    """The best trial in a sentence, and what it is worth."""
    best, run = project.best, project.run
    if best is None:
        return ["No trial has a score yet."]
    metric = project.objective.removeprefix("val_")
    spread, interval = best.spread(metric), best.interval(metric)
    figures = f"{best.score:.4f}" + (f" ± {spread:.4f}" if spread is not None else "")
    ends = (
        ""
        if interval.low != interval.low
        else (f", 95 % interval {interval.low:.3f} to {interval.high:.3f}")
    )
    lines = [
        f"Trial {best.trial} is the best: {_objective(project)} {figures} over "
        f"{run.subject.num_folds} folds{ends}, at epoch {int(best.epoch or 0) + 1}."
    ]
    table = trials_table(project)
    tied = int(table["tied_with_best"].fillna(False).sum())
    completed = int(table["score"].notna().sum())
    if tied > 1:
        lines.append(
            f"{tied - 1} of the {counted(completed - 1, 'other trial')} cannot be distinguished "
            "from it (5 % over all trials together), and may be as good."
        )
        note = "" if run.lower_is_better else tie_note(table)
        lines += [note] if note else []
    lines.append(
        f"It is the best of {completed} trials by the scores that it was chosen by: a selection "
        "score, not an estimate for new data."
        if completed > 1
        else _ALONE[chosen_by_score(project)]
    )
    ended = sum(trial.has_ended for trial in project.trials)
    if ended < run.num_trials:
        lines.append(f"The search is not finished: {ended} of {run.num_trials} trials have ended.")
    failed = sum(trial.status == "FAILED" for trial in project.trials)
    if failed:
        lines.append(f"{counted(failed, 'trial')} failed; the table has the messages.")
    return lines


def _objective(project: Project) -> str:
    parts = project.run.objective.parts
    if len(parts) > 1:
        return f"mean rank by {' and '.join(part.name for part in parts)}"
    return parts[0].name


def _values(project: Project) -> list[tuple[str, str]]:
    assert project.best is not None
    return [(words(name), short_number(value)) for name, value in project.best.values.items()]


def _search_section(project: Project, room: Room) -> Section:
    section = Section("search", "Trials", missing=list(project.problems))
    table = trials_table(project)
    attempt(section, "The table of trials", lambda: _trials(section, room, project))
    if not table["score"].notna().any():
        section.missing.append("No trial has a score yet, so nothing is drawn.")
        return section
    steps: dict[str, Callable[[], None]] = {
        "history": functools.partial(_history, section, room, project),
        "slices": functools.partial(_slices, section, room, project),
        "progress": functools.partial(_progress, section, room, project),
        "fold spread": functools.partial(_boxes, section, room, project),
    }
    for what, step in steps.items():
        attempt(section, f"The figure of the {what}", step)
    return section


def _history(section: Section, room: Room, project: Project) -> None:
    best = project.best
    assert best is not None
    history = history_table(project)
    history = history[history["trial"] == best.trial]
    for part in project.run.objective.parts:
        metric = part.name.removeprefix("val_")
        if metric not in set(history["metric"]):
            continue
        name = metric_name(metric, is_study=_is_study(project))
        caption = f"Curves of the best trial, {best.trial}; the circle is the epoch of its score."
        section.pictures.append(
            room.picture(
                f"history_{len(section.pictures)}",
                Drawing(
                    functools.partial(draw_history, history, metric=metric, epoch=best.epoch),
                    height=2.6,
                ),
                history[history["metric"] == metric],
                caption=caption,
                alt=f"{name} by epoch, training and validation. {caption}",
            )
        )


def _slices(section: Section, room: Room, project: Project) -> None:
    columns_of = hyperparameter_columns(project)
    table = trials_table(project)
    names = [columns_of[name] for name in searched_values(project) if columns_of[name] in table]
    names = [name for name in names if table[name].nunique() > 1]
    best = table.index[table["rank"] == 1]
    for start in range(0, len(names), _PANELS):
        shown = tuple(names[start : start + _PANELS])
        width = DOUBLE_WIDTH if len(shown) > 2 else COLUMN_WIDTH
        draw = functools.partial(
            draw_slices,
            table,
            names=shown,
            metric=_metric(project),
            best=int(best[0]) if len(best) else None,
            logarithmic=_logarithmic(project, table),
            lower_is_better=project.run.lower_is_better,
        )
        caption = f"The score of each trial along {', '.join(map(words, shown))}."
        section.pictures.append(
            room.picture(
                f"slices_{start}",
                Drawing(draw, width=width, height=2.6),
                table,
                caption=caption,
                alt=caption,
            )
        )


def _progress(section: Section, room: Room, project: Project) -> None:
    table = trials_table(project)
    draw = functools.partial(draw_search_progress, table, metric=_metric(project))
    caption = f"Score of {counted(len(table), 'trial')}, and the best so far."
    section.pictures.append(
        room.picture("progress", Drawing(draw), table, caption=caption, alt=caption)
    )


def _boxes(section: Section, room: Room, project: Project) -> None:
    if len(project.run.objective.parts) > 1:
        return
    scores = fold_scores(project, project.objective.removeprefix("val_"))
    draw = functools.partial(draw_fold_boxes, scores, metric=_metric(project), count=_BOXES)
    best = scores[scores["rank"] <= _BOXES]
    caption = f"Spread of the best {counted(best['rank'].nunique(), 'trial')} over the folds."
    section.pictures.append(
        room.picture(
            "folds", Drawing(draw, height=2.8), with_boxes(best), caption=caption, alt=caption
        )
    )


def _trials(section: Section, room: Room, project: Project) -> None:
    table = trials_table(project)
    files = {
        "CSV": room.table("trials", table),
        "CSV of every fold and epoch": room.table("history", history_table(project)),
    }
    columns_of = hyperparameter_columns(project)
    values = [columns_of[name] for name in searched_values(project) if columns_of[name] in table]
    names = map(str, table)
    metrics = [n for n in names if n.startswith("val_") and not n.endswith("_std")]
    columns = [
        Column("rank", "rank", "whole"),
        Column("trial", "trial", "id"),
        Column("status", "status"),
        *(Column(name, words(name), "value") for name in values),
        Column("score", "score", "number", beside="score_std"),
        Column("tied_with_best", "tied", "yes_or_no"),
        Column("score_low", "95 % interval, over folds", "interval", beside="score_high"),
        Column("epoch", "epoch", "whole", plus=1),
        *(
            Column(name, words(name.removeprefix("val_")), "number", beside=f"{name}_std")
            for name in metrics
            if name != project.objective
        ),
        Column("seconds", "seconds", "number", digits=1),
        Column("message", "message"),
    ]
    rows = table.sort_values("rank", na_position="last").to_dict("records")
    section.tables.append(results("Trials, the best first", rows, columns, files))


def _facts(project: Project) -> dict[str, Any]:
    run = project.run
    units = run.subject.units
    return {
        "objective": ", ".join(f"{part.name} ({part.direction})" for part in run.objective.parts),
        "oracle": run.oracle,
        "trials": f"{sum(t.score is not None for t in project.trials)} of {run.num_trials}",
        "folds": run.subject.num_folds,
        "folds are divided by": None if units is None else units.kind,
        "stratified by": run.subject.stratified or "nothing that is recorded",
        "epochs": "a hyperparameter" if run.epochs_hyperparameter else run.epochs,
        "batch size": "a hyperparameter" if run.batch_size is None else run.batch_size,
        "epoch of the score": run.score_epoch,
        "seed": run.seed,
        "seed of the oracle": run.oracle_seed,
        "SHA-256 of the inputs": run.subject.inputs,
        "SHA-256 of the targets": run.subject.targets,
        "SHA-256 of the folds": run.subject.folds,
        "versions": dict(run.versions),
    }


def _metric(project: Project) -> str:
    parts = project.run.objective.parts
    if len(parts) > 1:
        return "mean rank"
    return metric_name(parts[0].name.removeprefix("val_"), is_study=_is_study(project))


def _is_study(project: Project) -> bool:
    """Whether the search is one on radiographs."""
    return bool(project.run.view_only_baseline)


def _logarithmic(project: Project, table: pd.DataFrame) -> set[str]:
    """The columns of hyperparameters that are drawn on a logarithmic scale.

    They are sampled on one, or their values are far apart; all are positive.
    """
    columns_of = hyperparameter_columns(project)
    drawn = set()
    for item in project.run.space.values():
        name = columns_of[item.config.name]
        values = pd.to_numeric(table[name], errors="coerce").dropna() if name in table else ()
        if not len(values) or min(values) <= 0:
            continue
        is_sampled = "log" in str(item.config.to_json().get("sampling", ""))
        if is_sampled or max(values) >= _FAR_APART * min(values):
            drawn.add(name)
    return drawn
