"""What the live page says of a study: who works on it, what stands still, and what comes next."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from begun_studies import write_begun_study
from lock_holders import other_holder
from report_searches import write_json

from rust_tuner.analysis.live import live_view
from rust_tuner.files import read_json
from rust_tuner.locks import hold_lock
from rust_tuner.report.live.page import live_part


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_begun_study(tmp_path / "study")


def shown(study: Path) -> str:
    return live_part(study, live_view(study))


def test_a_paused_search_is_not_to_be_resumed(study: Path) -> None:
    with other_holder(study, "Regime I", noted=True) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        page = shown(study)
        assert f"Paused: Regime I, process {process.pid}; fg or kill -CONT {process.pid}" in page
        assert "Resume it" not in page
        process.send_signal(signal.SIGCONT)


def test_a_running_search_is_said_with_its_process_and_does_not_count_down_once_it_ended(
    study: Path,
) -> None:
    search = other_holder(study / "regime_1", "searching hyperparameters", noted=True)
    with other_holder(study, "Regime I", noted=True) as process, search:
        page = shown(study)
        assert f"Running: Regime I, process {process.pid}, since " in page
        assert "left</strong>" in page
    page = shown(study)
    assert "Running" not in page
    assert "left</strong>" not in page


def test_another_step_does_not_make_a_search_run(study: Path) -> None:
    with other_holder(study, "nested cross-validation", noted=True):
        page = shown(study)
        assert "Running: nested cross-validation, process " in page
        assert "left</strong>" not in page
        assert "(running)" not in page


def test_a_step_that_was_killed_is_said_where_all_searches_are_finished(study: Path) -> None:
    manifest = study / "regime_1" / "search.json"
    ended = len(list((study / "regime_1").glob("trial_*")))
    write_json(manifest, read_json(manifest) | {"num_trials": ended, "max_trials": ended})
    assert "Not running: Regime I is finished" in shown(study)
    (study / "nested").mkdir()
    with other_holder(study / "nested", "nested cross-validation", noted=True) as process:
        process.kill()
        process.wait()
        page = shown(study)
    assert "Not running: nested cross-validation was killed; run the same command again" in page


def test_a_search_that_stopped_is_said_after_the_final_model(study: Path) -> None:
    (study / "final").mkdir(exist_ok=True)
    write_json(study / "final" / "holdout.json", {})
    page = shown(study)
    assert "Finished" not in page
    assert "Not running: Regime I stopped at" in page


def test_a_search_without_a_study_around_it_is_running_too(study: Path) -> None:
    with other_holder(study / "regime_1", "searching hyperparameters", noted=True) as process:
        assert f"process {process.pid}, since " in shown(study)


def test_a_running_trial_has_its_finished_folds(study: Path) -> None:
    path = study / "regime_1" / "trial_0002" / "trial.json"
    running: dict[str, Any] = {
        "status": "RUNNING",
        "score": None,
        "best_step": None,
        "metrics": {"metrics": {}},
    }
    write_json(path, read_json(path) | running)
    (path.parent / "fold_2.json").unlink()
    page = shown(study)
    assert "Trial 0002 (unfinished): 2 of 3 folds" in page


def test_damaged_records_are_said(study: Path) -> None:
    (study / "regime_1" / "search.json").write_text("{")
    page = shown(study)
    assert "Not running: the records cannot be read" in page
    # Which is no reason to begin anew.
    assert "rust-tuner regime1" not in page


def test_a_command_that_failed_does_not_hide_that_the_study_is_finished(study: Path) -> None:
    manifest = study / "regime_1" / "search.json"
    ended = len(list((study / "regime_1").glob("trial_*")))
    write_json(manifest, read_json(manifest) | {"num_trials": ended, "max_trials": ended})
    (study / "final").mkdir(exist_ok=True)
    write_json(study / "final" / "holdout.json", {})
    with pytest.raises(RuntimeError), hold_lock(study, "Regime I", noted=True):
        raise RuntimeError("no")
    assert "Finished: the final model has been evaluated" in shown(study)
