"""One bar over a whole study, beside the bar of the step that runs, with the time that is left.

The plan gives each step's time; what steps really take replaces it as they run and end.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

from rust_tuner.progress import PassedOn, Task, WholeProgress, duration
from rust_tuner.steps.plan import FEATURES_TASK, REPORT_AGAIN, PlannedStep
from rust_tuner.words import listed

# Steps that do more of the same: how much longer than planned one takes, the others will too.
_ALIKE = {"regime1": ("regime2", "final"), "regime2": ("final",), "report": (REPORT_AGAIN,)}
# A shorter step is mostly chance.
_LONG_ENOUGH = 2.0
# Below this share, the plan says more about a step than the time that it has taken so far.
_TELLING_SHARE = 0.2


class WholeStudy(PassedOn):
    """A `Progress` that passes reports on, and keeps the time of the whole study."""

    def __init__(self, progress: WholeProgress) -> None:
        """Report to `progress`, which shows the bar of the whole."""
        super().__init__(progress)
        self._bar = progress
        self._begin = time.monotonic()
        self._steps: dict[str, PlannedStep] = {}
        self._running: str | None = None
        self._step_begin = self._begin
        self._shares: dict[str, float] = {}
        self._apart = 0.0
        self._features_begin: float | None = None
        self._ended: set[str] = set()
        self._corrections: dict[str, float] = {}

    def plan(self, steps: Sequence[PlannedStep]) -> None:
        """Set the plan, or revise the times of the steps that are left."""
        self._steps = {step.name: step for step in steps}

    @property
    def names_left(self) -> list[str]:
        """The steps that have not ended, in order."""
        return [
            name
            for name, step in self._steps.items()
            if name not in self._ended and step.done < 1 and name != FEATURES_TASK
        ]

    def seconds_left(self) -> float:
        """About how long the rest takes."""
        return sum(self._left_of(name) for name in self._steps)

    def share(self) -> float:
        """The share of the study's time that is done, in [0, 1]."""
        left = self.seconds_left()
        worked = time.monotonic() - self._begin
        return worked / (worked + left) if worked + left > 0 else 1.0

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run a step: show the bar of the whole, and say afterwards what is left.

        Args:
            name: of a planned step.
        """
        self._running, self._step_begin, self._apart = name, time.monotonic(), 0.0
        number = list(self._steps).index(name) + 1
        what = f"study, step {number} of {len(self._steps)}"
        try:
            with self._bar.whole(what, self.share, self.seconds_left):
                yield
        finally:
            self._running = None
        took = time.monotonic() - self._step_begin
        planned = self._steps[name].seconds_left
        if planned > _LONG_ENOUGH:
            for other in _ALIKE.get(name, ()):
                self._corrections[other] = (took - self._apart) / planned
        # Where all features were in the cache, there was no task.
        self._ended |= {name} if name == "prepare" else {name, FEATURES_TASK}
        text = f"{name} took {duration(took)}"
        if self.names_left:
            text += f"; about {duration(self.seconds_left())} left for {listed(self.names_left)}"
        self._progress.say(text)

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Task]:
        """Pass a task on; it moves the whole if the plan names it."""
        if name == FEATURES_TASK:
            # Extracted within another step, but planned as a step of its own.
            self._features_begin = time.monotonic()
        with self._progress.task(name, total, done=done) as task:
            yield _Shared(self, task, name, total, done)
        self._shares[name] = 1.0
        if name == FEATURES_TASK:
            self._apart = self._seconds_apart()
            self._features_begin = None
            self._ended.add(FEATURES_TASK)

    def moved(self, name: str, share: float) -> None:
        """Note the share of a task that is done."""
        self._shares[name] = share

    def _seconds_apart(self) -> float:
        """Seconds of the running step that another row of the plan has."""
        begin = self._features_begin
        return self._apart + (0.0 if begin is None else time.monotonic() - begin)

    def _left_of(self, name: str) -> float:
        step = self._steps[name]
        if name in self._ended:
            return 0.0
        planned = step.seconds_left * self._corrections.get(name, 1.0)
        done = _done_seconds(step.parts, self._shares)
        total = sum(step.parts.values())
        share = done / total if total else 0.0
        if name != self._running:
            return planned * (1 - share)
        elapsed = max(time.monotonic() - self._step_begin - self._seconds_apart(), 0.0)
        if share > _TELLING_SHARE and step.done == 0:
            # What it has really taken so far replaces the plan.
            covered = share * total / step.seconds if step.seconds else share
            planned = elapsed / covered if covered else planned
        return max(planned - elapsed, 0.0)


def _done_seconds(parts: Mapping[str, float], shares: Mapping[str, float]) -> float:
    return sum(seconds * shares.get(name, 0.0) for name, seconds in parts.items())


class _Shared:
    """A task that tells the whole study how far it is."""

    def __init__(self, whole: WholeStudy, task: Task, name: str, total: int, done: int) -> None:
        self._whole, self._task, self._name = whole, task, name
        self._total, self._done = max(total, 1), done
        whole.moved(name, done / self._total)

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self._task.advance(steps, note=note)
        self._move(steps)

    def skip(self, steps: int) -> None:
        self._task.skip(steps)
        self._move(steps)

    def expect(self, total: int) -> None:
        self._task.expect(total)
        self._total = max(total, 1)

    def _move(self, steps: int) -> None:
        self._done += steps
        self._whole.moved(self._name, min(self._done / self._total, 1.0))
