"""How far a study is, a line each: the time that is left, and 80 columns hold it."""

import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from report_searches import write_regime_1
from studies import StudyFolder

from rust_tuner.files import read_json
from rust_tuner.locks import hold_lock
from rust_tuner.records.project import read_project
from rust_tuner.records.worker_note import note_of_this_process, write_worker_note
from rust_tuner.terminal.status import status_lines


def change_trial(folder: Path, trial: int, **changes: Any) -> None:
    path = folder / f"trial_{trial:04d}" / "trial.json"
    path.write_text(json.dumps(read_json(path) | changes))


def test_the_time_left_counts_the_folds_that_are_done(tmp_path: Path) -> None:
    # A trial whose folds take 1.5 s each, and a search of three.
    folder = write_regime_1(tmp_path / "regime_1", count=2, num_folds=4, num_trials=3)
    change_trial(folder, 1, status="RUNNING", score=None)
    (folder / "trial_0001" / "fold_3.json").unlink()
    with hold_lock(folder, "searching", noted=True):
        line = status_lines(folder)[2].plain
        assert line.endswith(" 1 of 3 trials done, 0 failed, about 8 s left")
        (folder / "trial_0001" / "fold_2.json").unlink()
        assert status_lines(folder)[2].plain.endswith(", about 9 s left")
    assert status_lines(folder)[2].plain.endswith(" 1 of 3 trials done, 0 failed")


def test_there_is_time_left_also_while_the_only_trial_runs(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "lenet1998", count=1, num_folds=4)
    change_trial(folder, 0, status="RUNNING", score=None)
    (folder / "trial_0000" / "fold_3.json").unlink()
    with hold_lock(folder, "searching", noted=True):
        line = status_lines(folder)[2].plain
    assert line.endswith(" 0 of 1 trials done, 0 failed, about 2 s left")


def test_a_trial_in_a_worker_says_where_and_how_far_it_is(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=4, num_folds=2, num_trials=4)
    for number in (1, 2, 3):
        change_trial(folder, number, status="RUNNING", score=None)
        for fold in (folder / f"trial_{number:04d}").glob("fold_*"):
            fold.unlink()
    note = note_of_this_process("0001", 12).with_changes(done=5, host="a-node", job=None)
    write_worker_note(folder / "trial_0001", note)
    ended = note_of_this_process("0002", 12).with_changes(started="1 before", job=None)
    write_worker_note(folder / "trial_0002", ended)
    with hold_lock(folder, "searching", noted=True):
        lines = [line.plain for line in status_lines(folder)]
    # Two trials run at once, so that the time is halved: three of two folds, 1.5 s each.
    assert any(line.endswith(" 1 of 4 trials done, 0 failed, about 4 s left") for line in lines)
    (running,) = (line for line in lines if line.startswith("  trial 0001: "))
    assert running.startswith(f"  trial 0001: 5 of 12 epochs, process {os.getpid()} on a-node, ")
    assert len(running) <= 80
    dead = (
        f"  trial 0002: process {os.getpid()} on {platform.node()} has died; the trial runs again"
    )
    assert (dead in lines) == Path("/proc/self/stat").exists()
    assert "  trial 0003 waits for a worker" in lines
    silent = note.with_changes(seen=note.seen - 600)
    write_worker_note(folder / "trial_0001", silent)
    lines = [line.plain for line in status_lines(folder)]
    assert any("last heard of 10 min" in line for line in lines)


def test_status_lines_fit_80_columns_and_tell_the_best(finished_study: StudyFolder) -> None:
    lines = [line.plain for line in status_lines(finished_study.directory)]
    assert all(len(line) <= 80 for line in lines[1:])
    for name in ("regime_1", "regime_2"):
        project = read_project(finished_study.directory / name)
        position = lines.index(f"{name}: 2 of 2 trials done, 0 failed")
        best = project.best
        assert best is not None and best.epoch is not None
        spread = statistics.stdev(fold.validation["auroc"][best.epoch] for fold in best.folds)
        assert lines[position + 1] == (
            f"  best so far: trial {best.trial}, val_auroc "
            f"{best.score:.4f} ± {spread:.4f} (selection score)"
        )
        text = dict(part.split("=") for part in lines[position + 2].strip().split(", "))
        for key, value in best.values.items():
            assert np.isclose(float(text[key]), value, rtol=1e-3)
