"""Errors of trials arrive whatever engine sends them, and with what they mean for a search."""

import threading
from pathlib import Path
from typing import Any, NoReturn

import keras_tuner
import pytest
import tensorflow as tf

from rust_tuner.errors import TrialError
from rust_tuner.search.executors.outcome import Outcome, RemoteError, outcome_of
from rust_tuner.search.executors.shipping import packed, unpacked
from rust_tuner.search.failures import fails_the_trial, message_of


class TwoArgumentsError(ValueError):
    """It cannot be made from its message alone, as pickle does it."""

    def __init__(self, name: str, value: int) -> None:
        super().__init__(f"{name}={value} does not fit")


class Holds(keras_tuner.errors.FailedTrialError):  # type: ignore[misc]
    """It holds what cannot be sent."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def fail(error: Exception) -> NoReturn:
    raise error


def sent(error: Exception, folder: Path) -> Exception:
    outcome: Outcome = unpacked(packed(outcome_of(fail, error), folder), folder)
    arrived = outcome.exception()
    assert arrived is not None
    return arrived


def test_a_result_arrives() -> None:
    outcome = outcome_of(divmod, 7, 2)
    assert outcome.exception() is None
    assert outcome.result == (3, 1)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        TrialError("trial 3 diverged"),
        MemoryError(),
        KeyError("units"),
        tf.errors.InvalidArgumentError(None, None, "shapes"),
    ],
)
def test_errors_arrive_as_they_are_with_the_traceback_as_their_cause(
    error: Exception, tmp_path: Path
) -> None:
    arrived = sent(error, tmp_path)
    assert type(arrived) is type(error)
    assert message_of(arrived) == message_of(error)
    assert isinstance(arrived.__cause__, RemoteError)
    assert "in fail" in str(arrived.__cause__)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TwoArgumentsError("units", 3), ValueError, "TwoArgumentsError: units=3 does not fit"),
        (Holds("too large"), keras_tuner.errors.FailedTrialError, "Holds: too large"),
    ],
)
def test_what_cannot_be_sent_arrives_as_the_nearest_of_its_classes(
    error: Any, kind: type[Exception], text: str, tmp_path: Path
) -> None:
    arrived = sent(error, tmp_path)
    assert type(arrived) is kind
    assert str(arrived) == text
    assert fails_the_trial(arrived) == fails_the_trial(error)


def test_a_class_that_is_not_to_be_found_here_arrives_as_text() -> None:
    outcome = Outcome(packed=b"no pickle", trace="Traceback\nmodels.Own: too large\n")
    assert str(outcome.exception()) == "models.Own: too large"


def test_an_interrupt_is_no_outcome() -> None:
    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome_of(interrupt)
