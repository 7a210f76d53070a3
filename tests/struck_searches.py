"""The searches that are killed at their writes: as small as what a kill may spoil allows.

Each state that a kill can leave is resumed, so that seconds of one search become minutes.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import keras
import keras_tuner
import pytest
from fault_injection import Snapshots
from search_problems import (
    AdamHyperModel,
    Outcome,
    TinyHyperModel,
    grow,
    outcome,
    run_array_search_together,
    run_search,
    run_search_of_folds_together,
    run_search_with_callbacks,
)

from rust_tuner.search.tuner import CrossValidationTuner

Run = Callable[[Path, str], CrossValidationTuner]


class OneLayerHyperModel(TinyHyperModel):
    """One layer after a dropout, which every trial has: what is drawn anew decides its scores."""

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("dropout", [0.5, 0.25])
        hp.Choice("learning_rate", [0.1, 0.2])

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self.declare_hyperparameters(hp)
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dropout(hp.get("dropout")),
                keras.layers.Dense(2, activation="sigmoid"),
            ]
        )
        optimizer = self.make_optimizer()
        optimizer.learning_rate = hp.get("learning_rate")
        model.compile(optimizer, "binary_crossentropy", run_eagerly=True)
        return model


class AdamOneLayerHyperModel(OneLayerHyperModel, AdamHyperModel):
    """With the study's optimiser, which folds that train together update in one operation."""


class TracedOneLayerHyperModel(AdamOneLayerHyperModel):
    """Compiled as users compile their models, so that its folds train together on arrays."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        model.compile(model.optimizer, "binary_crossentropy", metrics=["accuracy"])
        return model


class ShortLoopHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """A loop of hidden layers, each with its units: none at first, so that the space grows soon."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        hidden = [
            keras.layers.Dense(hp.Int(f"units_{layer}", 2, 3), activation="relu")
            for layer in range(hp.Int("num_layers", 0, 1))
        ]
        model = keras.Sequential(
            [keras.Input((4,)), *hidden, keras.layers.Dense(2, activation="sigmoid")]
        )
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, "binary_crossentropy", run_eagerly=True)
        return model


# An epoch is one step.
NUM_ROWS_OF_A_FOLD = 24


def search(
    folder: Path, kind: str, *, max_trials: int = 2, epochs: int = 2
) -> CrossValidationTuner:
    """Trials of two folds."""
    return run_search(
        folder,
        kind,
        hypermodel=OneLayerHyperModel(),
        max_trials=max_trials,
        epochs=epochs,
        batch_size=NUM_ROWS_OF_A_FOLD,
    )


# The second trial of the grid is the first with a hyperparameter of its own, the first of the
# random search; the record of the space grows with it.
GROWING_TRIALS = {"grid": 3, "random": 2}


def search_that_grows(folder: Path, kind: str) -> CrossValidationTuner:
    return grow(folder, kind, max_trials=GROWING_TRIALS[kind], hypermodel=ShortLoopHyperModel())


# What happens between two trials of those with callbacks is as without, and what is chosen among
# the epochs of a trial is as where folds train together.
SEARCHES: dict[str, Run] = {
    "plain": search,
    "one epoch": functools.partial(search, epochs=1),
    "one trial": functools.partial(search, max_trials=1, epochs=1),
    "growing": search_that_grows,
    "features together": functools.partial(
        run_search_of_folds_together, hypermodel=AdamOneLayerHyperModel()
    ),
    "arrays together": functools.partial(
        run_array_search_together, hypermodel=TracedOneLayerHyperModel()
    ),
    "callbacks": functools.partial(
        run_search_with_callbacks,
        max_trials=1,
        hypermodel=OneLayerHyperModel(),
        batch_size=NUM_ROWS_OF_A_FOLD,
    ),
}


class Untouched:
    """A search that was never touched, and what a kill at each of its writes would have left.

    Attributes:
        outcome: what it leaves in the end.
        snapshots: copies of its folder around each write.
        folder: its folder; not to be written to.
    """

    def __init__(self, folder: Path, name: str, kind: str) -> None:
        """Run one of `SEARCHES` with an oracle, in a new folder."""
        self.folder = folder / "whole"
        self.folder.mkdir()
        self.run: Run = SEARCHES[name]
        self.kind = kind
        self.snapshots = Snapshots(self.folder, folder / "snapshots")
        with self.snapshots.taken():
            tuner = self.run(self.folder, kind)
        self.outcome: Outcome = outcome(tuner)

    @property
    def writes(self) -> list[str]:
        """The names of the files that were written or removed, in their order."""
        return self.snapshots.writes


class UntouchedSearches(dict[tuple[str, str], Untouched]):
    """One for each name of `SEARCHES` and oracle; run when first asked for."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._tmp_path_factory = tmp_path_factory

    def __missing__(self, key: tuple[str, str]) -> Untouched:
        self[key] = Untouched(self._tmp_path_factory.mktemp("untouched"), *key)
        return self[key]
