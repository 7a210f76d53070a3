"""Ends work early: on Ctrl-C or SIGTERM, of which none is lost, or when its time budget is spent.

The caller decides what to do about it.

SIGTERM, which schedulers and shutdowns send, is treated like Ctrl-C.

Python raises `KeyboardInterrupt` wherever the main thread happens to be. In a destructor or a
callback of the garbage collector it is dropped with a note, and a library's bare `except` mistakes
it for an ordinary error. So the signal is also remembered, and raised again at the next step of the
work.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from rust_tuner.errors import TimeBudgetError

# The signal that is to be raised again. A plain variable: a handler that needed a lock would wait
# for ever where it interrupts the code that holds it.
_asked: signal.Signals | None = None


class Terminated(KeyboardInterrupt):
    """SIGTERM was received; it is handled like Ctrl-C."""


_Handler = Callable[[int, FrameType | None], None]
# Handlers of Ctrl-C that `remembering_interrupts` replaces -> those that follow its block.
_usual: dict[Any, Any] = {signal.default_int_handler: signal.default_int_handler}


def until_work_begins(handler: _Handler, *, afterwards: _Handler) -> None:
    """Register a handler of Ctrl-C that `remembering_interrupts` may replace.

    Args:
        handler: until work begins.
        afterwards: takes its place once work has ended.
    """
    _usual.update({handler: afterwards, afterwards: afterwards})


@contextlib.contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM do nothing in a block that takes an instant."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ignored = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in ignored.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def remembering_interrupts() -> Iterator[None]:
    """Remember a Ctrl-C or SIGTERM within the block, and raise it as usual.

    A signal that the process ignores, or handles in its own way, is left alone.
    """
    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual: dict[signal.Signals, dict[Any, Any]] = {
        signal.SIGINT: _usual,
        signal.SIGTERM: {signal.SIG_DFL: signal.SIG_DFL},
    }
    handlers = {number: signal.getsignal(number) for number in usual}
    ours = {number: handler for number, handler in handlers.items() if handler in usual[number]}
    if ours:
        _asked = None
    for number in ours:
        signal.signal(number, _remember)
    try:
        with _quiet_where_dropped():
            yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, usual[number][handler])
        if ours:
            _asked = None


@contextlib.contextmanager
def _quiet_where_dropped() -> Iterator[None]:
    """Print no traceback of an interrupt that Python drops: it is remembered, and raised again."""
    usual = sys.unraisablehook

    def report(dropped: "sys.UnraisableHookArgs") -> None:
        if _asked is None or not issubclass(dropped.exc_type, KeyboardInterrupt):
            usual(dropped)

    sys.unraisablehook = report
    try:
        yield
    finally:
        if sys.unraisablehook is report:
            sys.unraisablehook = usual


def raise_if_interrupted() -> None:
    """Raise the Ctrl-C or SIGTERM that something has swallowed.

    Raises:
        KeyboardInterrupt: if Ctrl-C was pressed and the work continued.
        Terminated: if SIGTERM was received and the work continued.
    """
    global _asked
    asked, _asked = _asked, None
    if asked is not None:
        raise _interrupt(asked)


class _TimeBudget:
    """When the time is up, and whether any work has been recorded since it began."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends = time.monotonic() + seconds
        self.has_worked = False


_budgets: list[_TimeBudget] = []


@contextlib.contextmanager
def within_time_budget(seconds: float | None) -> Iterator[None]:
    """End the work of the block at a pause once `seconds` have passed; None sets no budget.

    A pause is where everything done so far is recorded, such as between two trials. At least one
    piece of work is done, so that the same command, run again and again, gets to its end.

    Args:
        seconds: from now on; above 0.
    """
    if seconds is None:
        yield
        return
    _budgets.append(_TimeBudget(seconds))
    try:
        yield
    finally:
        _budgets.pop()


def note_recorded_work() -> None:
    """Note that a piece of work, such as a trial, was done and recorded."""
    for budget in _budgets:
        budget.has_worked = True


def end_if_time_is_up() -> None:
    """End the work at a pause, if its time is up; call it where more work would begin.

    Raises:
        TimeBudgetError: if a time budget is spent, and some work was done and recorded within it.
    """
    now = time.monotonic()
    for budget in _budgets:
        if budget.has_worked and now >= budget.ends:
            raise TimeBudgetError(
                f"the time budget of {budget.seconds:g} seconds is spent; everything done so far "
                "is recorded, and the same call resumes it"
            )


def _remember(signum: int, frame: Any) -> None:
    global _asked
    _asked = signal.Signals(signum)
    raise _interrupt(_asked)


def _interrupt(asked: signal.Signals) -> KeyboardInterrupt:
    return Terminated() if asked is signal.SIGTERM else KeyboardInterrupt()
