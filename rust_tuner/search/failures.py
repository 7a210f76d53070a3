"""Which errors fail one trial, and when failures end a search.

A trial fails where its values cannot be trained: they diverge, need too much memory, or give a
model that Keras refuses. Any other error is a fault of program or data and ends the search at once.
So does the same refusal in each of the first trials, which is a mistake in the code.
"""

import re
import traceback
from collections.abc import Sequence

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import RustTunerError, TrialError

# So many first trials that fail in the same way show a mistake in the code.
FIRST_TRIALS = 3

_TRIAL_FAILURES = (TrialError, MemoryError, keras_tuner.errors.FailedTrialError)
_BACKEND_FAILURES = ("ResourceExhaustedError", "DataLossError")
_JAX_FAILURES = ("JaxRuntimeError", "XlaRuntimeError")
# What the values of a trial do to a user's model; TensorFlow raises the second in a graph.
_REFUSALS = (ValueError,)
_BACKEND_REFUSALS = ("InvalidArgumentError",)
_DECLARED = {"TrialError", "MemoryError", "FailedTrialError", *_BACKEND_FAILURES, *_JAX_FAILURES}
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def fails_the_trial(error: Exception) -> bool:
    """Whether an error fails one trial, so that the search continues."""
    if isinstance(error, _TRIAL_FAILURES):
        return True
    # `FatalValueError` and its like are KerasTuner's way to end a search.
    if isinstance(error, (RustTunerError, keras_tuner.errors.FatalError)):
        return False
    name = type(error).__name__
    # JAX raises one type for every error; the text begins with the kind.
    exhausted = name in _JAX_FAILURES and "RESOURCE_EXHAUSTED" in str(error)
    named = name in _BACKEND_FAILURES or name in _BACKEND_REFUSALS
    return exhausted or named or isinstance(error, _REFUSALS)


def message_of(error: Exception) -> str:
    """The message of a failed trial."""
    return f"{type(error).__name__}: {error}"


def traceback_of(error: Exception) -> str:
    """The traceback of an error, as Python prints it."""
    return "".join(traceback.format_exception(error))


def are_one_mistake(messages: Sequence[str | None]) -> bool:
    """Whether messages of failed trials are one refusal by Python or Keras, up to numbers.

    A trial that diverges, lacks memory, or raises `FailedTrialError` is not refused.
    """
    kinds = {_NUMBER.sub("#", message or "") for message in messages}
    return len(kinds) == 1 and kinds.pop().partition(":")[0] not in _DECLARED


def first_mistakes(trials: Sequence[Trial], num_trials: int) -> list[Trial]:
    """The trials of a search whose first trials, and only these, failed by one mistake.

    Args:
        trials: so far.
        num_trials: that the search will have; all of them count where they are few.
    """
    failed = [trial for trial in trials if trial.status == TrialStatus.FAILED]
    is_start = len(trials) == len(failed) == min(FIRST_TRIALS, num_trials)
    return failed if is_start and are_one_mistake([trial.message for trial in failed]) else []


def failed_in_a_row(trials: Sequence[Trial]) -> int:
    """How many of the last trials failed."""
    count = 0
    for trial in reversed(trials):
        if trial.status != TrialStatus.FAILED:
            break
        count += 1
    return count
