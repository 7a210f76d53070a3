"""Keras's stock layers with a leading fold axis, beside the two that heads are made of.

Activations are (F, rows, ...). Each layer takes its weights from so many stock layers, one a fold.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from rust_tuner.models.fold_layers import FoldDense, FoldDropout, units_first


class EachRow(keras.layers.Layer):  # type: ignore[misc]
    """A layer without weights that treats each row by itself: applied to the rows of all folds."""

    def __init__(self, num_folds: int, layer: keras.layers.Layer | None, **kwargs: Any) -> None:
        """Apply `layer`, which is not used anywhere else; None changes nothing."""
        super().__init__(**kwargs)
        self.num_folds = num_folds
        self.layer = layer

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Apply the layer with the rows of all folds on one axis; models with masks are refused."""
        if self.layer is None:
            return inputs
        merged = keras.tree.map_structure(_merged, inputs)
        return _apart(self.layer(merged), self.num_folds)


class FoldEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """F embeddings: (F, rows, ...) integers to (F, rows, ..., units)."""

    def __init__(self, num_folds: int, input_dim: int, output_dim: int, **kwargs: Any) -> None:
        """Take the options of an embedding, for all folds."""
        super().__init__(**kwargs)
        self.num_folds = num_folds
        self.input_dim = input_dim
        self.output_dim = output_dim

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the embeddings of all folds, one below the other."""
        shape = (self.num_folds * self.input_dim, self.output_dim)
        self.embeddings = self.add_weight(shape=shape, initializer="zeros", name="embeddings")

    def call(self, inputs: Any) -> Any:
        """Look each fold's words up in its own embeddings."""
        words = ops.cast(inputs, "int32")
        size = self.input_dim
        # As in Keras's layer, negative words count from the end.
        words = ops.where(words < 0, words + size, words)
        is_known = ops.logical_and(words >= 0, words < size)
        starts = ops.arange(self.num_folds, dtype="int32") * size
        starts = ops.reshape(starts, (-1,) + (1,) * (len(inputs.shape) - 1))
        # A word beyond a fold's own embeddings is none of another fold's, but an error.
        beyond = self.num_folds * size
        return ops.take(self.embeddings, ops.where(is_known, words + starts, beyond), axis=0)


class FoldLayerNormalization(keras.layers.Layer):  # type: ignore[misc]
    """F normalizations over the last axis."""

    def __init__(
        self, num_folds: int, epsilon: float, center: bool, scale: bool, **kwargs: Any
    ) -> None:
        """Take the options of a layer normalization, for all folds."""
        super().__init__(**kwargs)
        self.num_folds = num_folds
        self.epsilon = epsilon
        self.center = center
        self.scale = scale

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create gamma and beta (F, 1, ..., units)."""
        shape = _broadcast(self.num_folds, input_shape)
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        if self.center:
            self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")

    def call(self, inputs: Any) -> Any:
        """Normalize each row by itself."""
        outputs = ops.layer_normalization(inputs, axis=-1, epsilon=self.epsilon)
        outputs = outputs if self.gamma is None else outputs * self.gamma
        return outputs if self.beta is None else outputs + self.beta


class FoldMoments(keras.layers.Layer):  # type: ignore[misc]
    """F normalizations with means and variances that training does not change.

    Keras's `Normalization`, and its `BatchNormalization` where that is not trainable.
    """

    def __init__(self, num_folds: int, epsilon: float | None, **kwargs: Any) -> None:
        """Normalize; `epsilon` is added to the variance, None is as in `Normalization`."""
        super().__init__(**kwargs)
        self.num_folds = num_folds
        self.epsilon = epsilon
        self.trainable = False

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create mean, variance, gamma and beta, each (F, 1, ...) as the inputs of one row."""
        shape = (self.num_folds, 1, *input_shape[2:])
        self.mean, self.variance, self.gamma, self.beta = (
            self.add_weight(shape=shape, initializer=kind, trainable=False, name=name)
            for name, kind in (
                ("mean", "zeros"),
                ("variance", "ones"),
                ("gamma", "ones"),
                ("beta", "zeros"),
            )
        )

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Normalize each fold's rows by its own numbers, in training as well."""
        inputs = ops.cast(inputs, self.compute_dtype)
        if self.epsilon is None:
            scale = ops.maximum(ops.sqrt(self.variance), keras.config.epsilon())
            return (inputs - self.mean) / scale
        factor = self.gamma * ops.rsqrt(self.variance + self.epsilon)
        return inputs * factor + (self.beta - self.mean * factor)


