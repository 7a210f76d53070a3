"""A process that holds the lock of a folder, for tests of who works there."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDER = """
import select
import sys
from pathlib import Path
from rust_tuner.interrupts import remembering_interrupts
from rust_tuner.locks import hold_lock
with remembering_interrupts(), hold_lock(Path(sys.argv[1]), sys.argv[2], noted=bool(sys.argv[3])):
    print("held", flush=True)
    # In short waits: a signal that comes just before a long one is not handled within it.
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        pass
"""


@contextmanager
def other_holder(
    folder: Path, purpose: str = "searching", *, noted: bool = False
) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds a folder until the block ends, and may note its work there."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder), purpose, "noted" if noted else ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()
