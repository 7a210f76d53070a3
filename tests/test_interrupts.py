"""Ctrl-C: raised at once, and once more where something has swallowed it."""

import signal

import pytest
import typer
from rich.console import Console

from rust_tuner.cli.support import reporting
from rust_tuner.interrupts import Terminated, raise_if_interrupted, remembering_interrupts
from rust_tuner.progress import ConsoleProgress


@pytest.fixture(autouse=True)
def usual_handler():
    """Where a shell has put the tests into the background, they ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def swallow():
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("terminal", [False, True])
def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_step(terminal):
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


def test_a_command_ends_with_130_though_something_has_swallowed_ctrl_c():
    progress = ConsoleProgress(Console(quiet=True))
    with (
        pytest.raises(typer.Exit) as left,
        reporting(),
        progress.task("work", 2) as task,
    ):
        swallow()
        task.advance()
    assert left.value.exit_code == 130


@pytest.mark.parametrize("is_swallowed", [False, True])
def test_sigterm_ends_a_command_as_ctrl_c_does_with_its_own_code(is_swallowed, capsys):
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


def test_who_has_a_handler_of_sigterm_keeps_it():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("own"))
    try:
        with remembering_interrupts():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["own"]


def test_it_is_raised_once():
    with remembering_interrupts():
        swallow()
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
        raise_if_interrupted()


def test_nothing_is_left_behind():
    with remembering_interrupts():
        swallow()
    raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with remembering_interrupts():
        signal.raise_signal(signal.SIGINT)
        raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
