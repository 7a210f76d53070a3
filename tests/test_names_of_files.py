"""Names of files and folders that are not UTF-8 are refused, before any work, with what to do."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import keras_tuner
import pytest
from command import run
from search_problems import TinyHyperModel

from rust_tuner import (
    CrossValidationTuner,
    Protocol,
    RandomSearchOracle,
    Study,
    load_manifest,
    write_phantoms,
)
from rust_tuner.data.image_folder import find_images
from rust_tuner.errors import StorageError
from rust_tuner.files import is_utf8, path_shown
from rust_tuner.locks import hold_lock
from rust_tuner.steps.image_list import list_images
from rust_tuner.steps.make_manifest import make_manifest

LATIN_1 = os.fsdecode(b"K\xf6ln")
REFUSED = "K\ufffdln.*: a name in this path is not UTF-8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a name of an old system, and a set of phantoms in it."""
    made = tmp_path / LATIN_1
    try:
        made.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    write_phantoms(made, patients=3)
    return made


@pytest.mark.parametrize("name", ["Köln", "東京 1", "a\nb", "."])
def test_usual_names_are_text(name: str) -> None:
    assert is_utf8(name)
    assert path_shown(Path(name)) == name


def test_a_name_that_is_not_text_is_shown_as_far_as_it_can_be() -> None:
    assert not is_utf8(LATIN_1)
    assert path_shown(LATIN_1) == "K\ufffdln"


def make_tuner(folder: Path) -> None:
    objective = keras_tuner.Objective("val_auroc", "max")
    CrossValidationTuner(
        TinyHyperModel(), RandomSearchOracle(objective, max_trials=1), directory=folder
    )


def lock(folder: Path) -> None:
    with hold_lock(folder, "a test"):
        pass


@pytest.mark.parametrize(
    "use",
    [
        lambda folder: load_manifest(folder / "manifest.csv"),
        lambda folder: find_images(folder / "images"),
        lambda folder: list_images([folder / "images"]),
        lambda folder: list_images(list((folder / "images").iterdir())),
        lambda folder: make_manifest(
            folder.parent, folder / "manifest.csv", folder / "made.csv", pattern="{patient_id}.png"
        ),
        make_tuner,
        lock,
    ],
    ids=["manifest", "folder", "list of a folder", "images", "made manifest", "tuner", "lock"],
)
def test_a_folder_whose_name_is_not_text_is_refused_and_nothing_is_written(
    use: Callable[[Path], object], folder: Path
) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(StorageError, match=REFUSED):
        use(folder)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
def test_a_study_in_such_a_folder_is_refused_and_elsewhere_prepared(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_phantoms(tmp_path / "phantoms", patients=12)
    protocol = Protocol.study(num_folds=2, final_folds=2)
    with pytest.raises(StorageError, match=REFUSED):
        Study(folder / "study", manifest, protocol).prepare()
    monkeypatch.chdir(folder)
    with pytest.raises(StorageError, match=REFUSED):
        Study("study", manifest, protocol).prepare()
    assert not (folder / "study").exists()


def test_an_image_whose_name_is_not_text_is_listed_with_the_reason(
    folder: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(folder / "images", images)
    first, *_ = sorted(images.iterdir())
    first.rename(images / f"{LATIN_1}.png")
    done = run(
        "manifest",
        "--images",
        images,
        "--scores",
        shutil.copy(folder / "manifest.csv", tmp_path / "scores.csv"),
        "--out",
        tmp_path / "made.csv",
    )
    assert "is not UTF-8; rename it" in done.stderr
    unmatched = (tmp_path / "made_unmatched.csv").read_text(encoding="utf-8")
    assert "K\ufffdln.png" in unmatched
    assert len(load_manifest(tmp_path / "made.csv")) == len(list(images.iterdir())) - 1
