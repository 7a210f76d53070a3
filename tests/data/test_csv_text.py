"""CSV text: every cell stays the text that it is, and every row keeps its number."""

import csv
import io
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.data.csv_text import closest, read_columns, read_rows
from rust_tuner.data.faults import Faults
from rust_tuner.errors import ManifestError


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def columns_of(
    path: Path, *, required: tuple[str, str] = ("a", "b"), optional: tuple[str] = ("c",)
) -> tuple[list[int], dict[str, list[str]], Faults]:
    faults = Faults(path.name)
    return *read_columns(path, required=required, optional=optional, faults=faults), faults


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8).map(str.strip)


@pytest.mark.slow
@settings(deadline=None)
@given(
    table=st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=5).filter(
        lambda table: any(table[0])
    ),
    newline=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_rows_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], newline: Any, mark: Any
) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows(table)
    path = write(tmp_path_factory.mktemp("csv"), mark + stream.getvalue().encode())
    expected = [(number, row) for number, row in enumerate(table, 1) if any(row)]
    assert read_rows(path).rows == expected


def test_cells_are_never_turned_into_anything_else(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n007,NA\n1e3,1.50\nTrue,2020-01-02\n")
    assert [cells for _, cells in read_rows(path).rows[1:]] == [
        ["007", "NA"],
        ["1e3", "1.50"],
        ["True", "2020-01-02"],
    ]


def test_blanks_around_cells_are_dropped_but_for_the_header(tmp_path: Path) -> None:
    path = write(tmp_path, "a , b\n 1 ,\t2 \n")
    assert read_rows(path).rows == [(1, ["a ", " b"]), (2, ["1", "2"])]


def test_a_row_counts_as_a_spreadsheet_counts_it(tmp_path: Path) -> None:
    # Blank rows count although they are left out; a cell of two lines is one row.
    path = write(tmp_path, 'a,b\n\n , \n"two\nlines",x\nlast,y\n')
    assert read_rows(path).rows == [(1, ["a", "b"]), (4, ["two\nlines", "x"]), (5, ["last", "y"])]


def test_a_path_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"x\.csv cannot be read \(File name too long\)"):
        read_rows(tmp_path / ("x" * 5000 + "x.csv"))


def test_known_columns_are_found_wherever_they_stand_and_optional_ones_may_be_missing(
    tmp_path: Path,
) -> None:
    rows, columns, faults = columns_of(write(tmp_path, "b,a\n1,2\n\n3,4\n"))
    assert (rows, columns) == ([2, 4], {"a": ["2", "4"], "b": ["1", "3"]})
    assert len(faults) == 0
    rows, columns, faults = columns_of(write(tmp_path, "c,b,a\n5,1,2\n"))
    assert (rows, columns) == ([2], {"a": ["2"], "b": ["1"], "c": ["5"]})
    assert len(faults) == 0


def test_faulty_rows_and_columns_are_left_out_and_the_rest_is_read(tmp_path: Path) -> None:
    rows, columns, faults = columns_of(write(tmp_path, "a,zzz,b\n1,x,2\n3,4\n5,x,6,7\n8,x,9\n"))
    assert (rows, columns) == ([2, 5], {"a": ["1", "8"], "b": ["2", "9"]})
    with pytest.raises(ManifestError) as caught:
        faults.raise_any()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("t.csv row 1: unknown column 'zzz'; rename or remove it")
    assert lines[1].startswith("t.csv row 3: 2 values, but the header has 3 columns")
    assert lines[2].startswith("t.csv row 4: 4 values, but the header has 3 columns")


def test_a_misspelled_column_is_one_fault_and_its_values_are_not_read(tmp_path: Path) -> None:
    _, columns, faults = columns_of(
        write(tmp_path, "patient,b\n1,2\n"), required=("patient_id", "b")
    )
    assert columns == {"b": ["2"]}
    assert len(faults) == 1
    with pytest.raises(ManifestError, match=r"there is 'patient'; rename it to 'patient_id'$"):
        faults.raise_any()


