"""The coordinator's side: trials are proposed and sent to workers ahead of the search's loop.

The loop takes them up in the order of their numbers, so that records and scores are those of a
search in one process.
"""

import bisect
import concurrent.futures
import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import RustTunerError, SearchError
from rust_tuner.interrupts import raise_if_interrupted
from rust_tuner.models.runtime import onednn_enabled
from rust_tuner.progress import Progress, Task
from rust_tuner.records.worker_note import remove_worker_note
from rust_tuner.search.adopted import is_too_short
from rust_tuner.search.executors.contract import Job, packed_job, this_thread, train_trial
from rust_tuner.search.executors.display import Display
from rust_tuner.search.executors.engines import Engine, KeepsArrays, OutlivesCoordinator
from rust_tuner.search.executors.given import GivenExecutor
from rust_tuner.search.executors.local import LocalEngine
from rust_tuner.search.executors.sent import Sent
from rust_tuner.search.executors.slurm_left import end_jobs
from rust_tuner.search.executors.worker_log import LOGS, START_LOG, remove_empty
from rust_tuner.search.failures import fails_the_trial
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.pruning import compared_with
from rust_tuner.search.run_state import CountedSteps, Run
from rust_tuner.search.trial_training import choices_of

# In the project folder, which workers must see in any case.
ARRAYS = ".workers"
# Trials that wait for a worker, so that none is idle while the loop records a result.
_WAITING_PER_WORKER = 2
# So many times may workers die without one finished trial between; where the other calls of an
# engine continue, so many times may the workers of one trial die.
_MOST_DEATHS = 3


