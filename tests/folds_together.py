"""A problem of three folds of unequal length, trained side by side and one after another."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from search_problems import each_fold

from rust_tuner.metrics import macro_auroc
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_layers import FoldDense, FoldDropout
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.fold_rows import FoldRows
from rust_tuner.models.fold_training import RunningPredictions, train_fold
from rust_tuner.models.schedules import batch_sizes, steps_per_epoch
from rust_tuner.models.seeding import seeded_weights

NUM_FOLDS, NUM_FEATURES, EPOCHS, SEED = 3, 12, 3, 0
# Fold sizes 20, 21 and 25 give training sides of 46, 45 and 41 rows: schedules of unequal length.
ASSIGNMENT = np.repeat([0, 1, 2], [20, 21, 25])


def problem(num_variants: int = 2) -> TrainingData:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(66, num_variants, NUM_FEATURES)).astype(np.float32)
    labels = (values[:, 0, :4] + rng.normal(size=(66, 4)) > 0).astype(np.float32)

    def metrics(
        answers: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], where: str
    ) -> dict[str, float]:
        return {"auroc": macro_auroc(labels[rows], answers, where=where)}

    return TrainingData(FrozenFeatures(values, "x"), labels, each_fold(metrics))


def compiled(
    layers: Sequence[keras.Layer],
    optimizer: Any = "adam",
    loss: Any = "binary_crossentropy",
    metrics: list[Any] | None = None,
) -> keras.Model:
    model = keras.Sequential([keras.Input((NUM_FEATURES,)), *layers])
    if isinstance(optimizer, dict):
        optimizer = keras.optimizers.Adam(**optimizer)
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)
    return model


def dense_head(
    dropout: float = 0.0, optimizer: str | dict[str, float] = "adam", units: int = 8
) -> Callable[..., keras.Model]:
    def build(metrics: list[Any] | None = None) -> keras.Model:
        layers = [
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(4, activation="sigmoid"),
        ]
        return compiled(layers, optimizer, metrics=metrics)

    return build


def fold_rows(batch_size: int) -> list[FoldRows]:
    sides = [
        (np.flatnonzero(fold != ASSIGNMENT), np.flatnonzero(fold == ASSIGNMENT))
        for fold in range(NUM_FOLDS)
    ]
    steps = max(steps_per_epoch(len(training), batch_size) for training, _ in sides)
    return [
        FoldRows(
            training,
            validation,
            batch_sizes(len(training), batch_size, steps),
            FoldPlace(SEED, 7, fold),
        )
        for fold, (training, validation) in enumerate(sides)
    ]


def together(
    data: TrainingData,
    build: Callable[..., keras.Model],
    rows: list[FoldRows],
    epochs: int = EPOCHS,
    trainer: FoldParallelTrainer | None = None,
) -> list[FoldCurves]:
    def head(fold: int) -> keras.Model:
        with seeded_weights(rows[fold].place):
            return build()

    trainer = trainer or FoldParallelTrainer(data)
    return trainer.train(head, rows, epochs=epochs)


def one_by_one(
    data: TrainingData,
    build: Callable[..., keras.Model],
    rows: list[FoldRows],
    epochs: int = EPOCHS,
) -> list[FoldCurves]:
    curves = []
    for row in rows:
        running = RunningPredictions((len(row.training), data.targets.shape[1]))
        with seeded_weights(row.place):
            model = build([running])
        curves.append(
            train_fold(
                model,
                data,
                row.training,
                row.validation,
                sizes=row.sizes,
                epochs=epochs,
                place=row.place,
                running=running,
            )
        )
    return curves


def assert_same_curves(
    first: list[FoldCurves], second: list[FoldCurves], rtol: float = 2e-5
) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(
            np.asarray(one.predictions), np.asarray(other.predictions), rtol=rtol, atol=1e-6
        )
        for split in ("training", "validation"):
            for metric, curve in getattr(other, split).items():
                np.testing.assert_allclose(getattr(one, split)[metric], curve, atol=1e-6)


def layers_traced(monkeypatch: pytest.MonkeyPatch) -> list[keras.Layer]:
    """The layers of folds side by side, as often as a graph is made of them."""
    layers = []

    def note(kind: type[FoldDense] | type[FoldDropout]) -> None:
        call = kind.call

        # Keras reads the signature.
        @functools.wraps(call)
        def noted_call(layer: keras.Layer, *args: Any, **options: Any) -> Any:
            layers.append(layer)
            return call(layer, *args, **options)

        monkeypatch.setattr(kind, "call", noted_call)

    note(FoldDense)
    note(FoldDropout)
    return layers
