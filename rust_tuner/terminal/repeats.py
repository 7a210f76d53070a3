"""Nested cross-validation and noise floor on the terminal: tables and status lines."""

from collections.abc import Hashable
from typing import Any

from rich.console import Group
from rich.table import Table

from rust_tuner.analysis.columns import NOISE_COLUMNS, SUMMARY_COLUMNS, outer_columns
from rust_tuner.analysis.nested import SUMMARY_CAPTION, outer_table, stability_table, summary_table
from rust_tuner.analysis.noise import noise_caption, noise_spread
from rust_tuner.records.nested import FIGURES, Nested
from rust_tuner.records.noise import METRICS_REPEATED, NoiseFloor
from rust_tuner.scope import SCOPES
from rust_tuner.terminal.table import add_results, mean_and_spread, plain_table
from rust_tuner.words import four_digits

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
        table = plain_table(title, noise_caption(floor) if is_last else "")
        rows = spread[spread["metric"] == metric].to_dict("records")
        add_results(table, [*rows, _selection_row(run.selection_score[metric])], NOISE_COLUMNS)
        parts.append(table)
    return Group(*parts)


def _selection_row(score: float | None) -> dict[Hashable, Any]:
    """The score of the trial that was repeated, below its repeats."""
    row: dict[Hashable, Any] = dict.fromkeys((column.name for column in NOISE_COLUMNS), "")
    return row | {"kind": "selection score", "mean": score}
