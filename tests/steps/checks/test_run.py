"""All checks of a study: what is planted is found, and a clean study passes."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from studies import StudyFolder

from rust_tuner import Study
from rust_tuner.data.manifest import load_manifest
from rust_tuner.errors import ProtocolError, ResumeError
from rust_tuner.files import read_json, sha256_of_file
from rust_tuner.protocol import Protocol
from rust_tuner.records.checks import CHECKS, CheckRecord, Verdict, read_checks
from rust_tuner.steps.checks.run import run_checks

OF_DATA = ("unchanged", "patients_across_splits", "patient_ids", "near_duplicates")
OF_PERSONS = "same_person"
OF_MODELS = ("predictors", "shuffled_labels", "view_only_training")


def statuses(record: CheckRecord) -> dict[str, str]:
    return {verdict.check: verdict.status for verdict in record.verdicts}


def of(record: CheckRecord, check: str) -> Verdict:
    (verdict,) = [verdict for verdict in record.verdicts if verdict.check == check]
    return verdict


@pytest.fixture
def manifest(tmp_path: Path, phantom_manifest: Path) -> Path:
    """A manifest with its images that a test may change."""
    shutil.copytree(phantom_manifest.parent, tmp_path / "radiographs")
    return tmp_path / "radiographs" / "manifest.csv"


@pytest.fixture
def few(manifest: Path) -> Path:
    """The same with the first seven patients alone: enough for two folds."""
    table = pd.read_csv(manifest, dtype=str)
    patients = table["patient_id"].unique()[:7]
    table[table["patient_id"].isin(patients)].to_csv(manifest, index=False)
    return manifest


@pytest.fixture
def two_folds(tiny_protocol: Protocol) -> Protocol:
    return dataclasses.replace(tiny_protocol, num_folds=2)


def plant(
    manifest: Path, *, original: int, patient: Any, degrees: float = 0.0, **options: Any
) -> None:
    """Add a row whose image is a copy of another row's, turned and compressed again."""
    table = pd.read_csv(manifest, dtype=str)
    row = table.iloc[original].to_dict() | {"image": "images/planted.jpg", "patient_id": patient}
    pixels = np.asarray(Image.open(manifest.parent / table["image"][original])).astype(float)
    image = Image.fromarray((pixels / pixels.max() * 255).round().astype(np.uint8))
    image = image.rotate(degrees, Image.Resampling.BICUBIC)
    image.save(manifest.parent / row["image"], quality=85, **options)
    pd.concat([table, pd.DataFrame([row])]).to_csv(manifest, index=False)


def check_data(folder: Path, manifest: Path, protocol: Protocol) -> CheckRecord:
    study = Study(folder, manifest, protocol)
    study.prepare()
    return study.check()


@pytest.mark.slow
def test_a_clean_study_passes_what_needs_no_search_and_says_what_does(
    tmp_path: Path, manifest: Path, tiny_protocol: Protocol
) -> None:
    record = check_data(tmp_path / "study", manifest, tiny_protocol)
    found = statuses(record)
    persons = {OF_PERSONS: "not_run"}
    models = dict.fromkeys(OF_MODELS, "not_run")
    assert found == dict.fromkeys(OF_DATA, "passed") | persons | models
    assert of(record, "near_duplicates").reason.startswith("No duplicates found. 28 images, 378 ")
    # Twelve patients have too few pairs of visits to measure anything by.
    assert "too few to measure" in of(record, OF_PERSONS).reason
    assert "no search has been begun" in of(record, OF_PERSONS).reason
    for check in OF_MODELS:
        assert "rust-tuner regime1 STUDY" in of(record, check).mend
    assert read_checks(tmp_path / "study" / "checks.json") == record


