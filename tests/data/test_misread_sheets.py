"""Tables whose rows would be read wrongly are refused, or read as people mean them."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.sheet_columns import understand_columns
from rust_tuner.errors import ManifestError

CORTICES = {"medial": 1, "lateral": 2, "anterior": 3, "posterior": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for visit in ("0", "6"):
        for view in ("ap", "lat"):
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"a_{visit}_{view}.png")
    return tmp_path


def written(folder: Path, **columns: Sequence[object]) -> Path:
    path = folder / "scores.csv"
    pd.DataFrame(columns).to_csv(path, index=False, sep=";")
    return path


def row_of_visit(visit: str = "6", rows: int = 1) -> dict[str, Sequence[object]]:
    """Columns of a table with one row for each visit."""
    return {
        "Patient": [f"P{row}" for row in range(rows)],
        "AP image": [f"a_{visit}_ap.png"] * rows,
        "Lateral image": [f"a_{visit}_lat.png"] * rows,
    } | {f"{cortex} score": [score] * rows for cortex, score in CORTICES.items()}


def test_scores_of_a_visit_are_never_those_of_images_without_one(folder: Path) -> None:
    path = written(
        folder,
        Patient=["P1"],
        **{
            "AP image": ["a_0_ap.png"],
            "Lateral image": ["a_0_lat.png"],
            "AP image 6 weeks": ["a_6_ap.png"],
            "Lateral image 6 weeks": ["a_6_lat.png"],
        },
        **{f"{cortex} 6 weeks": [score] for cortex, score in CORTICES.items()},
    )
    radiographs = load_manifest(path)
    assert [image.name for image in radiographs.images] == ["a_6_ap.png", "a_6_lat.png"]
    assert any("not used: 'AP image', 'Lateral image'" in note for note in radiographs.notes)


def test_one_column_of_images_serves_the_only_visit() -> None:
    columns = understand_columns(["id", "AP image", "medial 6w"], source="t")
    assert columns.image_of("ap", "6w") == "AP image"
    assert columns.image_of("lateral", "6w") is None
    columns = understand_columns(["id", "AP image", "AP image 6w", "medial 12w"], source="t")
    assert columns.image_of("ap", "12w") is None


def test_a_file_that_a_row_names_twice_is_refused(folder: Path) -> None:
    table = row_of_visit() | {"Date": ["2021-03-04"], "Lateral image": ["a_6_ap.png"]}
    with pytest.raises(ManifestError, match=r"row 2: image=.*named twice in this row"):
        load_manifest(written(folder, **table))


def film(folder: Path, view: str, **scores: int) -> Path:
    names = {"AP medial": "", "AP lateral": "", "Lateral anterior": "", "Lateral posterior": ""}
    cells: dict[str, Sequence[object]] = {name: [value] for name, value in (names | scores).items()}
    return written(folder, Patient=["P1"], Visit=["6w"], View=[view], File=["a_6_ap.png"], **cells)


def test_a_row_of_one_view_is_one_film(folder: Path) -> None:
    radiographs = load_manifest(film(folder, "ap", **{"AP medial": 3}))
    assert len(radiographs) == 1
    assert radiographs.table["medial"].tolist() == [3]
    with pytest.raises(ManifestError, match=r"Lateral anterior=2 in a row of the ap view"):
        load_manifest(film(folder, "ap", **{"Lateral anterior": 2}))


def films(**columns: Sequence[object]) -> dict[str, Sequence[object]]:
    """Columns of a table with one row for each film of one visit."""
    table: dict[str, Sequence[object]] = {
        "Patient": ["P1", "P1"],
        "View": ["ap", "lateral"],
        "File": ["a_6_ap.png", "a_6_lat.png"],
    }
    return table | {cortex: [score, ""] for cortex, score in CORTICES.items()} | columns


def test_a_film_of_a_view_without_columns_of_scores_is_kept(folder: Path) -> None:
    table = {f"AP {name}": values for name, values in films().items() if name in CORTICES}
    fields = {
        name: values for name, values in films(Visit=["6w"] * 2).items() if name not in CORTICES
    }
    radiographs = load_manifest(written(folder, **fields, **table))
    assert radiographs.table["view"].tolist() == ["ap", "lateral"]
    assert radiographs.table["posterior"].isna().tolist() == [False, True]


@pytest.mark.parametrize("name", ["Visit", "Date"])
def test_a_visit_that_a_merged_cell_leaves_empty_is_refused(folder: Path, name: str) -> None:
    table = films(**{name: ["2021-03-04", ""]})
    with pytest.raises(ManifestError, match=rf"row 3: {name.lower()} is empty, but not in other"):
        load_manifest(written(folder, **table))


def test_a_patient_whose_visits_have_no_name_has_one_visit(folder: Path) -> None:
    table = films(Visit=["6w", ""], Patient=["P1", "P2"])
    assert load_manifest(written(folder, **table)).table["visit"].tolist() == ["6w", "1"]


def test_a_visit_without_a_name_may_have_a_date(folder: Path) -> None:
    table = row_of_visit(rows=2) | {"Patient": ["P1", "P1"]}
    table |= {"Visit": ["6w", ""], "Date": ["2021-03-04", "2021-05-05"]}
    table["AP image"], table["Lateral image"] = (
        ["a_0_ap.png", "a_6_ap.png"],
        ["a_0_lat.png", "a_6_lat.png"],
    )
    radiographs = load_manifest(written(folder, **table))
    assert set(radiographs.table["visit"]) == {"6w", "2021-05-05"}


@pytest.mark.parametrize("identifier", ["1.23457E+11", "1,23457e+11", "########"])
def test_an_id_that_a_spreadsheet_program_cut_is_refused(folder: Path, identifier: str) -> None:
    table = row_of_visit() | {"Patient": [identifier], "Date": ["2021-03-04"]}
    with pytest.raises(ManifestError, match="too wide for its column; format the column as text"):
        load_manifest(written(folder, **table))
    plain = {"image": ["a_6_ap.png"], "patient_id": [identifier], "visit": ["1"], "view": ["ap"]}
    path = folder / "manifest.csv"
    pd.DataFrame(plain | {name: [1] for name in CORTICES}).to_csv(path, index=False)
    with pytest.raises(ManifestError, match="too wide for its column; format the column as text"):
        load_manifest(path)


def test_an_image_without_a_patient_is_named(folder: Path) -> None:
    table = row_of_visit(rows=2) | {"Date": ["2021-03-04"] * 2}
    table |= {"Patient": ["P1", ""]} | {f"{cortex} score": [1, ""] for cortex in CORTICES}
    table["AP image"], table["Lateral image"] = ["a_0_ap.png", "a_6_ap.png"], ["", ""]
    with pytest.raises(ManifestError, match=r"row 3: an image without a patient"):
        load_manifest(written(folder, **table))


def test_a_cortex_with_and_without_a_view_is_refused() -> None:
    names = ["Patient", "AP medial", "Medial", "lateral cortex", "anterior", "posterior"]
    with pytest.raises(ManifestError, match="may both be the score of the medial cortex"):
        understand_columns(names, source="t")


@pytest.mark.parametrize("reader", ["observer", "Untersucher", "radiologist", "observador"])
def test_readers_are_no_visits(reader: str) -> None:
    names = ["Patient", "Date", *(f"{cortex} {reader} 2" for cortex in CORTICES), *CORTICES]
    columns = understand_columns(names, source="t")
    assert [column.name for column in columns.scores] == list(CORTICES)


@pytest.mark.parametrize("scale", ["(1-4)", "(1 to 4)", "[1\u20134]", "(1 à 4)"])
def test_the_range_of_a_score_is_no_visit(scale: str) -> None:
    names = ["Patient", "Visit", *(f"{cortex.title()} {scale}" for cortex in CORTICES)]
    assert {c.visit for c in understand_columns(names, source="t").scores} == {None}


@pytest.mark.parametrize(("name", "visit"), [("week 1-4", "week 1 4"), ("2021-1-4", "2021 1 4")])
def test_what_looks_like_a_range_may_be_a_visit(name: str, visit: str) -> None:
    (column,) = understand_columns(["Patient", f"medial {name}"], source="t").scores
    assert column.visit == visit


@pytest.mark.parametrize("name", ["AP film quality", "Date of AP X-ray", "AP radiograph"])
def test_remarks_on_films_are_not_their_files(folder: Path, name: str) -> None:
    table = row_of_visit() | {"Visit": ["6w"], name: ["yes"]}
    radiographs = load_manifest(written(folder, **table))
    assert any(f"not used: '{name}'" in note for note in radiographs.notes)


def test_an_image_alone_in_its_row_is_no_remark(folder: Path) -> None:
    cells = {cortex: [1, ""] for cortex in CORTICES}
    table = films(Patient=["P1", ""], View=["ap", ""], Visit=["6w", ""], **cells)
    with pytest.raises(ManifestError, match="row 3: an image without a patient"):
        load_manifest(written(folder, **table))


def test_a_sheet_may_note_a_smaller_range_than_it_has(folder: Path) -> None:
    pytest.importorskip("openpyxl")
    path = folder / "scores.xlsx"
    pd.DataFrame(row_of_visit() | {"Date": ["2021-03-04"]}).to_excel(path, index=False)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:B1"', parts[sheet])
    assert b"A1:B1" in parts[sheet]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert len(load_manifest(path)) == 2


def test_a_workbook_may_have_a_sheet_of_charts(folder: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = folder / "scores.xlsx"
    pd.DataFrame(row_of_visit() | {"Date": ["2021-03-04"]}).to_excel(path, index=False)
    book = openpyxl.load_workbook(path)
    book.create_chartsheet("chart").add_chart(openpyxl.chart.BarChart())
    book.save(path)
    assert len(load_manifest(path)) == 2
