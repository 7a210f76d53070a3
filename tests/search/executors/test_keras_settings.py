"""Settings of Keras that a script makes hold in workers, which do not run the script."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rust_tuner.search.executors.keras_settings import KerasSettings
from rust_tuner.search.executors.shipping import packed, unpacked


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before, registered = KerasSettings.here(), dict(keras.saving.get_custom_objects())
    yield
    before.apply()
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(registered)


def test_settings_arrive(tmp_path: Path) -> None:
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(1e-4)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    data = packed(KerasSettings.here(), tmp_path)
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    unpacked(data, tmp_path).apply()
    assert keras.config.floatx() == "float16"
    assert keras.config.epsilon() == 1e-4
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


SCRIPT = """
import numpy as np

from rust_tuner import CrossValidationTuner, RandomSearchOracle
import keras

keras.config.set_dtype_policy("mixed_bfloat16")
keras.config.set_epsilon(1e-2)


@keras.saving.register_keras_serializable(package="mine")
class Bent(keras.layers.Layer):
    def call(self, values):
        return keras.ops.tanh(values) * values


def build(hp):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(hp.Int("units", 4, 8)),
            # As Keras makes a layer anew, such as in a copy of a model.
            keras.layers.deserialize(keras.layers.serialize(Bent())),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


rng = np.random.default_rng(0)
x = rng.normal(size=(48, 4)).astype("float32")
y = (x[:, 0] > 0).astype("float32")
tables = []
for workers in (1, 2):
    tuner = CrossValidationTuner(
        build,
        RandomSearchOracle("val_loss", max_trials=2, seed=1),
        cv=2,
        directory=folder,
        project_name=f"in_{workers}",
    )
    tuner.search(x, y, epochs=1, batch_size=16, workers=workers, verbose=0)
    tables.append(tuner.results()[["status", "score"]])
"""


@pytest.mark.slow
def test_a_script_that_sets_keras_has_the_scores_of_one_process(tmp_path: Path) -> None:
    # The workers are other processes: they run nothing of the script but what is sent to them.
    script: dict[str, Any] = {"__name__": "__main__", "folder": tmp_path}
    exec(compile(SCRIPT, "script", "exec"), script)
    alone, in_workers = script["tables"]
    np.testing.assert_allclose(alone["score"], in_workers["score"], rtol=1e-5)
    assert set(in_workers["status"]) == {"COMPLETED"}
