"""Jobs of SLURM, submitted by submitit; where and when a job runs, SLURM decides.

A job trains one trial, or `trials_per_job` of them one after another, and ends. So it asks for the
time and memory of its trials alone, may be preempted at any moment, and needs no connection to the
coordinator. It costs the start of Python and TensorFlow, some ten seconds, which `trials_per_job`
shares among short trials. Jobs that stay and fetch one trial after another would need a queue of
their own, whose tasks are lost with a job that ends; SLURM's queue loses none.
"""

import concurrent.futures
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rust_tuner.errors import SearchError
from rust_tuner.extras import require_package
from rust_tuner.records.slurm_jobs import WORKERS, read_jobs
from rust_tuner.search.executors.shipping import as_call
from rust_tuner.search.executors.slurm_commands import refusal_of, require_slurm, states_of
from rust_tuner.search.executors.slurm_left import end_jobs, name_of_jobs
from rust_tuner.search.executors.slurm_options import SlurmOptions
from rust_tuner.search.executors.slurm_watch import WatchedJobs
from rust_tuner.search.executors.workers import Workers


class SlurmEngine:
    """Jobs of SLURM, at most so many at a time, waiting ones included."""

    def __init__(self, asked: Workers) -> None:
        """Check what can be checked before a search begins.

        Args:
            asked: the number of jobs, and what each asks SLURM for.

        Raises:
            ExtraError: where submitit is not installed.
            SearchError: where this machine cannot submit jobs, or SLURM would never run them.
        """
        require_package("submitit", what="workers='slurm' needs", extra="slurm")
        self._options = SlurmOptions.of(asked.options)
        self._asked = {name: str(value) for name, value in sorted(asked.options.items())}
        self._count = asked.count or 1
        self.num_workers = self._count * self._options.trials_per_job
        require_slurm()
        refusal = refusal_of(_flags(self._options))
        if refusal is not None:
            raise SearchError(f"SLURM does not accept the options of --slurm: {refusal}")
        self._jobs: WatchedJobs | None = None

    def begin(self, folder: Path, key: str, say: Callable[[str], None]) -> bool:
        """Take up the jobs that a killed coordinator has left, and end those that do not fit.

        Args:
            folder: the project folder.
            key: the identity of the run; jobs of another one are ended.
            say: takes notes for the user.

        Returns:
            Whether such jobs still train trials, and read the arrays of the project folder.
        """
        folder = folder.resolve()
        if set(str(folder)) & set("%\\\n"):
            raise SearchError(
                f"{folder}: SLURM gives % and \\ in paths of logs another meaning; use a folder "
                "without them"
            )
        name = name_of_jobs(folder)
        left = read_jobs(folder)
        states = (states_of(name) or {}) if left is not None else {}
        kept: dict[str, list[str]] = {}
        if left is not None and (left.name, left.key) == (name, key):
            for number, trials in left.jobs.items():
                state = states.get(number)
                if state is None or not state.is_live or state.is_ending:
                    continue
                # Those that wait may wait for what the user no longer asks for.
                if left.options == self._asked or not state.waits:
                    kept[number] = trials
        end_jobs(folder, say, keep=kept)
        self._jobs = WatchedJobs(folder, name, key, self._asked, self._options, self._count, say)
        self._jobs.take_up(kept)
        if kept:
            say(f"jobs {', '.join(kept)} of SLURM, which an earlier run began, continue")
        return bool(kept)

    def submit(self, function: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
        """Begin a call, in a job of its own or with others."""
        return self.submit_as("", function, *arguments)

    def submit_as(
        self, name: str, function: Any, *arguments: Any
    ) -> "concurrent.futures.Future[Any]":
        """Begin a call, unless a job that was taken up runs the one of this name.

        Args:
            name: the trial's id.
            function: it is called in a job.
            *arguments: of the call.
        """
        assert self._jobs is not None, "begin comes first"
        return self._jobs.submit(as_call(function, arguments), name)

    def restart(self) -> bool:
        """Return False: a call whose job has died is sent again, and no more can be done."""
        return False

    def close(self) -> None:
        """Cancel the jobs, also in the middle of a trial: its records resume it."""
        if self._jobs is not None:
            self._jobs.close()
            self._jobs = None

    def note(self) -> str:
        """Name the number of jobs, and where their logs are."""
        jobs = "1 job" if self._count == 1 else f"{self._count} jobs"
        text = f"trials run in SLURM, in up to {jobs} at a time"
        if self._options.trials_per_job > 1:
            text += f" of up to {self._options.trials_per_job} trials each"
        return f"{text}; their logs are in {WORKERS}/ of the project folder"


def _flags(options: SlurmOptions) -> list[str]:
    """Options as `sbatch` takes them on its command line."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.passed.items()]
    return flags + ([] if options.minutes is None else [f"--time={options.minutes}"])
