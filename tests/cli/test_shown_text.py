"""At the default level no command prints who a patient is; `--verbose` prints it, and is named."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import run
from dicom_files import dataset, write
from PIL import Image
from planted import MANIFEST, planted_in, write_export

from rust_tuner.cli import manifest as cli_manifest
from rust_tuner.cli import shown_text
from rust_tuner.cli.consoles import err
from rust_tuner.cli.shown_text import SHOW_VALUES, remember_typed, shown, shown_error
from rust_tuner.data.private_words import forget_private_words, remember_private_words
from rust_tuner.errors import ImageError, Message, private

Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    forget_private_words()
    yield
    remember_typed({})
    err.quiet = False


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, phantom_manifest: Path) -> Path:
    return write_export(tmp_path_factory.mktemp("shown"), phantom_manifest)


@pytest.fixture
def export(original: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hospital's export, whose folder is the working one, so that nothing private is typed."""
    monkeypatch.chdir(original.parent)
    table = pd.read_csv(original, dtype=str, keep_default_na=False)
    table.to_csv("m.csv", index=False)
    return original.parent


def cell(row: int, column: str, value: str) -> Spoil:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return spoil


def from_row(row: int, other: int, *columns: str) -> Spoil:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, list(columns)] = table.loc[other, list(columns)]
        return table

    return spoil


