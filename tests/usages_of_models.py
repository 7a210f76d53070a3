"""Kinds of models and oracles of KerasTuner's users, and what is refused."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from usages import LOSS, X, Y, compiled, dense, refused, tune, works

# Kinds of models.


@works("Unnamed AUC metrics")
def _(folder: Path) -> None:
    tuner = tune(
        folder,
        lambda hp: dense(hp, metrics=[keras.metrics.AUC(), keras.metrics.AUC(curve="PR")]),
        objective=keras_tuner.Objective("val_auc", "max"),
    )
    assert {"auc", "auc_1"} <= set(tuner.history()["metric"])


@works("A metric with a value for each class")
def _(folder: Path) -> None:
    tune(folder, lambda hp: dense(hp, metrics=[keras.metrics.F1Score(average=None)]))


@works("BatchNormalization in training")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        layers = [
            keras.Input((4,)),
            keras.layers.Dense(hp.Int("units", 2, 4)),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2, activation="sigmoid"),
        ]
        return compiled(keras.Sequential(layers))

    tune(folder, build)


@works("Convolutions on images")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        layers = [
            keras.Input((2, 2, 1)),
            keras.layers.Conv2D(hp.Int("filters", 2, 4), 2, padding="same"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="sigmoid"),
        ]
        return compiled(keras.Sequential(layers))

    tune(folder, build, X.reshape(-1, 2, 2, 1))


@works("A recurrent model")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        layers = [
            keras.Input((2, 2)),
            keras.layers.LSTM(hp.Int("units", 2, 4)),
            keras.layers.Dense(2, activation="sigmoid"),
        ]
        return compiled(keras.Sequential(layers))

    tune(folder, build, X.reshape(-1, 2, 2), trials=1)


@works("Embedding of integers")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        layers = [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(3, hp.Int("size", 2, 4)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="sigmoid"),
        ]
        return compiled(keras.Sequential(layers))

    tune(folder, build, (X > 0).astype("int32"))


@works("A layer of one's own")
def _(folder: Path) -> None:
    class Scale(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

    def build(hp: Any) -> keras.Model:
        layers = [keras.Input((4,)), Scale(), keras.layers.Dense(2, activation="sigmoid")]
        hp.Choice("unused", [1, 2])
        return compiled(keras.Sequential(layers))

    tune(folder, build)


@works("A learning-rate schedule")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        rate = keras.optimizers.schedules.ExponentialDecay(hp.Float("rate", 0.01, 0.1), 2, 0.9)
        return dense(hp, optimizer=keras.optimizers.Adam(rate))

    tune(folder, build)


@works("steps_per_execution")
def _(folder: Path) -> None:
    tune(folder, lambda hp: dense(hp, run_eagerly=False, steps_per_execution=2), trials=1)


@works("epochs and batch_size as hyperparameters")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        hp.Choice("batch_size", [8, 16])
        hp.Int("epochs", 1, 2)
        return dense(hp)

    assert len(set(tune(folder, build, trials=4).history()["epoch"])) == 2


# Oracles.


@works("keras_tuner.oracles.RandomSearchOracle")
def _(folder: Path) -> None:
    tune(folder, dense, oracle=keras_tuner.oracles.RandomSearchOracle(LOSS, max_trials=2, seed=1))


@works("keras_tuner.oracles.GridSearchOracle")
def _(folder: Path) -> None:
    tune(folder, dense, oracle=keras_tuner.oracles.GridSearchOracle(LOSS, max_trials=2))


@works("keras_tuner.oracles.BayesianOptimizationOracle")
def _(folder: Path) -> None:
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(
        LOSS, max_trials=4, num_initial_points=2, seed=1
    )
    tune(folder, dense, oracle=oracle)


@refused("keras_tuner.oracles.HyperbandOracle", "Hyperband.*stop_hopeless")
def _(folder: Path) -> None:
    tune(folder, dense, oracle=keras_tuner.oracles.HyperbandOracle(LOSS, max_epochs=3))


@refused("validation_data=", "validation_data.*fold")
def _(folder: Path) -> None:
    tune(folder, dense, validation_data=(X, Y))


@refused("validation_split=", "validation_split.*cv")
def _(folder: Path) -> None:
    tune(folder, dense, validation_split=0.2)


@refused("executions_per_trial=", "executions_per_trial.*RepeatedKFold")
def _(folder: Path) -> None:
    tune(folder, dense, made={"executions_per_trial": 2})


@refused("distribution_strategy=", "distribution_strategy")
def _(folder: Path) -> None:
    tune(folder, dense, made={"distribution_strategy": object()})


@refused("scikit-learn models (keras_tuner.SklearnTuner)", "LogisticRegression.*keras.Model")
def _(folder: Path) -> None:
    tune(folder, lambda hp: LogisticRegression(C=hp.Float("C", 0.1, 1.0)))


@refused("Sparse matrices", "sparse.*toarray")
def _(folder: Path) -> None:
    tune(folder, dense, sparse.csr_matrix(X))


@refused("A dataset without an end", "infinite.*repeat")
def _(folder: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    tune(folder, dense, tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).repeat(), None)
