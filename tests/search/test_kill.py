"""Real processes, really killed: the same search as one that was never touched."""

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from narrowing import as_json, not_none
from search_problems import run_search

from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.errors import StorageError
from rust_tuner.records.project import REGIME_1, REGIME_2, read_out_of_fold, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.records.trial_tables import history_table, results_table

# 22 kills find a fault that shows at a tenth of all moments with 90 %, at a fifth with 99 %; each
# single write is struck in test_fault_matrix.
KILLS_PER_REGIME = 10
REGIMES = (REGIME_1, REGIME_2)
TESTS = Path(__file__).parents[1]


class Zygote:
    """Starts searches in processes of their own."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(TESTS / "kill_zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._errors: list[Any] = []
        threading.Thread(
            target=lambda: self._errors.extend(not_none(self._process.stderr)), daemon=True
        ).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        not_none(self._process.stdin).close()
        not_none(self._process.stdout).close()
        self._process.wait(600)
        not_none(self._process.stderr).close()

    def start(self, **task: Any) -> int:
        print(json.dumps(task), file=self._process.stdin, flush=True)
        return int(not_none(self._process.stdout).readline())

    def wait(self) -> int:
        """The child's status: 0, or minus the signal that ended it."""
        status = int(not_none(self._process.stdout).readline())
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL), "".join(self._errors[-60:])
        return code


@pytest.fixture(scope="module")
def zygote() -> "Iterator[Zygote]":
    with Zygote() as process:
        yield process


def kill_after(zygote: Zygote, project: Path, seconds: float, **task: Any) -> bool:
    """Start a task and kill it so many seconds later, or once it has finished a trial more.

    On a machine that other work has left in the meantime, it would else finish too many.

    Returns:
        Whether it was still alive.
    """
    before = num_finished(project)
    child = zygote.start(**task)
    ended = threading.Event()

    def kill() -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and num_finished(project) == before:
            if ended.wait(0.01):
                return
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    code = zygote.wait()
    ended.set()
    killer.join()
    return code != 0


def num_finished(project: Path) -> int:
    """The trials whose predictions are written, which are those of all their folds."""
    return len(list(project.glob("trial_*/out_of_fold.npz")))


def assert_same_project(first: Path, second: Path) -> None:
    one, other = read_project(first), read_project(second)
    assert one.problems == other.problems == ()
    pd.testing.assert_frame_equal(
        results_table(one).drop(columns="seconds"),
        results_table(other).drop(columns="seconds"),
        check_exact=True,
    )
    pd.testing.assert_frame_equal(history_table(one), history_table(other), check_exact=True)
    for trial in one.trials:
        np.testing.assert_array_equal(
            read_out_of_fold(one.folder, trial.trial), read_out_of_fold(other.folder, trial.trial)
        )


def kill_once_there(zygote: Zygote, path: Path, **task: Any) -> None:
    """Start a task and kill it as soon as a file is there."""
    child = zygote.start(**task)
    deadline = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < deadline
        # Soon enough to be between two files, and the task has the processor to itself.
        time.sleep(1e-4)
    os.kill(child, signal.SIGKILL)
    assert zygote.wait() == -signal.SIGKILL


def timed_run(zygote: Zygote, **task: Any) -> float:
    start = time.monotonic()
    zygote.start(**task)
    assert zygote.wait() == 0
    return time.monotonic() - start


