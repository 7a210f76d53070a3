"""Who works in a folder, or how the last work there ended; nobody is taken for alive who is not."""

import datetime
import json
import os
import platform
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from lock_holders import other_holder
from narrowing import not_none

from rust_tuner.errors import SearchError, StorageError, TimeBudgetError
from rust_tuner.interrupts import remembering_interrupts
from rust_tuner.last_run import NOTE_FILE, LastRun, is_locked, process_start, read_last_run
from rust_tuner.locks import hold_lock


def last(folder: Path) -> LastRun:
    run = read_last_run(folder)
    assert run is not None
    return run


def change_note(folder: Path, **changes: Any) -> None:
    path = folder / NOTE_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("number", "state"),
    [(signal.SIGKILL, "killed"), (signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")],
)
def test_a_live_process_is_running_and_one_that_was_ended_is_not(
    tmp_path: Path, number: signal.Signals, state: str
) -> None:
    before = time.time()
    with other_holder(tmp_path, "Regime I", noted=True) as process:
        run = last(tmp_path)
        assert (run.state, run.process, run.host) == ("running", process.pid, platform.node())
        assert run.purpose == "Regime I"
        assert before - 1 <= run.since.timestamp() <= time.time()
        process.send_signal(number)
        process.wait()
    run = last(tmp_path)
    assert run.state == state
    assert (run.ended is None) == (state == "killed")
    assert is_locked(tmp_path) is False


def test_a_stopped_process_is_paused(tmp_path: Path) -> None:
    with other_holder(tmp_path, "Regime I", noted=True) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert last(tmp_path).state == "paused"
        process.send_signal(signal.SIGCONT)


def test_an_error_is_noted_with_its_message_and_an_end_without_one(tmp_path: Path) -> None:
    with pytest.raises(TimeBudgetError), hold_lock(tmp_path, "Regime II", noted=True):
        raise TimeBudgetError("30 minutes are spent")
    assert last(tmp_path).state == "out of time"
    with pytest.raises(SearchError), hold_lock(tmp_path, "Regime II", noted=True):
        raise SearchError("no trial\nmore")
    assert (last(tmp_path).state, last(tmp_path).message) == ("failed", "no trial")
    with pytest.raises(KeyError), hold_lock(tmp_path, "Regime II", noted=True):
        raise KeyError("x")
    assert last(tmp_path).message == "KeyError: 'x'"
    with hold_lock(tmp_path, "Regime II", noted=True):
        pass
    assert (last(tmp_path).state, last(tmp_path).message) == ("finished", None)
    # Short work in between, such as making folds, leaves the note as it is.
    with hold_lock(tmp_path, "making folds"):
        assert last(tmp_path).state == "finished"


def test_an_error_of_a_full_disk_is_noted_in_the_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: object) -> None:
        raise StorageError(f"{path} cannot be written (No space left on device)")

    with (
        pytest.raises(SearchError),
        hold_lock(tmp_path, "a long purpose, so that less has to be written", noted=True),
    ):
        monkeypatch.setattr("rust_tuner.last_run.write_json", full)
        raise SearchError("disk full")
    run = not_none(read_last_run(tmp_path))
    assert (run.state, run.message) == ("failed", "disk full")


def test_a_number_that_another_process_has_now_is_not_taken_for_the_dead_one(
    tmp_path: Path,
) -> None:
    with other_holder(tmp_path, "Regime I", noted=True) as process:
        process.kill()
        process.wait()
    change_note(tmp_path, process=os.getpid())
    assert last(tmp_path).state == "killed"
    # Even while somebody else uses the folder.
    with hold_lock(tmp_path, "making folds"):
        assert last(tmp_path).state == "killed"
        change_note(tmp_path, started=process_start(os.getpid()))
        assert last(tmp_path).state == "running"


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"processes": "pid:[1]"}])
def test_a_process_of_another_machine_is_running_only_if_its_lock_is_seen(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    with hold_lock(tmp_path, "Regime I", noted=True):
        change_note(tmp_path, **changes)
        assert last(tmp_path).state == "running"
        note = (tmp_path / NOTE_FILE).read_bytes()
    (tmp_path / NOTE_FILE).write_bytes(note)
    assert last(tmp_path).state == "unseen"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b'{"purpose": "x"}'),
        b'{"purpose":1,"process":"a","host":2,"since":"now"}',
        b'{"purpose":1,"process":1e999,"host":2,"since":"2026-01-01T00:00:00+00:00"}',
        b'{"purpose":1,"process":1,"host":2,"since":"2026-01-01T00:00:00+00:00",'
        b'"ended":{"at":"2026-01-01T00:00:00","how":"finished"}}',
    ],
)
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    assert read_last_run(tmp_path) is None
    (tmp_path / NOTE_FILE).write_bytes(content)
    assert read_last_run(tmp_path) is None
    with hold_lock(tmp_path, "Regime I", noted=True):
        assert last(tmp_path).is_running


def test_looking_does_not_refuse_a_process_that_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold_lock(tmp_path, "first"):
        assert is_locked(tmp_path)
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".lock").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)

        # Who looks lets go at once; the lock is tried for a while.
        def let_go(seconds: float) -> None:
            fcntl.flock(stream, fcntl.LOCK_UN)

        monkeypatch.setattr(time, "sleep", let_go)
        with hold_lock(tmp_path, "second"):
            pass


def test_times_are_in_utc_and_do_not_run_backwards(tmp_path: Path) -> None:
    with remembering_interrupts(), hold_lock(tmp_path, "Regime I", noted=True):
        pass
    run = last(tmp_path)
    assert run.ended is not None
    assert run.since.utcoffset() == run.ended.utcoffset() == datetime.timedelta(0)
    assert run.since <= run.ended
