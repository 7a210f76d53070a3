"""Searches, first models and plans on the terminal: a table each."""

import dataclasses
from collections.abc import Sequence

import pandas as pd
from rich.table import Table

from rust_tuner.analysis.against_view import standings
from rust_tuner.analysis.columns import baseline_columns, trial_columns
from rust_tuner.analysis.selection import chosen_by_score
from rust_tuner.analysis.stopped import stopped_note
from rust_tuner.analysis.tie_note import tie_note
from rust_tuner.analysis.trained_on import trained_note
from rust_tuner.analysis.verdict import SEARCH_NAMES
from rust_tuner.progress import duration
from rust_tuner.records.baselines import suggested_backbone
from rust_tuner.records.project import Project
from rust_tuner.records.trial_tables import fixed_values, hyperparameter_columns, results_table
from rust_tuner.scope import CORTEX_SCOPE, SCOPES
from rust_tuner.steps.plan import PlannedStep
from rust_tuner.terminal.table import WHOLE_FOLD, add_results, plain_table
from rust_tuner.words import counted, four_digits

_BEST_SHOWN = 5
_SHORT = {scope.objective: scope.short for scope in SCOPES}

_SELECTION = {
    "trial": "The best of several trials is",
    "hyperparameters": "Hyperparameters were chosen on the same folds before, so this is",
    "epoch": "The score at the best epoch is",
}


def best_trials_table(project: Project, count: int = _BEST_SHOWN) -> Table:
    """The best trials with mean and standard deviation over folds, and the view-only baseline.

    A column says which of them are statistically tied with the best one. Its interval over folds
    is below the table, and hyperparameters that the search holds fixed are named above it.
    """
    results = results_table(project)
    tied = results["tied_with_best"]
    done = results[results["status"] == "COMPLETED"]
    best = done.sort_values("score", ascending=False, kind="stable").head(count)
    completed = [trial for trial in project.trials if trial.status == "COMPLETED"]
    if len(completed) < 2:
        # A trial alone is tied with nothing.
        tied, best = tied.map(lambda _: None), best.assign(tied_with_best=None)
    fixed = fixed_values(project)
    names = [name for name in (completed[0].values if completed else {}) if name not in fixed]
    columns_of = hyperparameter_columns(project)
    metrics = [name for name in (completed[0].metrics if completed else {}) if name in _SHORT]
    title = _title(project, fixed, num_best=len(best), num_tied=int(tied.fillna(False).sum()))
    table = plain_table(title, _caption(project, metrics, with_ties=bool(tied.notna().any())))
    values = {name: columns_of[name] for name in names}
    columns = trial_columns(values, metrics, objective=project.objective)
    add_results(table, best.to_dict("records"), columns)
    baseline = project.run.view_only_baseline or {}
    if baseline and metrics:
        table.add_section()
        scores = (f"{baseline[name]:.3f}" for name in metrics)
        table.add_row("view only", *("" for _ in names), "", *scores, "")
    return table


def _title(project: Project, fixed: dict[str, object], *, num_best: int, num_tied: int) -> str:
    name = SEARCH_NAMES.get(project.folder.name, project.folder.name)
    failed = sum(trial.status == "FAILED" for trial in project.trials)
    note = f", {failed} failed" if failed else ""
    stopped = sum(trial.status == "PRUNED" for trial in project.trials)
    note += f", {stopped} stopped" if stopped else ""
    # The best trial alone is not a tie.
    note += f", {num_tied} tied for the best" if num_tied > 1 else ""
    lines = [f"{name}: best {num_best} of {counted(len(project.trials), 'trial')}{note}"]
    if fixed:
        values = (f"{key.replace('_', ' ')} {four_digits(value)}" for key, value in fixed.items())
        lines.append(f"in all of them: {', '.join(values)}")
    return "\n".join(lines)


def _caption(project: Project, metrics: list[str], *, with_ties: bool) -> str:
    folds = project.run.subject.num_folds
    lines = [f"Mean ± standard deviation over {folds} folds at the epoch of the score (from 0)."]
    if project.objective in metrics:
        lines.append("* marks the metric that the search maximises.")
    if with_ties:
        lines.append("Tied: cannot be distinguished from the best (5 % over all trials together).")
        note = tie_note(results_table(project))
        lines += [note] if note else []
    lines += [note for note in (stopped_note(project), trained_note(project)) if note]
    whole = sum(trial.one_step or False for trial in project.trials)
    if whole:
        lines.append(
            f"{WHOLE_FOLD} one step per epoch: the batch holds all that a fold trains on "
            f"({whole} of {counted(len(project.trials), 'trial')})."
        )
    alike = sum(trial.learned_nothing for trial in project.trials)
    if alike:
        lines.append(f"{alike} of the trials learned nothing: AUROC 0.500 in every fold and epoch.")
    best = project.best
    if best is not None:
        intervals = {name: best.interval(name.removeprefix("val_")) for name in metrics}
        ends = ", ".join(
            f"{_SHORT[name]} {interval.low:.3f} to {interval.high:.3f}"
            for name, interval in intervals.items()
            if not pd.isna(interval.low)
        )
        if ends:
            lines.append(f"Best, 95 % interval over folds: {ends}.")
    for item in standings(project):
        name = f"val_{item.metric}"
        if name in metrics:
            line = (
                f"WARNING, {_SHORT[name]}: {item.doubt}."
                if item.doubt
                else (f"Best against the view alone, {_SHORT[name]}: {item.in_words}.")
            )
            lines.append(line)
    if CORTEX_SCOPE.objective in metrics:
        lines.append("Cortices: 16 labels, each only where its cortex is visible.")
    if project.run.view_only_baseline:
        lines.append("View only: a predictor that knows only the view.")
    if chosen := chosen_by_score(project):
        lines.append(f"{_SELECTION[chosen]} a selection score, not an estimate for new patients.")
    return "\n".join(lines)


def baselines_table(results: pd.DataFrame, objective: str) -> Table:
    """The first models side by side, with chance and the view-only baseline."""
    suggested = suggested_backbone(results, objective)
    lines = ["Mean ± standard deviation over folds at the epoch of the best mean (from 0)."]
    if results["tied_with_best"].notna().any():
        lines.append("Tied: cannot be distinguished from the best (5 % over all models together).")
        metric = objective.removeprefix("val_")
        note = tie_note(results, name="model", score=metric)
        lines += [note] if note else []
    if suggested is not None:
        lines.append(f"Best of the frozen backbones by {objective}: {suggested}.")
    table = plain_table("First models", "\n".join(lines))
    # With the names that the option --model takes.
    columns = [dataclasses.replace(column, names=None) for column in baseline_columns()]
    add_results(table, results.to_dict("records"), columns)
    return table


def plan_table(steps: Sequence[PlannedStep], *, is_measured: bool = False) -> Table:
    """The steps of a study, and about how long each takes.

    Args:
        steps: from `steps.plan`.
        is_measured: whether the times follow from the speed of this machine.
    """
    table = plain_table(
        "Plan",
        "Times are estimated from a few steps on this machine and revised after each step. Those "
        "of Regime II and the final model depend on the batch size that Regime I finds best."
        if is_measured
        else "Times are rough, for steps that have not been started; finished steps are skipped.",
    )
    table.add_column("step")
    table.add_column("what", no_wrap=False)
    table.add_column("about", justify="right")
    for step in steps:
        about = "done" if step.done == 1 else duration(step.seconds_left)
        table.add_row(step.name, step.what, about)
    table.add_section()
    table.add_row("all", "", duration(sum(step.seconds_left for step in steps)))
    return table
