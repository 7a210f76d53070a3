"""`study.json`: what was prepared comes back, what steps add stays."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from narrowing import as_json, not_none
from study_files import PROTOCOL, write_study_file

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ResumeError
from rust_tuner.records.model import Weights
from rust_tuner.records.study import StudyFile
from rust_tuner.records.study_record import STUDY_FILE


def test_what_was_prepared_comes_back(folder: Path, tmp_path: Path) -> None:
    file = StudyFile(folder)
    assert file.protocol == PROTOCOL
    assert file.manifest == tmp_path / "manifest.csv"
    assert (file.record["radiographs"], file.record["patients"]) == (4, 2)
    assert file.record["weights"] is None
    assert file.record["split_sha256"] == "split"


def test_a_study_that_another_process_prepared_is_seen_once_it_is_looked_for(
    tmp_path: Path, radiographs: Radiographs
) -> None:
    (tmp_path / "study").mkdir()
    file = StudyFile(tmp_path / "study")
    write_study_file(tmp_path / "study", radiographs, tmp_path / "manifest.csv")
    assert not file.is_there
    file.read_again()
    assert file.is_there


def test_what_two_open_files_write_stays(folder: Path) -> None:
    first, second = StudyFile(folder), StudyFile(folder)
    first.record_weights(Weights(asked="imagenet", sha256="abc"), "imagenet")
    second.note_environment("regime_1", {"cores": 2}, split_sha256="later")
    content = StudyFile(folder).record
    assert content["weights"] == {"asked": "imagenet", "sha256": "abc"}
    assert as_json(content)["protocol"]["weights"] == "imagenet"
    assert content["split_sha256"] == "later"


def test_a_step_notes_each_machine_once(folder: Path) -> None:
    file = StudyFile(folder)
    for cores in (2, 8, 2):
        file.note_environment("final", {"cores": cores}, split_sha256="split")
    assert as_json(StudyFile(folder).record)["environments"]["final"] == [
        {"cores": 2},
        {"cores": 8},
    ]


def test_a_look_is_in_the_file_before_it_is_made_and_completed_by_what_it_found(
    folder: Path,
) -> None:
    look = StudyFile(folder).begin_look("a" * 64)
    (noted,) = StudyFile(folder).looks
    assert noted == look
    assert (noted.state, noted.reason, noted.model_sha256) == ("begun", None, "a" * 64)
    (folder / "final").mkdir()
    (folder / "final" / "holdout.json").write_text("{}")
    file = StudyFile(folder)
    file.finish_look({"auroc": 0.75, "cortex_auroc": None, "f1": 0.5})
    (done,) = StudyFile(folder).looks
    assert done.state == "finished"
    assert done.metrics == {"auroc": 0.75, "cortex_auroc": None}
    assert done.holdout_sha256 == hashlib.sha256(b"{}").hexdigest()


def test_a_look_is_synced_to_disk_with_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def note(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))

    monkeypatch.setattr(os, "fsync", note)
    StudyFile(folder).begin_look("a" * 64)
    assert synced[-1] == str(folder)
    assert len(synced) == 2


def test_a_look_that_was_begun_goes_on_with_its_own_model_and_no_other(folder: Path) -> None:
    first = StudyFile(folder).begin_look("a" * 64)
    assert StudyFile(folder).begin_look("a" * 64) == first
    assert len(StudyFile(folder).looks) == 1
    with pytest.raises(
        ResumeError, match=rf"looked at on {re.escape(not_none(first.date))} with the model aa"
    ):
        StudyFile(folder).begin_look("b" * 64)
    StudyFile(folder).begin_look("b" * 64, "retrained")
    assert [look.reason for look in StudyFile(folder).looks] == [None, "retrained"]


def test_a_look_stays_where_other_open_files_write_later(folder: Path) -> None:
    other = StudyFile(folder)
    StudyFile(folder).begin_look("a" * 64)
    other.note_begun("regime_1", {"epochs": 3})
    assert len(StudyFile(folder).looks) == 1
    assert not_none(StudyFile(folder).begun("regime_1")).to_json() == {"epochs": 3}
    assert StudyFile(folder).begun("regime_2") is None


@pytest.mark.parametrize("begun", [3, {"regime_1": 3}, ["regime_1"]])
def test_a_damaged_record_of_what_was_begun_is_named(
    folder: Path, begun: int | dict[str, int] | list[str]
) -> None:
    StudyFile(folder).update(begun=begun)
    with pytest.raises(ResumeError, match=r"study\.json: the choices of regime_1 cannot"):
        StudyFile(folder).begun("regime_1")


def test_nothing_is_written_where_nothing_changed(folder: Path) -> None:
    before = (folder / STUDY_FILE).stat().st_mtime_ns
    StudyFile(folder).update(split_sha256="split")
    assert (folder / STUDY_FILE).stat().st_mtime_ns == before


def test_a_study_says_with_which_kernels_its_first_training_was_begun(folder: Path) -> None:
    file = StudyFile(folder)
    # What prepared it has trained nothing.
    assert file.begun_onednn is True
    trained = {"backend": "tensorflow", "onednn": False}
    file.note_environment("regime_1", trained, split_sha256="split")
    file.note_environment("regime_2", trained | {"onednn": True}, split_sha256="split")
    assert StudyFile(folder).begun_onednn is False


@pytest.mark.parametrize(
    "environments",
    [
        {"regime_1": [{"backend": "tensorflow"}], "final": [{"backend": "x", "onednn": False}]},
        {"regime_1": [{"backend": "jax", "onednn": None}]},
        {"regime_1": [{"backend": "tensorflow", "onednn": "yes"}]},
    ],
)
def test_kernels_that_are_not_recorded_are_not_guessed(
    environments: dict[str, Any], folder: Path
) -> None:
    file = StudyFile(folder)
    file.update(environments=environments)
    assert file.begun_onednn is None


@pytest.mark.parametrize("environments", [[], {"prepare": None}, {"prepare": [3]}])
def test_a_damaged_record_of_environments_is_named(
    environments: dict[str, list[int] | None], folder: Path
) -> None:
    content = StudyFile(folder).record.to_json() | {"environments": environments}
    (folder / STUDY_FILE).write_text(json.dumps(content))
    with pytest.raises(ResumeError, match=r"study\.json is damaged \(environments"):
        StudyFile(folder)


@pytest.mark.parametrize("environments", [None, {}, {"prepare": []}, {"prepare": [{}]}])
def test_a_study_without_any_training_takes_the_kernels_of_a_new_one(
    environments: dict[str, list[dict[str, Any]]] | None, folder: Path
) -> None:
    file = StudyFile(folder)
    file.update(environments=environments)
    assert file.begun_onednn is True
