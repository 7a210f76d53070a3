"""The state of a fold in training: everything of its model that the next epoch depends on."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.models.code_identity import is_of_library
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.seeds import derive_seed


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
    return is_of_library(type(model).fit) and not others


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
    """Give every random layer the seed of this epoch, so that its state needs no saving."""
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for position, state in enumerate(states):
        seeds = derive_seed(place.seed, place.trial, place.fold, epoch, "layers", position)
        words = seeds.generate_state(int(np.prod(state.shape))).astype(state.dtype)
        state.assign(words.reshape(tuple(state.shape)))


def as_numpy(variable: keras.Variable) -> npt.NDArray[Any]:
    """The value of a variable; `ops.convert_to_numpy` makes NumPy issue a warning."""
    return np.asarray(variable)
