"""Ctrl-C: raised at once, and once more where something has swallowed it."""

import signal
import sys
from collections.abc import Callable, Iterator

import pytest
import typer
from rich.console import Console

from rust_tuner.cli import support
from rust_tuner.cli.support import reporting
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.errors import TimeBudgetError
from rust_tuner.interrupts import (
    Terminated,
    end_if_time_is_up,
    note_recorded_work,
    raise_if_interrupted,
    remembering_interrupts,
    within_time_budget,
)


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """Where a shell has put the tests into the background, they ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def swallow() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("terminal", [False, True])
def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_step(terminal: bool) -> None:
    progress = ConsoleProgress(Console(force_terminal=terminal, quiet=True))
    steps = 0
    with (
        pytest.raises(KeyboardInterrupt),
        remembering_interrupts(),
        progress.task("work", 5) as task,
    ):
        for _ in range(5):
            steps += 1
            if steps == 2:
                swallow()
            task.advance()
    assert steps == 2


class Ending:
    """Runs something where Python drops every exception."""

    def __init__(self, ends: Callable[[], object]) -> None:
        self.ends = ends

    def __del__(self) -> None:
        self.ends()


def test_an_interrupt_that_python_drops_is_not_printed_and_raised_at_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: printed.append(dropped.exc_type))
    before = sys.unraisablehook
    with remembering_interrupts():
        # What else is dropped is printed as ever, before an interrupt and after it.
        Ending(lambda: 1 / 0)
        Ending(lambda: signal.raise_signal(signal.SIGINT))
        Ending(lambda: 1 / 0)
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
    assert printed == [ZeroDivisionError] * 2
    assert sys.unraisablehook is before
    Ending(lambda: signal.raise_signal(signal.SIGINT))
    assert printed[2:] == [KeyboardInterrupt]


def test_a_command_ends_with_130_though_something_has_swallowed_ctrl_c() -> None:
    progress = ConsoleProgress(Console(quiet=True))
    with pytest.raises(typer.Exit) as left, reporting(), progress.task("work", 2) as task:
        swallow()
        task.advance()
    assert left.value.exit_code == 130


@pytest.mark.parametrize("is_swallowed", [False, True])
def test_sigterm_ends_a_command_as_ctrl_c_does_with_its_own_code(
    is_swallowed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = ConsoleProgress(Console(quiet=True))
    with pytest.raises(typer.Exit) as left, reporting(), progress.task("work", 2) as task:
        if is_swallowed:
            with pytest.raises(Terminated):
                signal.raise_signal(signal.SIGTERM)
            task.advance()
        else:
            signal.raise_signal(signal.SIGTERM)
    assert left.value.exit_code == 143
    assert "ended by SIGTERM; nothing finished is lost. To resume, run again:" in (
        capsys.readouterr().err
    )
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_how_to_resume_is_said_though_ctrl_c_comes_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    complain = support._complain

    def hurried(text: str, style: str | None = None) -> None:
        signal.raise_signal(signal.SIGINT)
        complain(text, style)

    monkeypatch.setattr(support, "_complain", hurried)
    with pytest.raises(typer.Exit) as left, reporting():
        signal.raise_signal(signal.SIGINT)
    assert left.value.exit_code == 130
    assert "To resume, run again:\n  rust-tuner" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_has_a_handler_of_sigterm_keeps_it() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("own"))
    try:
        with remembering_interrupts():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["own"]


def test_it_is_raised_once() -> None:
    with remembering_interrupts():
        swallow()
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
        raise_if_interrupted()


def test_nothing_is_left_behind() -> None:
    with remembering_interrupts():
        swallow()
    raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with remembering_interrupts():
        signal.raise_signal(signal.SIGINT)
        raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("rust_tuner.interrupts.time.monotonic", lambda: now[0])
    return now


def test_work_ends_at_the_first_pause_after_its_time_is_up(clock: list[float]) -> None:
    with within_time_budget(10):
        note_recorded_work()
        end_if_time_is_up()
        clock[0] += 10
        with pytest.raises(TimeBudgetError, match="10 seconds is spent"):
            end_if_time_is_up()
    # The budget ends with its block.
    end_if_time_is_up()


def test_at_least_one_piece_of_work_is_done_however_small_the_budget(clock: list[float]) -> None:
    with within_time_budget(0.001):
        clock[0] += 1000
        end_if_time_is_up()
        note_recorded_work()
        with pytest.raises(TimeBudgetError):
            end_if_time_is_up()


def test_without_a_budget_nothing_ends(clock: list[float]) -> None:
    with within_time_budget(None):
        note_recorded_work()
        clock[0] += 1e9
        end_if_time_is_up()
