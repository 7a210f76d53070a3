"""The jobs of one search, which a thread submits and watches.

Trials that are ready at once are submitted as one array. A job that SLURM requeues, since it was
preempted or its node failed, runs again and takes up the folds that it has recorded. Any other end
without a result is the death of a worker. Results are seen in the project folder; SLURM is asked
for states every ten seconds, by one command for all jobs.
"""

import concurrent.futures
import contextlib
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rust_tuner.errors import RustTunerError, SearchError
from rust_tuner.records.slurm_jobs import TRANSPORT, WORKERS, SlurmJobs, remove_jobs, write_jobs
from rust_tuner.search.executors.lost import WorkerLost
from rust_tuner.search.executors.outcome import Outcome
from rust_tuner.search.executors.slurm_commands import (
    JobState,
    accounted_state,
    cancel,
    is_of_the_number,
    is_temporary,
    outside_of_a_job,
    states_of,
)
from rust_tuner.search.executors.slurm_options import SlurmOptions
from rust_tuner.search.executors.slurm_task import run_calls

_OWNER_ONLY = 0o700
# In seconds. Calls that come within the first are submitted together.
_GATHERED = 0.5
_BETWEEN_LOOKS = 1.0
_BETWEEN_QUEUES = 10.0
_BETWEEN_TRIES = 30.0
_LONGEST_REFUSAL = 600.0
# A network file system may show a result so much later than it was written.
_LATEST_RESULT = 60.0
_HINTS = {
    "OUT_OF_MEMORY": " (give each job more, such as --slurm mem=16G)",
    "TIMEOUT": " (give each job more, such as --slurm time=8:00:00)",
}
# Lines of each job before the user's own: as many threads as it has cores.
_THREADS = """threads=${SLURM_CPUS_ON_NODE:-1}
export TF_NUM_INTRAOP_THREADS=$threads TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=$threads
export TF_FORCE_GPU_ALLOW_GROWTH=true TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}"""


@dataclass(eq=False)
class _Call:
    call: bytes
    name: str
    future: "concurrent.futures.Future[Any]"


@dataclass(eq=False)
class _Submitted:
    """A job, with the time of the first look that found it ended."""

    job: Any
    calls: list[_Call]
    ended: float | None = None

    @property
    def number(self) -> str:
        return str(self.job.job_id)


