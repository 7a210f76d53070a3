"""The display of workers: what they note is what is shown, and counted once."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from keras_tuner.engine.trial import Trial

from rust_tuner.progress import Running, Silent
from rust_tuner.records.worker_note import (
    WORKER_FILE,
    note_of_this_process,
    read_worker_note,
    write_worker_note,
)
from rust_tuner.search.executors import heartbeat as heartbeats
from rust_tuner.search.executors.display import Display
from rust_tuner.search.executors.heartbeat import heartbeat


class Shown(Silent):
    def __init__(self) -> None:
        self.rows: list[Running] = []
        self.steps = 0

    def running(self, rows: Any) -> None:
        self.rows = list(rows)

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self.steps += steps


def display(folder: Path, shown: Shown) -> Display:
    run: Any = SimpleNamespace(
        folder=folder, epochs_of=lambda trial: 6, subject=SimpleNamespace(folds=[0, 1])
    )
    made = Display(shown, shown, run, per_trial=24, num_workers=2)
    made.seconds_between_looks = 0.0
    return made


def trials() -> list[Trial]:
    return [Trial(None, f"{number:04d}") for number in range(3)]


def test_epochs_of_workers_are_shown_and_counted_once(tmp_path: Path) -> None:
    shown = Shown()
    made = display(tmp_path, shown)
    sent = [(trial, made.steps_of(trial), False) for trial in trials()]
    note = note_of_this_process("0001", 12)
    for done in (3, 3, 5, 1):
        write_worker_note(tmp_path / "trial_0001", note.with_changes(done=done))
        made.update(sent)
        assert [(row.done, row.total) for row in shown.rows] == [(done, 12)]
    # A step of the trial is two of the search; a worker that begins anew takes none back.
    assert shown.steps == 10
    sent[1][1].advance_to_end()
    assert shown.steps == 24
    made.update([(trial, steps, True) for trial, steps, _ in sent])
    assert shown.rows == []


def test_the_workers_that_died_are_named_and_forgotten(tmp_path: Path) -> None:
    made = display(tmp_path, Shown())
    note = note_of_this_process("0000", 12).with_changes(host="here", job=None)
    write_worker_note(tmp_path / "trial_0000", note)
    assert made.workers_of(trials()) == f" (trial 0000: process {note.process} on here)"
    assert made.workers_of(trials()) == ""


def test_a_worker_notes_its_trial_until_that_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "trial_0007"
    calls = []
    with heartbeat(folder, 4, lambda: calls.append(1)) as task:
        assert (folder / WORKER_FILE).is_file()
        task.advance(2)
        task.skip(5)
    assert len(calls) == 2
    assert list(folder.iterdir()) == []


def test_a_worker_goes_on_noting_its_epochs_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "_SECONDS_BETWEEN_NOTES", 0.0)
    folder = tmp_path / "trial_0007"
    now = time.time()
    with heartbeat(folder, 4, lambda: None) as task:
        monkeypatch.setattr(time, "time", lambda: now - 3600)
        task.advance(2)
        note = read_worker_note(folder)
    assert note is not None and note.done == 2
