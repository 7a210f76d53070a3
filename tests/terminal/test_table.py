"""Tables on the terminal: texts as they are, and numbers in four digits."""

import io

import pytest
from rich.console import Console

from rust_tuner.terminal.table import TABLE_WIDTH, plain_table
from rust_tuner.words import four_digits


def test_what_looks_like_markup_is_shown_as_it_is_and_the_table_is_as_wide_as_all_others() -> None:
    table = plain_table("[bold]title", "caption [red]")
    table.add_column("[left]")
    table.add_row("image[1].png")
    written = io.StringIO()
    console = Console(file=written, width=100)
    console.print(table)
    shown = written.getvalue()
    for text in ("[bold]title", "caption [red]", "[left]", "image[1].png"):
        assert text in shown
    assert {len(line) for line in shown.splitlines() if "─" in line} == {TABLE_WIDTH}


@pytest.mark.parametrize(
    ("value", "told"), [(0.123456, "0.1235"), (1e-7, "1e-07"), (1600, "1600"), ("adam", "adam")]
)
def test_a_number_has_at_most_four_digits(value: float | int | str, told: str) -> None:
    assert four_digits(value) == told
