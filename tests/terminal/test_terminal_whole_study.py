"""The bar over a whole study: the plan at first, then what steps really take."""

import contextlib
import io
from collections.abc import Iterator

import pytest
from notes import Notes
from rich.console import Console

from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.steps.plan import PlannedStep
from rust_tuner.terminal.whole_study import WholeStudy

PLAN = [
    PlannedStep("prepare", "", 10.0, {"reading images": 10.0}),
    PlannedStep("features", "", 20.0, {"features": 20.0}),
    PlannedStep("regime1", "", 100.0, {"regime_1": 100.0}),
    PlannedStep("report", "", 30.0),
]


class Whole(Notes):
    @contextlib.contextmanager
    def whole(self, name: str, share: float, seconds_left: float | None) -> Iterator[None]:
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("rust_tuner.terminal.whole_study.time.monotonic", lambda: now[0])
    return now


def begun(progress: Whole | ConsoleProgress) -> WholeStudy:
    whole = WholeStudy(progress)  # type: ignore[arg-type]
    whole.plan(PLAN)
    return whole


def test_what_is_left_is_the_plan_then_what_steps_take(clock: list[float]) -> None:
    notes = Whole()
    whole = begun(notes)
    assert whole.seconds_left() == 160
    with whole.step("prepare"):
        clock[0] += 4
    assert whole.seconds_left() == 150
    assert notes.said == ["prepare took 4 s; about 2 min 30 s left for regime1 and report"]
    with whole.step("regime1"):
        with whole.task("features", 4) as task:
            clock[0] += 5
            task.advance(1)
            assert whole.seconds_left() == 15 + 100 + 30
            task.advance(3)
        with whole.task("regime_1", 10) as task:
            clock[0] += 25
            task.advance(5)
            # Half of the search took 25 seconds, so the rest will too.
            assert whole.seconds_left() == pytest.approx(25 + 30)
            clock[0] += 25
            task.advance(5)
    assert whole.seconds_left() == 30
    with whole.step("report"):
        clock[0] += 30
    assert whole.seconds_left() == 0
    assert whole.share() == 1
    assert notes.said[-1] == "report took 30 s"


def test_a_step_that_takes_longer_than_planned_revises_those_like_it(clock: list[float]) -> None:
    whole = WholeStudy(Whole())  # type: ignore[arg-type]
    names = ("regime1", "regime2", "final", "report", "report again")
    whole.plan([PlannedStep(name, "", 10.0) for name in names])
    with whole.step("regime1"):
        clock[0] += 30
    assert whole.seconds_left() == 30 + 30 + 10 + 10
    with whole.step("regime2"):
        clock[0] += 15
    assert whole.seconds_left() == pytest.approx(15 + 10 + 10)
    with whole.step("final"):
        clock[0] += 15
    with whole.step("report"):
        clock[0] += 5
    assert whole.seconds_left() == 5


def test_steps_of_an_earlier_run_are_not_left(clock: list[float]) -> None:
    whole = WholeStudy(Whole())  # type: ignore[arg-type]
    done = PlannedStep("regime1", "", 100.0, {"regime_1": 100.0}, done=1.0)
    whole.plan([PLAN[0], done, PLAN[-1]])
    assert whole.seconds_left() == 40
    assert whole.names_left == ["prepare", "report"]


def test_it_is_one_bar_on_a_terminal_and_lines_elsewhere(clock: list[float]) -> None:
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=80, color_system=None, _environ={"TERM": "xterm"}
    )
    whole = begun(ConsoleProgress(console))
    with whole.step("regime1"), whole.task("regime_1", 10) as task:
        task.advance(5)
        console.file.flush()
    shown = stream.getvalue()
    assert "study, step 3 of 4" in shown
    assert "regime_1" in shown
    assert max(map(len, shown.replace("\r", "\n").splitlines())) < 200
    plain = io.StringIO()
    whole = begun(ConsoleProgress(Console(file=plain, width=80)))
    with whole.step("regime1"), whole.task("regime_1", 10) as task:
        task.advance(10)
    assert plain.getvalue().splitlines() == [
        "regime_1: 10/10 in 0 s",
        "regime1 took 0 s; about 40 s left for prepare and report",
    ]