class TrialsAhead:
    """Trials of one search that workers train."""

    def __init__(self, tuner: keras_tuner.Tuner, run: Run, engine: Engine) -> None:
        """Send trials to an engine.

        Args:
            tuner: of the search.
            run: what `search` passes to its trials.
            engine: runs them.

        Raises:
            SearchError: where the search cannot be sent to workers.
        """
        self._oracle: ResumableOracle = tuner.oracle
        self._tuner_id = tuner.tuner_id
        self._run = run
        self._engine = engine
        self._progress: Progress = tuner.progress
        self._arrays = run.folder / ARRAYS
        keep = engine.keep if isinstance(engine, KeepsArrays) else None
        self._job = packed_job(Job.of(tuner.hypermodel, run), self._arrays, keep=keep)
        # By number; the first is the one that the loop takes up next.
        self._sent: list[Sent] = []
        # Why no further trial can be proposed.
        self._refusal: Exception | None = None
        self._deaths = 0
        self._display: Display | None = None

    def begin(self, task: Task, *, per_trial: int) -> None:
        """Show the workers' progress in the task of the search.

        Args:
            task: of the search.
            per_trial: its steps for each trial.
        """
        self._display = Display(
            self._progress, task, self._run, per_trial, self._engine.num_workers
        )

    def next_trial(self) -> Trial:
        """The trial that the loop takes up next; others are sent to the engine.

        A trial that runs again comes before those of higher numbers, as it does in one process.

        Raises:
            Exception: what the proposal of the next trial failed with, once all trials before it
                have ended, as in one process.
        """
        while self._has_room():
            number = self._oracle.next_number()
            try:
                trial = self._oracle.create_trial(f"{self._tuner_id}-{len(self._oracle.trials)}")
            except Exception as error:
                if all(number < sent.number for sent in self._sent):
                    raise
                self._refusal = error
                break
            if trial.status != TrialStatus.STOPPED:
                bisect.insort(self._sent, self._send(trial), key=lambda sent: sent.number)
            elif self._sent:
                break
            else:
                return trial
        return self._sent[0].trial

    def _has_room(self) -> bool:
        """Whether another trial is proposed now."""
        if self._refusal is not None:
            if self._sent:
                return False
            raise self._refusal
        if not self._sent or self._oracle.next_number() < self._sent[0].number:
            return True
        wanted = _WAITING_PER_WORKER * self._engine.num_workers
        return len(self._sent) < wanted and self._oracle.is_ready()

    def steps_of(self, trial: Trial) -> CountedSteps:
        """Counts the steps of the trial that the loop takes up, some of which are done."""
        assert self._sent[0].trial.trial_id == trial.trial_id, "trials are taken up in their order"
        return self._sent[0].steps

    def wait_for(self, trial: Trial) -> None:
        """Wait until the folds of a trial are recorded.

        Raises:
            SearchError: where workers died again and again.
            Exception: what the trial failed with.
        """
        sent = self._sent[0]
        assert sent.trial.trial_id == trial.trial_id, "trials are taken up in their order"
        while True:
            self._wait_until_done(sent)
            try:
                outcome = sent.outcome()
            except concurrent.futures.BrokenExecutor as error:
                self._revive(error)
                continue
            except RustTunerError:
                self._sent.pop(0)
                raise
            self._deaths = 0
            failure = outcome.exception()
            # Once all trials before it have ended, a worker trains it as far as it has to.
            if self._may_end_otherwise(sent, failure):
                sent.was_sent_again = True
                self._submit(sent)
                continue
            self._sent.pop(0)
            if failure is not None:
                raise failure
            self._say(outcome.result)
            return

    def end(self) -> None:
        """End the workers, also in the middle of a trial: none records anything after this."""
        self._engine.close()

    def _say(self, notes: Sequence[str]) -> None:
        for note in notes:
            if note not in self._run.said:
                self._run.said.add(note)
                self._progress.say(note)

    def _send(self, trial: Trial) -> Sent:
        assert self._display is not None
        try:
            epochs, batch_size = choices_of(self._run, trial, (), dict(self._run.options))
        except RustTunerError as error:
            # As in this process, the trial fails once its turn comes.
            failed = Sent(trial, 0, 0, self._display.steps_of(trial), was_sent_again=True)
            failed.fail(error)
            return failed
        sent = Sent(trial, epochs, batch_size, self._display.steps_of(trial))
        self._submit(sent)
        return sent

    def _submit(self, sent: Sent) -> None:
        """Send a trial to a worker, with what is known now of the trials before it."""
        run, before = self._run, self._oracle.in_order()[: sent.number]
        is_final = run.stop_rule is None or all(
            trial.status != TrialStatus.RUNNING for trial in before
        )
        call = (
            train_trial,
            self._job,
            str(run.folder.resolve()),
            str(self._arrays.resolve()),
            sent.trial.trial_id,
            sent.epochs,
            sent.batch_size,
            this_thread(),
            compared_with(run, self._oracle, sent.trial),
            is_final,
        )
        try:
            if isinstance(self._engine, OutlivesCoordinator):
                # An earlier coordinator may have sent it, and known less.
                sent.is_final = run.stop_rule is None
                sent.future = self._engine.submit_as(sent.trial.trial_id, *call)
            else:
                sent.is_final = is_final
                sent.future = self._engine.submit(*call)
        except Exception as error:
            # Such as of a pool whose worker has just died: whoever waits for the trial sees to it.
            sent.fail(error)

    def _may_end_otherwise(self, sent: Sent, failure: Exception | None) -> bool:
        """Whether a trial has another end by the rule than with what its worker knew."""
        if self._run.stop_rule is None or sent.was_sent_again:
            return False
        if failure is not None:
            # It may have failed beyond the epoch at which it is stopped.
            return not sent.is_final and fails_the_trial(failure)
        rival = compared_with(self._run, self._oracle, sent.trial)
        return is_too_short(self._run, rival, sent.trial, sent.epochs)

    def _wait_until_done(self, awaited: Sent) -> None:
        """Wait for a trial, and show meanwhile how far all of them are.

        Those whose own worker has died are sent again.
        """
        assert self._display is not None
        while True:
            for sent in self._sent:
                if sent.is_lost:
                    self._send_again(sent)
            self._show()
            # One that was sent again may have been lost again already.
            if awaited.has_ended and not awaited.is_lost:
                return
            pending = [sent.future for sent in self._sent if sent.future and not sent.has_ended]
            concurrent.futures.wait(
                pending,
                timeout=self._display.seconds_between_looks,
                return_when=concurrent.futures.FIRST_COMPLETED,
            )
            raise_if_interrupted()

    def _show(self) -> None:
        assert self._display is not None
        self._display.update([(sent.trial, sent.steps, sent.has_ended) for sent in self._sent])

    def _send_again(self, sent: Sent) -> None:
        assert sent.future is not None and self._display is not None
        error = sent.future.exception()
        sent.deaths += 1
        trial = sent.trial.trial_id
        if sent.deaths == _MOST_DEATHS:
            raise SearchError(
                f"the worker of trial {trial} died {_MOST_DEATHS} times ({error}); if memory is "
                "short, give each trial more of it. Everything recorded is kept: run the search "
                "again to resume"
            ) from error
        worker = self._display.workers_of([sent.trial])
        self._progress.say(
            f"WARNING: the worker of trial {trial} died{worker} ({error}); the trial runs again"
        )
        self._submit(sent)

    def _revive(self, error: concurrent.futures.BrokenExecutor) -> None:
        """Start workers again, and send them what they had not finished."""
        self._deaths += 1
        lost = [sent for sent in self._sent if not sent.is_done]
        running = ", ".join(sent.trial.trial_id for sent in lost)
        assert self._display is not None
        workers = self._display.workers_of([sent.trial for sent in lost])
        if self._deaths == _MOST_DEATHS or not self._engine.restart():
            raise SearchError(
                f"workers died while trials {running} were trained{workers} ({error}); if memory "
                "is short, use fewer workers. Everything recorded is kept: run the search again to "
                "resume"
            ) from error
        self._progress.say(
            f"WARNING: a worker died while trials {running} were trained{workers}; they run again"
        )
        for sent in lost:
            self._submit(sent)


