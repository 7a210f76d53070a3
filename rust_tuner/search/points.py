"""Points of a search space: its grid, single random values, and keys of spaces and of values.

KerasTuner's `HyperParameters` describe the space, those of one point what its model has asked for
besides. In which order a search takes points belongs to its oracle.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
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
    choices = [candidates(hp, exact_steps) for hp in space.space]
    return _extend_grid(space.space, choices, {}, 0)


def _extend_grid(
    parameters: list[Any], choices: list[list[Any]], values: Values, position: int
) -> Iterator[Values]:
    if position == len(parameters):
        yield dict(values)
        return
    hp = parameters[position]
    active = all(condition.is_active(values) for condition in hp.conditions)
    if not active or hp.name in values:
        yield from _extend_grid(parameters, choices, values, position + 1)
        return
    for value in choices[position]:
        chosen = values | {hp.name: value}
        yield from _extend_grid(parameters, choices, chosen, position + 1)


def next_point(
    space: keras_tuner.HyperParameters, asked: Sequence[Any], values: Values, exact_steps: bool
) -> Values | None:
    """The grid's point after one that may have asked for more than the space declares.

    What is declared varies slower than what is asked for, and what is asked for first varies slower
    than what is asked for later, because the first decides whether the later is asked for at all.

    Args:
        space: what is declared.
        asked: further hyperparameters of the point, in the order in which its model asked.
        values: of the point.
        exact_steps: see `steps`.

    Returns:
        Values of what is declared, and of what was asked for before the value that changed; None
        after the last point.
    """
    declared = _active(space.space, values, {})
    varied = [*declared, *_active(asked, values, {name: values[name] for name in declared})]
    parameters = {**declared, **{hp.name: hp for hp in asked}}
    for position in reversed(range(len(varied))):
        name = varied[position]
        choices = _distinct(candidates(parameters[name], exact_steps))
        index = choices.index(values[name]) if values[name] in choices else 0
        if index + 1 < len(choices):
            changed = {earlier: values[earlier] for earlier in varied[:position]}
            return first_point(space, changed | {name: choices[index + 1]})
    return None


def first_point(space: keras_tuner.HyperParameters, values: Values) -> Values:
    """The grid's first point with some values: every other active one has its first candidate."""
    point: Values = {}
    for hp in space.space:
        if hp.name not in point and all(one.is_active(point) for one in hp.conditions):
            point[hp.name] = values.get(hp.name, hp.default)
    return point | {name: value for name, value in values.items() if name not in point}


def declared_values(space: keras_tuner.HyperParameters, values: Values) -> Values:
    """The values of what a space declares and is active, in its order."""
    return {name: values[name] for name in _active(space.space, values, {})}


def num_points(parameters: Sequence[Any], exact_steps: bool) -> int:
    """How many combinations the candidates of some hyperparameters have."""
    return math.prod(len(_distinct(candidates(hp, exact_steps))) for hp in parameters)


def rank_of(parameters: Sequence[Any], values: Values, exact_steps: bool) -> int:
    """The number of a combination among these, from 0."""
    rank = 0
    for hp in parameters:
        choices = _distinct(candidates(hp, exact_steps))
        index = choices.index(values[hp.name]) if values[hp.name] in choices else 0
        rank = rank * len(choices) + index
    return rank


def _active(parameters: Sequence[Any], values: Values, before: Values) -> dict[str, Any]:
    """The hyperparameters that have a value and are active, by name, in their order."""
    chosen = dict(before)
    by_name: dict[str, Any] = {}
    for hp in parameters:
        active = all(condition.is_active(chosen) for condition in hp.conditions)
        if active and hp.name in values and hp.name not in chosen:
            by_name[hp.name] = hp
            chosen[hp.name] = values[hp.name]
    return by_name


def _distinct(choices: list[Any]) -> list[Any]:
    return list(dict.fromkeys(choices))


def candidates(hp: Any, exact_steps: bool) -> list[Any]:
    """The values of a hyperparameter in a grid, the default first."""
    if exact_steps and has_float_steps(hp):
        values = stepped_values(hp)
        # A default such as 3 * 0.1 is the value 0.3.
        return [hp.default, *(v for v in values if not math.isclose(v, hp.default))]
    # KerasTuner gives the integers of a logarithmic range with steps as floats.
    choices = [int(v) for v in hp.values] if type(hp).__name__ == "Int" else list(hp.values)
    if hp.default in choices:
        choices.remove(hp.default)
    return [hp.default, *choices]


def grid_size(parameters: Sequence[Any], exact_steps: bool) -> float:
    """An upper bound on the number of grid points; infinite for a continuous space."""
    size = 1.0
    for hp in parameters:
        kind = type(hp).__name__
        if kind == "Float" and hp.step is None:
            return math.inf
        if kind == "Int" and hp.step is None and hp.sampling != "linear":
            return math.inf
        size *= len(candidates(hp, exact_steps))
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
