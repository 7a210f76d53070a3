"""`workers/slurm.json` of a project folder: the jobs of SLURM that may still work for its search.

The file is there while there may be such jobs: from before the first is submitted until all have
ended. A coordinator that is killed leaves it to the next one.
"""

from pathlib import Path
from typing import ClassVar

from rust_tuner.records.model import Record, read_if_whole, write_record

# Of a project folder: logs of workers, which stay.
WORKERS = "workers"
# What submitit writes for jobs and reads from them, as pickle files: for the owner alone.
TRANSPORT = f"{WORKERS}/.slurm"
_FILE = "slurm.json"


class SlurmJobs(Record):
    """Jobs and their trials.

    Attributes:
        name: of all the jobs, as SLURM lists them.
        key: of the run that they work for.
        options: that they were submitted with.
        jobs: number of a job -> ids of its trials.
    """

    # Not read by later versions of the package: it lasts no longer than the jobs.
    file_name: ClassVar[str] = ""

    name: str
    key: str
    options: dict[str, str]
    jobs: dict[str, list[str]]


def has_jobs(project: Path) -> bool:
    """Whether there may be jobs, even if the file is damaged."""
    return (project / WORKERS / _FILE).is_file()


def read_jobs(project: Path) -> SlurmJobs | None:
    """The jobs of a project folder; None if there is no file, or a damaged one."""
    return read_if_whole(project / WORKERS / _FILE, SlurmJobs)


def write_jobs(project: Path, jobs: SlurmJobs) -> None:
    """Record jobs."""
    write_record(project / WORKERS / _FILE, jobs)


def remove_jobs(project: Path) -> None:
    """Note that all jobs have ended."""
    (project / WORKERS / _FILE).unlink(missing_ok=True)
