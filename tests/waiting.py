"""Waits for what other processes do, and sees whether they live."""

import time
from collections.abc import Callable
from pathlib import Path

_LONGEST = 900.0


def wait_for(condition: Callable[[], object], what: str = "") -> None:
    """Wait until something holds, however busy the machine is."""
    deadline = time.monotonic() + _LONGEST
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
