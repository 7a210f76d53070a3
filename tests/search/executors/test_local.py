"""Real processes of this machine, and what a kill does to them."""

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from loky import process_executor
from notes import Notes
from search_problems import arrays, assert_same_trials, make_tuner, run_search
from waiting import is_alive, wait_for

from rust_tuner import CrossValidationTuner
from rust_tuner.search.executors.local import LocalEngine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes in /proc"),
]
TESTS = Path(__file__).parents[2]
TRIALS = 4


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    """The search of one process."""
    return run_search(tmp_path_factory.mktemp("one"), "random", max_trials=TRIALS)


def search_in_two(folder: Path, **options: Any) -> Any:
    tuner = make_tuner(folder, "random", max_trials=TRIALS, **options)
    tuner.search(*arrays(), epochs=2, batch_size=16, workers=2)
    return tuner


def workers_of(process: int | str) -> set[int]:
    """Return the processes that `process` started to run trials."""
    listed = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(pid) for path in listed for pid in path.read_text().split()]
    return {pid for pid in children if is_worker(pid)}


def is_worker(pid: int) -> bool:
    """Tell a worker from a process that only tracks shared resources."""
    try:
        return b"LokyProcess" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_two_processes_give_the_search_of_one(one: CrossValidationTuner, tmp_path: Path) -> None:
    notes = Notes()
    before = workers_of("self")
    sent = search_in_two(tmp_path / "two", progress=notes)
    assert any(said.startswith("trials run in 2 processes of ") for said in notes.said)
    assert_same_trials(sent, one)
    assert sent.project.problems == ()
    wait_for(lambda: not any(is_alive(pid) for pid in workers_of("self") - before))


def test_once_the_processes_are_closed_none_is_left() -> None:
    before, engine = workers_of("self"), LocalEngine(2)
    futures = [engine.submit(time.sleep, 600) for _ in range(2)]
    wait_for(lambda: all(future.running() for future in futures))
    workers = workers_of("self") - before
    assert len(workers) == 2
    engine.close()
    assert not any(map(is_alive, workers))


def test_killed_workers_are_replaced_and_said_and_nothing_is_lost(
    one: CrossValidationTuner, tmp_path: Path
) -> None:
    notes, before = Notes(), workers_of("self")
    killed: list[int] = []

    def kill_workers() -> None:
        wait_for((tmp_path / "two" / "search" / "trial_0000" / "fold_0.json").exists)
        for pid in workers_of("self") - before:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    killer = threading.Thread(target=kill_workers)
    killer.start()
    sent = search_in_two(tmp_path / "two", progress=notes)
    killer.join()
    assert killed
    assert any("WARNING: a worker died while trials" in said for said in notes.said)
    assert_same_trials(sent, one)
    assert sent.project.problems == ()


SCRIPT = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from search_problems import arrays, make_tuner
tuner = make_tuner(sys.argv[1], "random", max_trials={TRIALS})
tuner.search(*arrays(), epochs=2, batch_size=16, workers=2, verbose=0)
"""


@pytest.mark.parametrize("moment", ["workers start", "trials run"])
def test_a_killed_coordinator_leaves_no_process_and_its_search_is_resumed(
    one: CrossValidationTuner, tmp_path: Path, moment: str
) -> None:
    folder = tmp_path / "two"
    coordinator = subprocess.Popen([sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder)])
    if moment == "trials run":
        wait_for((folder / "search" / "trial_0001" / "fold_0.json").exists)
    wait_for(lambda: len(workers_of(coordinator.pid)) == 2)
    workers = workers_of(coordinator.pid)
    coordinator.kill()
    coordinator.wait()
    wait_for(lambda: not any(map(is_alive, workers)))
    resumed = run_search(folder, "random", max_trials=TRIALS)
    assert_same_trials(resumed, one)
    assert resumed.project.problems == ()


def allowed_growth() -> float:
    from loky import process_executor

    return float(process_executor._MAX_MEMORY_LEAK_SIZE)


@pytest.mark.skipif(
    "LOKY_MAX_MEMORY_LEAK_SIZE" not in inspect.getsource(process_executor),
    reason="this version of loky cannot be told",
)
def test_a_process_may_grow_by_what_compiled_functions_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for chosen, expected in ((None, 2e9), ("7e8", 7e8)):
        if chosen is not None:
            monkeypatch.setenv("LOKY_MAX_MEMORY_LEAK_SIZE", chosen)
        with contextlib.closing(LocalEngine(1)) as engine:
            assert engine.submit(allowed_growth).result() == expected
