"""Names that mean something: of the batch size and of the number of epochs."""

import logging

import numpy as np
import pytest

from rust_tuner.errors import SpaceError
from rust_tuner.search.reserved_names import (
    batch_size_of,
    epochs_name,
    epochs_of,
    warn_of_old_epochs,
)


@pytest.mark.parametrize("values", [{"batch_size": 8}, {"batch_size": np.int64(8)}])
def test_a_trials_own_batch_size_goes_before_the_searchs(values: dict[str, int | np.int64]) -> None:
    assert batch_size_of(values, 32) == 8
    assert type(batch_size_of(values, 32)) is int
    assert batch_size_of({}, 32) == 32


@pytest.mark.parametrize("value", [0, -1, 8.0, 0.5, "8", True, None])
def test_a_batch_size_that_is_none_is_refused_by_its_value(value: str | float | None) -> None:
    with pytest.raises(SpaceError, match=r"batch_size=.*; a hyperparameter of that name sets"):
        batch_size_of({"batch_size": value}, 32)


@pytest.mark.parametrize("name", ["epochs", "tuner/epochs"])
def test_a_trials_own_number_of_epochs_goes_before_the_searchs(name: str) -> None:
    assert epochs_of({name: np.int64(3), "units": 7}, 20) == 3
    assert epochs_of({"units": 7}, 20) == 20
    assert epochs_name({name: 3}) == name
    assert epochs_name({"units": 7}) is None


def test_keras_tuners_own_name_counts_before_the_users() -> None:
    assert epochs_of({"epochs": 3, "tuner/epochs": 5}, 20) == 5


@pytest.mark.parametrize("value", [0, -1, 8.0, "8", True, None])
def test_a_number_of_epochs_that_is_none_is_refused_by_its_value(value: str | float | None) -> None:
    with pytest.raises(SpaceError, match=r"epochs=.*; a hyperparameter of that name sets"):
        epochs_of({"epochs": value}, 20)


def test_an_old_search_says_that_its_hyperparameter_epochs_stays_without_meaning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_old_epochs("epochs", 20)
    (message,) = caplog.messages
    assert "epochs did not set the number of epochs; its remaining trials have 20" in message
