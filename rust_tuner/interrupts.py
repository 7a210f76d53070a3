"""Ctrl-C that is heard wherever it falls; what follows from it is left to the caller.

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
_usual: set[Any] = {signal.default_int_handler}


def until_work_begins(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let `remembering_interrupts` take the place of a handler that answers Ctrl-C till then."""
    _usual.add(handler)


@contextlib.contextmanager
def remembering_interrupts() -> Iterator[None]:
    """Remember a Ctrl-C of the block, besides raising it.

    A process whose shell has told it to ignore Ctrl-C goes on ignoring it.
    """
    usual = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if usual not in _usual or not is_main:
        yield
        return
    _asked.clear()
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        _asked.clear()


def raise_if_interrupted() -> None:
    """Raise the Ctrl-C that something has swallowed.

    Raises:
        KeyboardInterrupt: where Ctrl-C was pressed and the work goes on all the same.
    """
    if _asked.is_set():
        _asked.clear()
        raise KeyboardInterrupt


def _remember(signum: int, frame: Any) -> None:
    _asked.set()
    raise KeyboardInterrupt
