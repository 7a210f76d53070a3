"""The state of a fold in training: everything of its model that the next epoch depends on."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src.backend.common import global_state
from keras.src.random import seed_generator

from rust_tuner.models.code_identity import is_of_library
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.hidden_state import hidden_variables, is_stateful
from rust_tuner.seeds import derive_seed

# What Keras calls its generator for operations without a seed.
_GENERATOR = "global_seed_generator"


def build_optimizer(model: keras.Model) -> None:
    """Give a model's optimizer its variables, where it has none yet.

    Keras's `LossScaleOptimizer` would get further ones each time.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def shows_its_state(model: keras.Model) -> bool:
    """Whether everything that the next epoch depends on is in the model's variables."""
    if not isinstance(model, keras.Model):
        return True
    others = [
        value
        for value in vars(model).values()
        if isinstance(value, keras.Optimizer) and value is not model.optimizer
    ]
    return (
        is_of_library(type(model).fit)
        and not others
        and not is_stateful(model)
        and not hidden_variables(model)
    )


def state_of_model(model: keras.Model) -> dict[str, npt.NDArray[Any]]:
    """Everything that the next epoch depends on: weights, statistics and the optimiser's state."""
    return {
        f"{owner}_{position}": as_numpy(variable)
        for owner, variables in _stateful(model)
        for position, variable in enumerate(variables)
    }


def restore_model(model: keras.Model, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a model back what `state_of_model` stored."""
    for owner, variables in _stateful(model):
        for position, variable in enumerate(variables):
            variable.assign(state[f"{owner}_{position}"])


def _stateful(model: keras.Model) -> tuple[tuple[str, list[Any]], ...]:
    return (("model", model.variables), ("optimizer", model.optimizer.variables))


def reseed(model: keras.Model, place: FoldPlace, epoch: int) -> None:
    """Give every random layer the seed of this epoch, so that its state needs no saving.

    The generator of operations without a seed, as `keras.random.normal` in a layer, a loss or a
    training step of the user's, is seeded, too.
    """
    _assign_seed(_global_generator().state, place, epoch, "global")
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for position, state in enumerate(states):
        _assign_seed(state, place, epoch, "layers", position)


def _global_generator() -> keras.random.SeedGenerator:
    """Keras's generator for operations without a seed.

    Keras would make it with a seed from the numbers that the initial weights are drawn with, such
    as those of a model whose `build` is searching within.
    """
    if global_state.get_global_attribute(_GENERATOR) is None:
        global_state.set_global_attribute(
            _GENERATOR, keras.random.SeedGenerator(0, name=_GENERATOR)
        )
    return seed_generator.global_seed_generator()


def _assign_seed(state: keras.Variable, place: FoldPlace, epoch: int, *purpose: str | int) -> None:
    seeds = derive_seed(place.seed, place.trial, place.fold, epoch, *purpose)
    words = seeds.generate_state(int(np.prod(state.shape))).astype(state.dtype)
    state.assign(words.reshape(tuple(state.shape)))


def as_numpy(variable: keras.Variable) -> npt.NDArray[Any]:
    """The value of a variable; `ops.convert_to_numpy` makes NumPy issue a warning."""
    return np.asarray(variable)