@pytest.mark.slow
def test_a_soak_of_kills_loses_nothing_and_doubles_nothing(
    zygote: Zygote, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_phantoms(tmp_path / "radiographs", patients=18, seed=2)
    task = {"do": "study", "manifest": str(manifest), "cache": str(tmp_path / "cache")}
    whole = str(tmp_path / "whole")
    timed_run(zygote, folder=whole, **task)
    start_up = timed_run(zygote, folder=whole, **task)
    trials = [trial for regime in REGIMES for trial in read_project(Path(whole) / regime).trials]
    per_trial = sum(fold.seconds for trial in trials for fold in trial.folds) / len(trials)
    folder = tmp_path / "study [killed] \u00e9"
    rng = random.Random(0)
    in_vain = 0
    for regime in REGIMES:
        kill_once_there(zygote, folder / regime / RUN_FILE, folder=str(folder), **task)
        for _ in range(KILLS_PER_REGIME):
            # About one trial is finished between two kills, so that none comes too late.
            moment = rng.uniform(0.05, start_up + 2 * per_trial)
            was_alive = kill_after(zygote, folder / regime, moment, folder=str(folder), **task)
            assert was_alive, "it ended too soon"
            found = read_project(folder / regime)
            assert len(found.trials) < as_json(found.run)["num_trials"]
            in_vain += sum(trial.status == "RUNNING" for trial in found.trials)
    timed_run(zygote, folder=str(folder), **task)
    for regime in REGIMES:
        assert_same_project(folder / regime, Path(whole) / regime)
    kills = len(REGIMES) * (1 + KILLS_PER_REGIME)
    with capsys.disabled():
        print(f"\n{kills} kills, {len(trials)} trials, {in_vain} more computed in vain")
    assert in_vain <= kills


# A task, and how far a run comes before it is killed, as a share of the whole search.
SOAKS = {
    "growing space, random": ({"do": "growing", "kind": "random", "max_trials": 6, "epochs": 4}, 2),
    "growing space, grid": ({"do": "growing", "kind": "grid", "max_trials": 6, "epochs": 4}, 2),
    "callbacks": ({"do": "callbacks", "kind": "random", "max_trials": 4}, 8),
    "own fit": ({"do": "own fit", "kind": "random", "max_trials": 4}, 8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOAKS)
def test_a_soak_of_kills_on_other_searches_loses_nothing_and_doubles_nothing(
    name: str, zygote: Zygote, tmp_path: Path
) -> None:
    task, share = SOAKS[name]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seconds = timed_run(zygote, directory=str(whole), **task)
    rng = random.Random(1)
    kills = 0
    for _ in range(15):
        moment = rng.uniform(0.05, seconds / share)
        kills += kill_after(zygote, killed / "search", moment, directory=str(killed), **task)
    assert kills > 3
    timed_run(zygote, directory=str(killed), **task)
    assert_same_project(killed / "search", whole / "search")


KINDS = [
    "search.json",
    "oracle.json",
    "tuner0.json",
    "trial_0000/trial.json",
    "trial_0000/fold_0.npz",
    "trial_0000/fold_0.json",
    "trial_0000/out_of_fold.npz",
]


@pytest.fixture(scope="module")
def whole_search(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that was never touched."""
    folder = tmp_path_factory.mktemp("whole")
    zygote.start(do="arrays", directory=str(folder), kind="grid")
    assert zygote.wait() == 0
    return folder / "search"


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_kill_9_just_as_a_file_appears(
    name: str, zygote: Zygote, whole_search: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    task = {"do": "arrays", "directory": str(folder), "kind": "grid"}
    kill_once_there(zygote, folder / "search" / name, **task)
    zygote.start(do="arrays", directory=str(folder), kind="grid")
    assert zygote.wait() == 0
    assert_same_project(folder / "search", whole_search)


@pytest.mark.slow
def test_first_models_killed_at_every_fold_end_as_if_untouched(
    zygote: Zygote, tmp_path: Path
) -> None:
    manifest = write_phantoms(tmp_path / "radiographs", patients=12, seed=2)
    task = {"do": "baselines", "manifest": str(manifest), "cache": str(tmp_path / "cache")}
    killed, whole = (tmp_path / name / "baselines" / "lenet1998" for name in ("killed", "whole"))
    for file in (RUN_FILE, "trial_0000/fold_0.json", "trial_0000/fold_1.json"):
        kill_once_there(zygote, killed / file, folder=str(tmp_path / "killed"), **task)
    ended = [path.read_bytes() for path in sorted(killed.glob("trial_0000/fold_[01].json"))]
    assert len(ended) == 2
    for folder in ("killed", "whole"):
        zygote.start(folder=str(tmp_path / folder), **task)
        assert zygote.wait() == 0
    # Folds that were recorded are not trained again: their seconds would differ.
    again = [path.read_bytes() for path in sorted(killed.glob("trial_0000/fold_[01].json"))]
    assert again == ended
    assert_same_project(killed, whole)


@pytest.mark.slow
def test_a_full_disk_stops_with_a_clear_error_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_search(tmp_path / "whole", "grid", max_trials=1)
    fsync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\)"):
        run_search(tmp_path / "full", "grid", max_trials=1)
    monkeypatch.setattr(os, "fsync", fsync)
    assert not list(tmp_path.rglob("*.part"))
    again = run_search(tmp_path / "full", "grid", max_trials=1)
    assert_same_project(whole.project_folder, again.project_folder)


@pytest.mark.slow
def test_a_really_full_disk_stops_with_a_clear_error_and_costs_nothing(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(mount)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        with pytest.raises(StorageError, match="No space left on device"):
            run_search(mount, "grid", max_trials=2)
        subprocess.run(["mount", "-o", "remount,size=8m", str(mount)], check=True)
        again = run_search(mount, "grid", max_trials=2)
        whole = run_search(tmp_path / "whole", "grid", max_trials=2)
        assert_same_project(whole.project_folder, again.project_folder)
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.slow
def test_memory_does_not_grow_over_a_hundred_trials(zygote: Zygote, tmp_path: Path) -> None:
    noted = tmp_path / "memory.json"
    timed_run(zygote, do="memory", directory=str(tmp_path), noted=str(noted), max_trials=100)
    sizes = json.loads(noted.read_text())
    assert len(sizes) == 100
    # The weights of one fold's head alone are 3 MB: 280 MB if each trial left one behind.
    assert sizes[-1] < 1.1 * sizes[9]
