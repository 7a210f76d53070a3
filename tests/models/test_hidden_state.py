"""State that Keras does not list: nobody shares, stores or forgets it unnoticed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.models.compiled_once import shared_key
from rust_tuner.models.fold_batches import TrainingData, ValidationSide
from rust_tuner.models.fold_state import shows_its_state
from rust_tuner.models.hidden_state import (
    changed_by_predicting,
    hidden_variables,
    is_stateful,
    state_kept,
)

# Two folds without a common row.
FOLDS = [(np.arange(30), np.arange(30, 40)), (np.arange(40, 70), np.arange(70, 80))]
Build = Callable[[keras_tuner.HyperParameters], keras.Model]


def data() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6, 1)).astype(np.float32)
    return x, (x.sum(axis=(1, 2)) + rng.normal(size=80)).astype(np.float32)


def curves(folder: Path, build: Build, x: Any, *, trials: int = 1) -> list[float]:
    """The validation losses of each trial, fold and epoch."""
    oracle = GridSearchOracle(keras_tuner.Objective("val_loss", "min"), max_trials=trials)
    tuner = CrossValidationTuner(
        build, oracle, cv=FOLDS, seed=3, directory=folder, project_name="search"
    )
    tuner.search(x, data()[1], epochs=2, batch_size=10, verbose=0)
    history = tuner.history().query("split == 'validation' and metric == 'loss'")
    return [float(v) for v in history.sort_values(["trial", "fold", "epoch"])["value"]]


def compiled(*layers: keras.layers.Layer, loss: Any = "mse") -> keras.Model:
    model = keras.Sequential([keras.Input(batch_shape=(10, 6, 1)), *layers])
    model.compile(keras.optimizers.Adam(0.05), loss)
    return model


def recurrent(hp: keras_tuner.HyperParameters) -> keras.Model:
    hp.Choice("units", [1, 2, 3])
    return compiled(keras.layers.LSTM(8, stateful=True), keras.layers.Dense(1))


class Counting(keras.layers.Layer):  # type: ignore[misc]
    """Counts its calls, also those that predict, in a weight that Keras lists."""

    def build(self, shape: Any) -> None:
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        self.calls.assign(self.calls + 1)
        return inputs


class Noisy(keras.layers.Layer):  # type: ignore[misc]
    """Noise from Keras's global generator, as in many examples of Keras."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        return inputs + 0.3 * keras.random.normal(keras.ops.shape(inputs))


