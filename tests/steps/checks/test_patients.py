"""Manifest and split: what was prepared passes, what was changed is named."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from judged_searches import skilled, write_judged_search
from report_studies import study_record

from rust_tuner import Study
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import radiographs_sha256
from rust_tuner.files import sha256_of_file, sha256_of_json, write_json
from rust_tuner.protocol import Protocol
from rust_tuner.records.checks import Verdict
from rust_tuner.records.model import write_record
from rust_tuner.records.project import Project
from rust_tuner.records.split import SplitRecord, load_or_make_folds, load_or_make_split, read_split
from rust_tuner.records.study_record import StudyRecord, read_study_record
from rust_tuner.steps.checks.patients import check_patient_ids, check_split, check_unchanged

Searched = tuple[Path, Radiographs, Radiographs, Radiographs, StudyRecord]


@pytest.fixture
def prepared(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol
) -> tuple[Path, Path, Radiographs]:
    """A study's folder, its manifest that may be changed, and its radiographs."""
    shutil.copytree(phantom_manifest.parent, tmp_path / "radiographs")
    manifest = tmp_path / "radiographs" / "manifest.csv"
    Study(tmp_path / "study", manifest, tiny_protocol, plain_ids=True).prepare()
    return tmp_path / "study", manifest, load_manifest(manifest)


def hashes(radiographs: Radiographs) -> list[str]:
    return [sha256_of_file(path) for path in radiographs.images]


def split_of(
    prepared: tuple[Path, Path, Radiographs], projects: Mapping[str, Project] | None = None
) -> tuple[Verdict, SplitRecord | None]:
    folder, _, radiographs = prepared
    return check_split(
        folder / "split.json", radiographs, read_study_record(folder / "study.json"), projects or {}
    )


def test_what_was_prepared_is_unchanged(prepared: tuple[Path, Path, Radiographs]) -> None:
    folder, _, radiographs = prepared
    verdict = check_unchanged(
        radiographs, hashes(radiographs), read_study_record(folder / "study.json")
    )
    assert verdict.status == "passed"
    assert "28 radiographs of 12 patients" in verdict.reason


def test_a_changed_score_and_a_changed_image_fail_and_are_told_apart(
    prepared: tuple[Path, Path, Radiographs],
) -> None:
    folder, _, radiographs = prepared
    study = read_study_record(folder / "study.json")
    table = radiographs.table.copy()
    row = table["medial"].first_valid_index()
    table.loc[row, "medial"] = 5 - table.loc[row, "medial"]  # type: ignore[index]
    changed = Radiographs(table)
    verdict = check_unchanged(changed, hashes(changed), study)
    assert verdict.status == "failed"
    assert "scores" in verdict.reason
    assert "image files" not in verdict.reason
    assert len(verdict.findings) == 1
    assert verdict.findings[0].startswith(f"row {changed.rows[list(table.index).index(row)]} ")
    other = hashes(radiographs)[::-1]
    verdict = check_unchanged(radiographs, other, study)
    assert verdict.status == "failed"
    assert "image files, or the patients they belong to" in verdict.reason
    assert "is the image that row" in verdict.findings[0]
    assert "scores" not in verdict.reason


def test_a_split_that_was_prepared_passes(prepared: tuple[Path, Path, Radiographs]) -> None:
    verdict, split = split_of(prepared)
    assert verdict.status == "passed"
    assert "10 development and 2 hold-out patients, none on both sides" in verdict.reason
    assert split is not None


def test_a_patient_moved_out_of_the_holdout_set_by_hand_fails(
    prepared: tuple[Path, Path, Radiographs],
) -> None:
    path = prepared[0] / "split.json"
    content = json.loads(path.read_text())
    content["development"] = sorted([*content["development"], content["holdout"].pop()])
    path.write_text(json.dumps(content))
    verdict, split = split_of(prepared)
    assert verdict.status == "failed"
    assert "the content does not match its SHA-256" in verdict.reason
    assert split is None


def moved(split: SplitRecord, radiographs: Radiographs) -> SplitRecord:
    """The split with one sealed patient made a development patient, hashes included."""
    who = split.holdout[0]
    development = sorted([*split.development, who])
    rows = [n for n, owner in enumerate(radiographs.patient_ids) if owner in development]
    return split.changed(
        development=development,
        holdout=split.holdout[1:],
        development_sha256=radiographs_sha256(radiographs.subset(rows)),
        folds={},
    )


def test_a_split_of_an_earlier_version_stays_valid_and_is_said_to_be_no_random_sample(
    prepared: tuple[Path, Path, Radiographs],
) -> None:
    folder, manifest, radiographs = prepared
    path = folder / "split.json"
    content = json.loads(path.read_text())
    del content["drawn"], content["sha256"]
    write_json(path, content | {"sha256": sha256_of_json(content)})
    split = read_split(path, radiographs)
    assert len(Study(folder, manifest).prepare()) == len(
        [who for who in radiographs.patient_ids if who in split.development]
    )
    verdict, found = split_of(prepared)
    assert (verdict.status, found) == ("warning", split)
    assert "an earlier version" in verdict.reason
    assert "not a random sample" in verdict.reason


