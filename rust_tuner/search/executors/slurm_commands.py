"""SLURM's own commands: what became of jobs, and their end. Jobs are submitted by submitit.

`squeue` knows the state of every job until some minutes after its end, also on clusters without
accounting, on which `sacct` (which submitit would ask) knows nothing.
"""

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rust_tuner.errors import SearchError

_COMMANDS = ("sbatch", "squeue", "scancel", "srun")
_SECONDS = 60
# A job in one of these is in the queue, runs, or comes to its end.
_LIVE = frozenset(
    "PENDING RUNNING SUSPENDED CONFIGURING COMPLETING REQUEUED REQUEUE_HOLD REQUEUE_FED RESIZING "
    "SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED RESV_DEL_HOLD POWER_UP_NODE EXPEDITING".split()
)
_WAITING = frozenset(
    "PENDING REQUEUED REQUEUE_HOLD REQUEUE_FED SPECIAL_EXIT RESV_DEL_HOLD EXPEDITING".split()
)
_ENDING = "COMPLETING"
# Of a job, or of one of an array; waiting ones may be listed together, as in `7_[2-9%2]`.
_NUMBER = re.compile(r"\d+(?:_(?:\d+|\[.*\]))?")
_TEMPORARY = re.compile(r"contact|time[d]? ?out|temporar|limit|try again|busy", re.IGNORECASE)
_OF_THE_NUMBER = re.compile(r"limit|array", re.IGNORECASE)
# What a job's own environment says of it; a job that it submits would take it for its own.
_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_", "PMI_", "PMIX_")
_GPUS_OF_A_JOB = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
# These lead to the cluster.
_OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
_environment = threading.Lock()


@dataclass(frozen=True)
class JobState:
    """What SLURM says of a job.

    Attributes:
        name: such as `RUNNING` or `OUT_OF_MEMORY`.
        node: where it runs or ran; empty where it waits.
    """

    name: str
    node: str = ""

    @property
    def is_live(self) -> bool:
        """Whether its process may still run, or run later."""
        return self.name in _LIVE

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or begins again."""
        return self.name in _WAITING

    @property
    def is_ending(self) -> bool:
        """Whether it has been ended, and its process not yet."""
        return self.name == _ENDING


def has_slurm() -> bool:
    """Whether this machine can ask SLURM."""
    return all(map(shutil.which, _COMMANDS))


def require_slurm() -> None:
    """Check that this machine can submit jobs.

    Raises:
        SearchError: if a command of SLURM is missing.
    """
    missing = [command for command in _COMMANDS if shutil.which(command) is None]
    if missing:
        raise SearchError(
            f"workers='slurm' needs the commands of SLURM, and {', '.join(missing)} cannot be "
            "found; start the search on a login node, or as a job"
        )


def states_of(name: str) -> dict[str, JobState] | None:
    """The jobs of this user with a name, by number; None if SLURM does not answer.

    Jobs that ended long ago are not listed.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
    listed = _run([*command, f"--name={name}", "--format=%i|%T|%N"])
    if listed.returncode != 0:
        return None
    states = {}
    for line in listed.stdout.splitlines():
        number, *rest = (part.strip() for part in line.split("|", 2))
        # With several clusters, a line names each of them; wrappers of sites say more.
        if len(rest) == 2 and _NUMBER.fullmatch(number):
            state, node = rest
            states[number] = JobState(state.partition(" ")[0], node)
    return states


def accounted_state(number: str) -> JobState | None:
    """The state of a job that is no longer listed; None where it is not accounted."""
    command = ["sacct", "--allocations", "--noheader", "--parsable2", "--format=State,NodeList"]
    if shutil.which("sacct") is None:
        return None
    shown = _run([*command, f"--jobs={number}"])
    lines = shown.stdout.splitlines() if shown.returncode == 0 else []
    if not lines:
        return None
    state, _, node = lines[-1].partition("|")
    return JobState(state.partition(" ")[0] or "UNKNOWN", node)


def cancel(numbers: Sequence[str]) -> None:
    """End jobs; those that have ended already are left as they are."""
    if numbers:
        _run(["scancel", *numbers])


def refusal_of(options: Sequence[str]) -> str | None:
    """Why SLURM would never run a job with these options; None if it would, or does not say.

    Args:
        options: of `sbatch`.
    """
    with outside_of_a_job():
        tried = _run(["sbatch", "--test-only", *options, "--wrap=true"])
    # Where all nodes are down, a job could not start now, and yet wait for them.
    # Sites have `sbatch` say more than its own errors.
    lines = [line for line in tried.stderr.splitlines() if "nvalid" in line]
    if tried.returncode == 0 or not lines:
        return None
    return lines[0].strip().removeprefix("sbatch: error: ")


def is_temporary(message: str) -> bool:
    """Whether `sbatch` may take the same job later: SLURM was busy, or a limit was reached."""
    return _TEMPORARY.search(message) is not None


def is_of_the_number(message: str) -> bool:
    """Whether `sbatch` may take fewer jobs at once: of an array, or of one user."""
    return _OF_THE_NUMBER.search(message) is not None


@contextlib.contextmanager
def outside_of_a_job() -> Iterator[None]:
    """Hide, in the block, that this process is itself a job.

    `sbatch` passes the environment on, in which memory, cores and array of this job would be taken
    for those of the new one.
    """
    with _environment:
        names = [name for name in os.environ if _is_of_a_job(name)]
        if "SLURM_JOB_ID" in os.environ:
            names += [name for name in _GPUS_OF_A_JOB if name in os.environ]
        hidden = {name: os.environ.pop(name) for name in names}
        try:
            yield
        finally:
            os.environ.update(hidden)


def _is_of_a_job(name: str) -> bool:
    return name.startswith(_OF_A_JOB) and name not in _OF_THE_CLUSTER


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
