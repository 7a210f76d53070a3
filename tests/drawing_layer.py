"""A search of a model whose layer draws without TensorFlow's global seed."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
from search_problems import TinyHyperModel, run_search

from rust_tuner import CrossValidationTuner


@keras.saving.register_keras_serializable("tests")
class Drawing(keras.layers.Layer):  # type: ignore[misc]
    """Adds what it draws in training, and goes on drawing in each call."""

    def call(self, values: Any, training: bool = False) -> Any:
        import tensorflow as tf

        drawn = tf.raw_ops.RandomStandardNormal(
            shape=tf.shape(values), dtype=tf.float32, seed=3, seed2=4
        )
        # In evaluation, too, but without an effect.
        return values + drawn * (1.0 if training else 0.0)


class DrawingHyperModel(TinyHyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        drawing = keras.Sequential([keras.Input((4,)), Drawing(), *model.layers])
        drawing.compile(self.make_optimizer(), "binary_crossentropy", run_eagerly=True)
        return drawing


def search_with_drawing_layer(directory: Path) -> CrossValidationTuner:
    """One trial of two folds; also in a process that imports this module alone."""
    hypermodel = DrawingHyperModel()
    return run_search(directory, "grid", hypermodel=hypermodel, max_trials=1, epochs=1)
