"""A study whose folds leave one site out: in every search, in the records, and said beforehand."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from narrowing import as_json

from rust_tuner import Study, load_manifest
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.errors import ResumeError, SplitError
from rust_tuner.files import read_json
from rust_tuner.protocol import Protocol
from rust_tuner.records.project import read_project
from rust_tuner.records.rows import read_rows
from rust_tuner.records.study_record import read_study_record
from rust_tuner.steps.checks.patients import check_split
from rust_tuner.steps.plan import plan_study
from rust_tuner.terminal.status_repeats import noise_lines


def at_sites(phantom_manifest: Path, folder: Path, sites: int) -> Path:
    """The phantoms of the other tests at some sites, where they look alike."""
    shutil.copytree(phantom_manifest.parent, folder)
    manifest = folder / phantom_manifest.name
    phantom_table(patients=12, seed=0, sites=sites).to_csv(manifest, index=False)
    return manifest


@pytest.fixture(scope="module")
def manifest(phantom_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return at_sites(phantom_manifest, tmp_path_factory.mktemp("sites") / "three", 3)


@pytest.fixture(scope="module")
def by_site(tiny_protocol: Protocol) -> Protocol:
    return dataclasses.replace(tiny_protocol, folds_by="site", num_folds=2)


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, manifest: Path, by_site: Protocol, feature_cache: Path
) -> Study:
    study = Study(tmp_path_factory.mktemp("by_site"), manifest, by_site, cache=feature_cache)
    study.regime_1()
    return study


def test_each_fold_of_a_search_is_one_site(study: Study) -> None:
    project = read_project(study.directory / "regime_1")
    assert as_json(project.run)["subject"]["num_folds"] == 3
    assert as_json(project.run)["protocol"]["folds_by"] == "site"
    rows = read_rows(project)
    assert rows.groupby("site")["fold"].unique().map(list).to_dict() == {
        "S1": [0],
        "S2": [1],
        "S3": [2],
    }
    (first, *_) = project.trials
    assert len(first.folds) == 3
    units = as_json(project.run)["subject"]["units"]
    patients = rows.groupby("fold")["patient_id"].nunique()
    assert units["validation"] == list(patients)
    assert np.add(units["training"], units["validation"]).tolist() == [patients.sum()] * 3


def test_the_folds_are_written_down_with_their_sites(study: Study) -> None:
    split = read_json(study.directory / "split.json")
    assert split["site_folds"]["sites"] == ["S1", "S2", "S3"]
    assert split["folds"] == {}


def test_the_check_of_the_sides_counts_the_folds_by_site(study: Study) -> None:
    record = read_study_record(study.directory / "study.json")
    verdict, _ = check_split(study.directory / "split.json", study.radiographs(), record, {})
    assert "; site folds, each patient in one" in verdict.reason


def test_a_prepared_study_does_not_change_what_its_folds_leave_out(
    study: Study, tiny_protocol: Protocol
) -> None:
    with pytest.raises(ResumeError, match="folds_by: was site, is patient"):
        Study(study.directory, protocol=tiny_protocol)


def test_without_sites_it_is_said_before_an_image_is_read(
    tmp_path: Path, phantom_manifest: Path, by_site: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rust_tuner.steps.prepare.survey_content", lambda *_, **__: pytest.fail("read")
    )
    with pytest.raises(SplitError, match="has no column 'site'"):
        Study(tmp_path / "study", phantom_manifest, by_site).prepare()
    assert not (tmp_path / "study" / "split.json").exists()


def test_the_plan_counts_the_sites(study: Study, manifest: Path, by_site: Protocol) -> None:
    assert study.count_sites() == 3
    steps = {
        step.name: step.what
        for step in plan_study(by_site, 28, ("lenet1998",), num_sites=study.count_sites())
    }
    assert steps["regime1"].startswith("2 trials, 3 folds, 2 epochs; a fold trains on about 16 ")
    plain = dataclasses.replace(by_site, folds_by="patient")
    assert Study(study.directory / "other", manifest, plain).count_sites() is None


@pytest.mark.slow
def test_nested_leaves_a_site_out_outside_and_another_one_inside(
    manifest: Path,
    by_site: Protocol,
    feature_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = Study(tmp_path / "study", manifest, by_site, cache=feature_cache, plain_ids=True)
    monkeypatch.setattr(
        "rust_tuner.search.regimes.regime_1", lambda *_, **__: pytest.fail("enough")
    )
    with pytest.raises(pytest.fail.Exception, match="enough"):
        study.nested()
    run = read_json(study.directory / "nested" / "nested.json")
    assert (run["outer_folds"], run["protocol"]["folds_by"]) == (3, "site")
    site_of = dict(load_manifest(manifest).table[["patient_id", "site"]].to_numpy())
    for number, site in enumerate(("S1", "S2", "S3")):
        split = read_json(study.directory / "nested" / f"outer_{number:02d}" / "split.json")
        assert {site_of[patient] for patient in split["holdout"]} == {site}
        others = sorted({"S1", "S2", "S3"} - {site})
        assert split["site_folds"]["sites"] == others
        for patient, fold in split["site_folds"]["patients"].items():
            assert site_of[patient] == others[fold]


@pytest.mark.slow
def test_two_sites_are_too_few_to_nest(
    by_site: Protocol, phantom_manifest: Path, feature_cache: Path, tmp_path: Path
) -> None:
    two = at_sites(phantom_manifest, tmp_path / "two", 2)
    study = Study(tmp_path / "study", two, by_site, cache=feature_cache)
    with pytest.raises(SplitError, match=r"inside outer fold 0: .* leaving one out needs at least"):
        study.nested()
    assert not (study.directory / "nested" / "nested.json").exists()


@pytest.mark.slow
def test_the_whole_nested_cross_validation_by_site_and_its_noise_floor(
    manifest: Path, by_site: Protocol, feature_cache: Path, tmp_path: Path
) -> None:
    study = Study(tmp_path / "study", manifest, by_site, cache=feature_cache)
    found = study.nested()
    assert found["outer_folds"] == 3
    study.regime_1()
    floor = study.noise(repeats=2)
    assert (floor.count("seed"), floor.count("assignment")) == (2, 0)
    (lines,) = [line.plain for line in noise_lines(floor.folder) if "noise: " in line.plain]
    assert lines == "noise: 2 of 2 seeds done"
