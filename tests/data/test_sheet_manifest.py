"""A table of another form is a manifest where its columns are clear, and an error where not."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.sheet_columns import understand_columns
from rust_tuner.errors import ManifestError

SCORES = {"medial": [1, 2], "lateral": [2, 3], "anterior": [3, 4], "posterior": [4, 1]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for patient in ("Müller", "7"):
        for view in ("ap", "lat"):
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{patient}_{view}.png")
    return tmp_path


def visits() -> pd.DataFrame:
    """One row a visit."""
    return pd.DataFrame(
        {"Patient No": ["Müller", "7"], "Date": ["4.3.2021", "2021-03-05"]}
        | {f"{name} score": values for name, values in SCORES.items()}
        | {
            "ap image": ["Müller_ap.png", "7_ap.png"],
            "lateral image": ["Müller_lat.png", "7_lat.png"],
        }
        | {"Age": [60.5, 30.25]}
    )


def radiograph_rows() -> pd.DataFrame:
    """One row a radiograph."""
    return pd.DataFrame(
        {
            "Case": ["Müller", "Müller", "7", "7"],
            "Visit": ["2021-03-04", "2021-03-04", "2021-03-05", "2021-03-05"],
            "Projection": ["AP", "lat", "AP", "lat"],
            "medial": [1, None, 2, None],
            "lateral": [2, None, 3, None],
            "anterior": [None, 3, None, 4],
            "posterior": [None, 4, None, 1],
            "File": ["Müller_ap.png", "Müller_lat.png", "7_ap.png", "7_lat.png"],
        }
    )


def patients() -> pd.DataFrame:
    """One row a patient, with German names."""
    columns: dict[str, list[object]] = {"Patienten-Nr.": ["Müller", "7"], "Klinik": ["A", "B"]}
    for visit, plus in (("6 Wochen", 0), ("12 Wochen", 1)):
        for view, name in (("ap", "AP"), ("lat", "seitlich")):
            columns[f"Bild {name} {visit}"] = [
                f"{patient}_{view}_{plus}.png" for patient in ("Müller", "7")
            ]
        for cortex, values in SCORES.items():
            columns[f"Kortikalis {cortex} ({visit})"] = [1 + (value + plus) % 4 for value in values]
    return pd.DataFrame(columns)


def check(radiographs: Radiographs) -> None:
    table = radiographs.table
    assert sorted(set(table["patient_id"])) == ["7", "Müller"]
    assert sorted(set(table["visit"])) == ["2021-03-04", "2021-03-05"]
    by_name: Any = table.assign(name=[path.name for path in radiographs.images]).set_index("name")
    assert by_name.loc["Müller_ap.png", ["view", "medial", "lateral"]].tolist() == ["ap", 1, 2]
    assert by_name.loc["7_lat.png", ["view", "anterior", "posterior"]].tolist() == ["lateral", 4, 1]
    assert by_name.loc["7_lat.png", ["medial", "lateral"]].isna().all()


@pytest.mark.parametrize("rows", [visits, radiograph_rows])
@pytest.mark.parametrize("form", ["excel", "semicolons", "utf-16", "windows"])
def test_every_form_is_the_same_manifest(folder: Path, rows: object, form: str) -> None:
    assert callable(rows)
    path = folder / ("scores.xlsx" if form == "excel" else "scores.csv")
    if form == "excel":
        pytest.importorskip("openpyxl")
        rows().to_excel(path, index=False)
    else:
        encoding = {"semicolons": "utf-8", "utf-16": "utf-16", "windows": "cp1252"}[form]
        separator = "\t" if form == "utf-16" else ";"
        rows().to_csv(path, index=False, sep=separator, decimal=",", encoding=encoding)
    radiographs = load_manifest(path)
    check(radiographs)
    assert "was read as a manifest" in radiographs.notes[0]
    assert ("'Age'" in " ".join(radiographs.notes)) == (rows is visits)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (visits().drop(columns=["ap image", "lateral image"]), "no column of image files"),
        (
            visits().drop(columns="Date").assign(**{"Patient No": ["7", "7"]}),
            "no column of visits or dates",
        ),
        (radiograph_rows().drop(columns="Visit"), "no column of visits or dates"),
        (
            patients().drop(columns="Bild seitlich 12 Wochen"),
            "no column of images of each view and visit that is scored: none of lateral, 12 wochen",
        ),
        (
            visits().rename(columns={"ap image": "ap image 6w", "lateral image": "lat image 6w"}),
            "columns of images name visits, but those of scores do not",
        ),
        (visits().assign(**{"ap file": "x.png"}), "may both be the ap image"),
        (visits().drop(columns="medial score"), "no column of scores of the medial cortex"),
        (visits().rename(columns={"Patient No": "Who"}), "which column is the patient"),
    ],
)
def test_what_is_not_clear_names_the_command(
    folder: Path, table: pd.DataFrame, message: str
) -> None:
    table.to_csv(folder / "s.csv", index=False, sep=";")
    with pytest.raises(ManifestError, match=rf"(?s){message}.*rust-tuner manifest --images DIR"):
        load_manifest(folder / "s.csv")


def test_a_missing_image_and_a_wrong_score_are_named_with_their_row(folder: Path) -> None:
    table = visits()
    table.loc[1, "ap image"] = "none.png"
    table.to_csv(folder / "s.csv", index=False, sep=";")
    with pytest.raises(ManifestError, match=r"s\.csv row 3: image=none\.png; no such file"):
        load_manifest(folder / "s.csv")
    table.loc[0, "medial score"] = 7
    table.to_csv(folder / "s.csv", index=False, sep=";")
    with pytest.raises(ManifestError, match=r"s\.csv row 2: medial score=7"):
        load_manifest(folder / "s.csv")


def test_crops_and_bits_of_radiographs_are_read(folder: Path) -> None:
    crop = {"crop_left": 0, "crop_top": 1, "crop_right": 3, "crop_bottom": 4, "bits": 12}
    radiograph_rows().assign(**crop).to_csv(folder / "s.csv", index=False, sep=";")
    readings = load_manifest(folder / "s.csv").readings
    assert {(reading.box, reading.bits) for reading in readings} == {((0, 1, 3, 4), 12)}


def test_one_row_a_patient_is_a_manifest_where_each_image_has_a_column(folder: Path) -> None:
    for patient in ("Müller", "7"):
        for view in ("ap", "lat"):
            for number in (0, 1):
                picture = Image.fromarray(np.zeros((4, 4), np.uint8))
                picture.save(folder / f"{patient}_{view}_{number}.png")
    patients().to_csv(folder / "s.csv", index=False, sep=";", encoding="cp1252")
    radiographs = load_manifest(folder / "s.csv")
    table = radiographs.table
    assert len(table) == 8
    assert sorted(set(table["visit"])) == ["12 wochen", "6 wochen"]
    assert set(zip(table["patient_id"], table["site"], strict=True)) == {
        ("Müller", "A"),
        ("7", "B"),
    }
    one: Any = table[(table["patient_id"] == "7") & (table["visit"] == "12 wochen")].set_index(
        "view"
    )
    assert Path(one.loc["ap", "image"]).name == "7_ap_1.png"
    assert one.loc["ap", ["medial", "lateral"]].tolist() == [4, 1]
    assert one.loc["lateral", ["anterior", "posterior"]].tolist() == [2, 3]


def test_a_view_that_was_not_taken_is_no_radiograph(folder: Path) -> None:
    path = folder / "wide.csv"
    header = "patient;visit;ap_image;lateral_image;medial;lateral;anterior;posterior"
    for name in "abc":
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / f"wide_{name}.png")
    path.write_text(f"{header}\nP1;6w;wide_a.png;wide_b.png;1;2;3;4\nP2;6w;wide_c.png;;1;2;;\n")
    table = load_manifest(path).table
    assert table["view"].tolist() == ["ap", "lateral", "ap"]
    # A score without an image is still a fault.
    path.write_text(f"{header}\nP1;6w;wide_a.png;wide_b.png;1;2;3;4\nP2;6w;wide_c.png;;1;2;3;\n")
    with pytest.raises(ManifestError, match="row 3: image is empty"):
        load_manifest(path)


def test_a_patient_with_one_row_and_no_visit_has_visit_1(folder: Path) -> None:
    visits().drop(columns="Date").to_csv(folder / "s.csv", index=False, sep=";")
    radiographs = load_manifest(folder / "s.csv")
    assert set(radiographs.table["visit"]) == {"1"}
    assert "all are visit 1" in " ".join(radiographs.notes)


@pytest.mark.parametrize(
    "names",
    [
        ["Patienten-ID", "Untersuchungsdatum", "Ansicht", "Seite", "Klinik", "Dateiname"],
        ["N° patient", "Date de l'examen", "Incidence", "Côté", "Hôpital", "Nom du fichier"],
        ["Nº paciente", "Fecha", "Proyección", "Lado", "Centro", "Imagen"],
        ["PatientID", "ExamDate", "ViewPosition", "Laterality", "Center", "FileName"],
    ],
)
def test_usual_names_of_columns_in_four_languages_are_understood(names: list[str]) -> None:
    columns = understand_columns([*names, "Cortex médial", "lateral", "Geburtsdatum", "Summe"])
    fields = ("patient_id", "date", "view", "side", "site", "image")
    assert columns.fields == dict(zip(fields, names, strict=True))
    assert [score.cortex for score in columns.scores] == ["medial", "lateral"]
    assert columns.unused == ("Geburtsdatum", "Summe")
