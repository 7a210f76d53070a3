"""Nested cross-validation and noise floor on the terminal: tables and status lines."""

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rust_tuner.analysis.columns import NOISE_COLUMNS, SUMMARY_COLUMNS, outer_columns
from rust_tuner.analysis.nested import (
    SUMMARY_CAPTION,
    outer_table,
    stability_table,
    summary_table,
)
from rust_tuner.analysis.noise import KINDS, NOISE_CAPTION, noise_spread
from rust_tuner.progress import duration
from rust_tuner.records.nested import FIGURES, Nested, SummaryFigure, outer_folder, read_nested
from rust_tuner.records.noise import METRICS_REPEATED, NoiseFloor, read_noise
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.scope import SCOPES
from rust_tuner.terminal.table import add_results, four_digits, mean_and_spread, plain_table

_HEADERS = {scope.metric: f"AUROC, {scope.short}" for scope in SCOPES}
_SEVERAL_SHOWN = 3
_SIGNED = ("optimism", "gap")


def nested_table(nested: Nested) -> Group:
    """Selection score, estimate and chosen values of each outer fold, and their summary."""
    parts = [*(_outer_table(nested, figure) for figure in FIGURES), _chosen_table(nested)]
    if nested.summary is not None:
        parts.append(_summary_table(nested))
    return Group(*parts)


def _outer_table(nested: Nested, figure: str) -> Table:
    done = f"{len(nested.outer)} of {nested.outer_folds} outer folds"
    table = plain_table(f"Nested cross-validation, {_HEADERS[figure]}: {done}", "")
    add_results(table, outer_table(nested).to_dict("records"), outer_columns((), [figure]))
    return table


def _chosen_table(nested: Nested) -> Table:
    table = plain_table(
        "How often each value was chosen",
        "Values that were each chosen once are counted together. Epochs count from 0.",
    )
    table.add_column("hyperparameter")
    table.add_column("value: outer folds", no_wrap=False)
    for name, rows in stability_table(nested).groupby("hyperparameter", sort=False):
        often = rows[rows["times"] > 1].to_dict("records")
        parts = [f"{four_digits(row['value'])}: {row['times']}" for row in often]
        once = sorted(rows.loc[rows["times"] == 1, "value"])
        if once:
            shown = ", ".join(map(four_digits, once))
            if len(once) > _SEVERAL_SHOWN:
                shown = f"{four_digits(once[0])} to {four_digits(once[-1])}"
            parts.append(f"{shown}: 1 each" if len(once) > 1 else f"{shown}: 1")
        table.add_row(str(name).replace("_", " "), "; ".join(parts))
    return table


def _summary_table(nested: Nested) -> Table:
    assert nested.summary is not None
    table = plain_table(
        f"Selection score and estimate: {nested.summary.radiographs} radiographs of "
        f"{nested.summary.patients} patients\nthe searches maximise {nested.run.objective}",
        SUMMARY_CAPTION,
    )
    rows = summary_table(nested).to_dict("records")
    for row in rows:
        if row["what"] in _SIGNED:
            row["value"] = mean_and_spread(row["value"], signed=True)
    add_results(table, rows, SUMMARY_COLUMNS)
    return table


def noise_table(floor: NoiseFloor) -> Group:
    """How much the score of one configuration varies between repeats."""
    run = floor.run
    values = ", ".join(
        f"{name.replace('_', ' ')} {four_digits(value)}"
        for name, value in run.configuration.items()
    )
    spread = noise_spread(floor.values)
    parts: list[Table] = []
    for metric in METRICS_REPEATED:
        title = f"Noise floor, {_HEADERS[metric]}"
        if not parts:
            title += f": trial {run.trial} of {run.regime} repeated\n{values}"
        is_last = metric == METRICS_REPEATED[-1]
        table = plain_table(title, NOISE_CAPTION if is_last else "")
        rows = spread[spread["metric"] == metric].to_dict("records")
        add_results(table, [*rows, _selection_row(run.selection_score[metric])], NOISE_COLUMNS)
        parts.append(table)
    return Group(*parts)


