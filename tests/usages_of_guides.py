"""What KerasTuner's guides do: getting started, tailoring, custom training, failed trials."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from keras import ops
from usages import LOSS, X, Y, compiled, dense, tune, works

from rust_tuner import CrossValidationTuner, GridSearchOracle, RandomSearchOracle

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

    names = tune(folder, build, trials=4).results().columns
    assert {"num_layers", "units_0", "units_1", "dropout", "lr"} <= set(names)


@works("Space and model in separate functions")
def _(folder: Path) -> None:
    def call_existing_code(units: int, dropout: bool) -> keras.Model:
        layers = [keras.layers.Dense(units)] + ([keras.layers.Dropout(0.25)] if dropout else [])
        return compiled(keras.Sequential([*layers, keras.layers.Dense(2, activation="sigmoid")]))

    tune(
        folder, lambda hp: call_existing_code(hp.Int("units", 2, 8, step=2), hp.Boolean("dropout"))
    )


@works("Hyperparameters of fit in HyperModel.fit")
def _(folder: Path) -> None:
    class Fitted(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> keras.Model:
            return dense(hp)

        def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            return model.fit(*args, shuffle=hp.Boolean("shuffle"), **kwargs)

    assert "shuffle" in tune(folder, Fitted()).results()


@works("Preprocessing in HyperModel.fit")
def _(folder: Path) -> None:
    class Normalized(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> keras.Model:
            return dense(hp)

        def fit(self, hp: Any, model: keras.Model, x: Any, y: Any, **kwargs: Any) -> Any:
            if hp.Boolean("normalize"):
                x = (x - x.mean(axis=0)) / x.std(axis=0)
            return model.fit(x, y, **kwargs)

    tune(folder, Normalized())


@works("A number returned by HyperModel.fit")
def _(folder: Path) -> None:
    class Regressor(keras_tuner.HyperModel):  # type: ignore[misc]
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
    class Named(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> keras.Model:
            return dense(hp, units=1, loss="mean_squared_error")

        def fit(self, hp: Any, model: keras.Model, x: Any, y: Any, **kwargs: Any) -> Any:
            history = model.fit(x, y, **kwargs)
            return {"val_mine": 1.0 + history.history["val_loss"][-1], "val_other": 0.0}

    tune(folder, Named(), y=Y[:, :1], objective=keras_tuner.Objective("val_mine", "min"))


@works("A metric class of one's own as the objective")
def _(folder: Path) -> None:
    class Distance(keras.metrics.Metric):  # type: ignore[misc]
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
    hypermodel = keras_tuner.applications.HyperXception(input_shape=(32, 32, 3), classes=2)
    # The least deep that it may build; the trial draws the rest.
    hp = keras_tuner.HyperParameters()
    hp.Fixed("num_residual_blocks", 2)
    objective = keras_tuner.Objective("val_accuracy", "max")
    oracle = RandomSearchOracle(objective, max_trials=1, seed=1, hyperparameters=hp)
    tune(folder, hypermodel, images, classes, oracle=oracle, batch_size=4)


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
    class Stateful(keras_tuner.HyperModel):  # type: ignore[misc]
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

    class OwnLoop(keras_tuner.HyperModel):  # type: ignore[misc]
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

    class OwnStep(keras.Model):  # type: ignore[misc]
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
