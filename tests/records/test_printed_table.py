"""A printed table shows its first columns, and is otherwise like any DataFrame."""

from pathlib import Path

import pandas as pd
import pytest

from rust_tuner.records.printed_table import PrintedTable


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> PrintedTable:
    monkeypatch.setenv("COLUMNS", "80")
    columns = {f"column_{number:02}": [0.123456, float("nan")] for number in range(30)}
    return PrintedTable(pd.DataFrame(columns | {"message": ["x" * 300, None]}))


def test_the_first_columns_are_shown_and_the_others_named(wide: PrintedTable) -> None:
    shown = str(wide)
    assert shown.split()[:7] == [f"column_{number:02}" for number in range(7)]
    for name in wide.columns:
        assert name in shown
    assert "[2 rows x 31 columns; not shown: column_07," in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_more_columns_are_shown_on_a_wider_terminal(
    wide: PrintedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert "not shown: column_10," in str(wide)


def test_a_table_that_fits_or_is_empty_prints_as_in_pandas(wide: PrintedTable) -> None:
    plain = pd.DataFrame(wide[["column_00", "column_01"]])
    assert str(PrintedTable(plain)) == str(plain)
    assert str(PrintedTable(pd.DataFrame())) == str(pd.DataFrame())


def test_a_display_option_of_the_user_is_obeyed(wide: PrintedTable) -> None:
    with pd.option_context("display.max_columns", 4):
        assert str(wide) == str(pd.DataFrame(wide))


def test_what_is_made_of_it_is_a_plain_table_with_every_column(
    wide: PrintedTable, tmp_path: Path
) -> None:
    assert type(wide.head(1)) is pd.DataFrame
    assert list(wide.copy().columns) == list(wide.columns)
    wide.to_csv(tmp_path / "table.csv", index=False)
    assert list(pd.read_csv(tmp_path / "table.csv").columns) == list(wide.columns)
