"""CSV: no cell that came from a user's file is a formula, and each comes back as it was."""

import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rust_tuner.data.csv_output import csv_text, original_text
from rust_tuner.data.formulas import safe_text

BEGINNINGS = "=+-@\t\r"


@pytest.mark.parametrize("cell", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\r=1"])
def test_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert safe_text(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "P-1", "-1", "+2.5", "-1e-7", "1-2", "'quoted'", "a=b"])
def test_what_is_no_formula_stays(cell: str) -> None:
    assert safe_text(cell) == cell


@pytest.mark.slow
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=1))
def test_every_cell_comes_back_as_it_was(cells: list[str]) -> None:
    text = csv_text(pd.DataFrame({"patient_id": cells, "value": 1.5}))
    back = pd.read_csv(
        io.StringIO(text, newline=""),
        dtype={"patient_id": "str"},
        keep_default_na=False,
        lineterminator="\n",
    )
    assert original_text(back["patient_id"]).tolist() == cells


@pytest.mark.slow
@given(st.text(), st.sampled_from(BEGINNINGS))
def test_no_written_cell_begins_as_a_formula_unless_it_is_a_number(rest: str, first: str) -> None:
    written = safe_text(first + rest)
    assert written[:1] not in tuple(BEGINNINGS) or is_number(written)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_numbers_and_column_names_are_written_as_they_should_be() -> None:
    text = csv_text(pd.DataFrame({"=bad": [-1.5], "n": pd.array([-2], dtype="Int64")}))
    assert text == "'=bad,n\n-1.5,-2\n"


def test_columns_of_one_name_keep_their_cells() -> None:
    table = pd.DataFrame([["=a", "b"]], columns=["x", "x"])
    assert csv_text(table) == "x,x\n'=a,b\n"
