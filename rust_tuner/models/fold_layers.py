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
    """F dense layers: (F, rows, ..., in) to (F, rows, ..., units)."""

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
        places = inputs.shape[2:-1]
        rows = ops.reshape(inputs, (self.num_folds, -1, inputs.shape[-1])) if places else inputs
        outputs = ops.matmul(rows, self.kernel)
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        if places:
            outputs = ops.reshape(outputs, (self.num_folds, -1, *places, self.units))
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
