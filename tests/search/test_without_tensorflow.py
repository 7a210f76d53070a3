"""On Keras's JAX backend a search needs no TensorFlow, whether folds train together or not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SEARCHES = """
import sys

sys.modules["tensorflow"] = None  # As if it were not installed.
import keras
import keras_tuner
import numpy as np

from rust_tuner import CrossValidationTuner, RandomSearchOracle

x = np.random.default_rng(0).normal(size=(60, 5)).astype("float32")
y = (x[:, 0] > 0).astype("float32")


class Head(keras_tuner.HyperModel):
    def __init__(self, middle):
        super().__init__()
        self.middle = middle

    def build(self, hp):
        units = hp.Int("units", 4, 8)
        layers = [keras.layers.Dense(units), self.middle(), keras.layers.Dropout(0.2)]
        last = keras.layers.Dense(1, activation="sigmoid")
        model = keras.Sequential([keras.Input((5,)), *layers, last])
        model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
        return model


# A BatchNormalization keeps folds from training together.
for middle in (keras.layers.ReLU, keras.layers.BatchNormalization):
    tuner = CrossValidationTuner(
        Head(middle),
        RandomSearchOracle(keras_tuner.Objective("val_accuracy", "max"), 2, seed=0),
        directory=sys.argv[1],
        project_name=middle.__name__,
        cv=2,
    )
    tuner.search(x, y, epochs=6, batch_size=16, verbose=0)
    assert len(tuner.results()) == 2
    assert tuner.results()["val_accuracy"].max() > 0.7
    answers = tuner.refit().predict(x, verbose=0).ravel()
    assert ((answers > 0.5) == y).mean() > 0.7
print("searched")
"""


@pytest.mark.slow
def test_a_search_on_jax_needs_no_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    run = subprocess.run(
        [sys.executable, "-c", SEARCHES, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("searched\n")
