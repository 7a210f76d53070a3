"""What a user gives to `search` beside the data, as Keras's `fit` takes it: used or refused."""

import difflib
import inspect
import math
import numbers
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.errors import SearchError, UnknownArgumentError
from rust_tuner.progress import Progress, Silent

# Arguments of Keras's `fit`, or of KerasTuner's `search`, that have no meaning here.
_INSTEAD = {
    "validation_data": "each fold validates on its own rows; put all rows in x and y",
    "validation_split": "each fold validates on its own rows; choose their number with cv=",
    "validation_steps": "each fold validates on all of its rows",
    "validation_freq": "each fold validates after every epoch",
    "steps_per_epoch": "an epoch is all training rows of a fold; choose batch_size",
    "initial_epoch": "a search resumes by itself",
    "max_trials": "give it to the oracle",
    "objective": "give it to the oracle",
    "cv": "give it to CrossValidationTuner",
    "seed": "give it to CrossValidationTuner",
    "executions_per_trial": "a trial trains once per fold",
}


class Default(int):
    """A default value, which can be told from the same number given by the user."""


@dataclass(frozen=True, eq=False)
class FitOptions:
    """How folds are trained, as the user asked; each None or default where not given.

    Attributes:
        sample_weight: rows of weights.
        class_weight: class -> weight, or `balanced`.
        callbacks: Keras callbacks, or a function that makes them.
        preprocess: a transformer or layer that each fold fits on its training rows.
        validation_batch_size: rows of a batch of validation.
        shuffle: whether each epoch draws a new order of the training rows.
    """

    sample_weight: Any = None
    class_weight: Any = None
    callbacks: Any = None
    preprocess: Any = None
    validation_batch_size: int | None = None
    shuffle: bool = True

    def __post_init__(self) -> None:
        """Check the numbers and switches.

        Raises:
            SearchError: naming the argument.
        """
        size = self.validation_batch_size
        if size is not None and not is_count(size):
            raise SearchError(f"validation_batch_size={size!r}; expected an integer from 1")
        if not isinstance(self.shuffle, bool):
            raise SearchError(f"shuffle={self.shuffle!r}; expected True or False")

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        defaults = {item.name: item.default for item in fields(self)}
        return {name: value for name, value in values.items() if value is not defaults[name]}

    def refuse(self, kind: str) -> None:
        """Refuse all options, for data that do not take them.

        Raises:
            SearchError: naming the first option that was given.
        """
        for name in self.given():
            raise SearchError(f"{name} is for arrays only; {kind} are trained without it")


def refuse_unknown(arguments: Mapping[str, Any], search: Callable[..., Any]) -> None:
    """Refuse arguments that `search`, a method not bound, does not have.

    Raises:
        UnknownArgumentError: with what to use instead.
    """
    parameters = inspect.signature(search).parameters.values()
    names = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD][1:]
    for name in arguments:
        if name in _INSTEAD:
            raise UnknownArgumentError(f"search has no argument {name}: {_INSTEAD[name]}")
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names)}"
        raise UnknownArgumentError(f"search has no argument {name}; {hint}")


def progress_of(given: Progress | None, verbose: int | str) -> Progress:
    """Where a search reports: where the tuner was told to, else on the console unless silent.

    Raises:
        SearchError: for a `verbose` that Keras does not know either.
    """
    if verbose not in (0, 1, 2, "auto"):
        raise SearchError(f"verbose={verbose!r}; expected 0 (silent), 1, 2 or 'auto'")
    if given is not None:
        return given
    return ConsoleProgress() if verbose else Silent()


def checked_timeout(timeout: float | None) -> float | None:
    """A time limit in seconds.

    Raises:
        SearchError: where it is not a number above 0.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real):
        raise SearchError(f"timeout={timeout!r}; expected seconds above 0")
    if not 0 < float(timeout) or math.isnan(timeout):
        raise SearchError(f"timeout={timeout!r}; expected seconds above 0")
    return float(timeout)


class Deadline:
    """When a search begins no further trial.

    Attributes:
        has_worked: whether a trial has run; before that the time is never over, so that a search
            that is run again and again gets to its end.
    """

    def __init__(self, timeout: float | None) -> None:
        """Begin now; None never ends."""
        self._timeout = timeout
        self._begun = time.monotonic()
        self.has_worked = False

    def is_over(self, say: Callable[[str], None]) -> bool:
        """Whether the time is over, which is then said."""
        if self._timeout is None or not self.has_worked:
            return False
        if time.monotonic() - self._begun < self._timeout:
            return False
        say(f"the search ends after its timeout of {self._timeout:g} s; run it again to resume it")
        return True


def is_count(value: Any) -> bool:
    """Whether a value is an integer from 1."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1
