"""What a compiled Keras model is, as JSON values: layers, optimizer, losses, metrics and own code.

Two models with the same description are trained in the same way, as far as Keras and Python show
it; `code_identity` says what they do not show. Weights are described by their shapes.
"""

import inspect
import itertools
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src.backend import compute_output_spec

from rust_tuner.data.structures import Tree, map_leaves
from rust_tuner.files import sha256_of_json
from rust_tuner.models.code_identity import own_code, own_values

Description = dict[str, Any]
Difference = tuple[str, str, str]

# Where objects come from, ids of a process, shapes that weights show, and choices that change the
# speed of a model but not its results.
_LEFT_OUT = {
    "module",
    "registered_name",
    "shared_object_id",
    "build_config",
    "compile_config",
    "run_eagerly",
    "steps_per_execution",
}
_FLAGS = {"built", "stop_training", "stop_evaluating", "stop_predicting", "autocast"}
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_LONGEST_LIST = 64
_LONGEST_TEXT = 60
# The metric that our own models are compiled with to keep their training predictions.
_OURS = "RunningPredictions"
# What a description has in place of a configuration that cannot be had.
_NO_CONFIGURATION = "get_config"
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def ensure_built(model: keras.Model, inputs: Tree) -> None:
    """Give a model its weights, where it waits for data to make them.

    Args:
        model: compiled; unchanged where it has its weights.
        inputs: a batch of the data, an array (n, ...) or a structure of them.
    """
    is_numeric = isinstance(inputs, np.ndarray) and inputs.dtype.kind not in "OUS"
    if isinstance(model, keras.Sequential) and not model.built and is_numeric:
        # With any number of rows, as `keras.Input` would.
        model.build((None, *inputs.shape[1:]))
    # Those within layers, too: an activation may be a layer with weights.
    if all(layer.built for layer in every_layer(model)):
        return
    # A model that only trains has no outputs, and so no weights but those of its layers.
    if type(model).call is keras.Model.call and all(layer.built for layer in model.layers):
        return
    # As `fit` does, so that no value of the data can matter. Calling the model with symbols would
    # ask some layers for their shape only, and build nothing that is within them.
    compute_output_spec(model, map_leaves(_symbol, inputs))


def _symbol(array: npt.NDArray[Any]) -> keras.KerasTensor:
    dtype = "string" if array.dtype.kind in "OUS" else array.dtype.name
    return keras.KerasTensor(array.shape, dtype)


def describe_model(model: keras.Model) -> Description:
    """A built and compiled model as JSON values, without the names of its layers."""
    names = normal_names(model)
    compiled = compile_arguments(model)
    config = _config(model)
    # One layer that has no configuration leaves its whole model without one.
    is_listed = _lists_layers(model) and "layers" in config
    described = {
        "class": type(model).__qualname__,
        "model": config,
        "layers": {} if is_listed else _each_layer(model),
        "compile": {name: _unnamed(_plain(value)) for name, value in compiled.items()},
        "weights": {
            variable.path: f"{'x'.join(map(str, variable.shape))} {variable.dtype}"
            for variable in model.weights
        },
        "code": own_code(model, list(compiled.values())),
    }
    renamed: Description = _renamed(described, names)
    renamed["model"].pop("name", None)
    return renamed


