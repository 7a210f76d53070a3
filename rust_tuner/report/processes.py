"""Draws the figures of a report in several processes, where that is safe; `page` says which.

The processes are forks of the one that writes the page. So they have its tables and libraries, and
nothing is sent between them: a figure's files are its result. A process with threads, such as one
that has used TensorFlow, is not forked and draws its figures itself.
"""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

from rust_tuner.environment import objects_are_frozen, usable_cores

# Writes files, and returns nothing that is needed.
Task = Callable[[], object]
Result = TypeVar("Result")

# Libraries whose threads a fork would leave behind, with the locks that they hold.
_THREADED = ("tensorflow", "torch", "jax")
# About as many figures as a report has. A fork measures texts that others have measured too, so it
# gets its share of them at once, but not fewer than a few.
_FIGURES, _FEWEST = 40, 4
# More processes would have fewer figures each than make up for starting them.
_MOST = 8
_NUMBER_BYTES = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SET_PARENT_DEATH_SIGNAL = 1


class ProcessFailedError(Exception):
    """A task failed, in a fork or here; doing them one after another shows where and why."""


@dataclass(eq=False)
class Processes:
    """Forks that do tasks while this process goes on; to be closed.

    Attributes:
        number: of forks at a time, at least 1.
    """

    number: int
    _waiting: list[Task] = field(default_factory=list, init=False)
    _running: set[int] = field(default_factory=set, init=False)

    def close(self) -> None:
        """End the forks that are still at work."""
        for process in self._running:
            os.kill(process, signal.SIGTERM)
        for process in self._running:
            os.waitpid(process, 0)
        self._running.clear()

    @property
    def share(self) -> int:
        """The number of tasks that a fork gets before all are known."""
        return max(_FEWEST, _FIGURES // (self.number + 1))

    def do(self, task: Task) -> None:
        """Do a task before `finish` returns."""
        self._waiting.append(task)
        if len(self._waiting) >= self.share and self._has_room():
            batch, self._waiting = self._waiting, []
            self._fork(batch)

    def finish(self) -> None:
        """Do what is waiting, this process too, until all is done.

        Raises:
            ProcessFailedError: if a task could not be done.
        """
        tasks, self._waiting = self._waiting, []
        if tasks:
            source, sink = os.pipe()
            numbers = (number.to_bytes(_NUMBER_BYTES, "big") for number in range(len(tasks)))
            try:
                # Whoever reads a number does the task with that number.
                os.write(sink, b"".join(numbers))
                os.close(sink)
                # Not fewer where some still have a batch to do, for that ends soon.
                for _ in range(min(self.number, len(tasks) - 1)):
                    self._fork(_taken(tasks, source))
                _do_here(_taken(tasks, source))
            finally:
                os.close(source)
        while self._running:
            self._wait(0)

    def _has_room(self) -> bool:
        self._wait(os.WNOHANG)
        return len(self._running) < self.number

    def _wait(self, options: int) -> None:
        for process in tuple(self._running):
            ended, status = os.waitpid(process, options)
            if not ended:
                continue
            self._running.discard(process)
            if status:
                raise ProcessFailedError

    def _fork(self, tasks: Iterable[Task]) -> None:
        # Handlers of this process would make a fork go on as if it were this one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        parent = os.getpid()
        try:
            with warnings.catch_warnings():
                # Newer versions of Python may count threads of NumPy's BLAS, which ends them.
                warnings.simplefilter("ignore", DeprecationWarning)
                process = os.fork()
            if not process:
                _work(tasks, before, parent)
            self._running.add(process)
        except OSError as error:
            # Such as too many processes, or too little memory for one more.
            raise ProcessFailedError from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def with_processes(number: int, write: Callable[[Processes | None], Result]) -> Result:
    """What a function returns that may have its figures drawn in other processes.

    Args:
        number: of other processes, from `safe_number`.
        write: called with the processes, or with None where there are none; called again with None
            where a task has failed.
    """
    with _few_collections():
        if number:
            with (
                contextlib.suppress(ProcessFailedError),
                contextlib.closing(Processes(number)) as processes,
            ):
                return write(processes)
        return write(None)


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Keep the garbage collector off what is there before, within the block.

    It would search all libraries for each few figures, and make every fork copy them.
    """
    if objects_are_frozen():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def safe_number() -> int:
    """How many forks there may be beside this process.

    Ask before a folder is locked: the thread that keeps the lock's claim holds nothing that a
    drawing needs, but counts as a thread.
    """
    # On macOS the system's own libraries have threads.
    if not sys.platform.startswith("linux"):
        return 0
    if threading.active_count() > 1 or any(name in sys.modules for name in _THREADED):
        return 0
    # Whoever waits for all processes of their own would take the end of ours.
    if signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL:
        return 0
    return min(_MOST, usable_cores() or 1) - 1


def _work(tasks: Iterable[Task], mask: set[int | signal.Signals], parent: int) -> NoReturn:
    """Do tasks in a fork, and end it."""
    status = 1
    try:
        _end_with(parent)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for task in tasks:
            task()
        status = 0
    finally:
        # Nothing of the parent's is closed, flushed or shown here, not even an error: whoever waits
        # for this process does the tasks again and gets the same.
        os._exit(status)


def _end_with(parent: int) -> None:
    """End this fork when its parent is killed: a later report may be written in the same place."""
    if sys.platform.startswith("linux"):
        # See prctl(2).
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _do_here(tasks: Iterable[Task]) -> None:
    """Do tasks in this process; an error belongs to the section of its figure, which has ended."""
    try:
        for task in tasks:
            task()
    except Exception as error:
        raise ProcessFailedError from error


def _taken(tasks: list[Task], source: int) -> Iterator[Task]:
    """The tasks whose numbers this process reads before others do."""
    while number := os.read(source, _NUMBER_BYTES):
        yield tasks[int.from_bytes(number, "big")]
