"""A model that the user receives, with weights that no other model has.

Layers that were made once, outside `build`, are part of every model: what one of them learns, all
have. So a model that has trained such layers is copied.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from rust_tuner.errors import SearchError
from rust_tuner.models.described import every_layer
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.fold_state import build_optimizer
from rust_tuner.models.keras_state import build_at, starting_values, users_layers_kept
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.models.starting_values import StartingValues


@dataclass(frozen=True, eq=False)
class ModelToKeep:
    """A model to train, and what the user receives of it.

    Attributes:
        model: the compiled model.
    """

    model: keras.Model
    _place: FoldPlace
    _values: StartingValues
    _copy: keras.Model | None

    @classmethod
    def build(cls, place: FoldPlace, build: Callable[[], keras.Model]) -> "ModelToKeep":
        """Build a model within `users_layers_kept`; the first one twice, to see what both have.

        Args:
            place: determines its initial weights.
            build: makes the compiled model.

        Raises:
            SearchError: where it trains layers of other models, and cannot be copied.
        """
        values = starting_values()
        if not values.num_models:
            build_at(place, build)
        model = build_at(place, build)
        is_trained = any(variable.trainable for variable in values.shared(model))
        copy = _copy_of(model, place, values) if is_trained else None
        return cls(model, place, values, copy)

    def result(self) -> keras.Model:
        """The model, once it is trained, or a copy with its weights and its optimizer's state.

        Raises:
            SearchError: where layers of other models have changed, and it cannot be copied.
        """
        if not self._values.changed(self.model):
            self._values.hand_out(self.model)
            return self.model
        copy = self._copy
        if copy is None:
            copy = _copy_of(self.model, self._place, self._values)
        build_optimizer(copy)
        for one, other in ((self.model, copy), (self.model.optimizer, copy.optimizer)):
            for variable, source in zip(other.variables, one.variables, strict=True):
                variable.assign(source.value)
        return copy


def _copy_of(model: keras.Model, place: FoldPlace, values: StartingValues) -> keras.Model:
    """A compiled model of the same kind.

    Raises:
        SearchError: where it cannot be copied.
    """
    try:
        # Keras's random state is that of the model, which may be trained after this.
        with users_layers_kept(), seeded_weights(place):
            copy = _made_again(model)
        differs = _shapes(copy) != _shapes(model)
        why = "the copy has other weights" if differs else ""
    except Exception as error:
        # Own classes raise what they like as they are made again.
        text = " ".join(str(error).partition("\n\n")[0].split())
        why = f"{type(error).__name__}: {text}"
    if not why:
        return copy
    shared = {id(variable) for variable in values.shared(model)}
    # The outermost one, which comes first.
    name = next(
        layer.name
        for layer in every_layer(model)
        if layer.weights and all(id(variable) in shared for variable in layer.weights)
    )
    raise SearchError(
        f"layer {name} was made outside build, so it is a part of all models, and this model "
        f"cannot be copied ({why}); make the layer in build, give each class of your own a "
        "get_config that Keras can make it from, or train the model yourself with "
        "best_hyperparameters"
    )


def _made_again(model: keras.Model) -> keras.Model:
    if not inspect.unwrap(type(model).compile).__module__.startswith("keras."):
        raise TypeError(f"{type(model).__name__} has a compile of its own")
    arguments = dict(model._compile_config.config)
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    copy = keras.saving.deserialize_keras_object(config, custom_objects=_own_objects(model))
    for layer, source in zip(every_layer(copy), every_layer(model), strict=True):
        layer.trainable = source.trainable
    optimizer = model.optimizer
    arguments["optimizer"] = type(optimizer).from_config(optimizer.get_config())
    copy.compile(**arguments)
    return copy


def _own_objects(model: keras.Model) -> dict[str, Any]:
    """The classes of all layers, and functions that these have, by name."""
    layers = list(every_layer(model))
    values = [value for layer in layers for value in vars(layer).values()]
    functions = {value.__name__: value for value in values if inspect.isfunction(value)}
    return functions | {type(layer).__name__: type(layer) for layer in layers}


def _shapes(model: keras.Model) -> Sequence[tuple[str, tuple[int, ...], str]]:
    """What the copy of a model must have in common with it, in order."""
    return [(v.name, tuple(v.shape), v.dtype) for v in model.variables]
