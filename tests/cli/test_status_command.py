"""The status of a study: what is done, what runs and for how long, and what is damaged."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from command import run
from narrowing import not_none
from studies import StudyFolder

from rust_tuner.files import read_json
from rust_tuner.locks import hold_lock
from rust_tuner.records.project import read_project


def test_status_of_a_finished_study(finished_study: StudyFolder) -> None:
    best = read_project(finished_study.directory / "regime_1").best
    lines = run("status", finished_study.directory).stdout.splitlines()
    assert lines[0] == str(finished_study.directory)
    assert lines[1] == "prepared: 28 radiographs of 12 patients"
    assert lines[2].startswith("not running; last: Regime II, finished at ")
    assert lines[3] == "regime_1: 2 of 2 trials done, 0 failed"
    assert lines[4].startswith(
        f"  best so far: trial {not_none(best).trial}, val_auroc {not_none(best).score:.4f} ±"
    )
    assert f"batch_size={not_none(best).values['batch_size']}" in lines[5]
    assert lines[6] == "regime_2: 2 of 2 trials done, 0 failed"
    assert lines[9] == "checks: not run"
    assert len(lines) == 10


def test_status_of_what_is_not_there(tmp_path: Path) -> None:
    assert "no such folder" in run("status", tmp_path / "nothing", code=1).stdout
    assert not (tmp_path / "nothing").exists()
    text = run("status", tmp_path).stdout.splitlines()[1]
    assert text.startswith("not a study. It is empty. To make a study in it: rust-tuner prepare ")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("study.json", '{"form', "study.json is damaged: .*not valid JSON"),
        ("study.json", "[]", "study.json is damaged"),
        ("study.json", "{}", "study.json is damaged: .*a format that this version does not know"),
        ("regime_1/search.json", '{"form', "regime_1: .*search.json is not valid JSON"),
        ("regime_1/search.json", "{}", "regime_1: .*search.json has a format"),
        ("regime_1/trial_0001/trial.json", '{"tri', "trial_0001: .*JSON.*run the search again"),
        ("regime_1/trial_0001/trial.json", "{}", "trial_0001: .*run the search again"),
        ("regime_1/trial_0001/fold_2.json", '{"se', "trial_0001: .*fold_2.json.*JSON"),
        ("regime_1/trial_0001/fold_2.json", "{}", "trial_0001: .*fold_2.json is damaged"),
    ],
)
def test_status_names_what_is_damaged_and_tells_the_rest(
    finished_copy: StudyFolder, name: str, text: str, told: str
) -> None:
    (finished_copy.directory / name).write_text(text)
    shown = run("status", finished_copy.directory).stdout
    assert re.search(told, shown)
    assert "regime_2: 2 of 2 trials done, 0 failed" in shown


def change_trial(study: Path, trial: str, **changes: Any) -> None:
    path = study / "regime_1" / f"trial_{trial}" / "trial.json"
    path.write_text(json.dumps(read_json(path) | changes))


@pytest.mark.slow
def test_status_of_a_running_trial_tells_its_folds_and_the_time_left(
    finished_copy: StudyFolder,
) -> None:
    change_trial(finished_copy.directory, "0001", status="RUNNING", score=None)
    (finished_copy.directory / "regime_1" / "trial_0001" / "fold_2.json").unlink()
    with hold_lock(finished_copy.directory / "regime_1", "searching", noted=True):
        lines = run("status", finished_copy.directory).stdout.splitlines()
    running = rf"running: searching, process {os.getpid()} on .*, since \d\d:\d\d:\d\d \(\d+ s\)"
    assert re.fullmatch(running, lines[2])
    assert re.match(r"regime_1: 1 of 2 trials done, 0 failed, about \d+ s left", lines[3])
    assert lines[4] == "  trial 0001 started: 2 of 3 folds done"
    # The same records without a process.
    lines = run("status", finished_copy.directory).stdout.splitlines()
    assert lines[3] == "regime_1: 1 of 2 trials done, 0 failed"


def test_status_of_a_failed_trial_tells_the_reason(finished_copy: StudyFolder) -> None:
    reason = "TrialError: trial 1, fold 0, epoch 1: the training loss is nan"
    change_trial(finished_copy.directory, "0001", status="FAILED", message=f"{reason}\nmore")
    lines = run("status", finished_copy.directory).stdout.splitlines()
    assert lines[3:5] == [
        "regime_1: 1 of 2 trials done, 1 failed",
        f"  trial 0001 failed: {reason}",
    ]
