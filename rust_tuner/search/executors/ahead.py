"""The coordinator's side: trials are proposed and sent to workers ahead of the search's loop.

The loop takes them up in the order of their numbers, so that records and scores are those of a
search in one process.
"""

import concurrent.futures
import contextlib
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SearchError, TrialError
from rust_tuner.search.executors.contract import Job, this_thread, train_trial
from rust_tuner.search.executors.engines import Engine, KeepsArrays
from rust_tuner.search.executors.lost import WorkerLost
from rust_tuner.search.executors.shipping import packed
from rust_tuner.search.learning_oracle import LearningOracle
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.run_state import Run
from rust_tuner.search.trial_training import choices_of

# In the project folder, which workers must see in any case.
ARRAYS = ".workers"
# Trials that wait for a worker, so that none is idle while the loop records a result.
_WAITING_PER_WORKER = 2
# So many times may workers die without one finished trial between; where the other calls of an
# engine continue, so many times may the workers of one trial die.
_MOST_DEATHS = 3


@dataclass(eq=False)
class _Sent:
    trial: Trial
    call: tuple[Any, ...]
    future: "concurrent.futures.Future[Any]"
    deaths: int = 0


class TrialsAhead:
    """Trials of one search that workers train."""

    def __init__(
        self,
        tuner: keras_tuner.Tuner,
        run: Run,
        engine: Engine,
        say: Callable[[str], None],
    ) -> None:
        """Send trials to an engine.

        Args:
            tuner: of the search.
            run: what `search` passes to its trials.
            engine: runs them.
            say: takes notes for the user.

        Raises:
            SearchError: where the search cannot be sent to workers.
        """
        self._oracle: ResumableOracle = tuner.oracle
        self._tuner_id = tuner.tuner_id
        self._run = run
        self._engine = engine
        self._say = say
        self._arrays = run.folder / ARRAYS
        keep = engine.keep if isinstance(engine, KeepsArrays) else None
        self._job = packed(Job.of(tuner.hypermodel, run), self._arrays, keep=keep)
        self._sent: deque[_Sent] = deque()
        self._last: Trial | None = None
        self._deaths = 0

    def next_trial(self) -> Trial:
        """The trial that the loop takes up next; others are sent to the engine."""
        wanted = _WAITING_PER_WORKER * self._engine.num_workers
        while self._last is None and len(self._sent) < wanted:
            trial = self._oracle.create_trial(f"{self._tuner_id}-{len(self._oracle.trials)}")
            if trial.status == TrialStatus.STOPPED:
                self._last = trial
                break
            self._sent.append(self._send(trial))
        if self._sent:
            return self._sent[0].trial
        stopped, self._last = self._last, None
        assert stopped is not None
        return stopped

    def wait_for(self, trial: Trial) -> None:
        """Wait until the folds of a trial are recorded.

        Raises:
            SearchError: where workers died again and again.
            Exception: what the trial failed with.
        """
        sent = self._sent[0]
        assert sent.trial.trial_id == trial.trial_id, "trials are taken up in their order"
        while True:
            self._send_lost_again_until_done(sent)
            try:
                notes = sent.future.result()
            except concurrent.futures.BrokenExecutor as error:
                self._revive(error)
                continue
            except BaseException:
                self._sent.popleft()
                raise
            break
        self._sent.popleft()
        self._deaths = 0
        for note in notes:
            if note not in self._run.said:
                self._run.said.add(note)
                self._say(note)

    def _send(self, trial: Trial) -> _Sent:
        try:
            epochs, batch_size = choices_of(self._run, trial, (), dict(self._run.options))
        except TrialError as error:
            # As in this process, the trial fails once its turn comes.
            failed: concurrent.futures.Future[Any] = concurrent.futures.Future()
            failed.set_exception(error)
            return _Sent(trial, (), failed)
        call = (
            train_trial,
            self._job,
            str(self._run.folder.resolve()),
            str(self._arrays.resolve()),
            trial.trial_id,
            epochs,
            batch_size,
            this_thread(),
        )
        return _Sent(trial, call, self._engine.submit(*call))

    def _send_lost_again_until_done(self, awaited: _Sent) -> None:
        """Wait for a trial, and meanwhile send those again whose own worker has died."""
        # In this order: a trial that is not done may be lost a moment later.
        while not awaited.future.done() or _is_lost(awaited):
            for sent in self._sent:
                if _is_lost(sent):
                    self._send_again(sent)
            pending = [sent.future for sent in self._sent if not sent.future.done()]
            concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)

    def _send_again(self, sent: _Sent) -> None:
        error = sent.future.exception()
        sent.deaths += 1
        trial = sent.trial.trial_id
        if sent.deaths == _MOST_DEATHS:
            raise SearchError(
                f"the worker of trial {trial} died {_MOST_DEATHS} times ({error}); if memory is "
                "short, give each trial more of it. Everything recorded is kept: run the search "
                "again to resume"
            ) from error
        self._say(f"WARNING: the worker of trial {trial} died ({error}); the trial runs again")
        sent.future = self._engine.submit(*sent.call)

    def _revive(self, error: concurrent.futures.BrokenExecutor) -> None:
        """Start workers anew, and send them again what they had not finished."""
        self._deaths += 1
        running = ", ".join(sent.trial.trial_id for sent in self._sent if not _is_done(sent))
        if self._deaths == _MOST_DEATHS or not self._engine.restart():
            raise SearchError(
                f"workers died while trials {running} were trained ({error}); if memory is short, "
                "use fewer workers. Everything recorded is kept: run the search again to resume"
            ) from error
        self._say(f"WARNING: a worker died while trials {running} were trained; they run again")
        for sent in self._sent:
            if not _is_done(sent):
                sent.future = self._engine.submit(*sent.call)


def _is_done(sent: _Sent) -> bool:
    """Whether a trial has a result, or an error of its own."""
    if not sent.future.done() or sent.future.cancelled():
        return False
    return not isinstance(sent.future.exception(), concurrent.futures.BrokenExecutor)


def _is_lost(sent: _Sent) -> bool:
    """Whether the worker of this trial alone has died."""
    if not sent.future.done() or sent.future.cancelled():
        return False
    return isinstance(sent.future.exception(), WorkerLost)


def why_not_ahead(tuner: keras_tuner.Tuner, run: Run, *, own_scores: bool) -> str | None:
    """Why the trials of a search run in this process, one after another; None where they need not.

    Args:
        tuner: of the search.
        run: what `search` passes to its trials.
        own_scores: whether `run_trial` is overridden.
    """
    if isinstance(tuner.oracle, LearningOracle):
        return f"{type(tuner.oracle).__name__} proposes a trial by the results of those before it"
    if run.stop_rule is not None:
        return "stop_hopeless compares a trial with those before it"
    if own_scores or run.hooks:
        names = ", ".join(["run_trial"] * own_scores + list(run.hooks))
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
    # Left behind by a coordinator that was killed.
    shutil.rmtree(run.folder / ARRAYS, ignore_errors=True)
    if engine is None:
        yield None
        return
    try:
        why = why_not_ahead(tuner, run, own_scores=own_scores)
        if why is not None:
            tuner.progress.say(f"note: trials run one after another, without workers: {why}")
            yield None
            return
        tuner.progress.say(engine.note())
        yield TrialsAhead(tuner, run, engine, tuner.progress.say)
    finally:
        engine.close()
        shutil.rmtree(run.folder / ARRAYS, ignore_errors=True)
