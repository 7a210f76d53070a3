"""From an archive and a table to a manifest: tables of all shapes give the same one."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import run
from narrowing import not_none
from PIL import Image

from rust_tuner.data.phantoms import phantom_table
from rust_tuner.errors import ManifestError
from rust_tuner.labels import CORTICES
from rust_tuner.steps.make_manifest import make_manifest

PATTERN = "{patient_id}_{visit}_{view}.png"
SHOWS = {"ap": ("medial", "lateral"), "lateral": ("anterior", "posterior")}


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    """Phantoms' scores with both views of each visit."""
    table = phantom_table(patients=14, seed=3)
    whole = table.groupby(["patient_id", "visit"])["view"].transform("size") == 2
    return table[whole].reset_index(drop=True)


@pytest.fixture(scope="module")
def folder(truth: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small picture for each row, all different."""
    made = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for row in truth.itertuples():
        pixels = rng.integers(0, 256, (40, 30), dtype=np.uint8)
        Image.fromarray(pixels).save(made / f"{row.patient_id}_{row.visit}_{row.view}.png")
    return made


def text_of(score: Any) -> str:
    return "" if pd.isna(score) else str(int(score))


def one_row_a_visit(truth: pd.DataFrame, *, prefix: bool = True) -> pd.DataFrame:
    rows = []
    for (patient, visit), views in truth.groupby(["patient_id", "visit"], sort=False):
        cells = {"Case No": patient, "Visit": visit}
        for view in views.itertuples():
            for cortex in SHOWS[str(view.view)]:
                name = f"{view.view}_{cortex}" if prefix else cortex.capitalize()
                cells[name] = text_of(getattr(view, cortex))
        rows.append(cells)
    return pd.DataFrame(rows)


def one_row_a_patient(truth: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for patient, views in truth.groupby("patient_id", sort=False):
        cells = {"Patient": patient}
        for view in views.itertuples():
            for cortex in SHOWS[str(view.view)]:
                cells[f"{cortex} {view.visit}"] = text_of(getattr(view, cortex))
        rows.append(cells)
    return pd.DataFrame(rows).fillna("")


def one_row_a_radiograph(truth: pd.DataFrame) -> pd.DataFrame:
    table = truth.drop(columns="image").rename(
        columns={"patient_id": "Subject ID", "view": "Projection"}
    )
    table["Projection"] = table["Projection"].map({"ap": "A.P.", "lateral": "LAT"})
    return table.assign(**{cortex: [text_of(s) for s in truth[cortex]] for cortex in CORTICES})


def as_comma(truth: pd.DataFrame, path: Path) -> Path:
    one_row_a_radiograph(truth).to_csv(path, index=False)
    return path


def as_semicolons_with_decimal_commas(truth: pd.DataFrame, path: Path) -> Path:
    table = one_row_a_visit(truth)
    for name in table.columns[2:]:
        table[name] = [f"{text},0" if text else "n/a" for text in table[name]]
    table["Bemerkung"] = "größer"
    path.write_bytes(table.to_csv(index=False, sep=";").encode("cp1252"))
    return path


def as_utf_16_tabs(truth: pd.DataFrame, path: Path) -> Path:
    path.write_bytes(
        one_row_a_visit(truth, prefix=False).to_csv(index=False, sep="\t").encode("utf-16")
    )
    return path


def as_excel_with_title(truth: pd.DataFrame, path: Path) -> Path:
    path = path.with_suffix(".xlsx")
    table = one_row_a_visit(truth)
    for name in table.columns[2:]:
        table[name] = pd.to_numeric(table[name])
    table.to_excel(path, index=False, startrow=3)
    import openpyxl

    book = openpyxl.load_workbook(path)
    not_none(book.active)["A1"] = "Tibial fractures, scores by Dr. A"
    book.save(path)
    return path


def as_one_row_a_patient(truth: pd.DataFrame, path: Path) -> Path:
    path = path.with_suffix(".xlsx")
    one_row_a_patient(truth).to_excel(path, index=False)
    return path


def as_names_of_images(truth: pd.DataFrame, path: Path) -> Path:
    table = one_row_a_radiograph(truth)
    table["File"] = [
        f"X:\\archive\\{p}_{v}_{w}.png"
        for p, v, w in zip(truth["patient_id"], truth["visit"], truth["view"], strict=True)
    ]
    table.to_csv(path, index=False, sep="|")
    return path


SHAPES = [
    as_comma,
    as_semicolons_with_decimal_commas,
    as_utf_16_tabs,
    as_excel_with_title,
    as_one_row_a_patient,
    as_names_of_images,
]


@pytest.mark.parametrize("write", SHAPES, ids=lambda write: write.__name__)
def test_tables_of_all_shapes_give_the_same_manifest(
    write: Callable[[pd.DataFrame, Path], Path], truth: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    scores = write(truth, tmp_path / "scores.csv")
    pattern = None if write is as_names_of_images else PATTERN
    made = make_manifest(folder, scores, tmp_path / "manifest.csv", pattern=pattern)
    assert made.matching.scores == made.matching.images == ()
    assert made.unmatched is None
    written = pd.read_csv(made.path, dtype=str, keep_default_na=False)
    key = ["patient_id", "visit", "view"]
    written = written.sort_values(key).reset_index(drop=True)
    expected = (
        truth.assign(visit=truth["visit"].astype(str)).sort_values(key).reset_index(drop=True)
    )
    for name in key:
        assert written[name].tolist() == expected[name].tolist()
    for cortex in CORTICES:
        assert written[cortex].tolist() == [text_of(score) for score in expected[cortex]]
    for image, patient, visit, view in written[["image", *key]].itertuples(index=False):
        assert (
            Path(tmp_path, image).resolve() == (folder / f"{patient}_{visit}_{view}.png").resolve()
        )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"Nummer": ["1"], "medial": ["2"]}, r"--column patient_id=Nummer"),
        ({"patient": ["1"], "case no": ["1"], "medial": ["2"]}, "may both be patient_id"),
        ({"patient": ["1"], "knee": ["2"]}, "no column of scores"),
        ({"patient": ["1"], "medial": ["5"]}, "row 2: medial=5; a score is 1 to 4"),
        ({"patient": ["1"], "view": ["oblique"], "medial": ["2"]}, "row 2: view=oblique"),
        ({"patient": ["1"], "date": ["03/04/2021"], "medial": ["2"]}, "write it as 2021-03-04"),
        ({"patient": ["1"], "medial": ["2"], "med": ["3"]}, "may both be the score of the medial"),
    ],
)
def test_what_is_not_clear_is_asked_for(
    columns: dict[str, list[str]], message: str, folder: Path, tmp_path: Path
) -> None:
    pd.DataFrame(columns).to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(ManifestError, match=message):
        make_manifest(folder, tmp_path / "scores.csv", tmp_path / "m.csv", pattern=PATTERN)
    assert not (tmp_path / "m.csv").exists()


def test_what_does_not_match_is_listed_with_reasons(
    truth: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    table = one_row_a_radiograph(truth)
    first = truth.iloc[0]
    changed = table.assign(**{"Subject ID": ["P9999", *table["Subject ID"][1:]]})
    changed.to_csv(tmp_path / "scores.csv", index=False)
    made = make_manifest(folder, tmp_path / "scores.csv", tmp_path / "m.csv", pattern=PATTERN)
    assert len(made.matching.pairs) == len(truth) - 1
    assert [item.reason for item in made.matching.scores] == ["no image of this patient"]
    (image,) = made.matching.images
    assert (
        f"no row of patient {first['patient_id']} fits this {first['view']} image" == image.reason
    )
    listed = pd.read_csv(not_none(made.unmatched))
    assert listed["of"].tolist() == ["table", "image"]


def test_dicom_tags_join_by_date_and_by_the_order_of_visits(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    from dicom_files import dataset, ramp, write

    dates = {"P1": ["20210105", "20210301"], "P2": ["20220101"]}
    images = tmp_path / "archive"
    images.mkdir()
    for patient, days in dates.items():
        for day in days:
            for view in ("AP", "LL"):
                file = dataset(
                    ramp(),
                    PatientID=patient,
                    PatientName="Doe^Jane",
                    StudyDate=day,
                    ViewPosition=view,
                )
                write(images, file, f"{patient}_{day}_{view}.dcm")
    write(images, dataset(ramp(), PatientID="P1", StudyDate="20210105"), "scout.dcm")
    by_date = pd.DataFrame(
        {
            "patient": ["P1", "P1", "P2"],
            "date": ["2021-01-05", "2021-03-01", "2022-01-01"],
            **{name: [1, 2, 3] for name in CORTICES},
        }
    )
    by_order = by_date.drop(columns="date").assign(visit=["first", "second", "first"])
    for table in (by_date, by_order):
        table.to_csv(tmp_path / "scores.csv", index=False)
        made = make_manifest(images, tmp_path / "scores.csv", tmp_path / "m.csv", overwrite=True)
        manifest = pd.read_csv(made.path)
        assert len(manifest) == 6
        found = {
            (Path(str(row.image)).stem, row.medial)
            for row in manifest.itertuples()
            if row.view == "ap"
        }
        assert found == {("P1_20210105_AP", 1.0), ("P1_20210301_AP", 2.0), ("P2_20220101_AP", 3.0)}
        (scout,) = made.matching.images
        assert scout.reason == "no ViewPosition (0018,5101)"
    assert any("order of the images' dates" in note for note in made.notes)


def test_two_images_that_may_be_meant_are_both_left_out(
    truth: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "images"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    first = truth.iloc[0]
    name = f"{first['patient_id']}_{first['visit']}_{first['view']}.png"
    (copy / "again").mkdir()
    (copy / "again" / name).write_bytes((copy / name).read_bytes())
    as_comma(truth, tmp_path / "scores.csv")
    made = make_manifest(copy, tmp_path / "scores.csv", tmp_path / "m.csv", pattern=PATTERN)
    (row,) = made.matching.scores
    assert "2 images fit" in row.reason
    assert len(made.matching.images) == 2


def test_dates_of_excel_are_dates(tmp_path: Path) -> None:
    from rust_tuner.data.sheets import read_sheet

    pd.DataFrame({"patient": [7.0, 8.0], "date": [datetime.datetime(2021, 3, 4)] * 2}).to_excel(
        tmp_path / "a.xlsx", index=False
    )
    sheet = read_sheet(tmp_path / "a.xlsx")
    assert sheet.rows[0] == (2, {"patient": "7", "date": "2021-03-04"})


def test_the_command_says_what_it_read_and_shows_each_pair(
    truth: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    as_semicolons_with_decimal_commas(truth, tmp_path / "scores.csv")
    out = tmp_path / "manifest.csv"
    result = run(
        *("manifest", "--images", folder, "--scores", tmp_path / "scores.csv", "--out", out),
        *("--pattern", PATTERN),
    )
    assert "column 'Case No' is patient_id" in result.stderr
    assert "'ap_lateral' is the lateral cortex (view ap)" in result.stderr
    assert "not used: 'Bemerkung'" in result.stderr
    assert "Windows-1252" in result.stderr
    page = (tmp_path / "manifest_contact_sheet.html").read_text()
    assert page.count("<figure>") == len(truth)
    assert "next: rust-tuner prepare STUDY --manifest" in result.stderr


@pytest.mark.parametrize("out", ["scores.csv", "../made/scores.csv"])
def test_the_table_of_scores_is_never_overwritten(
    out: str, truth: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    as_comma(truth, made / "scores.csv")
    before = (made / "scores.csv").read_bytes()
    with pytest.raises(ManifestError, match="is the table of scores"):
        make_manifest(folder, made / "scores.csv", made / out, pattern=PATTERN)
    assert (made / "scores.csv").read_bytes() == before


def test_ids_that_read_alike_are_said_before_prepare_refuses_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for patient in ("P1", "P01"):
        pixels = rng.integers(0, 256, (40, 30), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{patient}_6w_ap.png")
    (tmp_path / "s.csv").write_text("patient,visit,medial\nP1,6w,2\nP01,6w,3\n")
    made = make_manifest(tmp_path, tmp_path / "s.csv", tmp_path / "m.csv", pattern=PATTERN)
    assert pd.read_csv(made.path)["medial"].tolist() == [2, 3]
    (note,) = made.notes
    assert "'P01' reads like 'P1'" in note and "--distinct-patients" in note


def test_a_named_image_of_another_patient_is_joined_with_a_note(
    truth: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    table = one_row_a_radiograph(truth)
    table["File"] = [
        f"{patient}_{visit}_{view}.png"
        for patient, visit, view in truth[["patient_id", "visit", "view"]].itertuples(index=False)
    ]
    table["Subject ID"] = "study " + table["Subject ID"]
    table.to_csv(tmp_path / "scores.csv", index=False)
    made = make_manifest(folder, tmp_path / "scores.csv", tmp_path / "m.csv", pattern=PATTERN)
    assert len(made.matching.pairs) == len(truth)
    (note,) = [note for note in made.notes if "another patient" in note]
    assert f"({len(truth)} times)" in note


def test_a_named_image_of_the_other_view_is_refused(
    truth: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    table = one_row_a_radiograph(truth)
    table["File"] = [
        f"{patient}_{visit}_{view}.png"
        for patient, visit, view in truth[["patient_id", "visit", "view"]].itertuples(index=False)
    ]
    first = truth.iloc[0]
    other = {"ap": "lateral", "lateral": "ap"}[first["view"]]
    table.loc[0, "File"] = f"{first['patient_id']}_{first['visit']}_{other}.png"
    table.drop(index=1).to_csv(tmp_path / "scores.csv", index=False)
    made = make_manifest(folder, tmp_path / "scores.csv", tmp_path / "m.csv", pattern=PATTERN)
    (row,) = made.matching.scores
    assert f"is a {other} view by its own tags, the row says {first['view']}" in row.reason