@pytest.mark.slow
def test_a_planted_copy_under_another_id_is_found_with_both_sides(
    tmp_path: Path, few: Path, two_folds: Protocol
) -> None:
    plant(few, original=4, patient="Q1")
    record = check_data(tmp_path / "study", few, two_folds)
    verdict = of(record, "near_duplicates")
    assert verdict.status == "failed"
    (line,) = verdict.findings
    radiographs = Study(tmp_path / "study").radiographs()
    sealed = set(read_json(tmp_path / "study" / "split.json")["holdout"])
    for position in (4, len(radiographs) - 1):
        patient = radiographs.written_patients[position]
        side = "hold-out set" if patient in sealed else "development set"
        assert f"row {radiographs.rows[position]} " in line
        assert f"(patient {patient}, " in line
        assert f"{radiographs.table['view'].iloc[position]}, {side})" in line


@pytest.mark.slow
def test_a_copy_that_was_turned_is_found_under_another_id(
    tmp_path: Path, few: Path, two_folds: Protocol
) -> None:
    plant(few, original=4, patient="Q1", degrees=3)
    verdict = of(check_data(tmp_path / "study", few, two_folds), "near_duplicates")
    assert verdict.status == "failed"
    (line,) = verdict.findings
    patient = Study(tmp_path / "study").radiographs().written_patients[-1]
    assert f"(patient {patient}, " in line
    assert ", turned by " in line


@pytest.mark.slow
def test_a_planted_copy_within_a_patient_is_a_warning(
    tmp_path: Path, few: Path, two_folds: Protocol
) -> None:
    table = pd.read_csv(few, dtype=str)
    plant(few, original=4, patient=table["patient_id"][4])
    rows = pd.read_csv(few, dtype=str)
    rows.loc[len(table), "visit"] = "later"
    rows.to_csv(few, index=False)
    verdict = of(check_data(tmp_path / "study", few, two_folds), "near_duplicates")
    assert verdict.status == "warning"
    assert "1 of one patient" in verdict.reason


@pytest.mark.slow
def test_a_split_that_was_tampered_with_fails_and_stops_no_other_check(
    tmp_path: Path, few: Path, two_folds: Protocol
) -> None:
    folder = tmp_path / "study"
    Study(folder, few, two_folds).prepare()
    text = (folder / "split.json").read_text()
    (folder / "split.json").write_text(text.replace('"seed": 0', '"seed": 1', 1))
    found = statuses(Study(folder).check())
    assert found["patients_across_splits"] == "failed"
    assert {found[check] for check in OF_DATA if check != "patients_across_splits"} == {"passed"}


@pytest.mark.slow
def test_an_image_that_is_gone_or_damaged_fails_and_is_named(
    tmp_path: Path, few: Path, two_folds: Protocol
) -> None:
    folder = tmp_path / "study"
    Study(folder, few, two_folds).prepare()
    image = load_manifest(few).images[3]
    content = image.read_bytes()
    image.write_bytes(content[:300])
    record = Study(folder).check()
    found = statuses(record)
    assert (found["unchanged"], found["near_duplicates"]) == ("failed", "not_run")
    assert found["patients_across_splits"] == "passed"
    assert "row 5 (image)" in of(record, "unchanged").findings[0]
    image.unlink()
    record = Study(folder).check()
    assert statuses(record)["unchanged"] == "failed"
    assert "row 5 (image)" in of(record, "unchanged").findings[0]
    image.write_bytes(content)
    assert statuses(Study(folder).check())["unchanged"] == "passed"


def test_a_study_that_was_not_prepared_is_refused(tmp_path: Path, manifest: Path) -> None:
    with pytest.raises(ResumeError, match="has not been prepared"):
        Study(tmp_path / "study", manifest).check()


def test_no_permutations_are_refused(
    tmp_path: Path, manifest: Path, tiny_protocol: Protocol
) -> None:
    with pytest.raises(ProtocolError, match="permutations=0; expected at least 1"):
        run_checks(tmp_path, manifest, {}, protocol=tiny_protocol, permutations=0)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def checked(
    tmp_path_factory: pytest.TempPathFactory, finished_study: StudyFolder
) -> tuple[Study, CheckRecord]:
    """The finished study, moved and checked; not to be written to."""
    root = tmp_path_factory.mktemp("checked") / "moved"
    shutil.copytree(finished_study.directory.parent, root)
    study = Study(root / finished_study.directory.name, cache=finished_study.cache)
    return study, study.check(permutations=2)


