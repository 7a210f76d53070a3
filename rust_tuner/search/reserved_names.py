"""Names of hyperparameters with a meaning: `batch_size` sets the batch size, `epochs` nothing."""

import logging
import numbers
from collections.abc import Mapping
from typing import Any

from rust_tuner.errors import SpaceError

_log = logging.getLogger(__name__)


def batch_size_of(values: Mapping[str, Any], default: int) -> int:
    """The batch size of a trial: its hyperparameter of that name, else that of the search.

    Raises:
        SpaceError: where the hyperparameter is not an integer from 1.
    """
    size = values.get("batch_size", default)
    if isinstance(size, bool) or not isinstance(size, numbers.Integral) or size < 1:
        raise SpaceError(
            f"batch_size={size!r}; a hyperparameter of that name sets the batch size, so its "
            "values must be integers from 1: declare it with hp.Int or hp.Choice, or rename it"
        )
    return int(size)


def warn_of_epochs(values: Mapping[str, Any], epochs: int) -> None:
    """Log that a hyperparameter named `epochs` does not set the number of epochs."""
    if "epochs" in values:
        _log.warning(
            "the hyperparameter epochs does not set the number of epochs, which is %d in every "
            "trial (search(epochs=...)); only the model's build method can use it",
            epochs,
        )
