"""Out-of-fold predictions: whose they are, and intervals of the very figures of the records."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from studies import StudyFolder

from rust_tuner import load_manifest, split_holdout
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ResumeError
from rust_tuner.files import read_json, write_json
from rust_tuner.labels import NUM_VIEWS
from rust_tuner.metrics import macro_auroc
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.rows import (
    NO_FOLD,
    ROWS_FILE,
    out_of_fold_predictions,
    predictions_of,
    read_rows,
    rows_sha256,
    rows_table,
    write_rows,
)
from rust_tuner.records.study import StudyFile


@pytest.fixture
def project(finished_study: StudyFolder) -> Project:
    return read_project(finished_study.directory / "regime_1")


@pytest.fixture
def copied(tmp_path: Path, finished_study: StudyFolder) -> Path:
    shutil.copytree(finished_study.directory / "regime_1", tmp_path / "regime_1")
    return tmp_path / "regime_1"


def test_rows_are_those_of_the_development_set_and_its_folds(
    finished_study: StudyFolder, project: Project
) -> None:
    radiographs = StudyFile(finished_study.directory).named(load_manifest(finished_study.manifest))
    development, _ = split_holdout(radiographs)
    rows = read_rows(project)
    table = development.radiographs.written
    for name in ("patient_id", "visit", "view"):
        assert list(rows[name]) == list(table[name])
    cortices = ["medial", "lateral", "anterior", "posterior"]
    np.testing.assert_array_equal(rows[cortices], table[cortices])
    assert set(rows["fold"]) == {0, 1, 2}
    assert (rows.groupby("patient_id")["fold"].nunique() == 1).all()
    assert (rows["site"] == "").all()


def test_predictions_stand_beside_what_is_true_of_the_same_rows(project: Project) -> None:
    found = out_of_fold_predictions(project)
    best = project.best
    for fold in range(3):
        part = found.subset(np.asarray(found.folds == fold))
        area = macro_auroc(part.labels, part.probabilities)
        assert area == pytest.approx(
            not_none(best).folds[fold].validation["auroc"][not_none(not_none(best).epoch)],
            abs=1e-12,
        )
        area = macro_auroc(
            part.labels[:, NUM_VIEWS:], part.probabilities[:, NUM_VIEWS:], part.visible
        )
        text = not_none(best).folds[fold].validation["cortex_auroc"][not_none(not_none(best).epoch)]
        assert area == pytest.approx(text, abs=1e-12)


def test_rows_that_were_changed_or_lost_are_refused(copied: Path) -> None:
    path = copied / ROWS_FILE
    text = path.read_text()
    path.write_text(text.replace("ap", "lateral", 1))
    with pytest.raises(ResumeError, match="is missing or was changed"):
        read_rows(read_project(copied))
    path.unlink()
    with pytest.raises(ResumeError, match="run the search again"):
        out_of_fold_predictions(read_project(copied))
    path.write_text(text)
    assert out_of_fold_predictions(read_project(copied)).folds is not None


def test_a_search_of_an_earlier_version_or_on_arrays_has_no_predictions_by_patient(
    copied: Path,
) -> None:
    run = read_json(copied / "search.json")
    del run["subject"]["rows"]
    write_json(copied / "search.json", run)
    with pytest.raises(ResumeError, match="is missing or was changed"):
        out_of_fold_predictions(read_project(copied))
    project = dataclasses.replace(read_project(copied), trials=())
    with pytest.raises(ResumeError, match="has no completed trial"):
        out_of_fold_predictions(project)


def small_radiographs(**columns: Any) -> Radiographs:
    table = {
        "image": ["a.png", "b.png", "c.png"],
        "patient_id": ["007", "NA", "x,y"],
        "visit": ["1", "1", "1"],
        "view": ["ap", "lateral", "ap"],
        "medial": [1, np.nan, 4],
        "lateral": [2, np.nan, np.nan],
        "anterior": [np.nan, 3, np.nan],
        "posterior": [np.nan, np.nan, np.nan],
    }
    return Radiographs(pd.DataFrame(table | columns))


def test_text_comes_back_as_it_was_and_the_hash_is_that_of_the_file(
    tmp_path: Path, project: Project
) -> None:
    rows = rows_table(small_radiographs(site=["A", "", "B"]), [np.array([0, 2]), np.array([1])])
    write_rows(tmp_path, rows)
    subject = project.run.subject.with_changes(rows=rows_sha256(rows))
    run = project.run.with_changes(subject=subject)
    before = (tmp_path / ROWS_FILE).stat().st_mtime_ns
    write_rows(tmp_path, rows)
    assert (tmp_path / ROWS_FILE).stat().st_mtime_ns == before
    found = read_rows(dataclasses.replace(project, folder=tmp_path, run=run))
    assert list(found["patient_id"]) == ["007", "NA", "x,y"]
    assert list(found["site"]) == ["A", "", "B"]
    assert list(found["fold"]) == [0, 1, 0]
    np.testing.assert_array_equal(found["lateral"], [2, np.nan, np.nan])


def test_a_row_that_no_fold_or_more_than_one_validates_has_no_fold_of_its_own() -> None:
    radiographs = small_radiographs()
    rows = rows_table(radiographs, [np.array([0]), np.array([1])])
    assert list(rows["fold"]) == [0, 1, NO_FOLD]
    answers = np.full((3, 18), 0.5, dtype=np.float32)
    assert len(predictions_of(rows, answers).labels) == 2
    rows = rows_table(radiographs, [np.array([0, 1]), np.array([1, 2])])
    assert list(rows["fold"]) == [NO_FOLD] * 3
    with pytest.raises(ResumeError, match="3 rows, of which 0 are validated by exactly one fold"):
        predictions_of(rows, answers)
    with pytest.raises(ResumeError, match="2 predictions for 3 rows"):
        predictions_of(rows, answers[:2])
