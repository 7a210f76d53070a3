"""What KerasTuner's guides and integration tests do, written anew for this tuner.

Each usage is a function; the table of `docs/how-to/from-kerastuner.md` has a row for each, which
says that it works, or why it is refused.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from keras import ops
from scipy import sparse
from search_problems import arrays
from sklearn.linear_model import LogisticRegression

from rust_tuner import CrossValidationTuner, GridSearchOracle, RandomSearchOracle
from rust_tuner.errors import RustTunerError

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-kerastuner.md"
Usage = Callable[[Path], None]
WORKS: dict[str, Usage] = {}
REFUSED: dict[str, tuple[Usage, str]] = {}


def works(name: str) -> Callable[[Usage], Usage]:
    """Enter a usage that works."""

    def enter(usage: Usage) -> Usage:
        WORKS[name] = usage
        return usage

    return enter


def refused(name: str, message: str) -> Callable[[Usage], Usage]:
    """Enter a usage that is refused with a message, a regular expression."""

    def enter(usage: Usage) -> Usage:
        REFUSED[name] = (usage, message)
        return usage

    return enter


X, Y, GROUPS = arrays()
LABELS = Y[:, 0].astype(int)
LOSS = keras_tuner.Objective("val_loss", "min")


def tune(
    folder: Path,
    hypermodel: Any,
    x: Any = X,
    y: Any = Y,
    *,
    objective: Any = LOSS,
    trials: int = 2,
    oracle: Any = None,
    tuner: type[CrossValidationTuner] = CrossValidationTuner,
    made: dict[str, Any] | None = None,
    **options: Any,
) -> CrossValidationTuner:
    """A search of a few trials, two folds and one epoch; every trial must complete."""
    oracle = oracle or RandomSearchOracle(objective, max_trials=trials, seed=1)
    search = tuner(hypermodel, oracle, cv=2, directory=folder, project_name="usage", **(made or {}))
    search.search(x, y, **({"epochs": 1, "batch_size": 24, "verbose": 0} | options))
    results = search.results()
    assert set(results["status"]) == {"COMPLETED"}
    assert np.isfinite(results["score"].astype(float)).all()
    return search


def compiled(model: keras.Model, loss: Any = "binary_crossentropy", **options: Any) -> keras.Model:
    options = {"optimizer": "sgd", "run_eagerly": True} | options
    model.compile(loss=loss, **options)
    return model


def dense(hp: Any, *, units: int = 2, **options: Any) -> keras.Model:
    """The smallest model, with one hyperparameter."""
    return compiled(
        keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(hp.Int("units", 2, 6), activation="relu"),
                keras.layers.Dense(units, activation="sigmoid"),
            ]
        ),
        **options,
    )


# Getting started.


@works("Sequential without Input")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        layers = [
            keras.layers.Flatten(),
            keras.layers.Dense(hp.Choice("units", [2, 4]), activation="relu"),
            keras.layers.Dense(2, activation="sigmoid"),
        ]
        return compiled(keras.Sequential(layers), metrics=["accuracy"])

    tune(folder, build)


@works("Loop of units_{i} and Boolean dropout")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        model = keras.Sequential([keras.layers.Flatten()])
        for i in range(hp.Int("num_layers", 1, 3)):
            units = hp.Int(f"units_{i}", 2, 6, step=2)
            model.add(
                keras.layers.Dense(units, activation=hp.Choice("activation", ["relu", "tanh"]))
            )
        if hp.Boolean("dropout"):
            model.add(keras.layers.Dropout(0.25))
        model.add(keras.layers.Dense(2, activation="sigmoid"))
        rate = hp.Float("lr", 1e-4, 1e-2, sampling="log")
        return compiled(model, optimizer=keras.optimizers.Adam(rate))

    names = tune(folder, build, trials=5).results().columns
    assert {"num_layers", "units_0", "units_1", "dropout", "lr"} <= set(names)


@works("Space and model in separate functions")
def _(folder: Path) -> None:
    def call_existing_code(units: int, dropout: bool) -> keras.Model:
        layers = [keras.layers.Dense(units)] + ([keras.layers.Dropout(0.25)] if dropout else [])
        return compiled(keras.Sequential([*layers, keras.layers.Dense(2, activation="sigmoid")]))

    tune(
        folder,
        lambda hp: call_existing_code(hp.Int("units", 2, 8, step=2), hp.Boolean("dropout")),
    )


@works("Hyperparameters of fit in HyperModel.fit")
def _(folder: Path) -> None:
    class Fitted(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            return dense(hp)

        def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            return model.fit(*args, shuffle=hp.Boolean("shuffle"), **kwargs)

    assert "shuffle" in tune(folder, Fitted()).results()


@works("Preprocessing in HyperModel.fit")
def _(folder: Path) -> None:
    class Normalized(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            return dense(hp)

        def fit(self, hp: Any, model: keras.Model, x: Any, y: Any, **kwargs: Any) -> Any:
            if hp.Boolean("normalize"):
                x = (x - x.mean(axis=0)) / x.std(axis=0)
            return model.fit(x, y, **kwargs)

    tune(folder, Normalized())


@works("A number returned by HyperModel.fit")
def _(folder: Path) -> None:
    class Regressor(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            return dense(hp, units=1, loss="mean_squared_error")

        def fit(
            self, hp: Any, model: keras.Model, x: Any, y: Any, validation_data: Any, **kwargs: Any
        ) -> float:
            model.fit(x, y, **kwargs)
            x_val, y_val = validation_data
            return float(np.mean(np.abs(model.predict(x_val, verbose=0) - y_val)))

    tune(folder, Regressor(), y=Y[:, :1])


@works("Named metrics returned by HyperModel.fit")
def _(folder: Path) -> None:
    class Named(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            return dense(hp, units=1, loss="mean_squared_error")

        def fit(self, hp: Any, model: keras.Model, x: Any, y: Any, **kwargs: Any) -> Any:
            history = model.fit(x, y, **kwargs)
            return {"val_mine": 1.0 + history.history["val_loss"][-1], "val_other": 0.0}

    tune(folder, Named(), y=Y[:, :1], objective=keras_tuner.Objective("val_mine", "min"))


@works("A metric class of one's own as the objective")
def _(folder: Path) -> None:
    class Distance(keras.metrics.Metric):
        def __init__(self, name: str = "distance", **kwargs: Any) -> None:
            super().__init__(name=name, **kwargs)
            self.total = self.add_variable((), "zeros", name="total")
            self.count = self.add_variable((), "zeros", name="count")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            error = ops.abs(ops.cast(y_true, "float32") - y_pred)
            self.total.assign_add(ops.sum(error))
            self.count.assign_add(ops.cast(ops.size(error), "float32"))

        def result(self) -> Any:
            return self.total / self.count

    tune(
        folder,
        lambda hp: dense(hp, metrics=[Distance()]),
        objective=keras_tuner.Objective("val_distance", "min"),
    )


@works("search_space_summary, results_summary and retraining")
def _(folder: Path) -> None:
    tuner = tune(folder, dense)
    tuner.search_space_summary()
    tuner.results_summary()
    model = dense(tuner.get_best_hyperparameters(1)[0])
    model.fit(X, Y, epochs=1, verbose=0)


@works("get_best_models")
def _(folder: Path) -> None:
    (model,) = tune(folder, dense).get_best_models()
    assert model.predict(X, verbose=0).shape == Y.shape


@works("The objective as text")
def _(folder: Path) -> None:
    tune(folder, lambda hp: dense(hp, metrics=["accuracy"]), objective="val_accuracy")


@works("Several objectives")
def _(folder: Path) -> None:
    objectives = ["val_loss", keras_tuner.Objective("val_accuracy", "max")]
    tune(folder, lambda hp: dense(hp, metrics=["accuracy"]), objective=objectives)


@works("A pre-made HyperModel of keras_tuner.applications")
def _(folder: Path) -> None:
    images = np.random.default_rng(0).random((8, 32, 32, 3), dtype=np.float32)
    classes = np.eye(2, dtype=np.float32)[np.arange(8) % 2]
    hypermodel = keras_tuner.applications.HyperResNet(input_shape=(32, 32, 3), classes=2)
    tune(folder, hypermodel, images, classes, trials=1, objective="val_accuracy", batch_size=4)


# Tailor the search space.


@works("hyperparameters= with all others at their defaults")
def _(folder: Path) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 3, 4)
    oracle = RandomSearchOracle(
        LOSS, max_trials=2, seed=1, hyperparameters=hp, tune_new_entries=False
    )

    def build(hp: Any) -> keras.Model:
        rate = hp.Float("rate", 1e-3, 1e-1, default=0.01)
        return dense(hp, optimizer=keras.optimizers.SGD(rate))

    results = tune(folder, build, oracle=oracle).results()
    assert set(results["units"]) <= {3, 4} and set(results["rate"]) == {0.01}


@works("hp.Fixed in hyperparameters=")
def _(folder: Path) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Fixed("units", 5)
    oracle = RandomSearchOracle(LOSS, max_trials=2, seed=1, hyperparameters=hp)

    def build(hp: Any) -> keras.Model:
        rate = hp.Float("rate", 1e-3, 1e-1)
        return dense(hp, optimizer=keras.optimizers.SGD(rate))

    assert set(tune(folder, build, oracle=oracle).results()["units"]) == {5}


@works("optimizer=, loss= and metrics= of the tuner")
def _(folder: Path) -> None:
    made = {
        "optimizer": keras.optimizers.Adam(1e-3),
        "loss": "mean_squared_error",
        "metrics": ["mean_absolute_error"],
    }
    tuner = tune(folder, dense, made=made)
    assert "mean_absolute_error" in set(tuner.history()["metric"])


@works("optimizer= with a HyperModel that keeps state")
def _(folder: Path) -> None:
    class Stateful(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            self.built = hp.Int("units", 2, 6)
            return dense(hp)

        def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            assert self.built
            return model.fit(*args, **kwargs)

    tune(folder, Stateful(), made={"optimizer": "adam"})


@works("hp.conditional_scope")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        kind = hp.Choice("kind", ["plain", "hidden"])
        with hp.conditional_scope("kind", ["hidden"]):
            if kind == "hidden":
                hp.Int("size", 2, 4)
        return dense(hp)

    tune(folder, build, trials=4)


@works("hp.name_scope")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        with hp.name_scope("head"):
            hp.Choice("rate", [0.1, 0.2])
        return dense(hp)

    assert "head/rate" in tune(folder, build).results()


# Custom training, failed trials.


@works("A training loop of one's own in HyperModel.fit")
def _(folder: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the guide's loop is TensorFlow's")
    import tensorflow as tf

    class OwnLoop(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            return dense(hp, units=1)

        def fit(
            self,
            hp: Any,
            model: keras.Model,
            x: Any,
            y: Any,
            validation_data: Any,
            callbacks: Any = None,
            **kwargs: Any,
        ) -> float:
            optimizer = keras.optimizers.SGD(hp.Float("rate", 1e-3, 1e-1))
            best = float("inf")
            for callback in callbacks:
                callback.set_model(model)
            for epoch in range(2):
                with tf.GradientTape() as tape:
                    loss = keras.losses.MeanSquaredError()(y, model(x, training=True))
                gradients = tape.gradient(loss, model.trainable_variables)
                optimizer.apply(gradients, model.trainable_variables)
                x_val, y_val = validation_data
                value = float(np.mean((model.predict(x_val, verbose=0) - y_val) ** 2))
                for callback in callbacks:
                    callback.on_epoch_end(epoch, logs={"val_loss": value})
                best = min(best, value)
            return best

    tune(folder, OwnLoop(), y=Y[:, :1])


@works("A model with its own train_step")
def _(folder: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the guide's step is TensorFlow's")
    import tensorflow as tf

    class OwnStep(keras.Model):
        def __init__(self, units: int) -> None:
            super().__init__()
            self.hidden = keras.layers.Dense(units)
            self.out = keras.layers.Dense(2, activation="sigmoid")

        def call(self, inputs: Any) -> Any:
            return self.out(self.hidden(inputs))

        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    tune(folder, lambda hp: compiled(OwnStep(hp.Int("units", 2, 4))))


@works("FailedTrialError for oversized models")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        if hp.Choice("wide", [True, False]):
            raise keras_tuner.errors.FailedTrialError("too large")
        return dense(hp)

    oracle = GridSearchOracle(LOSS, max_trials=8)
    tuner = CrossValidationTuner(build, oracle, cv=2, directory=folder, project_name="usage")
    tuner.search(X, Y, epochs=1, batch_size=24, verbose=0)
    assert set(tuner.results()["status"]) == {"COMPLETED", "FAILED"}


@works("max_retries_per_trial and max_consecutive_failed_trials")
def _(folder: Path) -> None:
    calls = []

    def build(hp: Any) -> keras.Model:
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("once")
        return dense(hp)

    oracle = RandomSearchOracle(
        LOSS, max_trials=2, seed=1, max_retries_per_trial=2, max_consecutive_failed_trials=3
    )
    tune(folder, build, oracle=oracle)


@works("max_model_size")
def _(folder: Path) -> None:
    oracle = GridSearchOracle(LOSS)
    tuner = CrossValidationTuner(
        dense, oracle, cv=2, directory=folder, project_name="usage", max_model_size=30
    )
    tuner.search(X, Y, epochs=1, batch_size=24, verbose=0)
    assert set(tuner.results()["status"]) == {"COMPLETED", "FAILED"}


@works("run_trial overridden")
def _(folder: Path) -> None:
    class Own(CrossValidationTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs["batch_size"] = trial.hyperparameters.Choice("batch", [8, 16])
            return super().run_trial(trial, *args, **kwargs)

    tune(folder, dense, tuner=Own)


# Data.


@works("Two inputs in a dict")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        one, two = keras.Input((2,), name="one"), keras.Input((2,), name="two")
        joined = keras.layers.Concatenate()([one, two])
        hidden = keras.layers.Dense(hp.Int("units", 2, 4))(joined)
        outputs = keras.layers.Dense(2, activation="sigmoid")(hidden)
        return compiled(keras.Model({"one": one, "two": two}, outputs))

    tune(folder, build, {"one": X[:, :2], "two": X[:, 2:]})


@works("Two inputs in a list")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        one, two = keras.Input((2,)), keras.Input((2,))
        hidden = keras.layers.Dense(hp.Int("units", 2, 4))(keras.layers.Concatenate()([one, two]))
        return compiled(
            keras.Model([one, two], keras.layers.Dense(2, activation="sigmoid")(hidden))
        )

    tune(folder, build, [X[:, :2], X[:, 2:]])


@works("Two outputs in a dict")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(hp.Int("units", 2, 4))(inputs)
        outputs = {
            "a": keras.layers.Dense(1, activation="sigmoid", name="a")(hidden),
            "b": keras.layers.Dense(1, name="b")(hidden),
        }
        return compiled(
            keras.Model(inputs, outputs),
            {"a": "binary_crossentropy", "b": "mean_squared_error"},
            metrics={"a": ["accuracy"]},
        )

    tune(folder, build, y={"a": Y[:, :1], "b": Y[:, 1:]})


@works("A pandas frame and text labels")
def _(folder: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    labels = pd.Series(np.array(["broken", "healed"])[LABELS])

    def build(hp: Any) -> keras.Model:
        return dense(hp, loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    tune(folder, build, frame, labels, objective="val_accuracy")


@works("Text as input")
def _(folder: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TextVectorization needs TensorFlow")
    texts = np.array(["a stable bridge", "no bridge at all"], dtype=object)[LABELS]

    def build(hp: Any) -> keras.Model:
        layer = keras.layers.TextVectorization(
            output_mode="multi_hot", vocabulary=["a", "stable", "bridge", "no"]
        )
        inputs = keras.Input((), dtype="string")
        outputs = keras.layers.Dense(1, activation=hp.Choice("last", ["sigmoid", "hard_sigmoid"]))
        return compiled(keras.Model(inputs, outputs(layer(inputs))))

    tune(folder, build, texts, Y[:, :1])


@works("tf.data.Dataset")
def _(folder: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    tune(folder, dense, tf.data.Dataset.from_tensor_slices((X, Y)).batch(16), None)


@works("keras.utils.PyDataset")
def _(folder: Path) -> None:
    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            rows = slice(16 * index, 16 * index + 16)
            return X[rows], Y[rows]

    tune(folder, dense, Batches(), None)


@works("sample_weight")
def _(folder: Path) -> None:
    tune(folder, dense, sample_weight=np.linspace(0.5, 1.5, len(X)))


@works("class_weight")
def _(folder: Path) -> None:
    tune(folder, lambda hp: dense(hp, units=1), y=Y[:, :1], class_weight={0: 1.0, 1: 2.0})


@works("EarlyStopping and ReduceLROnPlateau")
def _(folder: Path) -> None:
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(patience=1),
    ]
    tune(folder, dense, callbacks=callbacks, epochs=3)


@works("ModelCheckpoint and TensorBoard")
def _(folder: Path) -> None:
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(folder / "saved" / "model.keras")),
        keras.callbacks.TensorBoard(str(folder / "logs")),
    ]
    tune(folder, dense, callbacks=callbacks, trials=1)
    assert len(list((folder / "saved").rglob("*.keras"))) == 2


@works("An autoencoder, without y")
def _(folder: Path) -> None:
    class Autoencoder(keras.Model):
        def __init__(self, units: int) -> None:
            super().__init__()
            self.inner, self.outer = keras.layers.Dense(units), keras.layers.Dense(4)

        def call(self, inputs: Any) -> Any:
            outputs = self.outer(self.inner(inputs))
            self.add_loss(ops.mean(ops.square(outputs - inputs)))
            return outputs

    def build(hp: Any) -> keras.Model:
        model = Autoencoder(hp.Int("units", 1, 3))
        model.compile("sgd", run_eagerly=True)
        return model

    tune(folder, build, X, None)


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
    class Scale(keras.layers.Layer):
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


@refused("A dataset without an end", "no end.*repeat")
def _(folder: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    tune(folder, dense, tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).repeat(), None)


# The pre-made model takes long to build.
_SLOW = {"A pre-made HyperModel of keras_tuner.applications"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in _SLOW else []) for name in WORKS],
)
def test_a_usage_of_keras_tuner_works(name: str, tmp_path: Path) -> None:
    WORKS[name](tmp_path)


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_usage_that_is_refused_says_what_to_do_instead(name: str, tmp_path: Path) -> None:
    usage, message = REFUSED[name]
    with pytest.raises(RustTunerError, match=f"(?is){message}"):
        usage(tmp_path)


def test_the_page_lists_every_usage() -> None:
    rows = re.findall(r"^\| (.+?) \| (works|refused)", PAGE.read_text(), flags=re.MULTILINE)
    listed = {name.replace("`", ""): kind for name, kind in rows}
    assert listed == dict.fromkeys(WORKS, "works") | dict.fromkeys(REFUSED, "refused")
