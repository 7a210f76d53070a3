"""Standard error for notes and progress, which are lost where nobody reads them any more.

Such as behind `2>&1 | head`, on a full disk, or in a terminal that was closed. Hours of work do not
end for that.
"""

import contextlib
import functools
import os
import sys
from typing import IO, Any, cast


class _Heedless:
    """`sys.stderr`, whichever it is at the time, without its errors."""

    def write(self, text: str) -> int:
        """Write a text, if that is possible."""
        try:
            return _stream().write(text)
        except OSError:
            _write_nowhere(_stream())
            return len(text)

    def flush(self) -> None:
        """Write what waits, if that is possible."""
        try:
            _stream().flush()
        except OSError:
            _write_nowhere(_stream())

    def __getattr__(self, name: str) -> Any:
        """What only the stream itself knows, such as its encoding."""
        return getattr(_stream(), name)


def heedless_stderr() -> IO[str]:
    """A stream for a `rich.console.Console`."""
    return cast(IO[str], _Heedless())


def drop_unwritten_output() -> None:
    """Drop what standard output could not take, and was told: Python would end with 120 for it."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            _write_nowhere(sys.stdout)


def _stream() -> IO[str]:
    # While it shows bars, rich puts a proxy there that would come back to the console.
    stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
    # A process may be started without one.
    return _null_device() if stream is None else cast(IO[str], stream)


@functools.cache
def _null_device() -> IO[str]:
    return open(os.devnull, "w", encoding="utf-8")


def _write_nowhere(stream: IO[str]) -> None:
    """Lead the stream to the null device: notes of the user's own code end no work either."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(_null_device().fileno(), stream.fileno())
