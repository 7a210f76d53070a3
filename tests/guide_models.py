"""The model of KerasTuner's "Getting started", and a search of any model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from search_problems import arrays

from rust_tuner import CrossValidationTuner, GridSearchOracle


def search(
    folder: Path,
    build: Callable[[keras_tuner.HyperParameters], keras.Model] | keras_tuner.HyperModel,
    *,
    objective: Any = "val_loss",
    tuner: type[CrossValidationTuner] = CrossValidationTuner,
    **options: Any,
) -> CrossValidationTuner:
    kind = "max" if "acc" in objective or "au" in objective else "min"
    oracle = options.pop("oracle", None) or GridSearchOracle(
        keras_tuner.Objective(objective, kind), max_trials=options.pop("max_trials", 1)
    )
    x, y, groups = arrays()
    text = {"epochs": 2, "batch_size": 24} | options.pop("search", {})
    made = tuner(
        build, oracle, cv=options.pop("cv", 2), directory=folder, project_name="search", **options
    )
    made.search(x, y, **({"groups": groups} | text))
    return made


def getting_started(hp: keras_tuner.HyperParameters) -> keras.Model:
    """The first model of "Getting started": nothing says what its input is."""
    model = keras.Sequential()
    model.add(keras.layers.Flatten())
    model.add(
        keras.layers.Dense(
            units=hp.Int("units", min_value=2, max_value=4, step=2),
            activation=hp.Choice("activation", ["relu", "tanh"]),
        )
    )
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(rate=0.25))
    model.add(keras.layers.Dense(2, activation="sigmoid"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.01),
        loss="binary_crossentropy",
        metrics=["accuracy"],
        run_eagerly=True,
    )
    return model


def eager(hp: keras_tuner.HyperParameters) -> keras.Model:
    """The same without graphs, whose tracing costs more than their training."""
    model = getting_started(hp)
    model.compile("sgd", "binary_crossentropy", run_eagerly=True)
    return model
