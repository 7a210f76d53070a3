"""Checks whether any user's compiled model can be trained with its folds side by side.

What is not known to treat each row of each fold by itself is refused with the reason. Heads of
frozen features are planned by `fold_plan`.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from rust_tuner.environment import memory_bytes
from rust_tuner.files import sha256_of_json
from rust_tuner.models.code_identity import is_of_library
from rust_tuner.models.described import describe_model, lacks_configuration
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_plan import MixedFolds, refuse_activation, refuse_optimizer

# Layers without weights that treat each row by itself.
_BY_ROW = {
    *("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Identity", "Rescaling"),
    *("Flatten", "Reshape", "Permute", "RepeatVector", "UnitNormalization"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
    *(f"{kind}{rank}D" for kind in ("ZeroPadding", "Cropping", "UpSampling") for rank in (1, 2, 3)),
    *(
        f"{reach}{kind}Pooling{rank}D"
        for reach in ("", "Global")
        for kind in ("Average", "Max")
        for rank in (1, 2, 3)
    ),
}
_WITH_WEIGHTS = (
    "Dense",
    "Dropout",
    "Embedding",
    "LayerNormalization",
    "BatchNormalization",
    "Normalization",
)
# Options of layers that have to be absent; most would act on a weight of all folds as a whole.
_ABSENT = (
    *("kernel_constraint", "bias_constraint", "kernel_regularizer", "bias_regularizer"),
    *("activity_regularizer", "noise_shape", "quantization_config", "lora_rank"),
    *("embeddings_constraint", "embeddings_regularizer", "mask_zero", "invert", "rms_scaling"),
    *("gamma_constraint", "beta_constraint", "gamma_regularizer", "beta_regularizer"),
)
_LOSSES = (
    *("BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy"),
    *("CategoricalFocalCrossentropy", "SparseCategoricalCrossentropy", "MeanSquaredError"),
    *("MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError"),
    *("Huber", "LogCosh", "Hinge", "SquaredHinge", "CategoricalHinge", "KLDivergence", "Poisson"),
)
_MOST_OF_MEMORY = 0.25
_FLOAT = 4


@dataclass(frozen=True, eq=False)
class ModelPlan:
    """The parts of a compiled model that its folds share.

    Attributes:
        layers: its layers by name, without input layers.
        final: the activation of its last layer, where losses are computed from what precedes it;
            else None.
        last: the name of the layer with that activation.
        optimizer: the model's own.
        learning_rate: the optimizer's; None where a schedule sets it.
        loss: Keras's loss object.
        signature: equal for models that differ only in numbers that need no new graph.
    """

    layers: dict[str, keras.layers.Layer]
    final: Any
    last: str | None
    optimizer: Any
    learning_rate: float | None
    loss: keras.losses.Loss
    signature: str


def refuse_data(data: TrainingData) -> None:
    """Refuse data whose rows cannot be looked up in one table of numbers.

    Raises:
        MixedFolds: with the reason.
    """
    if isinstance(data.inputs, FrozenFeatures) or not isinstance(data.inputs, np.ndarray):
        raise MixedFolds("the inputs are not one array")
    if not isinstance(data.targets, np.ndarray):
        raise MixedFolds("the targets are not one array")
    for name, array in (("inputs", data.inputs), ("targets", data.targets)):
        if array.dtype.kind not in "biuf":
            raise MixedFolds(f"the {name} are not numbers but {array.dtype}")
    if data.is_weighted:
        raise MixedFolds("rows or classes have weights")
    if not data.shuffle:
        raise MixedFolds("rows are not shuffled")


def plan_model(model: keras.Model, data: TrainingData) -> ModelPlan:
    """Read a compiled model.

    Raises:
        MixedFolds: where something in it is not known to keep folds apart.
    """
    _refuse_kind(model)
    layers = {layer.name: layer for layer in model.layers if not _is_input(layer)}
    for layer in layers.values():
        _refuse_layer_kind(layer)
    if len(getattr(model, "operations", model.layers)) > len(layers) + len(model.inputs):
        raise MixedFolds("the model uses operations that are not layers")
    # Keras adds or removes a last dimension of 1 there; a table of rows has the dimensions it has.
    assert isinstance(data.inputs, np.ndarray)
    if data.inputs.ndim != len(model.inputs[0].shape):
        raise MixedFolds("the rows of x have other dimensions than the model's input")
    description = describe_model(model)
    if description["code"]:
        raise MixedFolds(f"{min(description['code'])} is code of your own")
    if lacks_configuration(description):
        raise MixedFolds("a part of the model shows no configuration")
    for name, described in description["model"].get("layers", {}).items():
        if len(described.get("inbound_nodes") or ()) > 1:
            raise MixedFolds(f"layer {name} is used more than once")
    for layer in layers.values():
        _refuse_options(layer)
    final, last = _final_activation(model, layers)
    learning_rate = _learning_rate(model.optimizer)
    return ModelPlan(
        layers,
        final,
        last,
        model.optimizer,
        learning_rate,
        _loss(model),
        _signature(description, model),
    )


def refuse_size(model: keras.Model, data: TrainingData, *, num_folds: int, rows: int) -> None:
    """Refuse where the models of all folds would take much of the memory at once.

    Args:
        model: of one fold.
        data: that all are trained on.
        num_folds: how many.
        rows: the most that a batch of one fold has.

    Raises:
        MixedFolds: with the size.
    """
    weights = sum(int(np.prod(variable.shape)) for variable in model.variables)
    activations = sum(
        int(np.prod([side or 1 for side in output.shape[1:]]))
        for layer in model.layers
        for output in keras.tree.flatten(layer.output)
    )
    # Each fold: its own model and its place in the common one, the gradients, and at most three
    # values of the optimizer for each weight; activations and their gradients.
    needed = _FLOAT * num_folds * (6 * weights + 2 * rows * activations)
    assert isinstance(data.inputs, np.ndarray)
    needed += _FLOAT * data.inputs.size
    if needed > _MOST_OF_MEMORY * memory_bytes():
        raise MixedFolds(
            f"{num_folds} models at once would take {needed / 2**30:.1f} GiB, more than a quarter "
            "of the memory"
        )


def _refuse_kind(model: keras.Model) -> None:
    kind = type(model)
    if not is_of_library(kind) or not (
        isinstance(model, keras.Sequential) or kind.__name__ == "Functional"
    ):
        raise MixedFolds(f"{kind.__name__} is a class of your own")
    if model.run_eagerly:
        raise MixedFolds("the model is compiled with run_eagerly")
    has_dropout = any(type(layer).__name__ == "Dropout" for layer in model.layers)
    if keras.backend.backend() == "tensorflow" and has_dropout and model.jit_compile:
        # The common model is not compiled with XLA, which draws other masks.
        raise MixedFolds(
            "the model has dropout and is compiled with XLA; jit_compile=False lets folds train "
            "together"
        )
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        raise MixedFolds("the model is shared by several devices")
    if len(model.inputs) != 1:
        raise MixedFolds(f"the model has {len(model.inputs)} inputs")
    is_named = not isinstance(model, keras.Sequential) and isinstance(model.output, dict)
    if len(model.outputs) != 1 or is_named:
        raise MixedFolds("the model has several outputs, or outputs by name")
    if model._compile_config.config.get("loss_weights") is not None:
        raise MixedFolds("the model is compiled with loss_weights")


def _is_input(layer: keras.layers.Layer) -> bool:
    return type(layer).__name__ == "InputLayer"


def _refuse_layer_kind(layer: keras.layers.Layer) -> None:
    kind = type(layer).__name__
    if kind not in (*_BY_ROW, *_WITH_WEIGHTS) or not is_of_library(type(layer)):
        raise MixedFolds(f"layer {layer.name} is a {kind}")


def _refuse_options(layer: keras.layers.Layer) -> None:
    kind, named = type(layer).__name__, f"layer {layer.name}"
    config = layer.get_config()
    for name in _ABSENT:
        if config.get(name):
            raise MixedFolds(f"{named} has {name}")
    if layer.dtype_policy.name != "float32":
        raise MixedFolds(f"{named} computes in {layer.dtype_policy.name}")
    if kind == "BatchNormalization" and layer.trainable:
        raise MixedFolds(f"{named} is a BatchNormalization that trains")
    rank = len(keras.tree.flatten(layer.output)[0].shape)
    axis = config.get("axis", -1)
    lasts = (-1, rank - 1, [-1], [rank - 1], (-1,), (rank - 1,))
    if kind in ("LayerNormalization", "BatchNormalization") and axis not in lasts:
        raise MixedFolds(f"{named} normalizes over axis {axis}")
    axes = axis if isinstance(axis, list | tuple) else [axis]
    over_rows = any(one in (0, -rank, None) for one in axes)
    if kind in ("Concatenate", "Softmax", "UnitNormalization") and over_rows:
        raise MixedFolds(f"{named} works over axis {axis}")
    refuse_activation(layer)


def _final_activation(
    model: keras.Model, layers: dict[str, keras.layers.Layer]
) -> tuple[Any, str | None]:
    """The activation that Keras's losses look through, and its layer."""
    looked_through = (keras.activations.sigmoid, keras.activations.softmax)
    for layer in layers.values():
        if layer.output is model.outputs[0]:
            activation = getattr(layer, "activation", None)
            if type(layer).__name__ == "Softmax" and layer.axis == -1:
                activation = keras.activations.softmax
            if activation in looked_through and type(layer).__name__ in (
                "Dense",
                "Activation",
                "Softmax",
            ):
                return activation, layer.name
    return None, None


