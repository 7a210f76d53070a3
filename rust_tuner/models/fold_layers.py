"""Keras layers with a leading fold axis: F independent copies of a layer.

Activations are (F, rows, units); each fold has its own weights, statistics and dropout seed.
"""

from typing import Any

import keras
from keras import ops


class GatherRows(keras.layers.Layer):  # type: ignore[misc]
    """Looks rows up in a table: (rows, F) int32 to (F, rows, columns)."""

    def __init__(self, table: keras.Variable, **kwargs: Any) -> None:
        """Look up in `table`, a variable (n, columns) that is never trained."""
        super().__init__(**kwargs)
        self.table = table

    def call(self, rows: Any) -> Any:
        """Gather without a gradient to the table."""
        return ops.take(self.table, ops.transpose(rows), axis=0)


class FoldDense(keras.layers.Layer):  # type: ignore[misc]
    """F dense layers: (F, rows, in) to (F, rows, units)."""

    def __init__(
        self, num_folds: int, units: int, activation: Any, use_bias: bool, **kwargs: Any
    ) -> None:
        """Take the options of a dense layer, for all folds."""
        super().__init__(**kwargs)
        self.num_folds = num_folds
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel (F, in, units) and bias (F, 1, units)."""
        folds, units = self.num_folds, self.units
        self.kernel = self.add_weight(
            shape=(folds, input_shape[-1], units), initializer="zeros", name="kernel"
        )
        if self.use_bias:
            self.bias = self.add_weight(shape=(folds, 1, units), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Multiply each fold's rows with its own kernel."""
        outputs = ops.matmul(inputs, self.kernel)
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)


class FoldDropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout with one seed per fold, and a rate that can be changed without a new graph."""

    def __init__(self, num_folds: int, **kwargs: Any) -> None:
        """Create one generator per fold; `reseed` sets their seeds."""
        super().__init__(**kwargs)
        self.num_folds = num_folds
        self.generators = [keras.random.SeedGenerator(fold) for fold in range(num_folds)]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the rate."""
        # In float32; it is cast only for the comparison with the draws, as in Keras's layer.
        self.rate = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            dtype="float32",
            autocast=False,
            name="rate",
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop units of each fold by its own mask and scale the rest up."""
        if not training:
            return inputs
        shape, rate = ops.shape(inputs)[1:], ops.cast(self.rate, inputs.dtype)
        # Compare before stacking: a mask takes a quarter of the bytes of its draws.
        keep = ops.stack(
            [
                keras.random.uniform(shape, dtype=inputs.dtype, seed=generator) >= rate
                for generator in self.generators
            ]
        )
        scaled = inputs * ops.cast(1.0 / (1.0 - self.rate), inputs.dtype)
        return ops.where(keep, scaled, ops.zeros((), inputs.dtype))


class FoldBatchNormalization(keras.layers.Layer):  # type: ignore[misc]
    """Batch normalisation with statistics of each fold's own rows; padding does not count."""

    def __init__(self, num_folds: int, config: dict[str, Any], **kwargs: Any) -> None:
        """Take momentum, epsilon, center and scale of a `BatchNormalization` configuration."""
        super().__init__(**kwargs)
        self.num_folds = num_folds
        self.momentum = config["momentum"]
        self.epsilon = config["epsilon"]
        self.center = config["center"]
        self.scale = config["scale"]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create gamma, beta and the moving statistics, each (F, 1, units)."""
        shape = (self.num_folds, 1, input_shape[0][-1])  # type: ignore[index]

        def weight(name: str, trainable: bool) -> Any:
            # Statistics of low precision would drift, so this layer works in float32 throughout.
            return self.add_weight(
                shape=shape, initializer="zeros", trainable=trainable, autocast=False, name=name
            )

        if self.scale:
            self.gamma = weight("gamma", True)
        if self.center:
            self.beta = weight("beta", True)
        self.moving_mean = weight("moving_mean", False)
        self.moving_variance = weight("moving_variance", False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Normalise (F, rows, units) given the rows that count, (rows, F) zeros and ones."""
        values, counted = (ops.cast(part, "float32") for part in inputs)
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            share = ops.expand_dims(ops.transpose(counted), -1)
            share = share / ops.sum(share, axis=1, keepdims=True)
            mean = ops.sum(values * share, axis=1, keepdims=True)
            variance = ops.sum(ops.square(values - mean) * share, axis=1, keepdims=True)
            for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + current * (1 - self.momentum))
        outputs = (values - mean) * ops.rsqrt(variance + self.epsilon)
        if self.scale:
            outputs = outputs * self.gamma
        if self.center:
            outputs = outputs + self.beta
        return ops.cast(outputs, self.compute_dtype)