def why_not_ahead(hooks: Sequence[str], *, own_scores: bool) -> str | None:
    """Why the trials of a search run in this process, one after another; None where they need not.

    Args:
        hooks: methods of the tuner that a subclass overrides.
        own_scores: whether `run_trial` is overridden.
    """
    if own_scores or hooks:
        names = ", ".join(["run_trial"] * own_scores + list(hooks))
        return f"{names} of the tuner is called in this process"
    return None


@contextlib.contextmanager
def trials_ahead(
    tuner: keras_tuner.Tuner, run: Run, engine: Engine | None, *, own_scores: bool
) -> Iterator[TrialsAhead | None]:
    """Send the trials of the block to an engine, if there is one, which ends with the block.

    Args:
        tuner: of the search.
        run: what `search` passes to its trials.
        engine: runs them; None for this process.
        own_scores: whether `run_trial` is overridden.
    """
    say = tuner.progress.say
    why = why_not_ahead(run.hooks, own_scores=own_scores)
    if engine is not None and why is not None:
        say(f"note: trials run one after another, without workers: {why}")
        engine.close()
        engine = None
    if engine is None:
        _take_up_or_end(tuner, run, engine, say)
        yield None
        return
    try:
        _take_up_or_end(tuner, run, engine, say)
    except BaseException:
        # Jobs that were left may still read the arrays of the folder.
        engine.close()
        raise
    try:
        if isinstance(engine, LocalEngine):
            engine.log = run.folder.resolve() / LOGS / START_LOG
            engine.onednn = onednn_enabled()
        say(engine.note())
        yield TrialsAhead(tuner, run, engine)
    finally:
        if isinstance(engine, GivenExecutor) and engine.is_running:
            say("waiting for the trials that run in your executor, which keeps them")
        engine.close()
        shutil.rmtree(run.folder / ARRAYS, ignore_errors=True)
        remove_empty(run.folder)


def _take_up_or_end(
    tuner: keras_tuner.Tuner, run: Run, engine: Engine | None, say: Callable[[str], None]
) -> None:
    """Take up what a coordinator that was killed has left, or end and remove it."""
    if isinstance(engine, OutlivesCoordinator):
        if engine.begin(run.folder, run.key, say):
            # Its workers read the arrays of the folder.
            return
    else:
        end_jobs(run.folder, say)
    shutil.rmtree(run.folder / ARRAYS, ignore_errors=True)
    for trial in tuner.oracle.trials.values():
        if trial.status == TrialStatus.RUNNING:
            remove_worker_note(run.folder / f"trial_{trial.trial_id}")
