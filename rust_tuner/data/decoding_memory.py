"""How many decoded pixels may be in memory at once."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# A detector of 43 by 43 cm with pixels of 0.1 mm has 18.5 million pixels.
PIXELS_RESIZED_AT_ONCE = 20_000_000
PIXELS_AT_ONCE = 1 << 25


class Memory:
    """Counts decoded pixels, and lets threads wait while there are too many."""

    def __init__(self, capacity: int) -> None:
        """Let so many pixels be open at once."""
        self._capacity = self._free = capacity
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Wait until so many pixels fit; a picture above the capacity waits for all of it."""
        amount = min(amount, self._capacity)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()


MEMORY = Memory(PIXELS_AT_ONCE)


def return_memory() -> None:
    """Give freed memory back to the system.

    The GNU C library reserves blocks of the size that Pillow requests for the thread that freed
    them, so each thread would keep the memory of a picture of the largest size.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
