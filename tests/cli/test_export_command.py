"""The command export: which search it takes, what it says of the score, and what it refuses."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from command import run
from narrowing import not_none
from report_searches import write_project
from studies import StudyFolder

from rust_tuner.analysis.against_view import standings
from rust_tuner.files import read_json
from rust_tuner.records.project import read_project


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml", "csv"])
def test_export_writes_the_best_of_regime_2(
    tmp_path: Path, finished_study: StudyFolder, suffix: str
) -> None:
    target = tmp_path / f"best.{suffix}"
    result = run("export", finished_study.directory, target)
    best = read_project(finished_study.directory / "regime_2").best
    if suffix == "json":
        written = json.loads(target.read_text())
    elif suffix == "csv":
        (row,) = csv.DictReader(target.read_text().splitlines())
        values = {name: type(value)(row[name]) for name, value in not_none(best).values.items()}
        written = {"hyperparameters": values, "score": float(row["score"])}
    else:
        written = yaml.safe_load(target.read_text())
    assert written["hyperparameters"] == not_none(best).values
    assert written["score"] == not_none(best).score
    expected = (
        f"trial {not_none(best).trial}: val_auroc {not_none(best).score:.4f}, a selection score"
    )
    assert f"{expected} -> {target}" in result.stderr


def test_export_says_what_the_view_alone_scores_and_warns_below_it(
    tmp_path: Path, finished_study: StudyFolder
) -> None:
    result = run("export", finished_study.directory, tmp_path / "best.json")
    project = read_project(finished_study.directory / "regime_2")
    for item in standings(project):
        known = project.run.view_only[f"val_{item.metric}"]
        assert f"val_{item.metric} of the view alone {known:.4f}" in result.stderr
        assert (f"WARNING: {item.doubt}" in result.stderr) == bool(item.doubt)


def test_export_of_a_search_without_views_says_nothing_about_them(tmp_path: Path) -> None:
    write_project(tmp_path / "mine", [{"units": 3}], view_only={}, metrics=("auroc",))
    result = run("export", tmp_path / "mine", tmp_path / "best.json")
    assert "view" not in result.stderr


def test_export_takes_regime_1_where_that_is_all_and_a_project_folder(
    tmp_path: Path, finished_copy: StudyFolder
) -> None:
    run("export", finished_copy.directory / "regime_1", tmp_path / "project.json")
    shutil.rmtree(finished_copy.directory / "regime_2")
    run("export", finished_copy.directory, tmp_path / "study.json")
    best = read_project(finished_copy.directory / "regime_1").best
    for name in ("project", "study"):
        assert read_json(tmp_path / f"{name}.json")["hyperparameters"] == not_none(best).values


def test_export_to_another_suffix_is_refused(tmp_path: Path, finished_study: StudyFolder) -> None:
    result = run("export", finished_study.directory, tmp_path / "best.txt", code=1)
    assert "error: best.txt: expected a file that ends in .json, .yaml" in result.stderr
    assert not (tmp_path / "best.txt").exists()
