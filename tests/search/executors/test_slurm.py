"""Jobs of a real SLURM, which the tests start; its jobs are cancelled, requeued and left behind."""

import contextlib
import os
import shlex
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slurm_calls
import slurm_search
from notes import Notes
from search_problems import assert_same_trials
from slurm_cluster import running_cluster, slurm, states
from waiting import wait_for

from rust_tuner.errors import SearchError
from rust_tuner.records.slurm_jobs import read_jobs
from rust_tuner.search.executors import slurm_watch
from rust_tuner.search.executors.lost import WorkerLost
from rust_tuner.search.executors.slurm_engine import SlurmEngine
from rust_tuner.search.executors.slurm_left import end_jobs
from rust_tuner.search.executors.workers import Workers

pytest.importorskip("submitit")
pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running_cluster(tmp_path_factory.mktemp("slurm")), pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm_watch, "_BETWEEN_QUEUES", 1.0)
        yield


@contextlib.contextmanager
def engine_in(
    folder: Path, workers: Any, key: str = "key", said: list[str] | None = None
) -> Iterator[SlurmEngine]:
    """An engine for the project folder `search`."""
    engine = SlurmEngine(Workers.of(workers))
    try:
        engine.begin(folder / "search", key, (said if said is not None else []).append)
        yield engine
    finally:
        engine.close()


