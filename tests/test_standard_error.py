"""Notes that nobody reads any more end no work."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from rich.console import Console

from rust_tuner.standard_error import heedless_stderr

_WORK = """
import sys
from rust_tuner.console_progress import ConsoleProgress
progress = ConsoleProgress()
with progress.task("work", 3) as task:
    for number in range(3):
        progress.say(f"note {number}")
        task.advance()
print("a note of the user's model", file=sys.stderr, flush=True)
sys.stdout.write("done")
"""


def closed_pipe() -> IO[bytes]:
    """The end to write of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "wb")


def full_device() -> IO[bytes]:
    """A disk that is full."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    return open("/dev/full", "wb")


@pytest.mark.parametrize("opened", [closed_pipe, full_device])
def test_work_goes_on_where_notes_cannot_be_written(opened: Callable[[], IO[bytes]]) -> None:
    with opened() as notes:
        done = subprocess.run([sys.executable, "-c", _WORK], stdout=subprocess.PIPE, stderr=notes)
    assert (done.returncode, done.stdout) == (0, b"done")


def test_work_goes_on_without_a_standard_error() -> None:
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, _WORK]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    # Python prints there what is meant for a standard error that is not.
    assert (done.returncode, done.stdout[-4:]) == (0, b"done")


def test_notes_arrive_where_they_can_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=heedless_stderr())
    console.print("a note")
    assert capsys.readouterr().err == "a note\n"
    assert console.file.isatty() is sys.stderr.isatty()
