"""Calls that jobs of SLURM run in tests, and that wait while a file is there."""

import os
import threading
import time
from pathlib import Path


def note_and_wait(folder: str, name: str) -> str:
    """Note that the call has begun; return the job's number once its file `hold` is gone."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    number = os.environ["SLURM_JOB_ID"] if array is None else f"{array}_{task}"
    (Path(folder) / f"{name}.{time.time_ns()}.begun").write_text(number)
    while (Path(folder) / f"{name}.hold").exists():
        time.sleep(0.05)
    return number


def environment() -> dict[str, str]:
    """What the job sees."""
    return dict(os.environ)


class OwnError(ValueError):
    """An error of the user's code."""


def fail(value: int) -> None:
    """Raise an error."""
    raise OwnError(f"value {value}")


def fail_with_what_cannot_be_sent() -> None:
    """Raise an error that holds a lock."""
    error = OwnError("locked")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


COORDINATOR = """
import sys, time
from pathlib import Path
from rust_tuner.search.executors.slurm_engine import SlurmEngine
from rust_tuner.search.executors.workers import Workers
import slurm_calls
folder = Path(sys.argv[1])
engine = SlurmEngine(Workers.of("slurm:2"))
engine.begin(folder / "search", "key", print)
for name in ("0000", "0001"):
    engine.submit_as(name, slurm_calls.note_and_wait, str(folder), name)
time.sleep(1000)
"""
