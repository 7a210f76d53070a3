"""Keras imported for a command alone: its optional packages stay away, and only from Keras."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from rust_tuner.cli.lean_keras import lean_keras
with lean_keras():
    import keras
    print(sorted({"matplotlib", "sklearn"} & set(sys.modules)))
    import matplotlib
import sklearn.metrics
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.save(sys.argv[1])
print(keras.models.load_model(sys.argv[1], compile=False).output_shape)
"""


@pytest.mark.slow
def test_keras_is_whole_without_its_optional_packages_which_everyone_else_finds(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "(None, 1)"]
