"""Manifests: what is accepted, what is refused, and what the refusal says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from narrowing import not_none

from rust_tuner.data.faults import MAX_FAULTS_SHOWN
from rust_tuner.data.manifest import Radiographs, check_views, load_manifest
from rust_tuner.errors import ManifestError
from rust_tuner.labels import CORTEX_LABELS, CORTICES, LABELS
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS

HEADER = "image,patient_id,visit,view,medial,lateral,anterior,posterior"
ROWS = [
    "a.png,007,baseline,ap,1,2,,",
    "b.png,007,baseline,lateral,,,3,4",
    "c.png,NA,baseline,ap,3.0,4,,",
    "d.png,NA,baseline,lateral,,,,1",
]


def write(
    folder: Path,
    rows: list[str],
    *,
    header: str = HEADER,
    images: str = "abcd",
    name: str = "m.csv",
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for letter in images:
        (folder / f"{letter}.png").write_bytes(b"not looked at")
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def refusal(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    return str(caught.value).splitlines()


def table(**changes: object) -> pd.DataFrame:
    columns: dict[str, object] = {
        "image": ["a.png", "b.png"],
        "patient_id": ["p1", "p1"],
        "visit": ["baseline", "baseline"],
        "view": ["ap", "lateral"],
        "medial": [1, None],
        "lateral": [2, None],
        "anterior": [np.nan, 3],
        "posterior": [None, 4],
    }
    return pd.DataFrame(columns | changes)


def test_a_manifest_is_read_as_it_stands(tmp_path: Path) -> None:
    radiographs = load_manifest(write(tmp_path, ROWS))
    assert len(radiographs) == 4
    assert radiographs.patient_ids.tolist() == ["007", "007", "NA", "NA"]
    assert radiographs.rows == (2, 3, 4, 5)
    assert radiographs.images == tuple((tmp_path / f"{x}.png").resolve() for x in "abcd")
    assert radiographs.source == "m.csv"
    named = [{LABELS[i] for i in np.flatnonzero(row)} for row in radiographs.labels]
    assert named == [
        {"view_ap", "medial_1", "lateral_2"},
        {"view_lateral", "anterior_3", "posterior_4"},
        {"view_ap", "medial_3", "lateral_4"},
        {"view_lateral", "posterior_1"},
    ]
    assert radiographs.labels.dtype == np.float32
    assert radiographs.labels.shape == (4, 18)
    assert radiographs.visible.dtype == np.bool_
    assert radiographs.visible[3].tolist() == [
        label.startswith("posterior") for label in CORTEX_LABELS
    ]


def test_blanks_a_byte_order_mark_and_blank_rows_do_not_matter(tmp_path: Path) -> None:
    rows = [ROWS[0].replace(",007,", ", 007 ,"), ROWS[1], ",,,,,,,", "", *ROWS[2:]]
    path = write(tmp_path, rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    radiographs = load_manifest(path)
    assert radiographs.patient_ids.tolist() == ["007", "007", "NA", "NA"]
    assert radiographs.rows == (2, 3, 6, 7)


def test_columns_may_stand_in_any_order_and_a_site_is_carried_along(tmp_path: Path) -> None:
    order = "site,posterior,anterior,lateral,medial,view,visit,patient_id,image"
    rows = ["Oslo," + ",".join(reversed(row.split(","))) for row in ROWS]
    radiographs = load_manifest(write(tmp_path, rows, header=order))
    assert radiographs.table["site"].tolist() == ["Oslo"] * 4
    plain = load_manifest(write(tmp_path / "plain", ROWS))
    np.testing.assert_array_equal(radiographs.labels, plain.labels)
    assert list(plain.table.columns) == HEADER.split(",")


def test_image_paths_are_relative_to_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "data", ROWS)
    monkeypatch.chdir(tmp_path)
    radiographs = load_manifest(path.relative_to(tmp_path))
    assert radiographs.images[0] == (tmp_path / "data" / "a.png").resolve()


@pytest.mark.parametrize("score", ["5", "0", "2.5", "two", "-1", "nan", "1e0", "٣"])
def test_a_score_outside_its_range_is_named_with_row_and_column(tmp_path: Path, score: str) -> None:
    path = write(tmp_path, [ROWS[0], f"b.png,007,baseline,lateral,,,{score},4"])
    assert refusal(path) == [f"m.csv row 3: anterior={score}; a RUST score is 1-4 or empty"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b.png,007,1,AP,1,,,", "view=AP; a view is ap or lateral, did you mean 'ap'?"),
        ("b.png,007,1,oblique,1,,,", "view=oblique; a view is ap or lateral"),
        ("b.png,007,1,,1,,,", "view is empty; a view is ap or lateral"),
        ("b.png, ,1,ap,1,,,", "patient_id is empty; every radiograph needs its patient"),
        ("b.png,007,,ap,1,,,", "visit is empty; it is needed to pair the two views"),
        (",007,1,ap,1,,,", "image is empty; give the path"),
        ("x.png,007,1,ap,1,,,", "image=x.png; no such file, expected at "),
        ("../up,007,1,ap,1,,,", "image=../up; no such file, expected at "),
        (".,007,1,ap,1,,,", " is not a file; give the path of the image"),
        ("i\\b.png,007,1,ap,1,,,", "(with / between folders)"),
        (f"{'x' * 5000}.png,007,1,ap,1,,,", "no such file, expected at "),
        ("a.png,007,1,ap,1,,,", "image=a.png; the same file as in row 2, keep one"),
        ("./sub/../a.png,007,1,ap,1,,,", "the same file as in row 2"),
        (
            "b.png,007,baseline,ap,1,,,",
            "patient_id=007, visit=baseline, view=ap is also in row 2; keep one",
        ),
        ("b.png,007,baseline,ap,1,,", "7 values, but the header has 8 columns"),
        ("b.png,007,baseline,ap,1,,,,", "9 values, but the header has 8 columns"),
    ],
)
def test_a_faulty_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "sub").mkdir()
    (fault,) = refusal(write(tmp_path, [ROWS[0], row]))
    assert fault.startswith("m.csv row 3: ")
    assert message in fault


def test_one_file_under_two_names_is_one_image(tmp_path: Path) -> None:
    path = write(tmp_path, [ROWS[0], ROWS[1]], images="a")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (fault,) = refusal(path)
    assert "image=b.png; the same file as in row 2" in fault


def test_all_faults_of_a_file_are_told_together_in_the_order_of_rows(tmp_path: Path) -> None:
    rows = [ROWS[0], "b.png,,1,up,7,,,", "x.png,8,1,ap,1,,,", "a.png,9", ROWS[0]]
    faults = refusal(write(tmp_path, rows))
    assert [not_none(re.match(r"m\.csv row (\d+)", fault))[1] for fault in faults] == [
        "3", "3", "3", "4", "5", "6", "6",
    ]  # fmt: skip


def test_of_a_long_list_the_first_faults_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    rows = [f"x{n}.png,{n},1,ap,1,,," for n in range(MAX_FAULTS_SHOWN + 7)]
    faults = refusal(write(tmp_path, rows))
    assert len(faults) == MAX_FAULTS_SHOWN + 1
    assert faults[-1] == "and 7 more faults"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            HEADER.replace("patient_id", "patientid_"),
            "column 'patient_id' is missing, but there is 'patientid_'; rename it to 'patient_id'",
        ),
        (HEADER.replace("view", "views"), "column 'view' is missing, but there is 'views'"),
        (HEADER.replace("visit", "age"), "column 'visit' is missing; expected image, patient_id"),
        (HEADER + ",sites", "unknown column 'sites'; rename or remove it, did you mean 'site'?"),
        (HEADER + ",view", "column 'view' appears 2 times; keep one"),
        (HEADER.replace(",", ";"), "the columns are separated by ';', expected commas"),
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, header: str, message: str) -> None:
    num_columns = len(re.split("[,;]", header))
    faults = refusal(write(tmp_path, [",".join(["1"] * num_columns)], header=header))
    assert all(fault.startswith("m.csv row ") for fault in faults)
    assert message in "\n".join(fault for fault in faults if "row 1:" in fault)


def test_other_columns_are_left_out_and_noted(tmp_path: Path) -> None:
    rows = [f"0,{row},63,none" for row in ROWS]
    radiographs = load_manifest(write(tmp_path, rows, header=f",{HEADER},age,comment"))
    assert list(radiographs.table) == HEADER.split(",")
    assert radiographs.notes == (
        "m.csv: not used: 'column 1, which has no name', 'age', 'comment'; to have figures by one "
        "of them, such as a device, name it site",
    )
    assert radiographs.subset([0]).notes == radiographs.notes


def test_rows_are_checked_even_where_a_column_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, ["a.png,007,ap,9,,,"], header=HEADER.replace("visit,", ""))
    faults = refusal(path)
    assert faults[0].startswith("m.csv row 1: column 'visit' is missing")
    assert faults[1] == "m.csv row 2: medial=9; a RUST score is 1-4 or empty"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "m.csv: the file is empty"),
        (b"\xef\xbb\xbf\n", "m.csv: the file is empty"),
        (b",,,\n,,,\n", "m.csv: the file contains only blank lines"),
        (HEADER.encode() + b"\n", "m.csv: the table has a header but no rows"),
        (HEADER.encode("utf-16"), "m.csv: encoded as UTF-16, expected UTF-8"),
        (HEADER.encode() + b"\nM\xfcller.png", "m.csv row 2: not encoded as UTF-8 (byte 0xfc)"),
        (b"PK\x03\x04rest", "m.csv: a spreadsheet or zip file, not CSV"),
        (b"\x7fELF\0\0", "m.csv: binary content, not a CSV file"),
        (HEADER.encode() + b'\n"a.png,1', "m.csv row 2: not valid CSV"),
        (b"\n" + HEADER.encode() + b"\na.png,1,1,ap,,,,\n", "m.csv row 1: blank; expected"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(ManifestError, match=f"^{re.escape(message)}"):
        load_manifest(tmp_path / "m.csv")


def test_visits_that_read_alike_are_noted_with_their_rows(tmp_path: Path) -> None:
    rows = ["a.png,P1,6 weeks,ap,1,2,,", "b.png,P1,6 Weeks,lateral,,,1,2"]
    (note,) = load_manifest(write(tmp_path, rows)).notes
    assert "visit=6 weeks (row 2) and visit=6 Weeks (row 3) of one patient read alike" in note
    # Of two patients, and as the same text, they are no mistake.
    rows = ["a.png,P1,6 weeks,ap,1,2,,", "b.png,P2,6 Weeks,lateral,,,1,2"]
    assert load_manifest(write(tmp_path, rows)).notes == ()
    rows = ["a.png,P1,6 weeks,ap,1,2,,", "b.png,P1,6 weeks,lateral,,,1,2"]
    assert load_manifest(write(tmp_path, rows)).notes == ()


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#nv"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_an_error_of_a_spreadsheet_program_is_no_value(
    error: str, column: int, tmp_path: Path
) -> None:
    cells = ["a.png", "P1", "6w", "ap", "1", "2", "", ""]
    cells[column] = error
    lines = refusal(write(tmp_path, [",".join(cells)]))
    assert any("is an error of a spreadsheet program" in line for line in lines)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nothing\.csv: no such file; check the path"):
        load_manifest(tmp_path / "nothing.csv")
    with pytest.raises(ManifestError, match="is a folder; give the CSV file inside it"):
        load_manifest(tmp_path)


def test_any_table_is_copied_and_put_into_form() -> None:
    given_table = table(patient_id=[7.0, 7.0], visit=[1, 1])
    given_table = given_table[given_table.columns[::-1]].assign(age=3).set_index([["x", "y"]])  # type: ignore[arg-type]
    radiographs = Radiographs(given_table)
    assert list(radiographs.table.columns) == HEADER.split(",")
    assert radiographs.table.index.tolist() == [2, 3]
    assert radiographs.table.index.name == "row"
    assert radiographs.patient_ids.tolist() == ["7", "7"]
    assert radiographs.table["visit"].tolist() == ["1", "1"]
    assert all(radiographs.table[cortex].dtype == np.float64 for cortex in CORTICES)
    given_table.loc["x", "medial"] = 4.0
    assert radiographs.table["medial"].tolist()[0] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"medial": [5, None]}, "table row 2: medial=5"),
        ({"medial": [True, None]}, "table row 2: medial=True"),
        ({"medial": [np.inf, None]}, "table row 2: medial=inf"),
        ({"patient_id": ["p", None]}, "table row 3: patient_id is empty"),
        ({"patient_id": ["p", np.nan]}, "table row 3: patient_id is empty"),
        ({"patient_id": ["p", pd.NA]}, "table row 3: patient_id is empty"),
        ({"view": ["ap", "Lateral"]}, "table row 3: view=Lateral; .* did you mean 'lateral'"),
    ],
)
def test_a_table_with_a_faulty_cell_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        Radiographs(table(**changes))


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(ManifestError, match="table: column 'visit' is missing; expected image"):
        Radiographs(table().drop(columns="visit"))


def test_a_table_with_a_column_twice_is_refused() -> None:
    twice = pd.concat([table(), table()[["view"]]], axis=1)
    with pytest.raises(ManifestError, match="column 'view' appears more than once"):
        Radiographs(twice)


@given(data=st.data())
def test_a_subset_keeps_rows_order_and_source(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 6))
    whole = Radiographs(
        pd.DataFrame(
            {
                "image": [f"{n}.png" for n in range(size)],
                "patient_id": [f"p{n}" for n in range(size)],
                "visit": "1",
                "view": "ap",
                "medial": [n % 4 + 1 for n in range(size)],
                "lateral": None,
                "anterior": None,
                "posterior": None,
            }
        ),
        source="m.csv",
    )
    positions = data.draw(st.lists(st.integers(0, size - 1), max_size=8))
    part = whole.subset(positions)
    assert part.source == "m.csv"
    assert part.rows == tuple(position + 2 for position in positions)
    np.testing.assert_array_equal(part.labels, whole.labels[positions])
    np.testing.assert_array_equal(part.visible, whole.visible[positions])
    assert part.subset(np.arange(len(part))).rows == part.rows


def test_a_mask_is_no_subset() -> None:
    with pytest.raises(ManifestError, match=r"subset of bool values .* numpy\.flatnonzero"):
        Radiographs(table()).subset(np.array([True, False]))


def test_arrays_of_a_frozen_value_are_read_only() -> None:
    radiographs = Radiographs(table())
    for array in (radiographs.labels, radiographs.visible, radiographs.patient_ids):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


def test_views_as_expected_give_no_warning() -> None:
    assert check_views(Radiographs(table()), ANATOMICAL_VIEWS) == []


def test_views_the_other_way_round_are_told_with_the_setting_that_fits() -> None:
    warnings = check_views(Radiographs(table(view=["lateral", "ap"])), ANATOMICAL_VIEWS)
    assert len(warnings) == 2
    assert warnings[0].startswith(
        "table: 1 of 1 ap radiographs score anterior and posterior (rows 3), but view_cortices "
        "expects medial and lateral there; correct the rows, or set the protocol's view_cortices"
    )
    assert check_views(Radiographs(table(view=["lateral", "ap"])), PUBLISHED_VIEWS) == []


def test_a_folder_in_an_images_place_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "picture.png").mkdir()
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(
        "image,patient_id,visit,view,medial,lateral,anterior,posterior\n"
        "picture.png,1,first,ap,1,2,,\n"
    )
    with pytest.raises(ManifestError, match=r"row 2.*picture\.png is not a file"):
        load_manifest(manifest)
