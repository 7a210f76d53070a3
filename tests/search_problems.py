"""A small search on arrays, shared by the tests of this folder: quick, real Keras, real folds."""

import unittest.mock
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner import CrossValidationTuner, GridSearchOracle, RandomSearchOracle, metrics
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.records.folds import EpochCheckpoint
from rust_tuner.records.project import read_out_of_fold
from rust_tuner.search.subjects import Subject

NUM_ROWS = 48

# Results, history, predictions by trial, and the names of the files.
Outcome = tuple[pd.DataFrame, pd.DataFrame, dict[str, npt.NDArray[np.float32]], list[str]]


class TinyHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """Logistic regression with dropout; eager, since tracing would cost more than training.

    Its optimiser has a state, as Adam has, and takes fewer operations.
    """

    def make_optimizer(self) -> keras.optimizers.SGD:
        return keras.optimizers.SGD(0.1, momentum=0.9)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("units", [2, 3])
        hp.Choice("dropout", [0.0, 0.25])

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self.declare_hyperparameters(hp)
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(hp.get("units"), activation="relu"),
                keras.layers.Dropout(hp.get("dropout")),
                keras.layers.Dense(2, activation="sigmoid"),
            ]
        )
        model.compile(self.make_optimizer(), "binary_crossentropy", run_eagerly=True)
        return model


class AdamHyperModel(TinyHyperModel):
    """With the study's optimiser, which folds that train together update in one operation."""

    def make_optimizer(self) -> keras.optimizers.Adam:
        return keras.optimizers.Adam(0.1)


class TracedHyperModel(AdamHyperModel):
    """Compiled as users compile their models, so that its folds train together on arrays.

    With `trains_statistics`, one layer keeps them from it.
    """

    trains_statistics = False

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        if self.trains_statistics:
            inputs, (first, *others) = model.inputs, model.layers
            values = first(keras.layers.BatchNormalization()(inputs[0]))
            for layer in others:
                values = layer(values)
            model = keras.Model(inputs, values)
        model.compile(self.make_optimizer(), "binary_crossentropy", metrics=["accuracy"])
        return model


