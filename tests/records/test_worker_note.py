"""The note of the process that trains a trial."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rust_tuner.records.worker_note import (
    WORKER_FILE,
    note_of_this_process,
    read_worker_note,
    remove_worker_note,
    write_worker_note,
)

JOBS = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in JOBS:
        monkeypatch.delenv(name, raising=False)


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    note = note_of_this_process("0003", 60).with_changes(done=12)
    write_worker_note(tmp_path, note)
    assert read_worker_note(tmp_path) == note
    assert note.who == f"process {os.getpid()} on {note.host}"
    remove_worker_note(tmp_path)
    remove_worker_note(tmp_path)
    assert read_worker_note(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"trial": 3}'])
def test_a_damaged_note_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / WORKER_FILE).write_text(content)
    assert read_worker_note(tmp_path) is None


def test_a_note_of_a_moment_that_no_calendar_has_is_none(tmp_path: Path) -> None:
    note = note_of_this_process("0003", 60).to_json()
    (tmp_path / WORKER_FILE).write_text(json.dumps(note | {"since": 1e300}))
    assert read_worker_note(tmp_path) is None


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        (
            {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "SLURM_JOB_ID": "9"},
            "SLURM job 7_2",
        ),
        ({"SLURM_JOB_ID": "9"}, "SLURM job 9"),
        ({"PBS_JOBID": "4.head"}, "PBS job 4.head"),
        ({"SLURM_JOB_ID": ""}, None),
    ],
)
def test_the_job_of_a_batch_system_is_named(
    variables: dict[str, str], job: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert note_of_this_process("0000", 1).job == job


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_process_that_has_ended_is_dead_and_one_elsewhere_is_not_seen() -> None:
    note = note_of_this_process("0000", 1)
    assert note.state == "alive"
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    assert note.with_changes(process=int(ended.stdout)).state == "dead"
    # The number may have been given to another process since.
    assert note.with_changes(started="1 before").state == "dead"
    assert note.with_changes(host="elsewhere").state == "unseen"
    assert note.with_changes(processes="pid:[1]").state == "unseen"
    assert note.with_changes(started=None).state == "unseen"
