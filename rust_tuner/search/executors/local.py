"""Processes of this machine, each with its share of the cores and one of the GPUs."""

import concurrent.futures
import contextlib
import multiprocessing.connection
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rust_tuner.environment import usable_cores
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn
from rust_tuner.search.executors.gpus import GROWING_MEMORY, VISIBLE, gpus_here, take_a_place
from rust_tuner.search.executors.worker_log import print_to

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_END = 10.0
# Where psutil is installed, loky starts a new process in place of one that has grown by so many
# bytes, by default 300 MB. Functions compiled for several models take as much, and a new process
# would import the backend and compile them again.
_GROWTH_VARIABLE, _MOST_GROWTH = "LOKY_MAX_MEMORY_LEAK_SIZE", 2e9


class LocalEngine:
    """Processes of this machine, which share its cores and GPUs.

    Attributes:
        num_workers: how many there are.
        threads: of each.
        gpus: of this machine, as CUDA_VISIBLE_DEVICES names them.
        log: the file that takes what processes print as they start; None for the terminal.
        onednn: whether TensorFlow uses oneDNN in them; None leaves it to their environment.
    """

    def __init__(self, num_workers: int) -> None:
        """Start `num_workers` processes once they are needed."""
        self.num_workers = num_workers
        self.threads = max(1, (usable_cores() or 1) // num_workers)
        self.gpus = gpus_here()
        self.log: Path | None = None
        self.onednn: bool | None = None
        self._places: Path | None = None
        self._pool: Any = None

    def _started(self) -> Any:
        import loky

        if self.gpus and self._places is None:
            self._places = Path(tempfile.mkdtemp(prefix="rust-tuner-workers-"))
        threads = str(self.threads)
        environment = {
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": "1",
            "OMP_NUM_THREADS": threads,
            _GROWTH_VARIABLE: os.environ.get(_GROWTH_VARIABLE, str(_MOST_GROWTH)),
            **GROWING_MEMORY,
        }
        if self.onednn is not None and can_switch_onednn():
            environment[ONEDNN_VARIABLE] = str(int(self.onednn))
        return loky.ProcessPoolExecutor(
            max_workers=self.num_workers,
            initializer=_begin,
            initargs=(os.getpid(), self.log, self._places, self.num_workers, self.gpus),
            env=environment,
        )

    def submit(self, function: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
        """Begin a call."""
        if self._pool is None:
            self._pool = self._started()
        future: concurrent.futures.Future[Any] = self._pool.submit(function, *arguments)
        return future

    def restart(self) -> bool:
        """Start new processes in place of the old ones."""
        self._end()
        return True

    def close(self) -> None:
        """End the processes, also in the middle of a trial: its records resume it."""
        self._end()
        if self._places is not None:
            shutil.rmtree(self._places, ignore_errors=True)
            self._places = None

    def _end(self) -> None:
        if self._pool is not None:
            ends = _ends_of(list((self._pool._processes or {}).values()))
            self._pool.shutdown(wait=False, kill_workers=True)
            self._pool = None
            _wait_for_all(ends)

    def note(self) -> str:
        """Name the number of processes, of their threads, and of the GPUs."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        text = f"trials run in {self.num_workers} processes of {threads} each"
        if not self.gpus:
            return text
        if len(self.gpus) >= self.num_workers:
            return f"{text}, each on a GPU of its own"
        shared = "1 GPU" if len(self.gpus) == 1 else f"{len(self.gpus)} GPUs"
        return f"{text}, which share {shared}"


def _ends_of(processes: Sequence[Any]) -> list[int]:
    """What can be read once each process has ended; to be closed."""
    ends = []
    for process in processes:
        # One may have ended already.
        with contextlib.suppress(OSError):
            if hasattr(os, "pidfd_open"):
                ends.append(os.pidfd_open(process.pid))
            else:
                # A duplicate, since loky closes its own.
                ends.append(os.dup(process.sentinel))
    return ends


def _wait_for_all(ends: list[int]) -> None:
    """Wait until processes have ended: what they write may be read or removed at once after it."""
    until, left = time.monotonic() + _SECONDS_TO_END, set(ends)
    while left and (seconds := until - time.monotonic()) > 0:
        left.difference_update(multiprocessing.connection.wait(left, seconds))
    for end in ends:
        os.close(end)


def _begin(
    coordinator: int, log: Path | None, places: Path | None, num_workers: int, gpus: Sequence[str]
) -> None:
    """Prepare this process, before TensorFlow is imported."""
    if log is not None:
        print_to(log)
    if places is not None:
        os.environ[VISIBLE] = gpus[take_a_place(places, num_workers) % len(gpus)]
    _end_with(coordinator)


def _end_with(coordinator: int) -> None:
    """End this process once the coordinator has ended, however that came about."""

    def watch() -> None:
        while os.getppid() == coordinator:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    # It may have ended before this process got here.
    if os.getppid() != coordinator:
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()