def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_ROWS, 4)).astype(np.float32)
    y = (x[:, :2] + rng.normal(size=(NUM_ROWS, 2)) > 0).astype(np.float32)
    return x, y, np.repeat(np.arange(NUM_ROWS // 2), 2)


def each_fold(
    metrics: Callable[[npt.NDArray[np.float32], npt.NDArray[np.int64], str], Mapping[str, float]],
) -> Callable[..., list[Mapping[str, float]]]:
    """Metrics of many folds from a function of one."""
    return lambda answers, rows, where: [
        metrics(*fold) for fold in zip(answers, rows, where, strict=True)
    ]


def make_tuner(
    directory: Path, kind: str, max_trials: int | None = 2, **changes: Any
) -> CrossValidationTuner:
    oracle_type: Any = {"random": RandomSearchOracle, "grid": GridSearchOracle}[kind]
    objective = keras_tuner.Objective("val_auroc", "max")
    return CrossValidationTuner(
        changes.pop("hypermodel", None) or TinyHyperModel(),
        oracle_type(objective, max_trials=max_trials, seed=3),
        cv=changes.pop("cv", 2),
        seed=changes.pop("seed", 5),
        directory=directory,
        project_name="search",
        **changes,
    )


def run_search(directory: Path, kind: str, **changes: Any) -> CrossValidationTuner:
    epochs, batch_size = changes.pop("epochs", 2), changes.pop("batch_size", 16)
    tuner = make_tuner(directory, kind, **changes)
    x, y, groups = arrays()
    tuner.search(x, y, groups, epochs=epochs, batch_size=batch_size)
    return tuner


def remembering() -> list[keras.callbacks.Callback]:
    """Callbacks that remember something from epoch to epoch, and use it within three epochs."""
    return [
        keras.callbacks.EarlyStopping(
            "val_loss", patience=1, min_delta=0.05, restore_best_weights=True
        ),
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.1, factor=0.5),
    ]


def run_search_with_callbacks(directory: Path, kind: str, **changes: Any) -> CrossValidationTuner:
    """A search whose callbacks have a state, which is stored after each epoch."""
    batch_size = changes.pop("batch_size", 16)
    tuner = make_tuner(directory, kind, **changes)
    x, y, groups = arrays()
    with unittest.mock.patch.object(EpochCheckpoint, "seconds_between", 0.0):
        tuner.search(x, y, groups, epochs=4, batch_size=batch_size, callbacks=remembering())
    return tuner


class OwnFitHyperModel(TinyHyperModel):
    """Trains a model in its own way: in two stages, each of them a call of `fit`."""

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        epochs = kwargs.pop("epochs")
        model.fit(*args, epochs=1, **kwargs)
        return model.fit(*args, epochs=epochs, **kwargs)


def run_search_with_own_fit(directory: Path, kind: str, **changes: Any) -> CrossValidationTuner:
    return run_search(directory, kind, hypermodel=OwnFitHyperModel(), **changes)


def run_array_search_together(directory: Path, kind: str, **changes: Any) -> CrossValidationTuner:
    """The same search with a model that is compiled, whose folds train together."""
    changes.setdefault("hypermodel", TracedHyperModel())
    return run_search(directory, kind, **changes)


def run_search_of_folds_together(
    directory: Path, kind: str, **changes: Any
) -> CrossValidationTuner:
    """The same search with the arrays as frozen features, so that its folds train together."""
    hypermodel = changes.setdefault("hypermodel", AdamHyperModel())
    engine = changes.pop("engine", None)
    tuner = make_tuner(directory, kind, **changes)
    x, y, groups = arrays()
    sides = [np.flatnonzero(groups % 2 == side) for side in range(2)]
    subject = Subject(
        data=TrainingData(
            FrozenFeatures(x[:, None], "arrays"),
            y,
            each_fold(
                lambda answers, rows, where: {"auroc": metrics.macro_auroc(y[rows], answers)}
            ),
        ),
        folds=((sides[0], sides[1]), (sides[1], sides[0])),
        build=lambda hp, running: hypermodel.build(hp),
        keeps_running=True,
        identity={"num_folds": 2},
        view_only={},
    )
    tuner.search_subject(subject, epochs=2, engine=engine)
    return tuner


class LoopHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """The second model of "Getting started": a loop of layers, each with its units."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.Input((4,))])
        for layer in range(hp.Int("num_layers", 1, 2)):
            units = hp.Int(f"units_{layer}", 2, 3)
            model.add(keras.layers.Dense(units, activation="relu"))
        model.add(keras.layers.Dense(2, activation="sigmoid"))
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, "binary_crossentropy", run_eagerly=True)
        return model


ORACLES = {"random": RandomSearchOracle, "grid": GridSearchOracle}


def grow(
    directory: Path,
    kind: str = "grid",
    *,
    max_trials: int | None = None,
    hypermodel: keras_tuner.HyperModel | None = None,
    epochs: int = 1,
    **options: Any,
) -> CrossValidationTuner:
    """A search whose space grows."""
    search = options.pop("search", {})
    tuner = CrossValidationTuner(
        hypermodel or LoopHyperModel(),
        ORACLES[kind](
            keras_tuner.Objective("val_loss", "min"),
            **{"max_trials": max_trials, "seed": 3} | options.pop("oracle", {}),
        ),
        cv=2,
        seed=5,
        directory=directory,
        project_name="search",
        **options,
    )
    x, y, groups = arrays()
    tuner.search(x, y, groups, epochs=epochs, batch_size=24, **search)
    return tuner


def outcome(tuner: CrossValidationTuner) -> Outcome:
    """Everything that a search leaves: trials, values, scores, histories, predictions."""
    project = tuner.project
    assert project.problems == ()
    results = tuner.results().drop(columns="seconds")
    predictions = {t.trial: read_out_of_fold(project.folder, t.trial) for t in project.trials}
    files = sorted(str(p.relative_to(project.folder)) for p in project.folder.rglob("*"))
    return results, tuner.history(), predictions, files


def assert_same(one: Outcome, other: Outcome) -> None:
    pd.testing.assert_frame_equal(one[0], other[0], check_exact=True)
    pd.testing.assert_frame_equal(one[1], other[1], check_exact=True)
    assert {k: v.tobytes() for k, v in one[2].items()} == {
        k: v.tobytes() for k, v in other[2].items()
    }
    assert one[3] == other[3], set(one[3]) ^ set(other[3])


def assert_same_trials(one: Any, other: Any) -> None:
    """Equal trials; scores within what another number of threads may change."""
    one, other = (tuner.results().drop(columns="seconds") for tuner in (one, other))
    names = [name for name in one if one[name].dtype.kind != "f"]
    pd.testing.assert_frame_equal(one[names], other[names])
    np.testing.assert_allclose(one["score"], other["score"], atol=1e-3)


def trial_states(tuner: CrossValidationTuner) -> list[tuple[Any, ...]]:
    """What records say of each trial, with the curves of its folds."""
    return [
        (t.trial, t.status, t.score, t.epoch, t.message, t.values, [f.validation for f in t.folds])
        for t in tuner.project.trials
    ]