FAULTS: dict[str, tuple[Spoil, str]] = {
    "no such image": (cell(3, "image", "images/hospital-Quintessa.png"), "row 5: image=[hidden]"),
    "a folder for an image": (cell(3, "image", "images"), "row 5: image=[hidden]; [hidden] is not"),
    "an image twice": (from_row(3, 1, "image"), "row 5: image=[hidden]; the same file as in row 3"),
    "a view twice": (
        from_row(3, 1, "patient_id", "visit", "view"),
        "row 5: patient_id=[hidden], visit=[hidden], view=lateral is also in row 3",
    ),
    "a name among scores": (cell(2, "medial", "Oberhuber"), "row 4: medial=[hidden]; a RUST score"),
    "a date among views": (cell(2, "view", "2021-03-14"), "row 4: view=[hidden]; a view is ap"),
    "a wrong score": (cell(2, "medial", "7"), "row 4: medial=7; a RUST score is 1-4"),
    "ids alike": (cell(2, "patient_id", "mrn-4821300"), "row 4: patient_id=[hidden] reads like"),
    "a crop": (
        lambda table: table.assign(
            crop_left="2021-03-04", crop_top="1", crop_right="9", crop_bottom="9"
        ),
        "row 2: crop_left=[hidden]; expected a whole number",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_manifest_is_named_by_file_row_and_column(
    export: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, message = FAULTS[fault]
    table = pd.read_csv(export / "m.csv", dtype=str, keep_default_na=False)
    spoil(table).to_csv("spoilt.csv", index=False)
    result = run("prepare", "study", "--manifest", "spoilt.csv", "--folds", 3, code=1)
    assert f"error: spoilt.csv {message}" in result.output
    assert planted_in(result.output.encode(), [str(export)]) == set()
    assert (SHOW_VALUES in result.output) == ("[hidden]" in result.output)
    with monkeypatch.context() as patched:
        patched.setattr(shown_text, "is_verbose", lambda: True)
        patched.setattr("rust_tuner.cli.support.is_verbose", lambda: True)
        whole = run("prepare", "study", "--manifest", "spoilt.csv", "--folds", 3, code=1)
    assert "[hidden]" not in whole.output


def test_a_damaged_image_is_named_by_its_row(export: Path, tmp_path: Path) -> None:
    table = pd.read_csv(export / "m.csv", dtype=str, keep_default_na=False)
    broken = Path("images", "Quintessa-2021-03-04.dcm")
    broken.write_bytes(b"no image")
    table.loc[4, "image"] = str(broken)
    table.to_csv("spoilt.csv", index=False)
    result = run("prepare", "study", "--manifest", "spoilt.csv", "--folds", 3, code=1)
    assert "row 6: image=[hidden]" in result.output
    assert planted_in(result.output.encode(), [str(export)]) == set()
    broken.unlink()


def test_preparing_prints_nothing_that_was_planted(export: Path) -> None:
    result = run("prepare", "study", "--manifest", "m.csv", "--weights", "random", "--folds", 3)
    assert "is prepared" in result.output
    assert planted_in(result.output.encode(), [str(export)]) == set()
    # Later commands read the manifest whose path is known to the study alone.
    os.rename("m.csv", "Oberhuber-2021-03-04.csv")
    result = run("regime1", "study", "--trials", 1, code=1)
    assert "names a manifest which does not exist" in result.output
    assert planted_in(result.output.encode(), [str(export)]) == set()


SHEETS: dict[str, tuple[str, str]] = {
    "no header": (
        "MRN48213;2021-03-04;ap;1\nMRN48214;2021-03-05;ap;2\n",
        "which column is the patient",
    ),
    "a date of two readings": ("patient;date;medial\nMRN48213;03/04/2021;1\n", "row 2: date=[hid"),
    "a name for a score": (
        "patient;visit;medial\nMRN48213;1;Oberhuber\n",
        "row 2: medial=[hidden]",
    ),
    "a name for a view": ("patient;view;medial\nMRN48213;Quintessa;1\n", "row 2: view=[hidden]"),
    "a name for a side": ("patient;side;medial\nMRN48213;Quintessa;1\n", "row 2: side=[hidden]"),
    "an id as a column": ("patient;medial;MRN48213;MRN48213\n1;2;3;4\n", "are named [hidden]"),
    "nobody fits": ("patient;visit;medial\nMRN48213zz;2021-03-04;1\n", "row 2, ap: no image of"),
}


@pytest.mark.parametrize("kind", SHEETS)
def test_a_faulty_sheet_is_named_by_file_row_and_column(export: Path, kind: str) -> None:
    text, message = SHEETS[kind]
    Path("s.csv").write_text(text)
    result = run("manifest", "--images", "images", "--scores", "s.csv", "--out", "x.csv", code=1)
    assert "s.csv" in result.output and message in result.output
    text = result.output.replace("write it as 2021-03-04", "")
    assert planted_in(text.encode(), [str(export)]) == set()


def test_joining_prints_rows_and_reasons_and_writes_the_rest(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        tags = {"PatientID": f"MRN48213{number}", "ViewPosition": "AP", "StudyDate": "20210304"}
        tags |= {"PatientName": "Oberhuber^Quintessa", "BurnedInAnnotation": "YES"}
        if number == 3:
            tags["ViewPosition"] = "Quintessa"
        pixels = rng.integers(0, 255, (40, 30), dtype=np.uint8)
        write(folder, dataset(pixels, bits=8, **tags), f"Quintessa{number}")
    Image.fromarray(pixels).save(folder / "Quintessa.png")
    Path("s.csv").write_text(
        "Patient;Date;medial;2021\nmrn-482130;2021-03-04;1;\nMRN482131;2021-03-04;2;\n"
        "MRN482139;2021-03-04;2;\nMRN482132;2020-11-20;2;\n"
    )
    given = ("manifest", "--images", folder, "--scores", "s.csv", "--out", "x.csv")
    result = run(*given, "--overwrite")
    text = result.output.replace(str(folder), "")
    assert planted_in(text.encode(), [str(export)]) == set()
    assert "row 4, ap: no image of this patient" in text
    assert "row 5, ap: no image of [hidden]; there are [hidden]" in text
    assert "2 images with their scores -> x.csv" in text
    assert "an image: no row names it, and it has no tags (give --pattern)" in text
    monkeypatch.setattr(cli_manifest, "is_verbose", lambda: True)
    monkeypatch.setattr(shown_text, "is_verbose", lambda: True)
    whole = run(*given, "--overwrite").output
    assert "MRN482139, 2021-03-04, ap: no image of this patient" in whole
    assert "MRN482139" in Path("x_unmatched.csv").read_text()


def test_what_was_typed_is_shown_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Miller.png").touch()
    remember_typed({"images": [Path("Miller.png")], "study": Path("st"), "other": None})
    error = ImageError(f"{private(tmp_path / 'Miller.png')}: damaged")
    assert shown_error(error) == ("Miller.png: damaged", False)
    assert shown_error(ImageError(f"{private('/x/b.png')}: damaged")) == ("[hidden]: damaged", True)
    assert shown_error(FileNotFoundError(2, "No such file", "/x/b.png")) == ("No such file", True)
    home = os.path.expanduser("~")
    assert shown(f"see {tmp_path}/st/a and {home}/.cache/b") == "see st/a and ~/.cache/b"
    monkeypatch.setattr(shown_text, "is_verbose", lambda: True)
    assert shown(Message(f"of {private('Miller')}")) == "of Miller"


def test_words_of_the_manifest_are_hidden_in_any_note() -> None:
    remember_private_words(
        ["MRN7", "17", "hidden"], ["/x/a b.png"], visits=["2021-03-04", "6 weeks"]
    )
    remember_typed({})
    note = "MRN7 came on 2021-03-04 (a b.png), 17 of 6 weeks, mrn7x, hidden"
    assert shown(note) == "[hidden] came on [hidden] ([hidden]), 17 of 6 weeks, mrn7x, [hidden]"


def test_the_manifests_own_name_may_be_shown_if_it_is_typed(export: Path) -> None:
    table = pd.read_csv(export / MANIFEST, dtype=str, keep_default_na=False)
    cell(3, "image", "images/none.png")(table).to_csv("Kesselring 2021.csv", index=False)
    result = run("prepare", "study2", "--manifest", "Kesselring 2021.csv", code=1)
    assert "error: Kesselring 2021.csv row 5: image=[hidden]" in result.output


def test_a_path_that_only_begins_as_one_that_was_typed_is_not_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("study", "study_old"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "study")
    remember_typed({"study": Path(".")})
    assert shown(f"{tmp_path}/study_old/x.json and {tmp_path}/study/x.json") == (
        f"{tmp_path}/study_old/x.json and ./x.json"
    )


def test_texts_are_shown_where_the_working_folder_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    remember_typed({"study": "study", "manifest": str(tmp_path)})
    assert shown(f"report -> {tmp_path}/index.html") == f"report -> {tmp_path}/index.html"
    error = FileNotFoundError(2, "No such file or directory", str(tmp_path))
    assert shown_error(error) == (f"{tmp_path}: No such file or directory", False)
