"""Points of a search space: its grid, single random values, and keys of spaces and of values.

KerasTuner's `HyperParameters` describe the space; in which order a search takes points belongs to
its oracle.
"""

import json
import math
import random
from collections.abc import Iterator
from typing import Any

import keras_tuner
import numpy as np

from rust_tuner.search.steps import has_float_steps, stepped_values

Values = dict[str, Any]


def draw_value(hp: Any, word: int, exact_steps: bool) -> Any:
    """A random value; where there are steps, each value is equally likely."""
    if not (exact_steps and has_float_steps(hp)):
        return hp.random_sample(word)
    values = stepped_values(hp)
    return values[int(random.Random(word).random() * len(values))]


def grid_points(space: keras_tuner.HyperParameters, exact_steps: bool) -> Iterator[Values]:
    """Every combination of active values, defaults first; the last declared varies fastest."""
    candidates = [_candidates(hp, exact_steps) for hp in space.space]
    return _extend_grid(space.space, candidates, {}, 0)


def _extend_grid(
    parameters: list[Any], candidates: list[list[Any]], values: Values, position: int
) -> Iterator[Values]:
    if position == len(parameters):
        yield dict(values)
        return
    hp = parameters[position]
    active = all(condition.is_active(values) for condition in hp.conditions)
    if not active or hp.name in values:
        yield from _extend_grid(parameters, candidates, values, position + 1)
        return
    for value in candidates[position]:
        chosen = values | {hp.name: value}
        yield from _extend_grid(parameters, candidates, chosen, position + 1)


def _candidates(hp: Any, exact_steps: bool) -> list[Any]:
    if exact_steps and has_float_steps(hp):
        values = stepped_values(hp)
        # A default such as 3 * 0.1 is the value 0.3.
        return [hp.default, *(v for v in values if not math.isclose(v, hp.default))]
    candidates = list(hp.values)
    if hp.default in candidates:
        candidates.remove(hp.default)
    return [hp.default, *candidates]


def grid_size(space: keras_tuner.HyperParameters, exact_steps: bool) -> float:
    """An upper bound on the number of grid points; infinite for a continuous space."""
    size = 1.0
    for hp in space.space:
        kind = type(hp).__name__
        if kind == "Float" and hp.step is None:
            return math.inf
        if kind == "Int" and hp.step is None and hp.sampling != "linear":
            return math.inf
        size *= len(_candidates(hp, exact_steps))
    return size


def space_key(space: keras_tuner.HyperParameters) -> str:
    """A text that two spaces share if their hyperparameters are the same."""
    return json.dumps(plain(space.get_config()["space"]), sort_keys=True)


def values_key(values: Values) -> str:
    """A text that two sets of values share if they are equal."""
    return json.dumps(plain(values), sort_keys=True)


def plain(value: Any) -> Any:
    """A value with NumPy's numbers converted to Python's, which JSON can hold."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
