"""Tables of scores as text: what is not a table is said, and nothing moves into another column."""

import datetime
from pathlib import Path

import pandas as pd
import pytest

from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.sheet_columns import understand_columns
from rust_tuner.data.sheet_scores import read_date, read_scored_views
from rust_tuner.data.sheets import QuotationError, read_sheet
from rust_tuner.errors import ManifestError
from rust_tuner.protocol import ANATOMICAL_VIEWS


def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("patient,comment,medial,lateral\nP1,2,1,3,4\nP2,fine,1,2\n")
    with pytest.raises(ManifestError, match="row 2: 5 cells, but the header has 4"):
        read_sheet(path)
    path.write_text('patient,comment,medial,lateral\nP1,"2,\n1",3,4,\n\nP2,fine,1,2,\n')
    rows = dict(read_sheet(path).rows)
    assert rows[2]["comment"] == "2,\n1" and rows[2]["medial"] == "3"
    assert rows[4]["patient"] == "P2"


def test_a_field_without_end_is_no_valid_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("patient,medial\nP1," + "1" * 200_000 + "\n")
    with pytest.raises(ManifestError, match="not valid CSV"):
        read_sheet(path)


WIDE = "patient;visit;ap_image;lateral_image;medial;lateral;anterior;posterior;remark"


@pytest.mark.parametrize(
    "rows",
    [
        # To the next quotation mark, and to the end of the file.
        ['P1;6w;a;b;1;2;3;4;"stable', "P2;6w;c;d;1;2;3;4;", 'P3;6w;e;f;1;2;3;4;"fine"'],
        ['P1;6w;a;b;1;2;3;4;"stable', "P2;6w;c;d;1;2;3;4;", "P3;6w;e;f;1;2;3;4;fine"],
        ['P1;6w;a;b;1;2;3;4;"stable', "P2;6w;c;d;1;2", "P3;6w;e;f;1;2;3;4;fine"],
        # Two that make a pair, in the last and in another column.
        ['P1;6w;a;b;1;2;3;4;"stable', 'P2;6w;c;d;1;2;3;4;fine"', "P3;6w;e;f;1;2;3;4;"],
        ['P1;"6w;a;b;1;2;3;4;', 'P2;6w";c;d;1;2;3;4;', "P3;6w;e;f;1;2;3;4;"],
    ],
)
@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_a_stray_quotation_mark_swallows_no_row(
    rows: list[str], separator: str, tmp_path: Path
) -> None:
    path = tmp_path / "q.csv"
    path.write_text("\n".join([WIDE, *rows]).replace(";", separator) + "\n")
    with pytest.raises(QuotationError, match="look for a quotation mark without a second"):
        read_sheet(path)
    with pytest.raises(ManifestError, match=r"q\.csv row [2-5]: .* quotation mark"):
        load_manifest(path)


def test_a_text_of_several_lines_is_no_swallowed_row(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(
        f'{WIDE}\nP1;6w;a;b;1;2;3;4;"no pain; walks\nwell; stable"\nP2;6w;c;d;1;2;3;4;\n'
    )
    assert len(read_sheet(path).rows) == 2


def test_a_row_that_lacks_a_cell_moves_no_score(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(f"{WIDE}\nP1;6w;a;b;1;2;3;4;\nP2;6w;c;d;1;2;4\n")
    with pytest.raises(ManifestError, match=r"row 3: the row has fewer cells .* for 'posterior'"):
        load_manifest(path)
    # A missing remark moves nothing.
    sheet_path = tmp_path / "r.csv"
    sheet_path.write_text(f"{WIDE}\nP1;6w;a;b;1;2;3;4\n")
    sheet = read_sheet(sheet_path)
    columns = understand_columns(sheet.columns, source=sheet.source)
    entries, _ = read_scored_views(sheet, columns, view_cortices=ANATOMICAL_VIEWS)
    assert [entry.scores for entry in entries] == [
        {"medial": 1, "lateral": 2},
        {"anterior": 3, "posterior": 4},
    ]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2021-03-04", datetime.date(2021, 3, 4)),
        ("2021-03-04 10:30:00", datetime.date(2021, 3, 4)),
        ("2021-03-04T10:30:00.5", datetime.date(2021, 3, 4)),
        ("4.3.2021 10:30", datetime.date(2021, 3, 4)),
        ("20210304", datetime.date(2021, 3, 4)),
        ("2021111", None),
        ("12.03.20213", None),
        ("2021-03-04 or later", None),
        ("03/04/2021", None),
    ],
)
def test_a_date_is_read_only_if_it_is_one(text: str, date: str | None) -> None:
    assert read_date(text) == date


