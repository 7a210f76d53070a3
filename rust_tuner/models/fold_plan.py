"""Checks whether a compiled head can be trained with its folds side by side, and describes it.

Anything that would mix folds (norms over a weight, statistics over rows of several folds, branches)
is refused with the reason.
"""

import json
from dataclasses import dataclass
from typing import Any

import keras

from rust_tuner.models.architectures import masked_binary_crossentropy
from rust_tuner.models.optimizers import takes_any_epsilon

# Optimisers that update each weight from its own gradients alone, starting from a state of zeros.
_ELEMENTWISE = ("Adam", "AdamW", "SGD", "RMSprop", "Adamax", "Adadelta", "Lion")
# Options of layers that have to be absent.
_ABSENT = (
    "kernel_constraint",
    "bias_constraint",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "lora_rank",
)
_ROW_LOSSES = (
    "binary_crossentropy",
    "categorical_crossentropy",
    "mean_squared_error",
    "mean_absolute_error",
)


class MixedFolds(Exception):  # noqa: N818 - no error, the reason to train otherwise
    """Why a compiled head cannot be trained with its folds side by side."""


_EXCLUDED = "_exclude_from_weight_decay"


@dataclass(frozen=True, eq=False)
class HeadPlan:
    """The parts of a compiled head.

    Attributes:
        layers: kind and configuration of each layer, in order.
        optimizer: the head's own.
        learning_rate: the optimizer's.
        loss: function of targets and predictions, (..., outputs) to (...).
        signature: equal for heads that differ only in numbers that need no new graph.
    """

    layers: list[tuple[str, dict[str, Any]]]
    optimizer: Any
    learning_rate: float
    loss: Any
    signature: str


LAYER_KINDS = ("Dense", "Dropout", "Activation")
# Without weights, random numbers or an axis.
_ELEMENTWISE_LAYERS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU)


def plan_head(head: keras.Model) -> HeadPlan:
    """Read a compiled head.

    Raises:
        MixedFolds: where something in it would mix folds.
    """
    layers, shapes = [], []
    end = head.inputs[0]
    for layer in head.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        if kind not in LAYER_KINDS or type(layer).__module__.split(".")[0] != "keras":
            raise MixedFolds(f"layer {layer.name} is a {kind}, not one of {', '.join(LAYER_KINDS)}")
        if layer.input is not end:
            raise MixedFolds(f"layer {layer.name} is not part of a single chain")
        end = layer.output
        refuse_activation(layer)
        config = layer.get_config()
        present = [name for name in _ABSENT if config.get(name) is not None]
        if present:
            raise MixedFolds(f"layer {layer.name} has a {present[0]}")
        # By the layer, since older versions of Keras do not include it in its configuration.
        if getattr(layer, "quantization_mode", None) is not None:
            raise MixedFolds(f"layer {layer.name} is quantized")
        if not layer.trainable:
            raise MixedFolds(f"layer {layer.name} is not trainable")
        if kind == "Dropout" and config.get("noise_shape") is not None:
            raise MixedFolds(f"layer {layer.name} has a noise shape")
        layers.append((kind, config))
        shapes.append({k: v for k, v in config.items() if k not in ("name", "rate", "seed")})
    if len(head.inputs) != 1 or len(head.outputs) != 1 or head.outputs[0] is not end:
        raise MixedFolds("the head is not a single chain from one input to one output")
    strategy = getattr(head, "distribute_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        raise MixedFolds("the head is shared by several devices")
    optimizer = head.optimizer
    refuse_optimizer(optimizer)
    kind, settings = type(optimizer).__name__, optimizer.get_config()
    # Keras does not include the arguments of `compile` in its configurations.
    if head._compile_config.config.get("loss_weights") is not None:
        raise MixedFolds("the head is compiled with loss_weights")
    loss = head.loss
    if loss is not masked_binary_crossentropy:
        loss = keras.losses.get(loss)
        if getattr(loss, "__name__", "") not in _ROW_LOSSES:
            raise MixedFolds(f"loss {head.loss!r} is not known to treat each row separately")
    if isinstance(settings["learning_rate"], dict):
        raise MixedFolds(f"optimizer {kind} has a learning-rate schedule")
    free = ("name", "learning_rate", *(("epsilon",) if takes_any_epsilon(optimizer) else ()))
    fixed = {key: value for key, value in settings.items() if key not in free}
    signature = json.dumps(
        [[kind for kind, _ in layers], shapes, kind, fixed, loss.__name__, list(head.input_shape)],
        default=str,
    )
    return HeadPlan(layers, optimizer, float(settings["learning_rate"]), loss, signature)


def refuse_activation(layer: keras.layers.Layer) -> None:
    """Refuse an activation that is not a function of Keras's, which treats each row by itself.

    A layer as activation may have weights, draw random numbers or normalise over all rows, and one
    without any of this works on an axis that may be that of the folds.

    Raises:
        MixedFolds: with the reason.
    """
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", None)
    known = getattr(keras.activations, name, None) if isinstance(name, str) else None
    if activation is None or known is activation or type(activation) in _ELEMENTWISE_LAYERS:
        return
    if isinstance(activation, keras.layers.Layer):
        raise MixedFolds(f"layer {layer.name} has a {type(activation).__name__} as its activation")
    raise MixedFolds(f"layer {layer.name} has an activation that is not Keras's own")


def refuse_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that is not known to update each weight from its own gradients alone.

    Raises:
        MixedFolds: with the reason.
    """
    kind = type(optimizer).__name__
    if kind not in _ELEMENTWISE or type(optimizer).__module__.split(".")[0] != "keras":
        raise MixedFolds(f"optimizer {kind} is not known to treat each weight separately")
    settings = optimizer.get_config()
    for name in ("clipnorm", "global_clipnorm", "use_ema", "gradient_accumulation_steps"):
        if settings.get(name):
            raise MixedFolds(f"optimizer {kind} has {name}={settings[name]}")
    # Keras does not include the exclusions in its configurations.
    if any(value for key, value in vars(optimizer).items() if key.startswith(_EXCLUDED)):
        raise MixedFolds(f"optimizer {kind} excludes some weights from weight decay")
