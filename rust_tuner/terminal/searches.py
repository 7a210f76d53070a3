"""What the command line shows of searches, first models, plans and predictions: a table each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from rust_tuner.analysis.against_view import standings
from rust_tuner.analysis.tie_note import tie_note
from rust_tuner.labels import CORTICES
from rust_tuner.progress import duration
from rust_tuner.records.baselines import suggested_backbone
from rust_tuner.records.project import (
    REGIME_1,
    REGIME_2,
    Project,
    hyperparameter_columns,
    results_table,
)
from rust_tuner.scope import AUROCS, CORTEX_SCOPE, SCOPES
from rust_tuner.steps.plan import PlannedStep
from rust_tuner.terminal.table import four_digits, plain_table

_BEST_SHOWN = 5
# Marks a batch size that holds the whole fold.
_WHOLE_FOLD = "!"
_SEARCHES = {REGIME_1: "Regime I", REGIME_2: "Regime II"}
# Two short lines each, so that the widest of our searches fits into 80 columns.
_HEADERS = {scope.objective: f"AUROC,\n{scope.short}" for scope in SCOPES}
_SHORT = {scope.objective: scope.short for scope in SCOPES}


def best_trials_table(project: Project, count: int = _BEST_SHOWN) -> Table:
    """The best trials with mean and standard deviation over folds, and the view-only baseline.

    Which of them are statistically tied with the best one stands beside them, and below the
    best one's interval over folds. Hyperparameters that the search holds fixed are named above
    the table, once.
    """
    results = results_table(project)
    tied = results["tied_with_best"]
    done = results[results["status"] == "COMPLETED"]
    best = done.sort_values("score", ascending=False, kind="stable").head(count)
    completed = [trial for trial in project.trials if trial.status == "COMPLETED"]
    fixed = _fixed_values(project)
    names = [name for name in (completed[0].values if completed else {}) if name not in fixed]
    columns_of = hyperparameter_columns(project)
    metrics = [name for name in (completed[0].metrics if completed else {}) if name in _HEADERS]
    title = _title(
        project,
        num_best=len(best),
        num_trials=len(results),
        num_tied=int(tied.fillna(False).sum()),
        fixed=fixed,
    )
    table = plain_table(title, _caption(project, metrics, with_ties=bool(tied.notna().any())))
    table.add_column("trial", overflow="fold")
    for name in names:
        table.add_column(name.replace("_", "\n"), justify="right", overflow="fold")
    table.add_column("tied", overflow="fold")
    for name in metrics:
        marker = " *" if name == project.objective else ""
        # To the left, so that the baseline's figure stands below the others.
        table.add_column(_HEADERS[name] + marker, overflow="fold")
    table.add_column("epoch", justify="right", overflow="fold")
    for _, row in best.iterrows():
        table.add_row(
            row["trial"],
            *(_with_mark(row, name, columns_of[name]) for name in names),
            _yes_or_no(row["tied_with_best"]),
            *(f"{row[name]:.3f} ± {row[f'{name}_std']:.3f}" for name in metrics),
            str(int(row["epoch"])),
        )
    baseline = project.run.get("view_only_baseline") or {}
    if baseline and metrics:
        table.add_section()
        told = (f"{baseline[name]:.3f}" for name in metrics)
        table.add_row("view only", *("" for _ in names), "", *told, "")
    return table


def _with_mark(row: pd.Series, name: str, column: str) -> str:
    """A value; a batch size that makes an epoch one step is marked."""
    is_whole = name == "batch_size" and not pd.isna(row["one_step"]) and row["one_step"]
    return four_digits(row[column]) + (_WHOLE_FOLD if is_whole else "")


def _title(
    project: Project,
    *,
    num_best: int,
    num_trials: int,
    num_tied: int,
    fixed: dict[str, object],
) -> str:
    name = _SEARCHES.get(project.folder.name, project.folder.name)
    failed = sum(trial.status == "FAILED" for trial in project.trials)
    told = f", {failed} failed" if failed else ""
    # The best one is no tie by itself.
    told += f", {num_tied} tied for the best" if num_tied > 1 else ""
    lines = [f"{name}: best {num_best} of {num_trials} trials{told}"]
    if fixed:
        values = (f"{key.replace('_', ' ')} {four_digits(value)}" for key, value in fixed.items())
        lines.append(f"in all of them: {', '.join(values)}")
    return "\n".join(lines)


def _caption(project: Project, metrics: list[str], *, with_ties: bool) -> str:
    folds = project.run["subject"]["num_folds"]
    lines = [f"Mean ± standard deviation over {folds} folds at the epoch of the score (from 0)."]
    if project.objective in metrics:
        lines.append("* is what the search maximises.")
    if with_ties:
        lines.append("Tied: not distinguishable from the best at 5 %, all trials tested at once.")
        note = tie_note(results_table(project))
        lines += [note] if note else []
    whole = sum(trial.one_step or False for trial in project.trials)
    if whole:
        lines.append(
            f"{_WHOLE_FOLD} one step an epoch: the batch holds all that a fold trains on "
            f"({whole} of {len(project.trials)} trials)."
        )
    alike = sum(trial.learned_nothing for trial in project.trials)
    if alike:
        lines.append(f"{alike} of the trials learned nothing: AUROC 0.500 in every fold and epoch.")
    best = project.best
    if best is not None:
        known = {name: best.interval(name.removeprefix("val_")) for name in metrics}
        told = ", ".join(
            f"{_SHORT[name]} {found.low:.3f} to {found.high:.3f}"
            for name, found in known.items()
            if not pd.isna(found.low)
        )
        if told:
            lines.append(f"Best, 95 % interval over folds: {told}.")
    for item in standings(project):
        name = f"val_{item.metric}"
        if name in metrics:
            told = (
                f"WARNING, {_SHORT[name]}: {item.doubt}."
                if item.doubt
                else (f"Best against the view alone, {_SHORT[name]}: {item.told}.")
            )
            lines.append(told)
    if CORTEX_SCOPE.objective in metrics:
        lines.append("Cortices: 16 labels, each only where its cortex is visible.")
    if project.run.get("view_only_baseline"):
        lines.append("View only: a predictor that knows nothing but the view.")
    lines.append("The best of several trials is a selection score, no estimate for new patients.")
    return "\n".join(lines)


def _fixed_values(project: Project) -> dict[str, object]:
    space = project.run["space"]
    return {
        parameter["config"]["name"]: parameter["config"]["value"]
        for parameter in space.values()
        if parameter["class_name"] == "Fixed"
    }


def baselines_table(found: pd.DataFrame, objective: str) -> Table:
    """The first models side by side, with chance and the view-only baseline."""
    suggested = suggested_backbone(found, objective)
    lines = ["Mean ± standard deviation over folds at the epoch of the best mean (from 0)."]
    if found["tied_with_best"].notna().any():
        lines.append("Tied: not distinguishable from the best at 5 %, all models tested at once.")
        metric = objective.removeprefix("val_")
        note = tie_note(found, name="model", score=metric, spread=f"{metric}_std")
        lines += [note] if note else []
    if suggested is not None:
        lines.append(f"Best of the frozen backbones by {objective}: {suggested}.")
    table = plain_table("First models", "\n".join(lines))
    for name in ("model", "tied", *_HEADERS.values(), "epoch"):
        table.add_column(name, overflow="fold")
    for row in found.to_dict("records"):
        table.add_row(
            str(row["model"]),
            _yes_or_no(row["tied_with_best"]),
            *(_mean_and_spread(row[name], row[f"{name}_std"]) for name in AUROCS),
            "" if pd.isna(row["epoch"]) else str(int(row["epoch"])),
        )
    return table


def plan_table(steps: Sequence[PlannedStep]) -> Table:
    """What a study will do, and about how long each step takes."""
    table = plain_table(
        "Plan",
        "Times are magnitudes, for steps of which nothing is there yet; what is done is skipped.",
    )
    table.add_column("step")
    table.add_column("what", overflow="fold")
    table.add_column("about", justify="right")
    for step in steps:
        table.add_row(step.name, step.what, duration(step.seconds))
    table.add_section()
    table.add_row("all", "", duration(sum(step.seconds for step in steps)))
    return table


def predictions_table(found: pd.DataFrame) -> Table:
    """One row an image: the view, and the scores of the cortices that it shows."""
    table = plain_table(
        "RUST scores", "Most likely score (its probability) of each cortex that the view shows."
    )
    totals = "rust_total" in found
    for name in ("image", "view", *CORTICES, *(["RUST"] if totals else [])):
        table.add_column(name, overflow="fold")
    for row in found.to_dict("records"):
        scores = (
            f"{row[name]} ({row[f'{name}_probability']:.2f})" if row[f"{name}_shown"] else "-"
            for name in CORTICES
        )
        cells = [Path(row["image"]).name, f"{row['view']} ({row['view_probability']:.2f})", *scores]
        if totals:
            cells.append("-" if pd.isna(row["rust_total"]) else str(row["rust_total"]))
        table.add_row(*cells)
    return table


def _yes_or_no(value: Any) -> str:
    return "-" if pd.isna(value) else "yes" if value else "no"


def _mean_and_spread(mean: float, spread: float | None) -> str:
    if pd.isna(mean):
        return "-"
    return f"{mean:.3f}" if pd.isna(spread) else f"{mean:.3f} ± {spread:.3f}"
