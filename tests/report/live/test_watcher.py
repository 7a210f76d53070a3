"""What watches a study for the live page: no change is missed, and no trouble ends it."""

import contextlib
import errno
import html
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from begun_studies import end_trial, write_begun_study
from lock_holders import other_holder

from rust_tuner.report.live import server as live
from rust_tuner.report.live.server import Watcher


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_begun_study(tmp_path / "study")


def parts_of(watcher: Watcher) -> Iterator[str]:
    """The parts of the page, as long as they come before many signs of life without one."""
    for part in itertools.islice(watcher.parts(), 100):
        if part is not None:
            yield part


@contextlib.contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """It looks until the block ends."""
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield
    finally:
        watcher.close()
        thread.join()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(live, "HEARTBEAT", 0.1)


def test_a_trial_that_ends_before_the_watch_begins_is_sent(study: Path) -> None:
    watcher = Watcher(study)
    end_trial(study, 3)
    with watching(watcher):
        assert any("4 of 8" in part for part in parts_of(watcher))


@pytest.mark.parametrize("name", ["live_view", "fingerprint"])
@pytest.mark.parametrize("error", [OSError(errno.ESTALE, "Stale file handle"), ValueError("<odd>")])
def test_a_study_that_cannot_be_read_for_a_while_is_read_later(
    study: Path, name: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(study)

    def away(directory: Path) -> None:
        raise error

    with watching(watcher):
        parts = parts_of(watcher)
        with monkeypatch.context() as patched:
            patched.setattr(live, name, away)
            end_trial(study, 3)
            told = next(part for part in parts if "cannot be read now" in part)
            assert html.escape(str(error)) in told
        assert any("4 of 8" in part for part in parts)


def test_a_study_that_is_moved_is_said_to_be_away_and_found_when_it_is_back(study: Path) -> None:
    with watching(watcher := Watcher(study)):
        parts = parts_of(watcher)
        study.rename(study.parent / "elsewhere")
        told = next(part for part in parts if "cannot be read now" in part)
        assert "is not there: moved, deleted or not mounted" in told
        assert "regime1" not in told
        assert "is not there" in watcher.page()
        (study.parent / "elsewhere").rename(study)
        assert any("3 of 8" in part for part in parts)


def test_a_record_that_may_be_read_again_is_read(study: Path) -> None:
    path = study / "regime_1" / "trial_0002" / "trial.json"
    content = path.read_bytes()
    before = path.stat()
    with watching(watcher := Watcher(study)):
        parts = parts_of(watcher)
        assert "3 of 8" in next(parts)
        path.write_bytes(b" " * len(content))
        assert any("3 of 8" not in part for part in parts)
        # As after a change of its mode, the time of its content says nothing.
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert any("3 of 8" in part for part in parts)


def test_a_process_that_is_killed_is_no_longer_running_on_the_page(study: Path) -> None:
    with other_holder(study, "Regime I", noted=True) as process:
        watcher = Watcher(study)
        with watching(watcher):
            parts = parts_of(watcher)
            assert f"Running: Regime I, process {process.pid}" in next(parts)
            process.kill()
            process.wait(60)
            assert any("Running" not in part for part in parts)
