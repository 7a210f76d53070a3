"""What long work reports, and to whom: library code takes a `Progress` and never prints."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


class Task(Protocol):
    """A piece of long work in progress."""

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        """Report `steps` more steps as done, with an optional note."""

    def skip(self, steps: int) -> None:
        """Report `steps` more steps as done by an earlier run."""

    def expect(self, total: int) -> None:
        """Revise the number of all steps."""


class Progress(Protocol):
    """Receives the reports of long work."""

    def task(
        self, name: str, total: int, *, done: int = 0
    ) -> contextlib.AbstractContextManager[Task]:
        """Start a piece of work of `total` steps, of which `done` are done already."""

    def say(self, text: str) -> None:
        """Show the user a message."""

    def recorded(self, project: Path, trial: str | None = None) -> None:
        """Report new records in a search's folder, of one trial or, if None, of any."""


class WholeProgress(Progress, Protocol):
    """Can also show one bar over the whole of a long work."""

    def whole(
        self, name: str, share: Callable[[], float], seconds_left: Callable[[], float]
    ) -> contextlib.AbstractContextManager[None]:
        """Show the whole while the block runs, above the tasks in it."""


@dataclass(frozen=True)
class Running:
    """A piece of work that another process does at the same time.

    Attributes:
        name: of the work, and where it is done.
        done: its steps so far.
        total: all its steps.
    """

    name: str
    done: int
    total: int


@runtime_checkable
class RunningProgress(Protocol):
    """Can also show the work of several processes."""

    def running(self, rows: Sequence[Running]) -> None:
        """Show what runs now, below the task that it belongs to."""


def show_running(progress: Progress, rows: Sequence[Running]) -> None:
    """Show the work of several processes, where `progress` can."""
    if isinstance(progress, RunningProgress):
        progress.running(rows)


class Silent:
    """Reports nothing; the library's default."""

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        """Do nothing."""

    def skip(self, steps: int) -> None:
        """Do nothing."""

    def expect(self, total: int) -> None:
        """Do nothing."""

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Task]:
        """Report nothing."""
        yield self

    def say(self, text: str) -> None:
        """Say nothing."""

    def recorded(self, project: Path, trial: str | None = None) -> None:
        """Do nothing."""


class PassedOn:
    """Passes every report on; subclasses change some of them."""

    def __init__(self, progress: Progress) -> None:
        """Report to `progress`."""
        self._progress = progress

    def task(
        self, name: str, total: int, *, done: int = 0
    ) -> contextlib.AbstractContextManager[Task]:
        """Pass it on."""
        return self._progress.task(name, total, done=done)

    def say(self, text: str) -> None:
        """Pass it on."""
        self._progress.say(text)

    def recorded(self, project: Path, trial: str | None = None) -> None:
        """Pass it on."""
        self._progress.recorded(project, trial)

    def running(self, rows: Sequence[Running]) -> None:
        """Pass it on."""
        show_running(self._progress, rows)


class Part(PassedOn):
    """The progress of one part of long work; its tasks also advance the whole.

    Attributes:
        advanced: the number of steps by which the part has advanced the whole.
    """

    def __init__(
        self, progress: Progress, whole: Task, *, name: str, counted: tuple[str, ...]
    ) -> None:
        """Report to `progress` under a name.

        Args:
            progress: where the part's tasks are shown.
            whole: the task of the whole work, which they also advance.
            name: the part's name, written before the names of its tasks.
            counted: the names of the tasks that advance the whole, compared up to their first
                comma.
        """
        super().__init__(progress)
        self._whole = whole
        self._name = name
        self._counted = counted
        self.advanced = 0

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Task]:
        """Show a task under the part's name."""
        with self._progress.task(f"{self._name}, {name}", total, done=done) as task:
            yield _Counted(self, task) if name.partition(",")[0] in self._counted else task

    def say(self, text: str) -> None:
        """Show a message under the part's name."""
        self._progress.say(f"{self._name}: {text}")

    def move(self, steps: int) -> None:
        """Advance the whole."""
        self.advanced += steps
        self._whole.advance(steps)

    def skip(self, steps: int) -> None:
        """Advance the whole by steps that an earlier run has done."""
        self.advanced += steps
        self._whole.skip(steps)


class _Counted:
    def __init__(self, part: Part, task: Task) -> None:
        self._part = part
        self._task = task

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self._task.advance(steps, note=note)
        self._part.move(steps)

    def skip(self, steps: int) -> None:
        self._task.skip(steps)
        self._part.skip(steps)

    def expect(self, total: int) -> None:
        # The whole keeps its own plan.
        self._task.expect(total)


def duration(seconds: float) -> str:
    """Format seconds for people: `40 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
