"""`worker.json` beside a trial while a worker trains it: which process that is, and how far it is.

It is only for people: nothing that is recorded of a search depends on it. The worker writes it, and
whoever ends the trial removes it.
"""

import contextlib
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rust_tuner.errors import RustTunerError
from rust_tuner.last_run import process_space, process_start
from rust_tuner.records.model import Epochs, Record, read_if_whole, write_record

WORKER_FILE = "worker.json"
# The batch system's own name of the job that a worker belongs to, and of its task within it.
_JOBS = (
    ("SLURM", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    ("SLURM", "SLURM_JOB_ID", None),
    ("PBS", "PBS_JOBID", None),
    ("LSF", "LSB_JOBID", None),
)

State = Literal["alive", "dead", "unseen"]
# In seconds since 1970: until the year 5138, far from what a date can hold.
Moment = Annotated[float, Field(ge=0, le=1e11)]


class WorkerNote(Record):
    """`worker.json`: the process that trains a trial now.

    Attributes:
        trial: its id.
        host: the machine's name.
        process: the number of the process.
        started: when the process started, as `last_run.process_start` has it.
        processes: the set of processes that this number belongs to.
        job: the batch system's job, if there is one.
        since: when the worker began the trial, in seconds since 1970.
        seen: when it was last heard of, likewise.
        epochs: of the trial, over all folds.
        done: how many of them are done.
    """

    file_name: ClassVar[str] = WORKER_FILE

    trial: str
    host: str
    process: Annotated[int, Field(ge=0)]
    started: str | None = None
    processes: str | None = None
    job: str | None = None
    since: Moment
    seen: Moment
    epochs: Epochs
    done: Epochs = 0

    @property
    def who(self) -> str:
        """The process, for people; a batch system's job is known by its own number."""
        return f"{self.job or f'process {self.process}'} on {self.host}"

    @property
    def state(self) -> State:
        """Whether the process is alive; `unseen` where that cannot be seen from here."""
        if self.host != platform.node() or self.processes != process_space():
            return "unseen"
        if self.started is None:
            return "unseen"
        return "alive" if process_start(self.process) == self.started else "dead"


def note_of_this_process(trial: str, epochs: int) -> WorkerNote:
    """The note of this process, which begins a trial of so many epochs over all folds."""
    now = time.time()
    return WorkerNote(
        trial=trial,
        host=platform.node(),
        process=os.getpid(),
        started=process_start(os.getpid()),
        processes=process_space(),
        job=_job(os.environ),
        since=now,
        seen=now,
        epochs=epochs,
    )


def write_worker_note(folder: Path, note: WorkerNote) -> None:
    """Write the note into the trial's folder; a full disk is no reason to fail the trial."""
    with contextlib.suppress(OSError, RustTunerError):
        write_record(folder / WORKER_FILE, note)


def read_worker_note(folder: Path) -> WorkerNote | None:
    """The note in a trial's folder; None if no worker trains it."""
    try:
        return read_if_whole(folder / WORKER_FILE, WorkerNote)
    except OSError:
        return None


def remove_worker_note(folder: Path) -> None:
    """Remove the note, once the process no longer trains the trial."""
    with contextlib.suppress(OSError):
        (folder / WORKER_FILE).unlink(missing_ok=True)


def _job(environment: Mapping[str, str]) -> str | None:
    for system, name, part in _JOBS:
        number = environment.get(name)
        task = "" if part is None else environment.get(part)
        if number and task is not None:
            return f"{system} job {number}_{task}" if task else f"{system} job {number}"
    return None
