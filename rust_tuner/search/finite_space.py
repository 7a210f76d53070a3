"""Refuses hyperparameters whose values no record can hold: NaN and infinities."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rust_tuner.errors import SpaceError


def require_finite(space: Sequence[Any]) -> None:
    """Check the bounds, values and defaults of hyperparameters.

    Raises:
        SpaceError: naming the first that is not finite.
    """
    for hp in space:
        for name, value in hp.get_config().items():
            if not all(map(math.isfinite, _numbers(value))):
                raise SpaceError(
                    f"hyperparameter {hp.name} has {name}={value}, and records hold finite numbers "
                    "alone; give a Choice of text in its place, such as 'none', and turn it into "
                    "the number in build"
                )


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value
