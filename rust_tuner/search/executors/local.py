"""Processes of this machine."""

import concurrent.futures
import os
import threading
import time
from typing import Any

_SECONDS_BETWEEN_LOOKS = 1.0


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


def _end_with(coordinator: int) -> None:
    """End this process once the coordinator has ended, however that came about."""

    def watch() -> None:
        while os.getppid() == coordinator:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    if os.getppid() == coordinator:
        threading.Thread(target=watch, daemon=True).start()