def test_a_split_that_was_changed_with_its_hashes_differs_from_what_was_prepared(
    prepared: tuple[Path, Path, Radiographs],
) -> None:
    folder, _, radiographs = prepared
    path = folder / "split.json"
    changed = moved(read_split(path, radiographs), radiographs)
    write_record(path, changed)
    verdict, split = split_of(prepared)
    assert verdict.status == "failed"
    assert "seals other patients than study.json says" in verdict.reason
    assert split is None
    # With the study's record changed too, the seed still tells.
    study = read_study_record(folder / "study.json").with_changes(
        development_sha256=changed.development_sha256
    )
    verdict, split = check_split(path, radiographs, study, {})
    assert verdict.status == "warning"
    assert "other patients than its seed 0 gives" in verdict.reason


def test_a_lost_split_fails(prepared: tuple[Path, Path, Radiographs]) -> None:
    (prepared[0] / "split.json").unlink()
    verdict, split = split_of(prepared)
    assert (verdict.status, split) == ("failed", None)
    assert "no such file" in verdict.reason


@pytest.fixture
def searched(tmp_path: Path) -> Searched:
    """A split of more patients, with folds, and what a search on its development set has."""
    from judged_searches import NUM_FOLDS, phantom_rows

    radiographs = phantom_rows(patients=40)
    development, holdout = load_or_make_split(tmp_path / "split.json", radiographs, 0.15, 0)
    load_or_make_folds(tmp_path / "split.json", development, NUM_FOLDS, 0)
    sha256 = radiographs_sha256(development.radiographs)
    study = StudyRecord.of(study_record(development_sha256=sha256))
    return tmp_path, radiographs, development.radiographs, holdout.radiographs, study


def judged(searched: Searched, used: Radiographs) -> Verdict:
    folder, radiographs, _, _, study = searched
    project = write_judged_search(folder / "regime_1", used, skilled(used))
    return check_split(folder / "split.json", radiographs, study, {"regime_1": project})[0]


def test_a_search_on_the_folds_of_the_split_passes(searched: Searched) -> None:
    verdict = judged(searched, searched[2])
    assert verdict.status == "passed"
    assert verdict.reason.endswith("; used by 1 search.")


def test_a_search_that_saw_a_sealed_patient_fails(searched: Searched) -> None:
    _, _, development, holdout, _ = searched
    leaked = holdout.table.iloc[:1]
    seen = {*development.rows, leaked.index[0]}
    everything = searched[1]
    used = everything.subset([n for n, row in enumerate(everything.rows) if row in seen])
    verdict = judged(searched, used)
    assert verdict.status == "failed"
    assert f"it used the sealed patients {leaked['patient_id'].iloc[0]}" in verdict.findings[0]


def test_a_search_on_other_folds_fails(searched: Searched) -> None:
    folder, radiographs, development, _, study = searched
    project = write_judged_search(folder / "regime_1", development, skilled(development))
    path = folder / "split.json"
    content = read_split(path, radiographs)
    folds = dict(content.folds["3"].patients)
    first, second = sorted(folds, key=lambda who: folds[who])[:: len(folds) - 1]
    folds[first], folds[second] = folds[second], folds[first]
    record = content.folds["3"].with_changes(patients=folds).to_json()
    write_record(path, content.changed(folds={"3": record}))
    verdict, _ = check_split(path, radiographs, study, {"regime_1": project})
    assert verdict.status == "failed"
    assert verdict.findings == ("regime_1: its folds are not those of split.json",)


def test_all_different_ids_pass(prepared: tuple[Path, Path, Radiographs]) -> None:
    verdict = check_patient_ids(prepared[2], None)
    assert verdict.status == "passed"
    assert "12 ids" in verdict.reason


def test_one_patient_under_two_ids_is_warned_of_with_both_sides(
    prepared: tuple[Path, Path, Radiographs],
) -> None:
    folder, _, radiographs = prepared
    split = read_split(folder / "split.json", radiographs)
    sealed = split.holdout[0]
    twin = split.development[0]
    names = {twin: sealed.lower().replace("p0", "p")}
    table = radiographs.table.assign(patient_id=radiographs.table["patient_id"].replace(names))
    verdict = check_patient_ids(Radiographs(table, distinct_patients=True), split)
    assert verdict.status == "warning"
    assert "1 patients may have more than one id, 1 of them on both sides" in verdict.reason
    (line,) = verdict.findings
    assert "--distinct-patients" in verdict.reason
    assert f"{sealed!r}" in line
    assert "hold-out set" in line
    assert "development set" in line
