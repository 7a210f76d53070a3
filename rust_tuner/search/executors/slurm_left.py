"""Jobs of SLURM that a killed coordinator has left: they are ended before their trials run again.

A job writes the same records as any other worker, each of them atomically. It is ended all the
same, so that no record changes once its trial has a score.
"""

import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from rust_tuner.errors import SearchError
from rust_tuner.files import sha256_of_text
from rust_tuner.records.slurm_jobs import TRANSPORT, WORKERS, has_jobs, read_jobs, remove_jobs
from rust_tuner.search.executors.slurm_commands import cancel, has_slurm, states_of

_BETWEEN_LOOKS = 2.0
# A job that is cancelled is killed after SLURM's KillWait, which is half a minute by default.
_LONGEST = 600.0


def name_of_jobs(folder: Path) -> str:
    """The name of all jobs of a project folder, by which SLURM lists them."""
    return f"rust-tuner-{sha256_of_text(str(folder.resolve()))[:12]}"


def end_jobs(folder: Path, say: Callable[[str], None], *, keep: Collection[str] = ()) -> None:
    """End the jobs that an earlier coordinator of a project folder has left, and wait for it.

    Args:
        folder: the project folder, whose lock this process holds.
        say: takes a note on jobs that are waited for.
        keep: numbers of jobs that continue.

    Raises:
        SearchError: where there may be jobs, and they cannot be ended from here.
    """
    if not has_jobs(folder):
        return
    left = read_jobs(folder)
    # A copy of a folder has no jobs of its own.
    if left is None or left.name == name_of_jobs(folder):
        _end(folder, say, keep)
    if not keep:
        shutil.rmtree(folder / TRANSPORT, ignore_errors=True)
        remove_jobs(folder)


def _end(folder: Path, say: Callable[[str], None], keep: Collection[str]) -> None:
    name = name_of_jobs(folder)
    deadline = time.monotonic() + _LONGEST
    said = False
    while True:
        states = states_of(name) if has_slurm() else None
        live = [number for number, state in (states or {}).items() if state.is_live]
        live = [number for number in live if number not in keep]
        if states is not None and not live:
            return
        if states is None or time.monotonic() > deadline:
            jobs = "cannot be asked" if states is None else f"has not ended {', '.join(live)}"
            raise SearchError(
                f"jobs of SLURM may still train trials of {folder}, and SLURM {jobs}; run the "
                f"search where squeue answers, or remove {folder / WORKERS / 'slurm.json'} once "
                f"no job named {name} is left"
            )
        if not said:
            say(f"waiting for jobs {', '.join(live)} of SLURM, which an earlier run began, to end")
            said = True
        cancel(live)
        time.sleep(_BETWEEN_LOOKS)
