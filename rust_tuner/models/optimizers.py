"""Adam whose epsilon may change without a new graph, fused where the backend has such a kernel.

With small batches, most of a training step is spent on reading and writing Adam's state, and
Keras's own update goes through it several times on TensorFlow. The results are the same.
"""

from typing import Any

import keras


def fused(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """A fresh optimiser of the same configuration, with a fused update where there is one.

    TensorFlow has the kernel (`ResourceApplyAdam`), for plain Adam without AMSGrad; XLA, which JAX
    compiles with, fuses Keras's own.
    """
    kind = type(optimizer)
    if takes_any_epsilon(optimizer):
        kind = FusedAdam if keras.backend.backend() == "tensorflow" else AnyEpsilonAdam
    return kind.from_config(optimizer.get_config())


def takes_any_epsilon(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether `fused` makes epsilon a variable for this optimizer."""
    return type(optimizer) is keras.optimizers.Adam and not optimizer.amsgrad


class AnyEpsilonAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam with its epsilon as a variable."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of `keras.optimizers.Adam`."""
        super().__init__(*args, **kwargs)
        self.epsilon_value = keras.Variable(self.epsilon, dtype="float32", trainable=False)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable, as Keras does."""
        number: float = self.epsilon
        self.epsilon: Any = keras.ops.cast(self.epsilon_value.value, variable.dtype)
        try:
            super().update_step(gradient, variable, learning_rate)
        finally:
            self.epsilon = number


class FusedAdam(AnyEpsilonAdam):
    """Adam with TensorFlow's fused update."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable with its two moments in one pass."""
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices):
            gradient = tf.convert_to_tensor(gradient)
        # Keras passes TensorFlow's variable; a direct caller may pass the Keras variable around it.
        tensor = variable.value if isinstance(variable, keras.Variable) else variable
        dtype = tensor.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=tensor.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon_value.value, dtype),
            grad=tf.cast(gradient, dtype),
        )
