"""Shows the progress of long work on a console, with the time that is left.

A terminal gets a bar; a log file gets a line from time to time. The time left is estimated from all
steps of this run, because the trials of a search take different times and the most recent ones say
little about the rest.
"""

import contextlib
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn
from rich.progress import Progress as RichBars
from rich.progress import Task as RichTask
from rich.progress_bar import ProgressBar
from rich.table import Column
from rich.text import Text

from rust_tuner.interrupts import raise_if_interrupted
from rust_tuner.progress import Running, Task, duration
from rust_tuner.standard_error import heedless_stderr
from rust_tuner.visible_text import visible

_SECONDS_BETWEEN_LINES = 15.0
# On a narrower terminal, a note beside a bar would break its numbers.
_WIDTH_FOR_NOTES = 100
# Of a terminal, and of a line, for the work of several processes.
_ROWS_FOR_OTHERS = 6
_ROWS_IN_A_LINE = 4


class ConsoleProgress:
    """Reports on a console: live bars on a terminal, spaced lines elsewhere.

    Each step also raises a Ctrl-C that other code has swallowed.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Report on `console`, by default on standard error."""
        self.console = console or Console(file=heedless_stderr())
        self._bars: RichBars | None = None
        self._rows: dict[str, tuple[TaskID, _Pace]] = {}
        self._last_rows = time.monotonic()

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Task]:
        """Show a bar, or lines, while the work runs; tasks may be nested."""
        if not _draws_bars(self.console):
            lines = _Lines(self.console, name, total, done)
            yield lines
            lines.finish()
            return
        outermost = self._bars is None
        bars = self._bars or self._new_bars()
        if outermost:
            self._bars = bars
            bars.start()
        pace = _Pace(total, done)
        bar = bars.add_task(visible(name), total=total, completed=done, note="", pace=pace)
        try:
            yield _Bar(bars, bar, pace)
        finally:
            self.running([])
            if outermost:
                bars.stop()
                self._bars = None
            else:
                bars.remove_task(bar)

    @contextlib.contextmanager
    def whole(
        self, name: str, share: Callable[[], float], seconds_left: Callable[[], float]
    ) -> Iterator[None]:
        """Show one bar over the whole of a long work, while a part of it runs.

        It is drawn on a terminal only; elsewhere, the caller says after each part what is left.

        Args:
            name: of the whole.
            share: gives the share that is done, in [0, 1].
            seconds_left: gives the time that is left.
        """
        if not _draws_bars(self.console) or self._bars is not None:
            yield
            return
        self._bars = bars = self._new_bars()
        pace = _Whole(share, seconds_left)
        bars.add_task(visible(name), total=1.0, note="", pace=pace)
        bars.start()
        try:
            yield
        finally:
            # Only the tasks inside it are worth a line once they have ended.
            for bar in list(bars.task_ids):
                bars.remove_task(bar)
            bars.stop()
            self._bars = None

    def _new_bars(self) -> RichBars:
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            # The only column that gives way where the terminal is narrow.
            _ShareColumn(bar_width=None),
            _CountColumn(table_column=Column(no_wrap=True)),
            _ElapsedColumn(table_column=Column(no_wrap=True)),
            _LeftColumn(table_column=Column(no_wrap=True)),
        ]
        if self.console.width >= _WIDTH_FOR_NOTES:
            columns.append(
                TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True))
            )
        return RichBars(*columns, console=self.console)

    def running(self, rows: Sequence[Running]) -> None:
        """Show a bar for each row, as far as there is room; elsewhere, a line from time to time."""
        if self._bars is None:
            self._print_rows(rows)
            return
        shown = list(rows[: max(self.console.height - _ROWS_FOR_OTHERS, 1)])
        if len(rows) > len(shown):
            rest = rows[len(shown) - 1 :]
            done, total = sum(row.done for row in rest), sum(row.total for row in rest)
            shown[-1] = Running(f"{len(rest)} more", done, total)
        for name in self._rows.keys() - {row.name for row in shown}:
            self._bars.remove_task(self._rows.pop(name)[0])
        for row in shown:
            if row.name not in self._rows:
                pace = _Pace(row.total, row.done)
                name = f"  {visible(row.name)}"
                bar = self._bars.add_task(
                    name, total=row.total, completed=row.done, note="", pace=pace
                )
                self._rows[row.name] = bar, pace
            bar, pace = self._rows[row.name]
            steps = max(row.done - pace.done, 0)
            _Bar(self._bars, bar, pace).advance(steps)

    def _print_rows(self, rows: Sequence[Running]) -> None:
        now = time.monotonic()
        if not rows or now - self._last_rows < _SECONDS_BETWEEN_LINES:
            return
        self._last_rows = now
        shown = [f"{row.name} ({row.done}/{row.total})" for row in rows[:_ROWS_IN_A_LINE]]
        if len(rows) > len(shown):
            shown.append(f"and {len(rows) - len(shown)} more")
        line = f"running: {'; '.join(shown)}"
        self.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a note above the bars."""
        print_note(self.console, text)

    def recorded(self, project: Path, trial: str | None = None) -> None:
        """Show nothing; the search's own task reports its scores."""


