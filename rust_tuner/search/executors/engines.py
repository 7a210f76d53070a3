"""Engines: what runs functions for a search, and how a user names it.

An engine has the shape of `concurrent.futures.Executor`. Whoever gives one of their own keeps it;
one that `workers=` names is started and ended by the search.
"""

import concurrent.futures
import os
import re
import threading
import time
from typing import Any, Protocol

from rust_tuner.errors import SearchError

_LOCAL = re.compile(r"(?:local:)?(\d+)")
_SECONDS_BETWEEN_LOOKS = 1.0


class Engine(Protocol):
    """Runs functions in other processes."""

    num_workers: int

    def submit(self, function: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
        """Begin a call; the future has its result."""
        ...

    def restart(self) -> bool:
        """Start anew after workers have died; False where that is not this engine's to do."""
        ...

    def close(self) -> None:
        """End what the engine started, and wait for nothing."""
        ...

    def note(self) -> str:
        """Where trials run, for the user."""
        ...


class GivenExecutor:
    """The user's executor, which is neither started nor ended here."""

    def __init__(self, executor: Any) -> None:
        """Use an executor.

        Args:
            executor: has `submit(function, *arguments)`, which returns a future.
        """
        self._executor = executor
        # Most executors know; where one does not, as many trials wait as this process has cores.
        known = getattr(executor, "_max_workers", None)
        self.num_workers = known if isinstance(known, int) and known > 0 else os.cpu_count() or 1
        self._futures: list[concurrent.futures.Future[Any]] = []

    def submit(self, function: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
        """Begin a call."""
        future: concurrent.futures.Future[Any] = self._executor.submit(function, *arguments)
        self._futures = [one for one in self._futures if not one.done()] + [future]
        return future

    def restart(self) -> bool:
        """Return False: the executor is the user's."""
        return False

    def close(self) -> None:
        """Cancel what has not begun."""
        for future in self._futures:
            future.cancel()

    def note(self) -> str:
        """Name the executor."""
        return f"trials run in {type(self._executor).__name__}, {self.num_workers} at once"


class LocalEngine:
    """Processes of this machine, which share its cores."""

    def __init__(self, num_workers: int) -> None:
        """Start `num_workers` processes once they are needed."""
        self.num_workers = num_workers
        self.threads = max(1, (os.cpu_count() or 1) // num_workers)
        self._pool = self._started()

    def _started(self) -> Any:
        import loky

        threads = str(self.threads)
        return loky.ProcessPoolExecutor(
            max_workers=self.num_workers,
            initializer=_end_with,
            initargs=(os.getpid(),),
            env={
                "TF_NUM_INTRAOP_THREADS": threads,
                "TF_NUM_INTEROP_THREADS": "1",
                "OMP_NUM_THREADS": threads,
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            },
        )

    def submit(self, function: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
        """Begin a call."""
        future: concurrent.futures.Future[Any] = self._pool.submit(function, *arguments)
        return future

    def restart(self) -> bool:
        """Start new processes in place of the old ones."""
        self.close()
        self._pool = self._started()
        return True

    def close(self) -> None:
        """End the processes, also in the middle of a trial: its records resume it."""
        self._pool.shutdown(wait=False, kill_workers=True)

    def note(self) -> str:
        """Name the number of processes, and of their threads."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"trials run in {self.num_workers} processes of {threads} each"


def engine_of(executor: Any, workers: Any) -> Engine | None:
    """The engine that a user asked for; None for this process alone.

    Args:
        executor: an object with `submit`, or None.
        workers: a number of processes of this machine, or `local:N`; None or 1 for none.

    Raises:
        SearchError: for anything else, or for both.
    """
    if executor is not None:
        if workers is not None:
            raise SearchError("executor and workers; give one of them")
        if not callable(getattr(executor, "submit", None)):
            raise SearchError(
                f"executor={executor!r}; expected an executor such as that of concurrent.futures, "
                "with a method submit"
            )
        return GivenExecutor(executor)
    count = num_local_workers(workers)
    return None if count == 1 else LocalEngine(count)


def num_local_workers(workers: Any) -> int:
    """The number of processes that a user asked for with `workers=`; 1 is this process alone.

    Raises:
        SearchError: for anything but None, a number from 1, or `local:N`.
    """
    if workers is None:
        return 1
    found = None if isinstance(workers, bool) else _LOCAL.fullmatch(str(workers))
    if found is None or int(found[1]) < 1:
        raise SearchError(
            f"workers={workers!r}; expected a number of processes of this machine, such as 2 or "
            "'local:2'"
        )
    return int(found[1])


def _end_with(coordinator: int) -> None:
    """End this process once the coordinator has ended, however that came about."""

    def watch() -> None:
        while os.getppid() == coordinator:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    if os.getppid() == coordinator:
        threading.Thread(target=watch, daemon=True).start()