def test_a_file_separated_otherwise_has_that_fault_alone(tmp_path: Path) -> None:
    for separator, name in ((";", "';'"), ("\t", r"'\\t'")):
        content = separator.join("ab") + "\n" + separator.join("12") + "\n"
        with pytest.raises(ManifestError) as caught:
            columns_of(write(tmp_path, content))
        assert str(caught.value).splitlines() == [str(caught.value)]
        with pytest.raises(ManifestError, match=f"row 1: the columns are separated by {name}"):
            columns_of(write(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Patient ID", "patient_id"),
        ("patient", "patient_id"),
        ("VIEW", "view"),
        ("vew", "view"),
        ("visits", "visit"),
        ("age", None),
        ("", None),
    ],
)
def test_a_name_is_taken_for_the_candidate_that_it_resembles(name: str, meant: str | None) -> None:
    assert closest(name, ("patient_id", "view", "visit")) == meant


def test_nothing_resembles_no_candidates() -> None:
    assert closest("view", ()) is None


@pytest.mark.parametrize(
    "line", ["sep=,", "sep=;", "sep=\t", "sep=|", "SEP=;", '"sep=,"', "sep=; "]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_first_line_that_names_the_separator_is_followed_and_counted(
    tmp_path: Path, line: str, newline: str, mark: str
) -> None:
    separator = line.strip(' "')[4:]
    lines = [line, separator.join("ab"), separator.join("12"), "", separator.join("34")]
    rows, columns, faults = columns_of(write(tmp_path, mark + newline.join(lines) + newline))
    assert (rows, columns) == ([3, 5], {"a": ["1", "3"], "b": ["2", "4"]})
    assert len(faults) == 0


def test_faults_below_a_separator_line_keep_the_rows_of_the_file(tmp_path: Path) -> None:
    *_, faults = columns_of(write(tmp_path, "sep=;\n\na;c\n1\n"))
    with pytest.raises(ManifestError) as caught:
        faults.raise_any()
    blank, missing, short = str(caught.value).splitlines()
    assert blank.startswith("t.csv row 2: blank; expected the header here")
    assert missing.startswith("t.csv row 3: column 'b' is missing")
    assert short.startswith(
        "t.csv row 4: 1 values, but the header has 2 columns; look for an extra"
    )
    with pytest.raises(ManifestError, match=r"row 3: not valid CSV"):
        columns_of(write(tmp_path, 'sep=,\na,b\n"1,2\n'))


@pytest.mark.parametrize("named", ["", "x", ";;", ", ,", "tab"])
def test_another_separator_line_is_refused_with_what_is_expected(
    tmp_path: Path, named: str
) -> None:
    with pytest.raises(ManifestError, match=r"row 1: sep=.*; expected a comma, a semicolon, a tab"):
        columns_of(write(tmp_path, f"sep={named}\na,b\n1,2\n"))


def test_a_table_that_is_separated_otherwise_than_its_first_line_says_has_that_fault(
    tmp_path: Path,
) -> None:
    with pytest.raises(ManifestError, match=r"row 2: .*separated by ',', expected ';', as row 1"):
        columns_of(write(tmp_path, "sep=;\na,b\n1,2\n"))


def test_what_is_no_regular_file_or_no_path_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ManifestError, match=r"pipe\.csv is not a regular file"):
        read_rows(tmp_path / "pipe.csv")
    with pytest.raises(ManifestError, match="is not a valid path"):
        read_rows(tmp_path / "a\0b.csv")


def test_a_header_of_many_unknown_columns_is_one_fault(tmp_path: Path) -> None:
    header = ",".join(f"column{n}" for n in range(30_000))
    start = time.process_time()
    with pytest.raises(ManifestError, match="30000 unknown columns, the first is 'column0'"):
        columns_of(write(tmp_path, f"{header}\n1\n"))
    assert time.process_time() - start < 5


def test_a_long_text_resembles_nothing_and_is_not_compared() -> None:
    start = time.process_time()
    assert closest("view" * 1_000_000, ("view", "visit")) is None
    assert time.process_time() - start < 5
