"""Checks of the records: each can fail, and none passes on what is not there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from report_predictions import make_predictions
from report_searches import write_json, write_project, write_regime_1
from report_studies import study_record, write_split

from rust_tuner.analysis.record_checks import FAILED, NOT_YET, PASSED, WARNING, record_checks
from rust_tuner.analysis.verdict import summary
from rust_tuner.files import read_json, sha256_of_json
from rust_tuner.records.checks import Verdict
from rust_tuner.records.folder import read_study
from rust_tuner.report.sections.data import provenance_section, split_section

RECORDS = "Can every record be read?"
APART = "Is no patient in both hold-out and development set?"
FOLDS = "Is each patient in one fold only?"
SPLIT = "Is the split the one that was prepared?"
LABELS = "Were all parts trained on the same labels?"
WEIGHTS = "Did searches and tuned model use the same weights?"
PRETRAINED = "Was the backbone pretrained?"
BATCH_SIZE = "Did the batch size take effect?"
COMPLETE = "Did every trial end with a score?"
VIEW = "Do scores on visible cortices beat the view alone?"
ONE_LOOK = "Was the hold-out set looked at once, with sealed patients only?"


def checked(study: Path) -> dict[str, Verdict]:
    return {check.title: check for check in record_checks(read_study(study))}


def change(path: Path, *keys: Any, value: str | dict[str, str] | int) -> None:
    """Set a value deep in a JSON file."""
    content = read_json(path)
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    write_json(path, content)


def change_split(path: Path, **changes: Any) -> None:
    content = read_json(path) | changes
    del content["sha256"]
    write_json(path, content | {"sha256": sha256_of_json(content)})


def test_a_finished_study_passes_every_check(study: Path) -> None:
    checks = checked(study)
    assert len(checks) == 11
    assert {check.status for check in checks.values()} == {PASSED}
    assert "12 batch sizes" in checks[BATCH_SIZE].reason
    assert "400" in checks[BATCH_SIZE].reason
    assert "Hold-out set 0.9" in checks[VIEW].reason
    assert "against 0.500, gain +0.4" in checks[VIEW].reason


def test_nothing_passes_on_what_is_not_there(tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", study_record())
    checks = checked(tmp_path)
    verdicts = {question: check.status for question, check in checks.items()}
    assert verdicts.pop(RECORDS) == PASSED
    assert set(verdicts.values()) == {NOT_YET}


def test_a_damaged_part_fails(study: Path) -> None:
    (study / "regime_1" / "trial_0003" / "fold_1.json").write_text("{")
    assert checked(study)[RECORDS].status == FAILED


def test_a_sealed_patient_in_the_development_set_fails(study: Path) -> None:
    split = read_json(study / "split.json")
    change_split(study / "split.json", holdout=[*split["holdout"], split["development"][0]])
    found = checked(study)[APART]
    assert (found.status, found.reason) == (FAILED, "1 patient on both sides")


@pytest.mark.parametrize("fault", ["a patient is missing", "a stranger", "an empty fold"])
def test_folds_of_other_patients_fail(fault: str, study: Path) -> None:
    folds = read_json(study / "split.json")["folds"]
    patients = folds["3"]["patients"]
    if fault == "a patient is missing":
        patients.pop("030")
    elif fault == "a stranger":
        patients["999"] = 0
    else:
        patients.update({name: 0 for name, fold in patients.items() if fold == 2})
    change_split(study / "split.json", folds=folds)
    assert checked(study)[FOLDS].status == FAILED


def test_another_split_than_the_prepared_one_fails(study: Path) -> None:
    change(study / "study.json", "development_sha256", value="cd" * 32)
    assert checked(study)[SPLIT].status == FAILED


@pytest.mark.parametrize(("name", "question"), [("targets", LABELS), ("weights", WEIGHTS)])
def test_parts_of_different_origin_fail(name: str, question: str, study: Path) -> None:
    value = "cd" * 32 if name == "targets" else {"asked": "imagenet", "sha256": "cd" * 32}
    change(study / "regime_2" / "search.json", "subject", name, value=value)
    assert checked(study)[question].status == FAILED


def test_random_weights_fail(study: Path) -> None:
    change(study / "regime_2" / "search.json", "subject", "weights", "asked", value="random")
    found = checked(study)[PRETRAINED]
    assert found.status == FAILED
    assert "Regime II" in found.reason


def set_steps(study: Path, steps: Callable[[int], int]) -> None:
    for place in (study / "regime_1").glob("trial_*"):
        values = read_json(place / "trial.json")["hyperparameters"]["values"]
        for path in place.glob("fold_*.json"):
            head = read_json(path) | {"steps_per_epoch": steps(values["batch_size"])}
            del head["sha256"]
            write_json(path, head | {"sha256": sha256_of_json(head)})


def test_a_batch_size_that_was_never_applied_fails(study: Path) -> None:
    """As in the published study, whose folds were batched at 128 before `fit` saw them."""
    set_steps(study, lambda size: -(-400 // 128))
    found = checked(study)[BATCH_SIZE]
    assert found.status == FAILED
    assert "do not match their batch sizes" in found.reason


def test_a_single_trial_that_was_batched_otherwise_fails(study: Path) -> None:
    set_steps(study, lambda size: -(-400 // (128 if size == 16 + 31 * 5 else size)))
    assert checked(study)[BATCH_SIZE].status == FAILED


@pytest.mark.parametrize(("rows", "verdict"), [(1, FAILED), (40, FAILED), (240, WARNING)])
def test_batch_sizes_that_held_the_whole_fold_had_no_effect(
    rows: int, verdict: str, tmp_path: Path
) -> None:
    write_regime_1(tmp_path / "regime_1", count=12)
    set_steps(tmp_path, lambda size: -(-rows // size))
    found = checked(tmp_path)[BATCH_SIZE]
    assert found.status == verdict
    held = sum(16 + 31 * number >= rows for number in range(12))
    assert f"{held} of 12 batch sizes held all that a fold trains on" in found.reason


def test_a_search_of_one_step_an_epoch_does_not_pass_beside_a_grid_that_has_more(
    study: Path,
) -> None:
    set_steps(study, lambda size: -(-40 // size))
    assert checked(study)[BATCH_SIZE].status == FAILED


def test_one_batch_size_that_held_the_whole_fold_is_a_warning(tmp_path: Path) -> None:
    write_project(tmp_path / "regime_1", [{"batch_size": 400}, {"batch_size": 400}])
    assert checked(tmp_path)[BATCH_SIZE].status == WARNING


def test_different_batch_sizes_of_as_many_steps_are_a_warning(tmp_path: Path) -> None:
    write_project(tmp_path / "regime_1", [{"batch_size": 250}, {"batch_size": 251}])
    assert checked(tmp_path)[BATCH_SIZE].status == WARNING


def test_unfinished_and_failed_trials_are_a_warning(study: Path) -> None:
    change(study / "regime_1" / "search.json", "num_trials", value=20)
    found = checked(study)[COMPLETE]
    assert found.status == WARNING
    assert "Regime I 12 of 20" in found.reason
    failed = {"status": "FAILED", "score": None, "best_step": None, "message": "diverged"}
    path = study / "regime_2" / "trial_0001" / "trial.json"
    write_json(path, read_json(path) | failed)
    assert "Regime II 6 of 6 (1 failed)" in checked(study)[COMPLETE].reason


def test_a_score_without_predictions_by_patient_is_not_decided(tmp_path: Path) -> None:
    write_project(tmp_path / "regime_1", [{"batch_size": 16}])
    found = checked(tmp_path)[VIEW]
    assert found.status == NOT_YET
    assert "cannot be decided: no predictions by patient" in found.reason


def test_a_part_that_is_not_decided_among_others_is_a_warning(study: Path) -> None:
    (study / "regime_1" / "rows.csv").unlink()
    assert checked(study)[VIEW].status == WARNING


def change_answers(
    study: Path, change: Callable[[pd.DataFrame], pd.DataFrame | npt.NDArray[np.float64]]
) -> None:
    path = study / "final" / "predictions.csv"
    table = make_predictions()
    names = [
        name for name in map(str, table) if name.startswith("probability_") and "view" not in name
    ]
    table[names] = change(table[names])
    table.to_csv(path, index=False)


def test_a_hold_out_set_that_cannot_be_distinguished_from_the_view_alone_is_a_warning(
    study: Path,
) -> None:
    rng = np.random.default_rng(0)
    change_answers(study, lambda answers: rng.random(answers.shape))
    found = checked(study)[VIEW]
    assert found.status == WARNING
    assert "Hold-out set cannot be distinguished from chance" in found.reason


def test_a_hold_out_set_below_the_view_alone_fails(study: Path) -> None:
    change_answers(study, lambda answers: 1 - answers)
    assert checked(study)[VIEW].status == FAILED


def test_predictions_of_other_patients_or_rows_fail(study: Path) -> None:
    path = study / "final" / "predictions.csv"
    make_predictions(rows=56).to_csv(path, index=False)
    found = checked(study)[ONE_LOOK]
    assert (found.status, "60 radiographs" in found.reason) == (FAILED, True)
    make_predictions(rows=60).replace({"patient_id": {"003": "042"}}).to_csv(path, index=False)
    found = checked(study)[ONE_LOOK]
    assert (found.status, "not sealed" in found.reason) == (FAILED, True)


@pytest.fixture
def by_site(study: Path) -> dict[str, Any]:
    """The folds of a study whose folds leave one site out, in its only record of folds."""
    write_split(study / "split.json")
    content = read_json(study / "split.json")
    made = {"seed": 0, "sites": ["A", "B", "C"], "patients": content["folds"]["3"]["patients"]}
    change_split(study / "split.json", folds={}, site_folds=made)
    protocol = read_json(study / "study.json")["protocol"]
    change(study / "study.json", "protocol", value=protocol | {"folds_by": "site"})
    return made


def test_folds_by_site_are_checked_and_shown(study: Path, by_site: dict[str, Any]) -> None:
    found = checked(study)[FOLDS]
    assert (found.status, found.reason[:25]) == (PASSED, "folds by site: each patie")
    section = split_section(read_study(study))
    (table,) = (
        table for table in section.tables if table.caption == "Folds of the development set"
    )
    assert [[text for text, _ in row] for row in table.rows] == [
        ["0", "A", "10"],
        ["1", "B", "10"],
        ["2", "C", "10"],
    ]
    protocol = next(
        table
        for table in provenance_section(read_study(study)).tables
        if table.caption == "Protocol"
    )
    names = [row[0][0] for row in protocol.rows]
    assert "folds by" in names
    assert not {"num folds", "final folds", "outer folds", "baseline folds"} & set(names)
    asked = " ".join(summary(read_study(study)).asked)
    assert "in cross-validation that leaves one site out at a time?" in asked
    del by_site["patients"]["030"]
    change_split(study / "split.json", site_folds=by_site)
    assert checked(study)[FOLDS].reason.startswith("the folds by site do not have the patients")


def test_a_record_that_cannot_be_understood_fails_and_the_others_are_made(study: Path) -> None:
    write_split(study / "split.json")
    change_split(study / "split.json", folds={"three": {"seed": 0, "patients": {"030": 0}}})
    checks = checked(study)
    assert checks[RECORDS].status == FAILED
    assert checks[FOLDS].status == NOT_YET
    assert checks[ONE_LOOK].status == PASSED
