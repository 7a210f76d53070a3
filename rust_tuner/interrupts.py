"""Ctrl-C and SIGTERM that are heard wherever they fall; what follows is left to the caller.

SIGTERM, by which schedulers and shutdowns end a process, is treated as Ctrl-C is.

Python raises `KeyboardInterrupt` wherever the main thread happens to be. In a destructor or a
callback of the garbage collector it is dropped with a note, and a library's bare `except` takes it
for a failure of its own. So it is remembered too, and raised again at the next step of the work.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_asked = threading.Event()
_signal = signal.SIGINT


class Terminated(KeyboardInterrupt):
    """SIGTERM came, in place of Ctrl-C."""


_usual: set[Any] = {signal.default_int_handler}


def until_work_begins(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let `remembering_interrupts` take the place of a handler that answers Ctrl-C till then."""
    _usual.add(handler)


@contextlib.contextmanager
def remembering_interrupts() -> Iterator[None]:
    """Remember a Ctrl-C or SIGTERM of the block, besides raising it.

    A process whose shell has told it to ignore one of them, or that has a handler of its own, keeps
    that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual: dict[signal.Signals, set[Any]] = {
        signal.SIGINT: _usual,
        signal.SIGTERM: {signal.SIG_DFL},
    }
    found = {number: signal.getsignal(number) for number in usual}
    ours = {number: handler for number, handler in found.items() if handler in usual[number]}
    if ours:
        _asked.clear()
    for number in ours:
        signal.signal(number, _remember)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        if ours:
            _asked.clear()


def raise_if_interrupted() -> None:
    """Raise the Ctrl-C or SIGTERM that something has swallowed.

    Raises:
        KeyboardInterrupt: where Ctrl-C was pressed and the work goes on all the same.
        Terminated: where SIGTERM came.
    """
    if _asked.is_set():
        _asked.clear()
        raise _interrupt()


def _remember(signum: int, frame: Any) -> None:
    global _signal
    _signal = signal.Signals(signum)
    _asked.set()
    raise _interrupt()


def _interrupt() -> KeyboardInterrupt:
    return Terminated() if _signal is signal.SIGTERM else KeyboardInterrupt()
