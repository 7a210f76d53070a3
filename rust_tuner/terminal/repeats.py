"""Nested cross-validation and noise floor on the terminal: tables and status lines."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich.console import Group
from rich.table import Table

from rust_tuner.analysis.columns import outer_columns
from rust_tuner.analysis.nested import (
    SUMMARY_CAPTION,
    SUMMARY_NAMES,
    outer_table,
    stability_table,
    summary_table,
)
from rust_tuner.analysis.noise import NOISE_CAPTION, noise_spread
from rust_tuner.records.nested import FIGURES, Nested
from rust_tuner.records.noise import METRICS_REPEATED, NoiseFloor
from rust_tuner.scope import SCOPES
from rust_tuner.terminal.table import add_results, mean_and_spread, plain_table
from rust_tuner.words import four_digits

_HEADERS = {scope.metric: f"AUROC, {scope.short}" for scope in SCOPES}
_KINDS = {"seed": "seeds", "assignment": "assignments"}
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
    table.add_column("value: outer folds", overflow="fold")
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
    table.add_column("")
    for figure in FIGURES:
        table.add_column(_HEADERS[figure], overflow="fold")
    summary = summary_table(nested)
    for what, title in SUMMARY_NAMES.items():
        rows = summary[summary["what"] == what].to_dict("records")
        cells = (_with_interval(row, signed=what in _SIGNED) for row in rows)
        table.add_row(title, *cells)
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
        for name in ("", "repeats", "mean", "SD", "95 % range", "difference"):
            table.add_column(name, no_wrap=not name)
        for row in spread[spread["metric"] == metric].to_dict("records"):
            table.add_row(
                _KINDS[row["kind"]],
                str(row["repeats"]),
                mean_and_spread(row["mean"]),
                "-" if pd.isna(row["std"]) else f"{row['std']:.4f}",
                _range(row["low"], row["high"]),
                mean_and_spread(row["difference"]),
            )
        score = mean_and_spread(run.selection_score[metric])
        table.add_row("selection score", "", score, *[""] * 3)
        parts.append(table)
    return Group(*parts)


def _with_interval(row: Mapping[Hashable, Any], *, signed: bool) -> str:
    text = mean_and_spread(row["value"], row["std"], signed=signed)
    return text if pd.isna(row["low"]) else f"{text} ({_range(row['low'], row['high'])})"


def _range(low: float, high: float) -> str:
    return "-" if pd.isna(low) else f"{low:.3f}-{high:.3f}"
