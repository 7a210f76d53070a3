"""Columns of results: one list for the page and the terminal, which agree on every value."""

import io
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from rust_tuner.analysis.columns import Column, baseline_columns, outer_columns, trial_columns
from rust_tuner.report.page import results
from rust_tuner.scope import AUROCS
from rust_tuner.terminal.table import add_results, plain_table

COLUMNS = [
    Column("trial", "trial", "id", narrow="trial"),
    Column("size", "batch size", "value", narrow="batch\nsize", marked_by="one_step"),
    Column("tied", "tied", "yes_or_no", narrow="tied"),
    Column("score", "AUROC", "number", narrow="AUROC", beside="score_std"),
    Column("low", "interval", "interval", beside="high"),
    Column("epoch", "epoch", "whole", narrow="epoch", plus=1),
    Column("gap", "gap", "number", narrow="gap", is_signed=True),
]
ROWS: list[dict[str, Any]] = [
    {"trial": "0007", "size": 64, "one_step": True, "tied": True, "score": 0.8125}
    | {"score_std": 0.02, "low": 0.7, "high": 0.9, "epoch": 4, "gap": -0.0001},
    {"trial": "0011", "size": 16, "one_step": pd.NA, "tied": pd.NA, "score": float("nan")}
    | {"score_std": float("nan"), "low": float("nan"), "high": 0.9, "epoch": pd.NA, "gap": 0.25},
]


def on_terminal(columns: list[Column], rows: list[dict[str, Any]]) -> list[list[str]]:
    table = plain_table("", "")
    add_results(table, rows, columns)
    shown = Console(file=io.StringIO(), width=200)
    shown.print(table)
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    return [list(row) for row in zip(*cells, strict=True)]


def test_the_page_has_every_column_and_deviations_in_columns_of_their_own() -> None:
    page = results("Trials", ROWS, COLUMNS, {})
    names = ["trial", "batch size", "tied", "AUROC", "± SD", "interval", "epoch", "gap"]
    assert list(page.header) == names
    texts = [[text for text, _ in row] for row in page.rows]
    assert texts == [
        ["0007", "64", "yes", "0.812", "0.020", "0.700 to 0.900", "5", "0.000"],
        ["0011", "16", "", "", "", "", "", "0.250"],
    ]
    # Trials are sorted by their number.
    assert [row[0][1] for row in page.rows] == [7.0, 11.0]


def test_the_terminal_has_the_narrow_ones_and_deviations_beside_their_numbers() -> None:
    assert on_terminal(COLUMNS, ROWS) == [
        ["0007", "64!", "yes", "0.812 ± 0.020", "4", "+0.000"],
        ["0011", "16", "-", "-", "", "+0.250"],
    ]


@pytest.mark.parametrize(
    "columns",
    [
        baseline_columns(),
        trial_columns({"units": "hp_units"}, ["val_auroc"], objective="val_auroc"),
        outer_columns(["batch_size"]),
    ],
)
def test_no_column_stands_twice_and_some_fit_the_terminal(columns: list[Column]) -> None:
    names = [column.name for column in columns]
    assert len(set(names)) == len(names)
    narrow = [column.narrow for column in columns if column.narrow is not None]
    assert 3 < len(narrow) < len(columns)
    assert all(len(line) < 16 for title in narrow for line in title.split("\n"))


def test_the_objective_is_marked_on_the_terminal_alone() -> None:
    columns = trial_columns({}, [f"val_{name}" for name in AUROCS], objective="val_cortex_auroc")
    marked = {column.name for column in columns if column.narrow and "*" in column.narrow}
    assert marked == {"val_cortex_auroc"}
    assert not any("*" in column.header for column in columns)