class Scaled(keras.losses.Loss):  # type: ignore[misc]
    """Keeps a scale in a variable that no model lists."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = keras.Variable(1.0, trainable=False)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.square(y_true - y_pred) * self.scale


@pytest.mark.slow
def test_a_fold_of_a_stateful_layer_does_not_depend_on_the_fold_before(tmp_path: Path) -> None:
    x = data()[0]
    other = x.copy()
    other[:40] *= -3
    one, two = (
        curves(tmp_path / name, recurrent, values) for name, values in (("a", x), ("b", other))
    )
    assert one[:2] != two[:2]
    assert one[2:] == two[2:]


WEIGHT = keras.Variable(0.0, trainable=False)
SCALED = Scaled()


def annealed(y_true: Any, y_pred: Any) -> Any:
    """A loss whose weight a callback raises, as that of a variational autoencoder."""
    return keras.losses.mean_squared_error(y_true, y_pred) * (1 + WEIGHT)


class Annealing(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        WEIGHT.assign(WEIGHT + 0.5)
        SCALED.scale.assign(SCALED.scale * 2)


@pytest.mark.parametrize(
    ("loss", "variable"),
    [(annealed, WEIGHT), (SCALED, SCALED.scale)],
    ids=["global name", "object"],
)
def test_each_fold_begins_with_what_variables_outside_the_model_had(
    tmp_path: Path, loss: Any, variable: keras.Variable
) -> None:
    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        hp.Choice("units", [1, 2, 3])
        return compiled(keras.layers.Flatten(), keras.layers.Dense(1), loss=loss)

    x, start = data()[0], float(variable.numpy())
    folds = []
    for name, cv in (("both", FOLDS), ("second", FOLDS[1:] * 2)):
        tuner = CrossValidationTuner(
            build,
            GridSearchOracle(keras_tuner.Objective("val_loss", "min"), max_trials=1),
            cv=cv,
            directory=tmp_path / name,
        )
        tuner.search(x, data()[1], epochs=2, batch_size=10, verbose=0, callbacks=[Annealing()])
        assert float(variable.numpy()) == start
        history = tuner.history().query("split == 'validation' and fold == 1")
        folds.append(list(history["value"]))
    assert folds[0] == folds[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        recurrent,
        lambda hp: (
            hp.Choice("units", [1, 2, 3]),
            compiled(Noisy(), keras.layers.Flatten(), keras.layers.Dense(1)),
        )[1],
    ],
    ids=["stateful", "random without a seed"],
)
def test_a_resumed_search_ends_as_a_whole_one(tmp_path: Path, build: Build) -> None:
    if keras.backend.backend() == "jax" and build is not recurrent:
        pytest.skip("Keras refuses random numbers without a seed there")
    x = data()[0]
    whole = curves(tmp_path / "whole", build, x, trials=2)
    keras.random.normal((3,))
    first = curves(tmp_path / "parts", build, x)
    assert first == whole[:4]
    assert curves(tmp_path / "parts", build, x, trials=2) == whole


def test_what_keras_does_not_list_is_found() -> None:
    model = compiled(keras.layers.LSTM(8, stateful=True), keras.layers.Dense(1))
    assert is_stateful(model)
    assert shared_key(model) is None
    assert not shows_its_state(model)
    model = compiled(keras.layers.Flatten(), keras.layers.Dense(1), loss=Scaled())
    (scale,) = hidden_variables(model)
    assert scale is model.loss.scale
    assert not shows_its_state(model)


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Flatten, lambda: keras.layers.Dense(1)],
        [keras.layers.Flatten, keras.layers.BatchNormalization, lambda: keras.layers.Dense(1)],
        [keras.layers.Flatten, lambda: keras.layers.Dropout(0.5), lambda: keras.layers.Dense(1)],
        [lambda: keras.layers.LSTM(4, recurrent_dropout=0.5), lambda: keras.layers.Dense(1)],
        [lambda: keras.layers.Bidirectional(keras.layers.GRU(4)), lambda: keras.layers.Dense(1)],
        [lambda: keras.layers.Conv1D(4, 3), keras.layers.Flatten, lambda: keras.layers.Dense(1)],
        [
            lambda: keras.layers.SpectralNormalization(keras.layers.Dense(4)),
            keras.layers.Flatten,
            lambda: keras.layers.Dense(1),
        ],
    ],
)
@pytest.mark.parametrize("trained", [False, True])
def test_usual_models_hide_nothing(layers: list[Any], trained: bool) -> None:
    model = compiled(*(make() for make in layers))
    model.compile(keras.optimizers.AdamW(use_ema=True), "mse", metrics=["mae"])
    if trained:
        model.fit(np.zeros((10, 6, 1)), np.zeros((10, 1)), batch_size=10, verbose=0)
    assert hidden_variables(model) == []
    assert not is_stateful(model)
    assert shows_its_state(model)


REGISTRY: dict[str, Any] = {"scale": [keras.Variable(2.0)], "rows": [0.5] * 100_000}
REGISTRY["itself"] = REGISTRY


def registered(y_true: Any, y_pred: Any) -> Any:
    return keras.losses.mean_squared_error(y_true, y_pred) * REGISTRY["scale"][0]


def test_variables_in_containers_are_found_and_data_and_circles_are_passed_over() -> None:
    model = compiled(keras.layers.Flatten(), keras.layers.Dense(1), loss=registered)
    assert [id(v) for v in hidden_variables(model)] == [id(REGISTRY["scale"][0])]


class Moving(keras.layers.Layer):  # type: ignore[misc]
    """Keeps a variable of TensorFlow's own, as older code does."""

    def __init__(self) -> None:
        super().__init__()
        import tensorflow as tf

        self.mean = tf.Variable(0.0, trainable=False)

    def call(self, inputs: Any) -> Any:
        return inputs - self.mean


def test_a_variable_of_tensorflows_own_is_found() -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("of TensorFlow's own")
    model = compiled(Moving(), keras.layers.Flatten(), keras.layers.Dense(1))
    assert [id(v) for v in hidden_variables(model)] == [id(model.layers[0].mean)]
    assert not shows_its_state(model)


def test_asking_about_the_validation_rows_leaves_a_model_as_it_was() -> None:
    x, y = data()
    model = compiled(Counting(), keras.layers.LSTM(8, stateful=True), keras.layers.Dense(1))
    rows = TrainingData(x, y[:, None], lambda *_: [])
    held = ValidationSide(model, rows, np.arange(40, 60), 10)
    model.fit(x, y, batch_size=10, verbose=0)
    before = [np.asarray(variable) for variable in changed_by_predicting(model)]
    assert len(before) == 3
    held.answers()
    after = [np.asarray(variable) for variable in changed_by_predicting(model)]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_predicting_in_between_changes_nothing() -> None:
    x = data()[0]
    model = compiled(Counting(), keras.layers.LSTM(8, stateful=True), keras.layers.Dense(1))
    model.fit(x, data()[1], batch_size=10, verbose=0)
    counter = model.layers[0].calls
    states = [np.asarray(state) for state in model.layers[1].states]
    calls = float(counter.numpy())
    with state_kept(changed_by_predicting(model)):
        model.predict(x, batch_size=10, verbose=0)
        assert float(counter.numpy()) > calls
    assert float(counter.numpy()) == calls
    for state, before in zip(model.layers[1].states, states, strict=True):
        np.testing.assert_array_equal(np.asarray(state), before)
