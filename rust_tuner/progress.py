"""Progress of long work, with the time that is left.

A terminal gets a bar; a log file gets a line now and then. Library code takes a `Progress` and
never prints.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBars

_SECONDS_BETWEEN_LINES = 15.0


class Task(Protocol):
    """One piece of long work under way."""

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        """Say that `steps` more steps are done, and optionally what stands out."""


class Progress(Protocol):
    """Where long work reports to."""

    def task(
        self, name: str, total: int, *, done: int = 0
    ) -> contextlib.AbstractContextManager[Task]:
        """Begin a piece of work of `total` steps, `done` of which are there already."""

    def say(self, text: str) -> None:
        """Tell the user something that is no progress."""


class Silent:
    """Reports nowhere; the default of the library."""

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        """Do nothing."""

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Task]:
        """Report nothing of the work."""
        yield self

    def say(self, text: str) -> None:
        """Say nothing."""


class Part:
    """A progress for one part of long work, whose own tasks also move the whole forward.

    Attributes:
        advanced: by how many steps the part has moved the whole.
    """

    def __init__(
        self, progress: Progress, whole: Task, *, name: str, counted: tuple[str, ...]
    ) -> None:
        """Report to `progress` under a name.

        Args:
            progress: where the part's tasks are shown.
            whole: what their steps are counted for, too.
            name: of the part; stands before what its tasks are called.
            counted: the names of the tasks that count for the whole.
        """
        self._progress = progress
        self._whole = whole
        self._name = name
        self._counted = counted
        self.advanced = 0

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Task]:
        """Show a task under the part's name."""
        with self._progress.task(f"{self._name}, {name}", total, done=done) as task:
            yield _Counted(self, task) if name in self._counted else task

    def say(self, text: str) -> None:
        """Say it under the part's name."""
        self._progress.say(f"{self._name}: {text}")

    def move(self, steps: int) -> None:
        """Move the whole forward."""
        self.advanced += steps
        self._whole.advance(steps)


class _Counted:
    def __init__(self, part: Part, task: Task) -> None:
        self._part = part
        self._task = task

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self._task.advance(steps, note=note)
        self._part.move(steps)


class ConsoleProgress:
    """Reports on a console: live bars on a terminal, spaced lines elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        """Report on `console`, by default on standard error."""
        self.console = console or Console(stderr=True)
        self._bars: RichBars | None = None

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Task]:
        """Show a bar, or lines, while the work goes on; tasks may be nested."""
        if not self.console.is_terminal:
            lines = _Lines(self.console, name, total, done)
            yield lines
            lines.finish()
            return
        outermost = self._bars is None
        bars = self._bars or RichBars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
        )
        if outermost:
            self._bars = bars
            bars.start()
        bar = bars.add_task(name, total=total, completed=done, note="")
        try:
            yield _Bar(bars, bar)
        finally:
            if outermost:
                bars.stop()
                self._bars = None
            else:
                bars.remove_task(bar)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Bar:
    def __init__(self, bars: RichBars, bar: TaskID) -> None:
        self._bars = bars
        self._bar = bar

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self._bars.advance(self._bar, steps)
        if note is not None:
            self._bars.update(self._bar, note=note)


class _Lines:
    def __init__(self, console: Console, name: str, total: int, done: int) -> None:
        self._console = console
        self._name = name
        self._total = total
        self._first = self._done = done
        self._note = ""
        self._start = self._last_line = time.monotonic()

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self._done += steps
        self._note = note if note is not None else self._note
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES and self._done < self._total:
            self._last_line = now
            pace = (now - self._start) / max(self._done - self._first, 1)
            left = duration(pace * (self._total - self._done))
            self._print(f"{self._done}/{self._total}, about {left} left {self._note}")

    def finish(self) -> None:
        took = duration(time.monotonic() - self._start)
        self._print(f"{self._done}/{self._total} in {took} {self._note}")

    def _print(self, text: str) -> None:
        line = f"{self._name}: {text.strip()}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Seconds as a person says them: `40 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