def held(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.hold").touch()


def begun(folder: Path, name: str) -> list[str]:
    """The number of the job of each time that a call began."""
    files = sorted(folder.glob(f"{name}.*.begun"))
    return [text for path in files if (text := path.read_text())]


def go_on(folder: Path) -> None:
    for path in folder.glob("*.hold"):
        path.unlink()


@pytest.mark.usefixtures("cluster")
def test_calls_come_back_as_they_would_from_a_process_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Tibia [1] (größer) 脛骨 *"
    folder.mkdir()
    # As if this process were itself a job, of an array.
    for name, value in {
        "SLURM_JOB_ID": "7",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_MEM_PER_NODE": "64",
        "CUDA_VISIBLE_DEVICES": "5",
        "SECRET_OF_THE_USER": "passed on",
    }.items():
        monkeypatch.setenv(name, value)
    options = {"cpus_per_task": "2", "setup": "export GREETING='good day'", "trials_per_job": "2"}
    with engine_in(folder, Workers("slurm", 2, options=options)) as engine:
        futures = [engine.submit(divmod, 20 + number, 7) for number in range(2)]
        of_a_job = engine.submit(slurm_calls.environment)
        failed = engine.submit(slurm_calls.fail, 3)
        assert [future.result() for future in futures] == [(2, 6), (3, 0)]
        seen = of_a_job.result()
        assert (seen["GREETING"], seen["SECRET_OF_THE_USER"]) == ("good day", "passed on")
        assert seen["TF_NUM_INTRAOP_THREADS"] == seen["OMP_NUM_THREADS"] == "2"
        assert "SLURM_MEM_PER_NODE" not in seen
        assert "CUDA_VISIBLE_DEVICES" not in seen
        # Four calls in two jobs of one array.
        assert seen["SLURM_ARRAY_TASK_COUNT"] == "2"
        with pytest.raises(slurm_calls.OwnError, match="value 3") as caught:
            failed.result()
        assert "in fail" in str(caught.value.__cause__)
        transport = folder / "search" / "workers" / ".slurm"
        assert stat.S_IMODE(transport.stat().st_mode) == 0o700
        with pytest.raises(ValueError, match="OwnError: locked"):
            engine.submit(slurm_calls.fail_with_what_cannot_be_sent).result()
    assert os.environ["SLURM_ARRAY_JOB_ID"] == "7"
    kept = sorted(path.name for path in (folder / "search" / "workers").iterdir())
    assert len(kept) == 3
    assert all(name.startswith("job-") and name.endswith(".log") for name in kept)


@pytest.mark.usefixtures("cluster")
def test_a_cancelled_job_is_named_and_a_requeued_one_runs_again(tmp_path: Path) -> None:
    held(tmp_path, "cancelled", "requeued")
    with engine_in(tmp_path, "slurm:2") as engine:
        names = ("cancelled", "requeued")
        futures = {
            name: engine.submit_as(name, slurm_calls.note_and_wait, str(tmp_path), name)
            for name in names
        }
        wait_for(lambda: all(begun(tmp_path, name) for name in names))
        ((job,), (other,)) = (begun(tmp_path, name) for name in names)
        slurm("scancel", job)
        slurm("scontrol", "requeue", other)
        with pytest.raises(WorkerLost, match=r"of SLURM on here ended as CANCELLED") as lost:
            futures["cancelled"].result()
        log = Path(lost.value.reason.rpartition(" ")[2])
        assert "CANCELLED" in log.read_text()
        wait_for(lambda: len(begun(tmp_path, "requeued")) == 2)
        go_on(tmp_path)
        assert futures["requeued"].result() == other
    wait_for(lambda: not states())


@pytest.mark.usefixtures("cluster")
def test_a_killed_coordinator_leaves_jobs_that_the_next_one_takes_up_or_ends(
    tmp_path: Path,
) -> None:
    held(tmp_path, "0000", "0001")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    coordinator = subprocess.Popen(
        [sys.executable, "-c", slurm_calls.COORDINATOR, str(tmp_path)], env=environment
    )
    wait_for(lambda: begun(tmp_path, "0000") and begun(tmp_path, "0001"))
    coordinator.kill()
    coordinator.wait()
    said: list[str] = []
    with engine_in(tmp_path, "slurm:2", said=said) as engine:
        assert "which an earlier run began, continue" in said[0]
        first = engine.submit_as("0000", slurm_calls.note_and_wait, str(tmp_path), "0000")
        (tmp_path / "0000.hold").unlink()
        assert [first.result()] == begun(tmp_path, "0000")
        # The other is not asked for again, and is ended with the search.
    assert len(begun(tmp_path, "0001")) == 1
    wait_for(lambda: not states())


@pytest.mark.usefixtures("cluster")
def test_jobs_of_another_run_and_of_a_search_without_slurm_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(tmp_path, "0000")
    project = tmp_path / "search"
    said: list[str] = []
    for number, goes_on in enumerate(("another run", "no SLURM")):
        engine = SlurmEngine(Workers.of("slurm:1"))
        engine.begin(project, "key", said.append)
        engine.submit_as("0000", slurm_calls.note_and_wait, str(tmp_path), "0000")
        wait_for(lambda number=number: len(begun(tmp_path, "0000")) > number)  # type: ignore[misc]
        # As if it were killed.
        assert engine._jobs is not None
        engine._jobs._is_closing = True
        engine._jobs._thread.join()
        with monkeypatch.context() as patch:
            patch.setenv("PATH", "")
            with pytest.raises(SearchError, match="SLURM cannot be asked; run the search where"):
                end_jobs(project, said.append)
        if goes_on == "no SLURM":
            end_jobs(project, said.append)
        else:
            with engine_in(tmp_path, "slurm:1", key="another", said=said):
                pass
        assert not states()
        assert not (project / "workers" / "slurm.json").exists()
    assert sum("of SLURM, which an earlier run began, to end" in text for text in said) == 2


@pytest.mark.usefixtures("cluster")
def test_what_slurm_would_never_run_is_refused_before_any_work() -> None:
    with pytest.raises(SearchError, match=r"does not accept .*[iI]nvalid partition"):
        SlurmEngine(Workers("slurm", 1, options={"partition": "nowhere"}))


@pytest.mark.usefixtures("cluster")
def test_a_search_ends_as_in_one_process_whatever_is_killed(tmp_path: Path) -> None:
    """The coordinator is a job and is killed; one job is cancelled, one requeued, in mid-trial."""
    hold, folder = tmp_path / "hold", tmp_path / "sent"
    hold.touch()
    command = shlex.join(
        [sys.executable, "-W", "ignore", slurm_search.__file__, str(folder), str(hold)]
    )
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    coordinator = slurm(
        "sbatch",
        "--parsable",
        f"--output={tmp_path}/coordinator.log",
        f"--export=ALL,PYTHONPATH={path}",
        f"--wrap=exec {command}",
    )
    project = folder / "search"
    trials = [project / f"trial_000{number}" / "fold_0.json" for number in range(2)]
    wait_for(lambda: all(path.exists() for path in trials), "no fold is trained")
    slurm("scancel", "--signal=KILL", "--full", coordinator)
    wait_for(lambda: coordinator not in states())
    left = read_jobs(project)
    assert left is not None
    cancelled, requeued = (
        next(number for number, trials in left.jobs.items() if trial in trials)
        for trial in ("0000", "0001")
    )

    def strike() -> None:
        wait_for(lambda: any("an earlier run began, continue" in text for text in said.said))
        slurm("scancel", cancelled)
        slurm("scontrol", "requeue", requeued)
        hold.unlink()

    said = Notes()
    striker = threading.Thread(target=strike)
    striker.start()
    sent = slurm_search.search(folder, hold, workers=slurm_search.WORKERS, progress=said)
    striker.join()
    lost = [text for text in said.said if "WARNING: the worker of trial" in text]
    assert [text.split()[5] for text in lost] == left.jobs[cancelled]
    assert all(f"job {cancelled} of SLURM on here ended as CANCELLED" in text for text in lost)
    assert_same_trials(sent, slurm_search.search(tmp_path / "one", hold))
    assert sent.project.problems == ()
    assert not (project / ".workers").exists()
    wait_for(lambda: not states())
