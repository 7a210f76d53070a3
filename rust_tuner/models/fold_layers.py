"""Keras layers with a leading fold axis: F independent copies of a layer.

Activations are (F, rows, units); each fold has its own weights, statistics and dropout seed.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from rust_tuner.models.runtime import onednn_enabled, uses_gpu
from rust_tuner.onednn import can_switch_onednn

# In units; narrower kernels gain nothing.
_WIDE = 512
# Rows of each fold in a step, and inputs of a layer.
_FEW_ROWS, _MANY_INPUTS = 64, 2048


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
        self,
        num_folds: int,
        units: int,
        activation: Any,
        use_bias: bool,
        *,
        units_first: bool = False,
        **kwargs: Any,
    ) -> None:
        """Take the options of a dense layer, for all folds.

        Args:
            num_folds: F.
            units: of each fold's layer.
            activation: of its outputs.
            use_bias: whether it adds a bias.
            units_first: whether the kernel is stored as (F, units, in); see `units_first`.
            **kwargs: of any layer.
        """
        super().__init__(**kwargs)
        self.num_folds = num_folds
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.units_first = units_first

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create kernel (F, in, units), or (F, units, in), and bias (F, 1, units)."""
        folds, units = self.num_folds, self.units
        sides = (units, input_shape[-1]) if self.units_first else (input_shape[-1], units)
        self.kernel = self.add_weight(shape=(folds, *sides), initializer="zeros", name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(folds, 1, units), initializer="zeros", name="bias")

    def take(self, layers: Sequence[keras.layers.Dense]) -> None:
        """Take the weights of one dense layer a fold."""
        kernels = ops.stack([layer.kernel.value for layer in layers])
        self.kernel.assign(ops.transpose(kernels, (0, 2, 1)) if self.units_first else kernels)
        if self.use_bias:
            biases = ops.stack([layer.bias.value for layer in layers])
            self.bias.assign(ops.expand_dims(biases, 1))

    def call(self, inputs: Any) -> Any:
        """Multiply each fold's rows with its own kernel."""
        places = inputs.shape[2:-1]
        rows = ops.reshape(inputs, (self.num_folds, -1, inputs.shape[-1])) if places else inputs
        outputs = self._product(rows)
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        if places:
            outputs = ops.reshape(outputs, (self.num_folds, -1, *places, self.units))
        return self.activation(outputs)

    def _product(self, rows: Any) -> Any:
        if not self.units_first:
            return ops.matmul(rows, self.kernel)
        import tensorflow as tf

        # Keras's operation would transpose in memory; it converts integers, TensorFlow's does not.
        # Keras's conversion returns the variable, which `tf.custom_gradient` does not take.
        kernel = tf.convert_to_tensor(ops.convert_to_tensor(self.kernel))
        rows = ops.cast(rows, kernel.dtype)
        if kernel.shape[-1] < _MANY_INPUTS:
            return tf.matmul(rows, kernel, transpose_b=True)
        return _product_with_units_first(rows, kernel)


def _product_with_units_first(rows: Any, kernel: Any) -> Any:
    """Rows (F, n, in) times kernels (F, units, in), on TensorFlow: (F, n, units).

    oneDNN reorders its right factor before it multiplies. So few rows stand on the right, since
    they are smaller than the kernel: for 6 folds of 16 rows, 2048 features and 1024 units this
    takes 3.9 instead of 4.9 ms of processor time with AVX-512, and 5.9 instead of 7.8 with AVX2.
    With 128 rows both ways take as long, and with fewer inputs nothing is gained. The gradients are
    the same in both.
    """
    import tensorflow as tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def product(rows: Any, kernel: Any) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
        outputs = tf.cond(
            tf.shape(rows)[1] <= _FEW_ROWS,
            lambda: tf.transpose(tf.matmul(kernel, rows, transpose_b=True), (0, 2, 1)),
            lambda: tf.matmul(rows, kernel, transpose_b=True),
        )

        def gradients(of_outputs: Any) -> tuple[Any, Any]:
            return tf.matmul(of_outputs, kernel), tf.matmul(of_outputs, rows, transpose_a=True)

        return outputs, gradients

    return product(rows, kernel)


def units_first(units: int) -> bool:
    """Whether the kernel of a first layer is stored with its units first.

    oneDNN's product with a kernel of many columns takes two to five times as long as one with the
    kernel transposed: for 6 folds of 128 rows, 2048 features and 1024 units 67 against 30 ms of
    processor time with AVX-512, and 73 against 39 ms with AVX2. Of later layers the gradient of the
    inputs would lose what the product wins; TensorFlow's own kernels lose from it. It was not
    measured on GPUs, nor on processors that are not x86.

    Args:
        units: of each fold's layer.
    """
    return (
        units >= _WIDE
        and keras.config.floatx() == "float32"
        and bool(onednn_enabled())
        and can_switch_onednn()
        and not uses_gpu()
    )


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
        shape = ops.shape(inputs)[1:]
        # Compare before stacking: a mask takes a quarter of the bytes of its draws.
        keep = ops.stack([self._kept(shape, inputs.dtype, one) for one in self.generators])
        scaled = inputs * ops.cast(1.0 / (1.0 - self.rate), inputs.dtype)
        return ops.where(keep, scaled, ops.zeros((), inputs.dtype))

    def _kept(self, shape: Any, dtype: str, generator: keras.random.SeedGenerator) -> Any:
        """Which units of a fold stay, as Keras's layer on the same backend draws them."""
        if keras.backend.backend() == "jax":
            return keras.random.uniform(shape, dtype="float32", seed=generator) < 1.0 - self.rate
        draws = keras.random.uniform(shape, dtype=dtype, seed=generator)
        return draws >= ops.cast(self.rate, dtype)