@pytest.mark.slow
def test_a_finished_study_gets_every_verdict(checked: tuple[Study, CheckRecord]) -> None:
    _study, record = checked
    assert tuple(statuses(record)) == (*OF_DATA, OF_PERSONS, *OF_MODELS)
    assert "by pictures and features" in of(record, OF_PERSONS).reason
    assert all(statuses(record)[check] == "passed" for check in OF_DATA)
    # A random backbone has learned nothing that is more than chance and the view.
    assert statuses(record)["predictors"] == "warning"
    assert statuses(record)["shuffled_labels"] == "passed"
    by_view = of(record, "view_only_training")
    lows = [low for name, low in by_view.figures.items() if name.endswith("_gain_low")]
    assert len(lows) == 2
    is_certain = all(low is not None and low > 0 for low in lows)
    assert by_view.status == ("passed" if is_certain else "warning")
    assert ("not certain that the images add anything" in by_view.mend) == (not is_certain)
    assert of(record, "shuffled_labels").figures["permutations"] == 2
    assert set(record.searches) == {"regime_1", "regime_2"}


@pytest.mark.slow
def test_what_was_trained_is_not_trained_again_and_more_may_be_asked_for(
    checked: tuple[Study, CheckRecord], tmp_path: Path
) -> None:
    study, record = checked
    folder = tmp_path / "again"
    shutil.copytree(study.directory.parent, folder)
    again = Study(folder / study.directory.name, cache=study.cache)
    kept = {
        path: (sha256_of_file(path), path.stat().st_mtime_ns)
        for path in (again.directory / CHECKS).rglob("trial_*/*")
    }
    assert kept
    second = again.check(permutations=2)
    assert dataclasses.replace(second, date=record.date) == record
    for path, (digest, written) in kept.items():
        assert (sha256_of_file(path), path.stat().st_mtime_ns) == (digest, written)
    third = again.check(permutations=3)
    assert of(third, "shuffled_labels").figures["permutations"] == 3


@pytest.mark.slow
def test_the_trainings_keep_patients_folds_and_values_of_the_search(
    checked: tuple[Study, CheckRecord],
) -> None:
    study, _ = checked
    source = read_json(study.directory / "regime_2" / "search.json")
    (place,) = [path for path in (study.directory / CHECKS).iterdir() if path.is_dir()]
    names = sorted(path.name for path in place.iterdir() if path.is_dir())
    assert names == ["shuffled_000", "shuffled_001", "view_only"]
    sealed = set(read_json(study.directory / "split.json")["holdout"])
    best = read_json(study.directory / "best_hyperparameters.json")
    for name in names:
        run = read_json(place / name / "search.json")
        assert run["subject"]["folds"] == source["subject"]["folds"]
        same_inputs = run["subject"]["inputs"] == source["subject"]["inputs"]
        assert same_inputs == (name != "view_only")
        same_targets = run["subject"]["targets"] == source["subject"]["targets"]
        assert same_targets == (name == "view_only")
        rows = pd.read_csv(place / name / "rows.csv", dtype=str)
        assert not sealed & set(rows["patient_id"])
        trial = read_json(place / name / "trial_0000" / "trial.json")
        values = trial["hyperparameters"]["values"]
        assert values == best["hyperparameters"]


@pytest.mark.slow
def test_other_weights_than_those_of_the_search_are_not_trained_with(
    finished_copy: StudyFolder,
) -> None:
    run = finished_copy.directory / "regime_2" / "search.json"
    text = run.read_text()
    inputs = read_json(run)["subject"]["inputs"]
    run.write_text(text.replace(inputs, "0" * 64))
    record = finished_copy.open().check(permutations=1)
    verdict = of(record, "shuffled_labels")
    assert verdict.status == "not_run"
    assert "radiographs, weights or preprocessing" in verdict.reason
    assert statuses(record)["unchanged"] == "passed"
