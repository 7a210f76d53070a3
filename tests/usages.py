"""A registry of what KerasTuner's users do, and the small searches that it is made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from search_problems import arrays

from rust_tuner import CrossValidationTuner, RandomSearchOracle

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
