"""Names that mean something: `batch_size` does, `epochs` does not."""

import logging

import numpy as np
import pytest

from rust_tuner.errors import SpaceError
from rust_tuner.search.reserved_names import batch_size_of, warn_of_epochs


@pytest.mark.parametrize("values", [{"batch_size": 8}, {"batch_size": np.int64(8)}])
def test_a_trials_own_batch_size_goes_before_the_searchs(values):
    assert batch_size_of(values, 32) == 8
    assert type(batch_size_of(values, 32)) is int
    assert batch_size_of({}, 32) == 32


@pytest.mark.parametrize("value", [0, -1, 8.0, 0.5, "8", True, None])
def test_a_batch_size_that_is_none_is_refused_by_its_value(value):
    with pytest.raises(SpaceError, match=r"batch_size=.*; a hyperparameter of that name sets"):
        batch_size_of({"batch_size": value}, 32)


def test_a_hyperparameter_named_epochs_is_said_to_have_no_meaning(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_epochs({"units": 3}, 20)
        assert not caplog.messages
        warn_of_epochs({"epochs": 3}, 20)
    (told,) = caplog.messages
    assert "does not set the number of epochs, which is 20" in told
