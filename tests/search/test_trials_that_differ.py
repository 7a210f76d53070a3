"""Trials whose models differ where it is easily overlooked are trained as each would be alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.errors import ResumeError
from rust_tuner.models.code_identity import own_code

Build = Callable[[keras_tuner.HyperParameters], keras.Model]


class Nothing(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback of the user's: with it each fold has a compiled model of its own."""


def tuned(folder: Path, build: Build, *callbacks: keras.callbacks.Callback) -> CrossValidationTuner:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 4)).astype(np.float32)
    y = (x[:, 0] + 0.1 * generator.normal(size=40)).astype(np.float32)
    oracle = GridSearchOracle(keras_tuner.Objective("val_loss", "min"), seed=0)
    tuner = CrossValidationTuner(build, oracle, cv=2, directory=folder, project_name="search")
    tuner.search(x, y, epochs=2, callbacks=list(callbacks) or None, verbose=0)
    return tuner


def compiled(*layers: keras.Layer) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


def named_by_rate(hp: keras_tuner.HyperParameters) -> keras.Model:
    rate = hp.Choice("rate", [0.1, 0.3, 0.5])
    dropout = keras.layers.Dropout(rate, name=f"drop_{int(100 * rate)}")
    return compiled(keras.layers.Dense(8, "relu"), dropout)


def with_names_swapped(hp: keras_tuner.HyperParameters) -> keras.Model:
    return compiled(*(keras.layers.Dense(4, "relu", name=n) for n in hp.Choice("n", ["ab", "ba"])))


def with_branches_swapped(hp: keras_tuner.HyperParameters) -> keras.Model:
    inputs = keras.Input((4,))
    branches = [keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.5)]
    if hp.Boolean("swapped"):
        branches.reverse()
    made = {type(layer).__name__: layer(inputs) for layer in branches}
    joined = keras.layers.Concatenate()([made["Dense"], made["Dropout"]])
    model = keras.Model(inputs, keras.layers.Dense(1)(joined))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


def with_a_function(power: float = 1.0) -> Build:
    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        scale = hp.Choice("scale", [0.0, 1.0])
        inputs = keras.Input((4,))
        scaled = keras.ops.vectorized_map(lambda row: scale * row**power, inputs)
        model = keras.Model(inputs, keras.layers.Dense(1)(scaled))
        model.compile(keras.optimizers.Adam(0.05), "mse")
        return model

    return build


def without_configuration(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Keras cannot give the configuration of this layer with a regularizer."""
    penalty = keras.regularizers.L2(hp.Choice("penalty", [0.0, 10.0]))
    return compiled(keras.layers.Dense(8), keras.layers.ELU(activity_regularizer=penalty))


@pytest.mark.slow
def test_trials_train_whatever_their_layers_are_called(tmp_path: Path) -> None:
    results = tuned(tmp_path, named_by_rate).results()
    assert results["status"].tolist() == ["COMPLETED"] * 3, results["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        named_by_rate,
        with_names_swapped,
        with_branches_swapped,
        pytest.param(with_a_function(), id="with_a_function"),
        without_configuration,
    ],
)
def test_each_trial_has_the_scores_that_it_has_alone(build: Build, tmp_path: Path) -> None:
    columns = ["status", "score"]
    alone = tuned(tmp_path / "alone", build, Nothing()).results()
    assert set(alone["status"]) == {"COMPLETED"}
    assert alone["score"].nunique() == len(alone) > 1
    for callbacks in ((), (keras.callbacks.TerminateOnNaN(),)):
        shared = tuned(tmp_path / str(len(callbacks)), build, *callbacks).results()
        assert shared["status"].tolist() == alone["status"].tolist(), shared[columns]
        np.testing.assert_allclose(shared["score"], alone["score"], rtol=1e-5)


@pytest.mark.slow
def test_another_function_of_an_operation_is_another_search(tmp_path: Path) -> None:
    tuned(tmp_path, with_a_function())
    tuned(tmp_path, with_a_function())
    with pytest.raises(ResumeError, match=r"other code; .*\n.*code\.with_a_function.*<lambda>"):
        tuned(tmp_path, with_a_function(2.0))


def test_a_function_or_object_that_an_operation_is_called_with_counts() -> None:
    class Doubling:
        def __call__(self, row: Any) -> Any:
            return 2 * row

    def code(function: Callable[..., Any]) -> dict[str, str]:
        inputs = keras.Input((4,))
        return own_code(keras.Model(inputs, keras.ops.map(function, inputs)))

    assert code(keras.ops.square) == {}
    assert len(code(Doubling())) == 1
    assert code(lambda row: 2 * row) != code(lambda row: 3 * row)
