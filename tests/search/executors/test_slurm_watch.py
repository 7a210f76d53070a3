"""What becomes of calls where SLURM's commands or the file system fail: none waits for ever."""

import concurrent.futures
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rust_tuner.errors import SearchError, StorageError
from rust_tuner.records.slurm_jobs import TRANSPORT
from rust_tuner.search.executors import slurm_watch
from rust_tuner.search.executors.slurm_options import SlurmOptions
from rust_tuner.search.executors.slurm_watch import WatchedJobs

pytest.importorskip("submitit", reason="the extra slurm is not installed")

# Submits nothing, but runs the script at once, as job 7.
RUNS = """
echo "Submitted batch job 7"
export SLURM_JOB_ID=7
(bash "${@: -1}" > "$FAKE/job.log" 2>&1 &)
"""
Commands = Callable[..., Path]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Makes commands of SLURM that do as told; those that are left out say nothing and succeed."""

    def made(**scripts: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        # submitit looks for srun alone to tell whether there is SLURM.
        for name in ("srun", "sbatch", "squeue", "scancel", "sacct"):
            path = folder / name
            path.write_text(f"#!/bin/bash\nFAKE={folder}\n{scripts.get(name, '')}\n")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder

    monkeypatch.setattr(slurm_watch, "_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(slurm_watch, "_BETWEEN_TRIES", 0.05)
    monkeypatch.setattr(slurm_watch, "_GATHERED", 0.01)
    return made


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def jobs(tmp_path: Path, commands: Commands, notes: list[str]) -> Iterator[WatchedJobs]:
    commands()
    options = SlurmOptions.of({})
    watched = WatchedJobs(tmp_path / "search", "name", "key", {}, options, 2, notes.append)
    watched.take_up({})
    yield watched
    watched.close()


def call(value: int) -> bytes:
    from rust_tuner.search.executors.shipping import as_call

    return as_call(abs, (value,))


def error_of(future: "concurrent.futures.Future[int]") -> str:
    with pytest.raises(SearchError) as raised:
        future.result(timeout=60)
    return str(raised.value)


@pytest.mark.slow
def test_a_result_whose_files_cannot_be_removed_arrives(
    jobs: WatchedJobs, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    commands(sbatch=RUNS)
    monkeypatch.setattr(Path, "unlink", stale)
    future = jobs.submit(call(-3), "0000")
    assert future.result(timeout=120) == 3


def test_an_answer_that_cannot_be_understood_ends_the_call_and_its_job(
    jobs: WatchedJobs, commands: Commands
) -> None:
    folder = commands(
        sbatch='echo "who knows"',
        squeue='echo "9|RUNNING|node1"',
        scancel='echo "$@" >> $FAKE/cancelled',
    )
    assert "SLURM refused a job" in error_of(jobs.submit(call(1), "0000"))
    jobs.close()
    assert (folder / "cancelled").read_text() == "9\n"
    # Kept, since the job may still be ending.
    assert list((folder.parent / "search" / "workers").glob("slurm.json"))


def test_a_failure_nobody_expects_ends_the_call(
    jobs: WatchedJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: WatchedJobs, shares: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(WatchedJobs, "_submitted", fails)
    assert error_of(jobs.submit(call(1), "0000")) == "SLURM refused a job: no such thing"


def test_once_jobs_are_no_longer_watched_no_call_waits(
    jobs: WatchedJobs, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir = os.listdir

    def fails(folder: Path) -> list[str]:
        if Path(folder).name == Path(TRANSPORT).name:
            raise OSError(errno.EIO, "Input/output error")
        return listdir(folder)

    commands(sbatch='echo "Submitted batch job 7"')
    monkeypatch.setattr(os, "listdir", fails)
    assert "can no longer be watched" in error_of(jobs.submit(call(1), "0000"))
    assert "no longer watched" in error_of(jobs.submit(call(1), "0001"))


LIMIT = 'echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1'


@pytest.mark.slow
def test_a_limit_that_passes_is_waited_for_and_said_once(
    jobs: WatchedJobs, commands: Commands, notes: list[str]
) -> None:
    commands(sbatch=f"echo x >> $FAKE/tries; [ $(wc -l < $FAKE/tries) -gt 3 ] || {{ {LIMIT}; }}")
    # Then it says nothing, which cannot be understood.
    assert "SLURM refused a job" in error_of(jobs.submit(call(1), "0000"))
    assert [note.partition(" (")[0] for note in notes] == [
        "WARNING: SLURM takes no further job now"
    ]


def test_a_limit_that_never_passes_ends_the_call(
    jobs: WatchedJobs, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_watch, "_LONGEST_REFUSAL", 0.2)
    commands(sbatch=LIMIT)
    assert "QOSMaxSubmitJobPerUserLimit" in error_of(jobs.submit(call(1), "0000"))


# As SLURM does where MaxArraySize is 3, or a user may have three jobs.
SMALL = """
size=$(sed -n 's/^#SBATCH --array=.*0-\\([0-9]*\\)%.*/\\1/p' "${{@: -1}}")
echo $((${{size:-0}} + 1)) >> $FAKE/sizes
[ ${{size:-0}} -lt 3 ] || {{ echo "sbatch: error: {reason}" >&2; exit 1; }}
echo "Submitted batch job $(wc -l < $FAKE/sizes)"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "reason", ["Invalid job array specification", "AssocMaxSubmitJobLimit", "job submit limit"]
)
def test_an_array_that_is_too_large_is_submitted_in_parts(
    reason: str, commands: Commands, tmp_path: Path, notes: list[str]
) -> None:
    folder = commands(sbatch=SMALL.format(reason=reason), squeue="echo '1|RUNNING|a'")
    options = SlurmOptions.of({})
    watched = WatchedJobs(tmp_path / "search", "name", "key", {}, options, 8, notes.append)
    watched.take_up({})
    try:
        for number in range(8):
            watched.submit(call(number), f"{number:04d}")
        deadline = time.monotonic() + 60
        while sum(size for size in sizes(folder) if size <= 3) < 8:
            assert time.monotonic() < deadline, sizes(folder)
            time.sleep(0.05)
    finally:
        watched.close()
    assert sizes(folder)[:3] == [8, 4, 2]
    assert notes == []


def sizes(folder: Path) -> list[int]:
    path = folder / "sizes"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_jobs_whose_record_cannot_be_written_end_with_that_error(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, jobs: object) -> None:
        raise StorageError("the disk is full")

    commands()
    monkeypatch.setattr(slurm_watch, "write_jobs", full)
    options = SlurmOptions.of({})
    watched = WatchedJobs(tmp_path / "search", "name", "key", {}, options, 2, print)
    with pytest.raises(StorageError, match="full"):
        watched.take_up({})
    watched.close()