def fold_layer(
    layer: keras.layers.Layer,
    num_folds: int,
    *,
    without_activation: bool = False,
    is_first: bool = False,
) -> keras.layers.Layer:
    """The layer of all folds that takes the place of a stock layer.

    Args:
        layer: of a kind that `fold_graph` lets pass.
        num_folds: how many it is the place of.
        without_activation: whether its activation is applied elsewhere.
        is_first: whether its inputs depend on no weights that are trained.
    """
    config = layer.get_config()
    kind = type(layer).__name__
    if kind == "Dense":
        activation = None if without_activation else config["activation"]
        made = FoldDense(
            num_folds,
            config["units"],
            activation,
            config["use_bias"],
            units_first=is_first and units_first(config["units"]),
        )
    elif kind == "Dropout":
        made = FoldDropout(num_folds)
    elif kind == "Embedding":
        made = FoldEmbedding(num_folds, config["input_dim"], config["output_dim"])
    elif kind == "LayerNormalization":
        names = ("epsilon", "center", "scale")
        made = FoldLayerNormalization(num_folds, **{name: config[name] for name in names})
    elif kind in ("BatchNormalization", "Normalization"):
        made = FoldMoments(num_folds, config.get("epsilon"))
    else:
        inner = None if without_activation else type(layer).from_config(config)
        made = EachRow(num_folds, inner)
    made.trainable = layer.trainable and not isinstance(made, FoldMoments)
    return made


def take_weights(target: keras.layers.Layer, sources: Sequence[keras.layers.Layer]) -> None:
    """Give a layer of all folds the weights of stock layers, one a fold."""
    if isinstance(target, FoldDropout):
        target.rate.assign(sources[0].rate)
        return
    if isinstance(target, FoldDense):
        target.take(sources)
        return
    if isinstance(target, FoldMoments):
        _take_moments(target, sources)
        return
    weights = (source.weights for source in sources)
    for variable, *parts in zip(target.weights, *weights, strict=True):
        _assign(variable, [part.value for part in parts])


def _take_moments(target: FoldMoments, sources: Sequence[keras.layers.Layer]) -> None:
    is_adapted = type(sources[0]).__name__ == "Normalization"
    names = {"mean": "mean", "variance": "variance"}
    if not is_adapted:
        names = {"mean": "moving_mean", "variance": "moving_variance"}
        # Without scale or center, Keras's layer has None there.
        names |= {name: name for name in ("gamma", "beta") if getattr(sources[0], name) is not None}
    for name, stock_name in names.items():
        variable = getattr(target, name)
        values = (ops.convert_to_tensor(getattr(source, stock_name)) for source in sources)
        # One mean may serve all units.
        shape = (1, *variable.shape[2:])
        _assign(variable, [ops.broadcast_to(ops.cast(value, "float32"), shape) for value in values])


def _assign(variable: keras.Variable, values: Sequence[Any]) -> None:
    variable.assign(ops.reshape(ops.stack(list(values)), variable.shape))


def _broadcast(num_folds: int, input_shape: tuple[int | None, ...]) -> tuple[Any, ...]:
    return (num_folds, *(1 for _ in input_shape[1:-1]), input_shape[-1])


def _merged(values: Any) -> Any:
    return ops.reshape(values, (-1, *values.shape[2:]))


def _apart(values: Any, num_folds: int) -> Any:
    return ops.reshape(values, (num_folds, -1, *values.shape[1:]))
