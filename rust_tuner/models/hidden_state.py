"""Variables that training depends on and the model does not list.

Such as the states of a stateful layer, a counter that a layer of the user's keeps, or a running
scale in a loss. Nobody resets or stores what Keras does not list.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from rust_tuner.models.code_identity import is_of_library, values_in_code
from rust_tuner.models.described import compile_arguments, every_layer

# Containers within containers, and items of each, in which variables are looked for.
_DEEPEST, _LARGEST = 3, 1000


def hidden_variables(model: keras.Model) -> list[Any]:
    """The variables of layers, losses and metrics, and of their code, that no model lists.

    Args:
        model: built and compiled.

    Returns:
        Keras's or TensorFlow's variables, each once: also those that the user's functions name or
        have closed over, such as a weight of a loss that a callback raises.
    """
    parts = [*every_layer(model), *keras.tree.flatten(compile_arguments(model))]
    listed = {id(variable) for variable in model.variables}
    for part in (*parts, *getattr(model, "metrics", ())):
        if isinstance(part, keras.Optimizer | keras.metrics.Metric):
            listed.update(id(variable) for variable in part.variables)
    held = [value for part in parts for value in list(getattr(part, "__dict__", {}).values())]
    named = values_in_code(model, list(compile_arguments(model).values()))
    hidden = {
        id(variable): variable
        for value in (*held, *named)
        for variable in _variables_in(value)
        if id(variable) not in listed
    }
    return list(hidden.values())


def is_stateful(model: keras.Model) -> bool:
    """Whether what one batch leaves in a layer decides how the next one is computed."""
    return any(getattr(layer, "stateful", False) for layer in every_layer(model))


def changed_by_predicting(model: keras.Model) -> list[Any]:
    """The variables that a model may change when it predicts.

    Keras's own layers change nothing then, except the states of stateful ones; layers of the user's
    may.
    """
    own = [
        variable
        for layer in every_layer(model)
        if isinstance(layer, keras.layers.Layer)
        and not isinstance(layer, keras.Model)
        and not is_of_library(type(layer))
        for variable in layer.non_trainable_variables
    ]
    return [*own, *hidden_variables(model)]


@contextlib.contextmanager
def state_kept(variables: Sequence[Any]) -> Iterator[None]:
    """Whatever happens to some variables in the block, they have their values again after it."""
    before = [keras.ops.copy(keras.ops.convert_to_tensor(variable)) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _variables_in(value: Any, *, depth: int = _DEEPEST) -> Iterator[Any]:
    """The variables in a value, also in lists, tuples and dicts, unless these are data."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        # A container may contain itself.
        if depth and len(value) <= _LARGEST:
            for item in value:
                yield from _variables_in(item, depth=depth - 1)
    elif isinstance(value, keras.random.SeedGenerator):
        yield value.state
    elif isinstance(value, keras.Variable) or _is_of_tensorflow(value):
        yield value


def _is_of_tensorflow(value: Any) -> bool:
    of_module = type(value).__module__.partition(".")[0]
    return of_module == "tensorflow" and hasattr(value, "assign") and hasattr(value, "handle")