def test_a_visit_named_by_its_date_has_that_date(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("patient,visit,medial\nP1,2021-03-04,2\n")
    sheet = read_sheet(path)
    columns = understand_columns(sheet.columns)
    (entry,), _ = read_scored_views(sheet, columns, view_cortices=ANATOMICAL_VIEWS)
    assert entry.date == datetime.date(2021, 3, 4)


def test_formulas_that_were_never_calculated_are_not_read_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    pd.DataFrame({"patient": ["P1", "P2"], "medial": ["=1+1", 2]}).to_excel(path, index=False)
    with pytest.raises(ManifestError, match="no program has calculated"):
        read_sheet(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings_give_the_same_cells(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("patient;médial\n007;2\n", encoding=encoding)
    assert read_sheet(path).rows == ((2, {"patient": "007", "médial": "2"}),)


@pytest.mark.parametrize("name", ["medial_rater1", "medial reader2", "medial_left", "medial (R)"])
def test_a_reader_or_a_leg_is_no_visit(name: str) -> None:
    columns = understand_columns(["patient", "medial", name])
    assert [column.name for column in columns.scores] == ["medial"]
    assert columns.unused == (name,)


def test_a_second_visit_beside_a_column_of_visits_is_asked_for() -> None:
    with pytest.raises(ManifestError, match="'medial 2' names visit 2 too"):
        understand_columns(["patient", "visit", "medial", "medial 2"])
    assert len(understand_columns(["patient", "medial 1", "medial 2"]).scores) == 2


def test_a_header_of_merged_cells_has_two_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "RUST scores\n\nPatient;Visit;AP;;Lateral;;Comment\n;;medial;lateral;anterior;posterior;\n"
        "P1;6w;1;2;3;4;fine\n"
    )
    sheet = read_sheet(path)
    names = ("Patient", "Visit", "AP medial", "AP lateral", "Lateral anterior")
    assert sheet.columns == (*names, "Lateral posterior", "Comment")
    assert sheet.rows == ((5, dict(zip(sheet.columns, "P1 6w 1 2 3 4 fine".split(), strict=True))),)
    assert sheet.notes[-1] == "a.csv: the header has two rows, 3 and 4"
    scores = understand_columns(sheet.columns).scores
    assert [(score.view, score.cortex) for score in scores] == [
        *(("ap", "medial"), ("ap", "lateral")),
        *(("lateral", "anterior"), ("lateral", "posterior")),
    ]


@pytest.mark.parametrize(
    "row", ["P1;AP;x;x;look again", "P1;AP;1;2;", ";;1;2;look again", "P1;;;;see P2"]
)
def test_a_row_of_data_is_no_second_row_of_the_header(tmp_path: Path, row: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"Patient;View;medial;lateral;\n{row}\nP2;AP;1;2;\n")
    sheet = read_sheet(path)
    assert sheet.columns == ("Patient", "View", "medial", "lateral")
    assert len(sheet.rows) == 2


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_read_and_said(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("patient\tmedial\nMüller\t3\n".encode(encoding))
    sheet = read_sheet(path)
    assert sheet.rows == ((2, {"patient": "Müller", "medial": "3"}),)
    assert "no byte order mark" in sheet.notes[0]
    path.write_bytes(b"\0\1\2\0" * 50)
    with pytest.raises(ManifestError, match="binary content"):
        read_sheet(path)


def test_a_remark_below_a_table_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("patient,medial\nP1,3\n\nLegend: 1 is no callus,\n")
    sheet = read_sheet(path)
    columns = understand_columns(sheet.columns)
    entries, notes = read_scored_views(sheet, columns, view_cortices=ANATOMICAL_VIEWS)
    assert [entry.patient_id for entry in entries] == ["P1"]
    assert notes == ["row 4 has one cell only and was left out, as a remark"]
    path.write_text("patient,medial\nP1,3\n,2\n")
    with pytest.raises(ManifestError, match=r"row 3: scores without a patient; .* merged cells"):
        read_scored_views(read_sheet(path), columns, view_cortices=ANATOMICAL_VIEWS)


def test_a_first_row_of_data_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("P1,3,3\nP2,1,2\n")
    with pytest.raises(ManifestError, match=r"several columns are named '3'.* add a header above"):
        read_sheet(path)
    path.write_text("\n")
    with pytest.raises(ManifestError, match="the file is empty"):
        read_sheet(path)