def nested_lines(folder: Path) -> list[Text]:
    """Progress of a nested cross-validation."""
    nested = read_nested(folder)
    done, total = len(nested.outer), nested.outer_folds
    lines = [Text(f"nested: {done} of {total} outer folds done{_time_left(nested)}")]
    finished = {record.outer_fold for record in nested.outer}
    for number in range(total):
        if number in finished or not outer_folder(folder, number).is_dir():
            continue
        parts = []
        for regime in (REGIME_1, REGIME_2):
            project = outer_folder(folder, number) / regime
            if (project / RUN_FILE).is_file():
                ended, planned, _ = _progress(project)
                parts.append(f"{regime} {ended} of {planned} trials")
        if parts:
            lines.append(Text(f"  outer fold {number} started: {', '.join(parts)}"))
    for problem in nested.problems:
        lines.append(Text(f"  {problem}", style="red"))
    if nested.summary is not None:
        figure = nested.run.objective.removeprefix("val_")
        score, estimate = (
            part.figure(figure)
            for part in (nested.summary.selection_score, nested.summary.estimate)
        )
        lines.append(
            Text(
                f"  {nested.run.objective}: selection score {_spread(score)}, "
                f"estimate {_spread(estimate)}"
            )
        )
    return lines


def _spread(figure: SummaryFigure) -> str:
    values = (figure.mean, figure.std)
    return " ± ".join("undefined" if value is None else f"{value:.4f}" for value in values)


def noise_lines(folder: Path) -> list[Text]:
    """Progress of the repeats."""
    floor = read_noise(folder)
    counts = ", ".join(
        f"{floor.count(kind)} of {floor.run[name]} {title}"
        for kind, name, title in (
            ("seed", "repeats", "seeds"),
            ("assignment", "assignments", "assignments to folds"),
        )
        if floor.run[name]
    )
    lines = [Text(f"noise: {counts} done")]
    lines += [Text(f"  {problem}", style="red") for problem in (*floor.failures, *floor.problems)]
    metric = floor.run.objective.removeprefix("val_")
    spread = noise_spread(floor.values)
    for row in spread[spread["metric"] == metric].to_dict("records"):
        if not math.isnan(row["std"]):
            lines.append(
                Text(
                    f"  {floor.run.objective}, {KINDS[row['kind']]}: {row['mean']:.4f}, "
                    f"SD {row['std']:.4f}"
                )
            )
    return lines


def _progress(folder: Path) -> tuple[int, int, float]:
    """The numbers of ended and of planned trials of a search, and the seconds of the ended ones."""
    project = read_project(folder)
    ended = [trial for trial in project.trials if trial.has_ended]
    seconds = sum(fold.seconds for trial in ended for fold in trial.folds)
    return len(ended), project.run.num_trials, seconds


def _time_left(nested: Nested) -> str:
    if len(nested.outer) == nested.outer_folds:
        return ""
    ended, seconds = 0, 0.0
    for number in range(nested.outer_folds):
        for regime in (REGIME_1, REGIME_2):
            folder = outer_folder(nested.folder, number) / regime
            if (folder / RUN_FILE).is_file():
                trials, _, took = _progress(folder)
                ended, seconds = ended + trials, seconds + took
    total = nested.outer_folds * sum(nested.run.trials.values())
    if not 0 < ended < total:
        return ""
    return f", about {duration(seconds / ended * (total - ended))} left"


def _selection_row(score: float | None) -> dict[Hashable, Any]:
    """The score of the trial that was repeated, below its repeats."""
    row: dict[Hashable, Any] = dict.fromkeys((column.name for column in NOISE_COLUMNS), "")
    return row | {"kind": "selection score", "mean": score}