class WatchedJobs:
    """The jobs of one search, which a thread submits and watches."""

    def __init__(
        self,
        folder: Path,
        name: str,
        key: str,
        asked: dict[str, str],
        options: SlurmOptions,
        count: int,
        say: Callable[[str], None],
    ) -> None:
        """Prepare to submit jobs; `take_up` begins.

        Args:
            folder: the project folder.
            name: of all jobs of this search.
            key: the identity of the run.
            asked: what the user asked for, as it is recorded.
            options: the same, read.
            count: of jobs at a time.
            say: takes notes for the user.
        """
        import submitit

        self._submitit = submitit
        self._folder = folder
        self._record = SlurmJobs.of({"name": name, "key": key, "options": asked, "jobs": {}})
        self._options = options
        self._count = count
        self._say = say
        self._transport = folder / TRANSPORT
        self._transport.mkdir(parents=True, exist_ok=True)
        self._transport.chmod(_OWNER_ONLY)
        self._executor = submitit.SlurmExecutor(self._transport, max_num_timeout=0)
        self._executor.update_parameters(
            job_name=name,
            time=options.minutes,
            setup=[*_THREADS.splitlines(), *options.setup],
            stderr_to_stdout=True,
            use_srun=False,
            wckey=None,
            array_parallelism=count,
        )
        self._kept: dict[str, _Call] = {}
        self._running: list[_Submitted] = []
        # The thread's, apart from these three.
        self._changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._is_closing = False
        self._next_queue = self._next_try = 0.0
        self._has_said = False
        self._refused_since: float | None = None
        # Jobs that SLURM may take at once; it has limits for an array and for a user.
        self._at_once = count
        # All calls without a result, wherever they are.
        self._open: list[_Call] = []
        self._thread = threading.Thread(target=self._work, name="slurm", daemon=True)

    def take_up(self, kept: dict[str, list[str]]) -> None:
        """Watch jobs of an earlier coordinator, and begin."""
        for number, trials in kept.items():
            calls = [_Call(b"", trial, concurrent.futures.Future()) for trial in trials]
            self._kept |= {call.name: call for call in calls}
            self._open += calls
            job: Any = self._submitit.SlurmJob(folder=self._transport, job_id=number)
            self._running.append(_Submitted(job, calls))
        # From now on there may be jobs, also some that are not recorded yet.
        self._write_record()
        self._thread.start()

    def submit(self, call: bytes, name: str) -> "concurrent.futures.Future[Any]":
        """Begin a call, unless a job of an earlier coordinator has begun it."""
        kept = self._kept.pop(name, None)
        if kept is not None:
            return kept.future
        waiting = _Call(call, name, concurrent.futures.Future())
        with self._changed:
            if self._is_closing:
                waiting.future.set_exception(SearchError("jobs of SLURM are no longer watched"))
                return waiting.future
            self._open = [one for one in self._open if not one.future.done()] + [waiting]
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """End the thread and the jobs."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        # It has not begun where the record could not be written.
        if self._thread.ident is not None:
            self._thread.join()
        # Also jobs that SLURM took without submitit noticing.
        states = states_of(self._record.name)
        live = [number for number, state in (states or {}).items() if state.is_live]
        cancel(sorted({*live, *(job.number for job in self._running)}))
        for call in self._open:
            call.future.cancel()
        shutil.rmtree(self._transport, ignore_errors=True)
        # Cancelled jobs may take some time to end.
        with contextlib.suppress(OSError, RustTunerError):
            if self._running or live or states is None:
                self._write_record()
            else:
                remove_jobs(self._folder)

    def _write_record(self) -> None:
        jobs = {job.number: [call.name for call in job.calls] for job in self._running}
        write_jobs(self._folder, self._record.with_changes(jobs=jobs))

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    if not self._is_closing:
                        self._changed.wait(_BETWEEN_LOOKS)
                    if self._is_closing:
                        return
                self._submit_waiting()
                self._look()
        except Exception as error:
            # Whoever waits for a call must not wait for ever.
            reason = SearchError(f"jobs of SLURM can no longer be watched ({error})")
            reason.__cause__ = error
            with self._changed:
                self._is_closing = True
                calls = list(self._open)
            for call in calls:
                if not call.future.done():
                    call.future.set_exception(reason)

    def _submit_waiting(self) -> None:
        """Submit what there is room for: as one array, of jobs with equal shares."""
        room = min(self._count - len(self._running), self._at_once)
        if room <= 0 or time.monotonic() < self._next_try:
            return
        count = -1
        while count != (count := len(self._waiting)):
            # The coordinator may still be sending.
            time.sleep(_GATHERED)
        if count == 0:
            return
        with self._changed:
            most = room * self._options.trials_per_job
            calls, self._waiting = self._waiting[:most], self._waiting[most:]
        jobs = min(room, len(calls))
        shares = [calls[position::jobs] for position in range(jobs)]
        try:
            submitted = self._submitted(shares)
        except Exception as error:
            # Among them submitit's own, and those of a file system.
            reason = str(error).strip() or type(error).__name__
            if jobs > 1 and is_of_the_number(reason):
                self._at_once = jobs // 2
                self._keep_waiting(calls)
            else:
                self._refused(calls, reason)
            return
        self._at_once = max(self._at_once, min(2 * jobs, self._count))
        self._has_said = False
        self._refused_since = None
        self._running += map(_Submitted, submitted, shares)
        self._write_record()

    def _submitted(self, shares: Sequence[list[_Call]]) -> list[Any]:
        pattern = "%j" if len(shares) == 1 else "%A_%a"
        logs = self._folder / WORKERS
        logs.mkdir(exist_ok=True)
        self._executor.update_parameters(
            additional_parameters={
                **self._options.passed,
                "output": f"{logs}/job-{pattern}.log",
                "requeue": True,
            }
        )
        path = [os.path.abspath(entry) for entry in sys.path]
        with outside_of_a_job():
            jobs: list[Any] = self._executor.map_array(
                run_calls, [[call.call for call in share] for share in shares], [path] * len(shares)
            )
        return jobs

    def _refused(self, calls: list[_Call], reason: str) -> None:
        """Keep calls for later where SLURM may take them then."""
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        # With jobs of ours, a limit may be one of their number; without any it will not pass.
        is_late = not self._running and now - self._refused_since > _LONGEST_REFUSAL
        if is_temporary(reason) and not is_late:
            self._keep_waiting(calls)
            self._next_try = now + _BETWEEN_TRIES
            if not self._has_said:
                self._say(f"WARNING: SLURM takes no further job now ({reason}); it is asked again")
                self._has_said = True
            return
        for call in calls:
            call.future.set_exception(SearchError(f"SLURM refused a job: {reason}"))

    def _keep_waiting(self, calls: list[_Call]) -> None:
        with self._changed:
            self._waiting = calls + self._waiting

    def _look(self) -> None:
        """Take results, and find jobs that ended without one."""
        now = time.monotonic()
        states = None
        if self._running and now >= self._next_queue:
            states = states_of(self._record.name)
            self._next_queue = now + _BETWEEN_QUEUES
        # A result that is missing now was not there when the states were asked for, or is late.
        there = self._files()
        for job in [job for job in self._running if job.job.paths.result_pickle.name in there]:
            self._running.remove(job)
            self._finish(job)
        if states is None:
            return
        for job in list(self._running):
            state = states.get(job.number) or accounted_state(job.number) or JobState("UNKNOWN")
            if state.is_live:
                job.ended = None
                continue
            job.ended = job.ended or now
            may_be_late = state.name in ("COMPLETED", "UNKNOWN")
            if not may_be_late or now - job.ended >= _LATEST_RESULT:
                self._running.remove(job)
                self._lose(job, f"ended as {state.name}{_HINTS.get(state.name, '')}", state.node)

    def _files(self) -> set[str]:
        with contextlib.suppress(OSError):
            # So that a network file system looks again.
            self._transport.chmod(_OWNER_ONLY)
        return set(os.listdir(self._transport))

    def _finish(self, job: _Submitted) -> None:
        try:
            outcomes: list[Outcome] = job.job.result()
        except Exception as error:
            # Before or after the calls, such as where a package is missing on the node.
            self._lose(job, f"failed: {_last_line(str(error))}")
            return
        finally:
            for path in (job.job.paths.result_pickle, job.job.paths.submitted_pickle):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        for call, outcome in zip(job.calls, outcomes, strict=True):
            failure = outcome.exception()
            if failure is None:
                call.future.set_result(outcome.result)
            else:
                call.future.set_exception(failure)

    def _lose(self, job: _Submitted, end: str, node: str = "") -> None:
        log = shlex.quote(str(self._folder / WORKERS / f"job-{job.number}.log"))
        where = f" on {node}" if node else ""
        reason = f"job {job.number} of SLURM{where} {end}; its log is {log}"
        for call in job.calls:
            call.future.set_exception(WorkerLost(reason))


def _last_line(text: str) -> str:
    """The error in submitit's message, which is the last line of a traceback between rules."""
    lines = [
        line for line in text.split("\n----------------------\n")[0:2][-1].splitlines() if line
    ]
    return lines[-1] if lines else text
