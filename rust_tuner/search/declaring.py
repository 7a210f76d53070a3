"""Finds the hyperparameters of a hypermodel by building it, before the first trial.

KerasTuner builds at the default values, and once more for each conditional scope that these do not
reach. Here a build may fail: then other values are tried, so that hyperparameters which are
declared after the line that fails are found as well.
"""

import copy
from typing import Any

import keras_tuner

from rust_tuner.search.failures import are_one_mistake, fails_the_trial, message_of
from rust_tuner.seeds import seed_word

# Builds at random values, where the default ones cannot be built.
_MOST_DRAWS = 16


def declare_space(hypermodel: Any, oracle: Any) -> None:
    """Let the oracle's space be what the hypermodel declares, and grow unless that is everything.

    Args:
        hypermodel: with KerasTuner's `declare_hyperparameters`.
        oracle: one of this package.

    Raises:
        Exception: as `declare_by_building`.
    """
    space = oracle.get_space()
    hypermodel.declare_hyperparameters(space)
    oracle.update_space(space)
    may_grow = not getattr(hypermodel, "declares_everything", False)
    if may_grow:
        declare_by_building(hypermodel, oracle)
    oracle.freeze_space(may_grow=may_grow)


def declare_by_building(hypermodel: Any, oracle: keras_tuner.Oracle) -> None:
    """Add what `build` declares to the oracle's space.

    Raises:
        Exception: what `build` raises, where that does not fail a trial; also where the defaults
            and all other values that were tried fail by one mistake.
    """
    never_active: list[Any] = []
    once_active: list[Any] = []
    tried: list[Any] = []
    errors: list[Exception] = []
    hp = oracle.get_space()
    while True:
        error = _build(hypermodel, oracle, hp)
        if error is not None:
            errors.append(error)
        for conditions in hp.active_scopes:
            if conditions not in once_active:
                once_active.append(copy.deepcopy(conditions))
        for conditions in hp.inactive_scopes:
            if conditions not in never_active:
                never_active.append(copy.deepcopy(conditions))
        # A scope may stay inactive, where the build fails before it.
        waiting = [scope for scope in never_active if scope not in [*once_active, *tried]]
        if not waiting:
            break
        tried.append(waiting[0])
        hp = oracle.get_space()
        for condition in waiting[0]:
            hp.values[condition.name] = condition.values[0]
        _ensure_active_values(hp)
    if errors:
        _declare_elsewhere(hypermodel, oracle, errors)


def _ensure_active_values(hp: keras_tuner.HyperParameters) -> None:
    """Let all active hyperparameters, and only these, have a value.

    KerasTuner's method draws the missing ones at random, so that each process might declare another
    space.
    """
    active = [parameter for parameter in hp.space if hp.is_active(parameter)]
    for parameter in active:
        hp.values.setdefault(parameter.name, parameter.default)
    names = {parameter.name for parameter in active}
    hp.values = {name: value for name, value in hp.values.items() if name in names}


def _declare_elsewhere(
    hypermodel: Any, oracle: keras_tuner.Oracle, errors: list[Exception]
) -> None:
    for draw in range(_MOST_DRAWS):
        hp = oracle.get_space()
        for position, parameter in enumerate(hp.space):
            word = seed_word(0, "declaring", draw, position)
            hp.values[parameter.name] = parameter.random_sample(word)
        error = _build(hypermodel, oracle, hp)
        if error is None:
            return
        errors.append(error)
    if are_one_mistake([message_of(error) for error in errors]):
        raise errors[0]


def _build(
    hypermodel: Any, oracle: keras_tuner.Oracle, hp: keras_tuner.HyperParameters
) -> Exception | None:
    """Build once; the error where that fails a trial, else None."""
    failure = None
    try:
        hypermodel.build(hp)
    except Exception as error:
        if not fails_the_trial(error):
            raise
        failure = error
    oracle.update_space(hp)
    return failure
