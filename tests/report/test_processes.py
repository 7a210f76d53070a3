"""Figures that are drawn in several processes are those that one process draws."""

import functools
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from narrowing import not_none
from report_searches import write_regime_1
from waiting import is_alive, wait_for

from rust_tuner.environment import objects_are_frozen
from rust_tuner.errors import StorageError
from rust_tuner.figures.style import Drawing
from rust_tuner.report import page, processes, writing
from rust_tuner.report.processes import Processes, ProcessFailedError, with_processes
from rust_tuner.report.search_page import write_search_report

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks exist on POSIX only")


def note_process(file: Path, seconds: float = 0.0) -> None:
    time.sleep(seconds)
    file.write_text(str(os.getpid()))


def refuse() -> None:
    raise ValueError("a record is damaged")


def never_end() -> None:
    time.sleep(600)


def test_each_task_is_done_once_by_this_process_or_a_fork(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(20)]
    with closing(Processes(2)) as several:
        for file in files:
            several.do(functools.partial(note_process, file, 0.01))
        several.finish()
        by = {file.read_text() for file in files}
        # The first of them went to a fork as they came.
        assert len(by) > 1
        # Nothing is left to do.
        before = [file.stat().st_mtime_ns for file in files]
        several.finish()
        assert [file.stat().st_mtime_ns for file in files] == before


def test_one_task_needs_no_fork(tmp_path: Path) -> None:
    with closing(Processes(4)) as several:
        several.do(functools.partial(note_process, tmp_path / "only"))
        several.finish()
    assert (tmp_path / "only").read_text() == str(os.getpid())


def refuse_in_a_fork(parent: int) -> None:
    if os.getpid() != parent:
        refuse()


def refuse_here(parent: int) -> None:
    if os.getpid() == parent:
        refuse()


@pytest.mark.parametrize("refusing", [refuse_in_a_fork, refuse_here])
def test_a_task_that_fails_is_done_again_and_shows_why(refusing: Callable[[int], None]) -> None:
    given: list[bool] = []

    def write(several: Processes | None) -> None:
        given.append(several is None)
        if several is None:
            refuse()
            return
        # A fork gets these, and what is left is done here.
        for _ in range(several.share + 1):
            several.do(functools.partial(refusing, os.getpid()))
        several.finish()

    with pytest.raises(ValueError, match="a record is damaged"):
        with_processes(1, write)
    assert given == [False, True]


def test_a_figure_that_cannot_be_drawn_is_missing_on_the_page_of_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(drawing: Drawing, stem: Path, *_: object, **__: object) -> Path:
        raise StorageError(f"{stem.name} cannot be written")

    write_regime_1(tmp_path / "search")
    monkeypatch.setattr(page, "_draw", draw)
    pages = []
    for number in (0, 2):
        monkeypatch.setattr(writing, "safe_number", functools.partial(int, number))
        pages.append(write_search_report(tmp_path / "search").read_text())
    assert "slices_0 cannot be written" in pages[0]
    assert pages[0] == pages[1]


def test_there_are_no_more_forks_at_a_time_than_the_number(tmp_path: Path) -> None:
    def wait() -> None:
        while not (tmp_path / "go on").exists():
            time.sleep(0.01)

    with closing(Processes(2)) as several:
        for _ in range(4 * several.share):
            several.do(wait)
        assert len(several._running) == 2
        (tmp_path / "go on").touch()
        several.finish()


def test_a_signal_ends_a_fork_without_the_handler_of_this_process(tmp_path: Path) -> None:
    def be_terminated() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: (tmp_path / "handled").touch())
    try:
        with closing(Processes(1)) as several:
            for _ in range(several.share):
                several.do(be_terminated)
            with pytest.raises(ProcessFailedError):
                several.finish()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not (tmp_path / "handled").exists()


def test_the_collector_leaves_alone_what_is_there_before_the_outermost_block() -> None:
    def write(_: Processes | None) -> bool:
        with_processes(0, lambda _: None)
        return objects_are_frozen()

    gc.unfreeze()
    assert with_processes(0, write)
    assert not objects_are_frozen()


def test_a_fork_that_was_killed_has_failed() -> None:
    def be_killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with closing(Processes(1)) as several:
        for _ in range(several.share):
            several.do(be_killed)
        with pytest.raises(ProcessFailedError):
            several.finish()


def test_no_fork_outlives_the_work(tmp_path: Path) -> None:
    several = Processes(1)
    with pytest.raises(KeyboardInterrupt), closing(several):
        for _ in range(several.share):
            several.do(never_end)
        assert several._running
        forks = tuple(several._running)
        raise KeyboardInterrupt
    for fork in forks:
        with pytest.raises(ProcessLookupError):
            os.kill(fork, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux only")
def test_no_fork_outlives_a_process_that_is_killed() -> None:
    code = """
import os, sys, time
from rust_tuner.report.processes import Processes
several = Processes(1)
for _ in range(several.share):
    several.do(lambda: time.sleep(600))
print(*several._running, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        fork = int(not_none(parent.stdout).readline())
        assert is_alive(fork)
        parent.kill()
    wait_for(lambda: not is_alive(fork))


def test_a_machine_without_room_for_a_fork_draws_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    done: list[str] = []

    def write(several: Processes | None) -> str:
        if several is not None:
            for _ in range(several.share):
                several.do(never_end)
        done.append("here")
        return "page"

    assert with_processes(1, write) == "page"
    assert done == ["here"]


@pytest.mark.slow
def test_several_processes_write_the_report_that_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_regime_1(tmp_path / "search")
    forks: list[int] = []
    fork = os.fork

    def written(number: int) -> dict[str, bytes]:
        # As it is asked in a process without threads, which that of the tests may not be.
        monkeypatch.setattr(writing, "safe_number", lambda: number)
        report = write_search_report(tmp_path / "search").parent
        files = {path.name: path.read_bytes() for path in report.rglob("*.*") if path.suffix}
        shutil.rmtree(report)
        return files

    monkeypatch.setattr(os, "fork", lambda: forks.append(fork()) or forks[-1])  # type: ignore[func-returns-value]
    one = written(0)
    assert not forks
    assert {"index.html", "slices_0.png", "slices_0.svg", "slices_0.csv"} <= one.keys()
    assert written(2) == one
    assert len(forks) == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux only")
def test_a_report_of_a_process_of_its_own_is_drawn_by_forks(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "search")
    code = """
import os, sys
from rust_tuner.report import processes
from rust_tuner.report.search_page import write_search_report
processes.usable_cores = lambda: 3
forks, fork = [], os.fork
os.fork = lambda: forks.append(fork()) or forks[-1]
write_search_report(sys.argv[1])
print(len(forks))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "search")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n", done.stderr


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may be forked, on a machine of four cores."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(processes, "usable_cores", lambda: 4)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("tensorflow", "torch", "jax"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_process_with_threads_is_not_forked() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert processes.safe_number() == 0
    finally:
        ended.set()
        thread.join()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(("cores", "forks"), [(None, 0), (1, 0), (2, 1), (3, 2), (64, 7)])
def test_there_is_a_process_for_each_core_but_no_more_than_eight(
    cores: int | None, forks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "usable_cores", lambda: cores)
    assert processes.safe_number() == forks


@pytest.mark.usefixtures("alone")
def test_a_process_that_cannot_be_forked_safely_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.safe_number() == 3
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tensorflow", sys)
        assert processes.safe_number() == 0
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert processes.safe_number() == 0
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        assert processes.safe_number() == 0
    finally:
        signal.signal(signal.SIGCHLD, before)
