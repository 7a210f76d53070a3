"""What SLURM's commands say, by commands of the same names that the tests write."""

import os
from pathlib import Path

import pytest

from rust_tuner.errors import SearchError
from rust_tuner.records.slurm_jobs import SlurmJobs, has_jobs, write_jobs
from rust_tuner.search.executors.slurm_commands import (
    JobState,
    accounted_state,
    is_temporary,
    outside_of_a_job,
    refusal_of,
    require_slurm,
    states_of,
)
from rust_tuner.search.executors.slurm_left import end_jobs, name_of_jobs

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SLURM's commands are POSIX's")


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH; a file in it is a command."""
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_states_are_read_from_one_squeue(commands: Path) -> None:
    write(
        commands, "squeue", "echo '7_0|RUNNING|node[1-2]'; echo '7_1|PENDING|'; echo '8|FAILED|a'"
    )
    states = states_of("rust-tuner-1")
    assert states == {
        "7_0": JobState("RUNNING", "node[1-2]"),
        "7_1": JobState("PENDING"),
        "8": JobState("FAILED", "a"),
    }
    assert [state.is_live for state in states.values()] == [True, True, False]
    write(commands, "squeue", "exit 1")
    assert states_of("rust-tuner-1") is None


def test_lines_that_are_no_jobs_are_left_out(commands: Path) -> None:
    # With several clusters, and with a wrapper that greets.
    lines = ["Welcome to the cluster", "CLUSTER: north", "7_0|RUNNING|node1", "CLUSTER: south|"]
    write(commands, "squeue", "\n".join(f"echo '{line}'" for line in lines))
    assert states_of("rust-tuner-1") == {"7_0": JobState("RUNNING", "node1")}


@pytest.mark.parametrize("name", ["RESV_DEL_HOLD", "REQUEUE_HOLD", "EXPEDITING"])
def test_a_job_that_is_held_has_not_ended(name: str) -> None:
    assert JobState(name).is_live
    assert JobState(name).waits


def test_accounting_is_asked_and_may_be_missing(commands: Path) -> None:
    assert accounted_state("7_0") is None
    write(commands, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert accounted_state("7_0") is None
    write(commands, "sacct", "echo 'CANCELLED by 0|node1'")
    assert accounted_state("7_0") == JobState("CANCELLED", "node1")


def test_only_what_can_never_run_is_refused(commands: Path) -> None:
    for said, refusal in {
        "sbatch: error: invalid partition specified: x": "invalid partition specified: x",
        "sbatch: lua: no account is given\nsbatch: error: Invalid account": "Invalid account",
        "allocation failure: Required node not available (down, drained or reserved)": None,
    }.items():
        write(commands, "sbatch", f"echo '{said}' >&2; exit 1")
        assert refusal_of(["--partition=x"]) == refusal


def test_a_busy_slurm_and_a_limit_are_asked_again() -> None:
    assert is_temporary("Batch job submission failed: Unable to contact slurm controller")
    assert is_temporary("Socket timed out on send/recv operation")
    assert is_temporary("QOSMaxSubmitJobPerUserLimit")
    assert not is_temporary("Batch job submission failed: Invalid account")


def test_a_machine_without_slurm_is_refused(commands: Path) -> None:
    with pytest.raises(SearchError, match="sbatch, squeue, scancel, srun cannot be found"):
        require_slurm()


def test_a_job_is_hidden_from_those_that_it_submits(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "lab", "CUDA_VISIBLE_DEVICES": "1"}
    for name, value in (kept | {"SLURM_MEM_PER_NODE": "9"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with outside_of_a_job():
        assert "SLURM_MEM_PER_NODE" not in os.environ
        assert kept.items() <= os.environ.items()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with outside_of_a_job():
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert os.environ["SLURM_MEM_PER_NODE"] == "9"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_jobs_of_a_copied_folder_are_left_alone(commands: Path, tmp_path: Path) -> None:
    project = tmp_path / "search"
    jobs = SlurmJobs.of({"name": "rust-tuner-other", "key": "k", "options": {}, "jobs": {}})
    write_jobs(project, jobs)
    end_jobs(project, print)
    assert not has_jobs(project)


def test_jobs_that_cannot_be_ended_from_here_stop_a_search(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "search"
    name = name_of_jobs(project)
    write_jobs(project, SlurmJobs.of({"name": name, "key": "k", "options": {}, "jobs": {}}))
    with pytest.raises(SearchError, match=f"or remove .* once no job named {name} is left"):
        end_jobs(project, print)
    assert has_jobs(project)
