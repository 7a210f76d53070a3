"""What a worker and its libraries print goes to a file of the trial, and not to the terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# In the project folder: `trial_0000.log` where anything was printed, and what the processes of this
# machine printed as they started.
LOGS = "workers"
START_LOG = "start.log"
# In bytes; of a larger log, the last half of this is kept.
MOST_BYTES = 1 << 20


class WorkerLog:
    """A file that takes this process's standard output and error."""

    def __init__(self, path: Path) -> None:
        """Append to a file."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Every write goes to the end, also after the file was cut.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self.number = os.open(path, flags, 0o666)

    def limit(self) -> None:
        """Keep the last part of a file that has become too large."""
        _flush()
        size = os.fstat(self.number).st_size
        if size <= MOST_BYTES:
            return
        # Someone may have removed the file, and the disk may be full: no trial fails for its log.
        with contextlib.suppress(OSError):
            with self._path.open("rb") as stream:
                stream.seek(size - MOST_BYTES // 2)
                # From the next whole line on.
                tail = stream.read().partition(b"\n")[2]
            os.ftruncate(self.number, 0)
            os.write(self.number, b"[the beginning was cut off]\n" + tail)

    def close(self) -> None:
        """Close the file, and remove it if nothing was printed."""
        self.limit()
        is_empty = os.fstat(self.number).st_size == 0
        os.close(self.number)
        if is_empty:
            with contextlib.suppress(OSError):
                self._path.unlink()


@contextlib.contextmanager
def printed_to(path: Path) -> Iterator[WorkerLog | None]:
    """Send what this process prints to a file while the block runs; None if it cannot be opened.

    Libraries in C print to the two descriptors, so these are replaced, not Python's streams alone.
    """
    try:
        log = WorkerLog(path)
    except OSError:
        yield None
        return
    _flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    try:
        for number in saved:
            os.dup2(log.number, number)
        yield log
    finally:
        _flush()
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        log.close()


def print_to(path: Path) -> None:
    """Send what this process prints to a file from now on."""
    with contextlib.suppress(OSError):
        log = WorkerLog(path)
        log.limit()
        for number in (1, 2):
            os.dup2(log.number, number)
        os.close(log.number)


def remove_empty(folder: Path) -> None:
    """Remove empty logs from a project folder, and their folder if none is left."""
    logs = folder / LOGS
    with contextlib.suppress(OSError):
        for path in logs.glob("*.log"):
            if path.stat().st_size == 0:
                path.unlink()
        logs.rmdir()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A process may have none, or one that is closed.
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
