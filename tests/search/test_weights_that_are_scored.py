"""Callbacks that change weights after an epoch: one model has the score and everything else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold

from rust_tuner import CrossValidationTuner, GridSearchOracle

FOLDS = KFold(3)


def rows(number: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(number, 6)).astype(np.float32)
    y = (x[:, :1] + 2 * generator.normal(size=(number, 1)) > 0).astype(np.float32)
    return x, y


def tuned(
    folder: Path, optimizer: Callable[[], keras.Optimizer], epochs: int, **options: Any
) -> CrossValidationTuner:
    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        units = hp.Choice("units", [8])
        dense = keras.layers.Dense(units, activation="relu")
        output = keras.layers.Dense(1, activation="sigmoid")
        model = keras.Sequential([keras.Input((6,)), dense, output])
        model.compile(optimizer(), "binary_crossentropy", metrics=["mae"])
        return model

    callbacks = options.pop("callbacks")
    oracle = GridSearchOracle(keras_tuner.Objective("val_loss", "min"))
    tuner = CrossValidationTuner(
        build, oracle, cv=FOLDS, directory=folder, project_name="search", **options
    )
    tuner.search(*rows(60), epochs=epochs, callbacks=callbacks, batch_size=8, verbose=0)
    return tuner


@pytest.mark.slow
@pytest.mark.parametrize("each_epoch", [False, True])
def test_averaged_weights_have_the_score_the_predictions_and_the_fold_models(
    each_epoch: bool, tmp_path: Path
) -> None:
    def averaging() -> keras.Optimizer:
        return keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)

    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=each_epoch)
    tuner = tuned(tmp_path, averaging, 4, callbacks=[swap], score_epoch=1)
    x, y = rows(60)
    losses = [fold.validation["loss"][1] for fold in tuner.project.trials[0].folds]
    predicted = tuner.out_of_fold()
    sides = FOLDS.split(x)
    for (_, held), model, loss in zip(sides, tuner.fold_models(), losses, strict=True):
        assert log_loss(y[held], predicted[held], labels=[0, 1]) == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(model.predict(x[held], verbose=0), predicted[held], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("monitor", ["val_loss", "val_mae"])
def test_a_refit_trains_as_long_as_the_weights_that_were_put_back(
    monitor: str, tmp_path: Path
) -> None:
    stopping = keras.callbacks.EarlyStopping(monitor, patience=6, restore_best_weights=True)
    options: dict[str, Any] = {"callbacks": [stopping], "score_epoch": "last"}
    tuner = tuned(tmp_path, lambda: keras.optimizers.Adam(0.1), 40, **options)
    folds = tuner.project.trials[0].folds
    best = []
    for fold in folds:
        assert fold.epochs_trained is not None
        assert fold.epochs_trained < 40
        curve = fold.validation[monitor.removeprefix("val_")][: fold.epochs_trained]
        best.append(1 + int(np.argmin(curve)))
        # It was stopped `patience` epochs later.
        assert fold.epochs_trained == best[-1] + 6
    steps = -(-60 // 8)
    assert int(tuner.refit().optimizer.iterations) == round(float(np.mean(best))) * steps


@pytest.mark.slow
def test_what_callbacks_wrote_stays_when_the_folds_are_trained_again(tmp_path: Path) -> None:
    log, last = tmp_path / "log.csv", tmp_path / "last.keras"

    def written() -> list[bytes]:
        folder = tmp_path / "trial_0000" / "fold_0"
        return [(folder / path.name).read_bytes() for path in (log, last)]

    callbacks = [keras.callbacks.CSVLogger(str(log)), keras.callbacks.ModelCheckpoint(str(last))]
    optimizer = keras.optimizers.Adam
    tuner = tuned(tmp_path, optimizer, 3, callbacks=callbacks, score_epoch=0, keep_models="best")
    before = written()
    assert before[0].count(b"\n") == 1 + 3
    tuner.fold_models()
    tuner.refit()
    assert written() == before