def _draws_bars(console: Console) -> bool:
    # A terminal that cannot move its cursor would get each bar only once its work is done.
    return console.is_terminal and not console.is_dumb_terminal


class _Pace:
    """How much of a piece of work is done, and how long the rest will take."""

    def __init__(self, total: int, done: int) -> None:
        self.done = done
        self.total = total
        self.start = self._last_step = time.monotonic()
        self._worked = 0

    def advance(self, steps: int) -> None:
        self.done += steps
        self._worked += steps
        if steps:
            self._last_step = time.monotonic()

    def skip(self, steps: int) -> None:
        self.done += steps

    def seconds_left(self) -> float | None:
        """The estimate, which counts down during a step; None before the first step is done."""
        if not self._worked:
            return None
        each = (self._last_step - self.start) / self._worked
        under_way = time.monotonic() - self._last_step
        return max(each * (self.total - self.done) - under_way, 0.0)


class _Whole:
    """The pace of the whole of a long work, as its owner estimates it."""

    def __init__(self, share: Callable[[], float], seconds_left: Callable[[], float]) -> None:
        self.share = share
        self.seconds_left = seconds_left
        self.start = time.monotonic()


class _ShareColumn(BarColumn):
    def render(self, task: RichTask) -> ProgressBar:
        pace = task.fields["pace"]
        if isinstance(pace, _Whole):
            task.completed = pace.share()
        return super().render(task)


class _CountColumn(ProgressColumn):
    """Steps done of all, or percent of the whole."""

    def render(self, task: RichTask) -> Text:
        pace = task.fields["pace"]
        if isinstance(pace, _Whole):
            return Text(f"{100 * pace.share():.0f} %", style="progress.download")
        return Text(f"{int(task.completed)}/{int(task.total or 0)}", style="progress.download")


class _ElapsedColumn(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        seconds = int(time.monotonic() - task.fields["pace"].start)
        return Text(str(timedelta(seconds=seconds)), style="progress.elapsed")


class _LeftColumn(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        left = task.fields["pace"].seconds_left()
        return Text("" if left is None or task.finished else f"about {duration(left)} left")


class _Bar:
    def __init__(self, bars: RichBars, bar: TaskID, pace: _Pace) -> None:
        self._bars = bars
        self._bar = bar
        self._pace = pace

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        raise_if_interrupted()
        self._pace.advance(steps)
        self._bars.advance(self._bar, steps)
        if note is not None:
            self._bars.update(self._bar, note=visible(note))

    def skip(self, steps: int) -> None:
        self._pace.skip(steps)
        self._bars.advance(self._bar, steps)

    def expect(self, total: int) -> None:
        self._pace.total = total
        self._bars.update(self._bar, total=total)


class _Lines:
    def __init__(self, console: Console, name: str, total: int, done: int) -> None:
        self._console = console
        self._name = name
        self._pace = _Pace(total, done)
        self._note = ""
        self._last_line = self._pace.start

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        raise_if_interrupted()
        self._pace.advance(steps)
        self._note = note if note is not None else self._note
        now = time.monotonic()
        pace = self._pace
        left = pace.seconds_left()
        is_due = now - self._last_line >= _SECONDS_BETWEEN_LINES and pace.done < pace.total
        if is_due and left is not None:
            self._last_line = now
            self._print(f"{pace.done}/{pace.total}, about {duration(left)} left {self._note}")

    def skip(self, steps: int) -> None:
        self._pace.skip(steps)

    def expect(self, total: int) -> None:
        self._pace.total = total

    def finish(self) -> None:
        pace = self._pace
        took = duration(time.monotonic() - pace.start)
        self._print(f"{pace.done}/{pace.total} in {took} {self._note}")

    def _print(self, text: str) -> None:
        line = f"{self._name}: {text.strip()}"
        self._console.print(visible(line), markup=False, highlight=False, soft_wrap=True)


def print_note(console: Console, text: str, style: str | None = None) -> None:
    """Print a note: wrapped at words on a terminal, one line for each of its own lines elsewhere.

    Words are never broken: a terminal continues a long path on the next row, and it can still be
    copied as one.
    """
    shown = visible(text)
    if console.is_terminal:
        lines = shown.split("\n")
        shown = "\n".join(
            textwrap.fill(line, console.width, break_long_words=False, break_on_hyphens=False)
            for line in lines
        )
    console.print(Text(shown, style=style or ""), soft_wrap=True)