def lacks_configuration(described: Any) -> bool:
    """Whether a part of a description stands for an object that shows no configuration."""
    if isinstance(described, dict):
        return _NO_CONFIGURATION in described or any(map(lacks_configuration, described.values()))
    return isinstance(described, list) and any(map(lacks_configuration, described))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Where two descriptions differ, the clearest differences only.

    Returns:
        Rows of name, old value and new value: of configurations; where these agree, of the shapes
        of weights; where these agree as well, of code.
    """
    everything = list(_differences(old, new, ()))
    for parts in (("class", "model", "layers", "compile"), ("weights",), ("code",)):
        rows = [
            (_title(path), was, now) for path, was, now in everything if path and path[0] in parts
        ]
        if rows:
            return rows
    return [(_title(path), was, now) for path, was, now in everything]


def every_layer(part: Any) -> Iterator[Any]:
    """The model and all layers within it, also those within layers."""
    yield part
    # Keras shows those within layers nowhere else; `Sequential.layers` leaves out its input layer.
    for layer in getattr(part, "_layers", None) or getattr(part, "layers", None) or ():
        yield from every_layer(layer)


def _lists_layers(model: keras.Model) -> bool:
    return isinstance(model, keras.Sequential) or hasattr(model, "_nodes_by_depth")


def _each_layer(model: keras.Model) -> dict[str, Any]:
    """The layers of a model that is a class of its own, whose configuration does not list them."""
    return {
        layer.name: {"class_name": type(layer).__qualname__, "config": _config(layer)}
        for layer in itertools.islice(every_layer(model), 1, None)
    }


def _config(part: Any) -> dict[str, Any]:
    """An object's own configuration, and its plain attributes where its class is the user's."""
    config: Any = {}
    try:
        with warnings.catch_warnings():
            # Keras warns that lambdas cannot be loaded again, which nobody does here.
            warnings.simplefilter("ignore")
            config = part.get_config()
    except Exception as error:
        # Own classes raise what they like here. Their attributes and their code follow.
        config = {_NO_CONFIGURATION: type(error).__name__}
    values: dict[str, Any] = {
        name: value for name, value in own_values(part).items() if name not in _FLAGS
    }
    # Some configurations of Keras lack them, such as the delta of `Huber`.
    kwargs = getattr(part, "_fn_kwargs", None)
    values |= kwargs if isinstance(kwargs, dict) else {}
    shown: dict[str, Any] = _plain(values | (config if isinstance(config, dict) else {}))
    return shown


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """What the model was compiled with, and optimizers and losses that it keeps beside that."""
    arguments = getattr(getattr(model, "_compile_config", None), "config", None)
    if not isinstance(arguments, dict):
        # Another version of Keras: what every version has.
        arguments = {name: getattr(model, name, None) for name in ("optimizer", "loss")}
    kept = {name: value for name, value in arguments.items() if name not in _LEFT_OUT}
    kinds = (keras.Optimizer, keras.losses.Loss, keras.metrics.Metric)
    beside = {
        name: value
        for name, value in vars(model).items()
        if not name.startswith("_") and name not in kept and isinstance(value, kinds)
    }
    return kept | beside


def _plain(value: Any) -> Any:
    """A value of a configuration as JSON, in which objects are their class and configuration."""
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return repr(value)
        # Keras keeps some choices, such as learning rates, as float32.
        short = float(str(np.float32(value))) if abs(value) < _LARGEST_FLOAT32 else value
        return short if float(np.float32(short)) == value else value
    if isinstance(value, Mapping):
        if value.get("class_name") == "__lambda__":
            # Its bytes hold line numbers; `code` has what it does.
            return "lambda"
        return {str(name): _plain(item) for name, item in value.items() if name not in _LEFT_OUT}
    if isinstance(value, list | tuple):
        return _listed([_plain(item) for item in value if type(item).__name__ != _OURS])
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray) or keras.ops.is_tensor(value):
        array = np.asarray(value)
        return f"{array.dtype} {array.shape} {sha256_of_json(array.tolist())[:16]}"
    if inspect.isroutine(value) or isinstance(value, type):
        return getattr(value, "__name__", type(value).__name__)
    if callable(getattr(value, "get_config", None)):
        return {"class_name": type(value).__qualname__, "config": _config(value)}
    # Never a `repr`, which may contain an address.
    return type(value).__qualname__


def _unnamed(value: Any) -> Any:
    """An optimizer or loss without its name, which Keras numbers and which decides nothing."""
    if isinstance(value, dict) and isinstance(config := value.get("config"), dict):
        return value | {"config": {key: item for key, item in config.items() if key != "name"}}
    return value


def _listed(items: list[Any]) -> Any:
    """Configured objects by their names, so that one that is inserted does not move the rest."""
    configs = [item.get("config") if isinstance(item, dict) else None for item in items]
    names = [config.get("name") if isinstance(config, dict) else None for config in configs]
    if names and all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return {str(name): item for name, item in zip(names, items, strict=True)}
    if len(items) > _LONGEST_LIST:
        return f"{len(items)} values {sha256_of_json(items)[:16]}"
    return items


def normal_names(model: keras.Model) -> dict[str, str]:
    """Names of layers -> their classes, numbered within this model as Keras would in a new process.

    What a layer is called does not change what it does.
    """
    counted: dict[str, int] = {}
    normal: dict[str, str] = {}
    for layer in every_layer(model):
        if layer.name in normal:
            continue
        kind = _snake_case(type(layer).__name__)
        number = counted.get(kind, 0)
        counted[kind] = number + 1
        normal[layer.name] = f"{kind}_{number}" if number else kind
    return normal


def _snake_case(name: str) -> str:
    return _WORDS.sub("_", name).lower()


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return "/".join(names.get(part, part) for part in value.split("/"))
    if isinstance(value, dict):
        return {_renamed(name, names): _renamed(item, names) for name, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return value


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, str, str]]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(name), new.get(name), (*path, name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from _differences(was, now, (*path, str(position)))
    else:
        yield path, _short(old), _short(new)


def _title(path: tuple[str, ...]) -> str:
    """A path without the words that only say how Keras nests configurations."""
    shown = [part for part in path if part not in ("config", "model", "compile")]
    return ".".join(shown) or ".".join(path)


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    if isinstance(value, dict) and "class_name" in value:
        return str(value["class_name"])
    text = str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."
