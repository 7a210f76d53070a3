"""A trial that was sent to an engine, and what its future says."""

import concurrent.futures
from dataclasses import dataclass
from typing import Any

from keras_tuner.engine.trial import Trial

from rust_tuner.errors import RustTunerError, SearchError
from rust_tuner.search.executors.lost import WorkerLost
from rust_tuner.search.executors.outcome import Outcome
from rust_tuner.search.run_state import CountedSteps


@dataclass(eq=False)
class Sent:
    """A trial that was sent to an engine.

    Attributes:
        trial: the trial.
        epochs: of each fold.
        batch_size: of each step.
        steps: counts those of the trial.
        is_final: whether its worker knew all that decides where the trial is stopped.
        was_sent_again: whether it was, since the first worker did not.
        deaths: how many workers died that had this trial alone.
        future: of the call; None before the first.
    """

    trial: Trial
    epochs: int
    batch_size: int
    steps: CountedSteps
    is_final: bool = True
    was_sent_again: bool = False
    deaths: int = 0
    future: "concurrent.futures.Future[Any] | None" = None

    @property
    def number(self) -> int:
        """The trial's number."""
        return int(self.trial.trial_id)

    @property
    def has_ended(self) -> bool:
        """Whether the call has ended, however that came about."""
        return self.future is not None and self.future.done()

    @property
    def is_lost(self) -> bool:
        """Whether the worker of this trial alone has died."""
        return isinstance(self._error, WorkerLost)

    @property
    def is_done(self) -> bool:
        """Whether the trial has a result, or an error of its own."""
        if self.future is None or not self.has_ended or self.future.cancelled():
            return False
        return not isinstance(self._error, concurrent.futures.BrokenExecutor)

    def fail(self, error: Exception) -> None:
        """End the call with an error, in place of an engine."""
        self.future = concurrent.futures.Future()
        self.future.set_exception(error)

    def outcome(self) -> Outcome:
        """What the call came to.

        Raises:
            BrokenExecutor: where workers died.
            SearchError: where the engine did not run the call to its end.
            RustTunerError: of the engine.
        """
        assert self.future is not None
        try:
            outcome = self.future.result()
        except (concurrent.futures.BrokenExecutor, RustTunerError):
            raise
        except SystemExit as error:
            # Which would end this process, without a word or with the code for success.
            raise SearchError(
                f"the code of trial {self.trial.trial_id} ended its process with sys.exit"
                f"({', '.join(map(repr, error.args))}); raise an error instead, such as "
                "keras_tuner.errors.FailedTrialError to fail the trial"
            ) from error
        except Exception as error:
            raise self._unfinished(f"{type(error).__name__}: {error}") from error
        if not isinstance(outcome, Outcome):
            raise self._unfinished(f"its result is {outcome!r}")
        return outcome

    @property
    def _error(self) -> BaseException | None:
        if self.future is None or not self.has_ended or self.future.cancelled():
            return None
        return self.future.exception()

    def _unfinished(self, reason: str) -> SearchError:
        return SearchError(
            f"the engine did not run trial {self.trial.trial_id} to its end ({reason}). "
            "Everything recorded is kept: run the search again to resume"
        )
