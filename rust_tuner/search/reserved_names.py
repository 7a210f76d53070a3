"""Names of hyperparameters with a meaning: those of the batch size and of the number of epochs."""

import logging
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from rust_tuner.errors import SpaceError
from rust_tuner.records.run import EPOCHS

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


def epochs_name(values: Mapping[str, Any]) -> str | None:
    """The hyperparameter that sets the number of epochs: KerasTuner's own, or one named so."""
    return next((name for name in EPOCHS if name in values), None)


def fewest_epochs(space: Sequence[Any], default: int) -> int:
    """The fewest epochs that a trial may have, by the hyperparameters of a search."""
    fewest: list[int] = []
    for name in EPOCHS:
        for hp in (one for one in space if one.name == name):
            values = [hp.min_value] if hasattr(hp, "min_value") else hp.values
            # Others are refused with their value.
            fewest += [n for n in values if isinstance(n, int) and n is not True and n > 0]
            if not hp.conditions:
                return min(fewest, default=default)
    return min([*fewest, default])


def epochs_of(values: Mapping[str, Any], default: int) -> int:
    """The number of epochs of a trial: its hyperparameter of that name, else that of the search.

    Raises:
        SpaceError: where the hyperparameter is not an integer from 1.
    """
    name = epochs_name(values)
    epochs = default if name is None else values[name]
    if isinstance(epochs, bool) or not isinstance(epochs, numbers.Integral) or epochs < 1:
        raise SpaceError(
            f"{name}={epochs!r}; a hyperparameter of that name sets the number of epochs, so its "
            "values must be integers from 1: declare it with hp.Int or hp.Choice, or rename it"
        )
    return int(epochs)


def warn_of_old_epochs(name: str, epochs: int) -> None:
    """Log that a search of an earlier version continues without its hyperparameter for epochs."""
    _log.warning(
        "this search was begun by an earlier version, in which the hyperparameter %s did not set "
        "the number of epochs; its remaining trials have %d epochs as well",
        name,
        epochs,
    )