def _learning_rate(optimizer: keras.optimizers.Optimizer) -> float | None:
    refuse_optimizer(optimizer)
    rate = optimizer.get_config()["learning_rate"]
    return None if isinstance(rate, dict) else float(rate)


def _loss(model: keras.Model) -> keras.losses.Loss:
    given = model.loss
    try:
        loss = keras.losses.get(given)
    except (ValueError, TypeError):
        loss = None
    if not isinstance(loss, keras.losses.Loss):
        # A function: the class of the same name has its defaults.
        names = {name.lower(): name for name in _LOSSES}
        name = names.get(str(getattr(loss, "__name__", "")).replace("_", ""))
        if loss is None or name is None or not is_of_library(loss):
            raise MixedFolds(f"loss {given!r} is not known to treat each row separately")
        loss = getattr(keras.losses, name)()
    name, config = type(loss).__name__, loss.get_config()
    if name not in _LOSSES or not is_of_library(type(loss)):
        raise MixedFolds(f"loss {name} is not known to treat each row separately")
    if config.get("reduction", "mean") not in ("sum_over_batch_size", "mean"):
        raise MixedFolds(f"loss {name} has reduction={config['reduction']!r}")
    if getattr(loss, "ignore_class", None) is not None or config.get("ignore_class") is not None:
        raise MixedFolds(f"loss {name} has ignore_class")
    # The axis of the folds in front shifts every axis that is counted from the front.
    axis = config.get("axis", getattr(loss, "axis", -1))
    if axis not in (None, -1):
        raise MixedFolds(f"loss {name} has axis={axis}")
    return loss


def _signature(description: dict[str, Any], model: keras.Model) -> str:
    optimizer = description["compile"]["optimizer"]
    if isinstance(optimizer, dict):
        settings = optimizer["config"]
        if not isinstance(settings.get("learning_rate"), dict):
            settings.pop("learning_rate", None)
    for layer in description["model"].get("layers", {}).values():
        if layer["class_name"] == "Dropout":
            layer["config"].pop("rate")
    description["compile"].pop("jit_compile", None)
    return sha256_of_json([description, [layer.trainable for layer in model.layers]])
