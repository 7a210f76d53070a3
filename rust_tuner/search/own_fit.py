"""Calls a hypermodel's own `fit` for each fold, as KerasTuner calls it, and reads what it returns.

The epochs of a fold are those of the `History` that it returns; a number or a dict counts as one
epoch. A fold that is interrupted begins again: what the code does between epochs is not known.
"""

import inspect
import time
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
from keras_tuner.engine.trial import Trial

from rust_tuner.errors import TrialError
from rust_tuner.models.epoch_file import EpochLog
from rust_tuner.models.fold_batches import FoldPlace, IntArray, TrainingData, ValidationSide, as_fed
from rust_tuner.models.fold_callbacks import as_validated
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.search.fit_options import Default
from rust_tuner.search.own_tuner import curves_of, metrics_of
from rust_tuner.search.run_state import Run


class HyperModelFit:
    """Trains folds of one trial with the hypermodel's `fit`."""

    def __init__(self, tuner: keras_tuner.Tuner, run: Run, trial: Trial, batch_size: int) -> None:
        """Train folds of `trial`, in batches of `batch_size` where the user asked for a size."""
        self._tuner = tuner
        self._run = run
        self._trial = trial
        self._batch_size = batch_size

    def __call__(
        self,
        model: keras.Model,
        data: TrainingData,
        training: IntArray,
        validation: IntArray,
        *,
        epochs: int,
        place: FoldPlace,
        on_epoch: Callable[[], None],
        on_restored: Callable[[int], None],
        predictions_file: Path | None,
        callbacks: Sequence[keras.callbacks.Callback],
        users_callbacks: Sequence[keras.callbacks.Callback],
    ) -> FoldCurves:
        """Train one fold; see `fold_runs.OwnFit`.

        Raises:
            SearchError: where `fit` returns something else than KerasTuner takes, or lacks the
                objective.
            TrialError: where a figure is not finite.
        """
        start = time.monotonic()
        held = ValidationSide(model, data, validation, self._batch_size)
        log = EpochLog(epochs, predictions_file)
        kept = _Predictions(held, log, on_epoch, epochs, users_callbacks)
        hp = self._trial.hyperparameters.copy()
        arguments, options = self._arguments(data, training, validation, epochs)
        given = [kept, *callbacks, *users_callbacks]
        interactive = keras.config.is_interactive_logging_enabled()
        # The search reports by itself; `fit` of every fold would as well.
        keras.config.disable_interactive_logging()
        try:
            # Keras shuffles arrays by its global seed.
            with seeded_weights(place):
                returned = self._tuner.hypermodel.fit(
                    hp, model, *arguments, callbacks=given, **options
                )
        finally:
            if interactive:
                keras.config.enable_interactive_logging()
        self._tuner.oracle.note_asked(self._trial, hp)
        num_kept = len(kept.log)
        training_curves, validation_curves = self._curves(returned, kept, place)
        num_epochs = max(len(curve) for curve in validation_curves.values())
        # Of the model that `fit` leaves.
        answers = held.answers().astype(np.float32)
        if num_kept > num_epochs:
            # The figures are of the last stage of a `fit` that trains in several.
            kept.log.keep_last(num_epochs)
        elif num_kept < num_epochs:
            # It did not call the callbacks.
            kept.log.restore(np.repeat(answers[None], num_epochs, axis=0))
        left_at = _left_at(answers, kept.log, num_epochs)
        on_restored(max(epochs - kept.counted, 0))
        steps = int(np.asarray(model.optimizer.iterations))
        return FoldCurves(
            training=training_curves,
            validation=validation_curves,
            predictions=kept.log.result(),
            seconds=time.monotonic() - start,
            epochs_trained=num_epochs,
            left_at=left_at,
            outputs=held.outputs,
            steps_per_epoch=-(-steps // max(num_kept, num_epochs)),
        )

    def _arguments(
        self, data: TrainingData, training: IntArray, validation: IntArray, epochs: int
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What KerasTuner passes on: the data by position, the rest by name where it was given."""
        given = self._run.options
        arguments = data.batch(data.unflipped(training), training, None)
        held = data.batch(data.unflipped(validation), validation, data.sample_weight)
        options: dict[str, Any] = {"validation_data": held if len(held) > 1 else (held[0], None)}
        weights = data.training_weights(training)
        if weights is not None:
            options["sample_weight"] = as_fed(weights[training])
        names = ("epochs", "batch_size")
        values = dict(zip(names, (epochs, self._batch_size), strict=True))
        fit = type(self._tuner.hypermodel).fit
        for name in names:
            is_given = not isinstance(given.get(name), Default)
            # The code may give its own, which must not collide with a default.
            if is_given or (name == "epochs" and not _mentions(fit, name)):
                options[name] = values[name]
        if data.validation_batch_size is not None:
            options["validation_batch_size"] = data.validation_batch_size
        if not data.shuffle:
            options["shuffle"] = False
        return arguments, options

    def _curves(
        self, returned: Any, kept: "_Predictions", place: FoldPlace
    ) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """The training and validation figures by epoch."""
        objective = self._run.scoring.objective
        history = curves_of(returned)
        if history is None:
            metrics, _ = metrics_of(returned, objective, what="HyperModel.fit")
            history = {name: [value] for name, value in metrics.items()}
        curves = {str(name): [float(np.mean(value)) for value in history[name]] for name in history}
        ours = kept.figures(place)
        if curves and len(ours) == max(map(len, curves.values())):
            for name in ours[0] if ours else ():
                curves.setdefault(f"val_{name}", [figures[name] for figures in ours])
        if returned is not None and history is not None:
            metrics_of(dict.fromkeys(curves, 0.0), objective, what="HyperModel.fit")
        for name, curve in curves.items():
            if not np.isfinite(curve).all():
                raise TrialError(f"{place}: {name} is not finite in what HyperModel.fit returned")
        return (
            {name: curve for name, curve in curves.items() if not name.startswith("val_")},
            {
                name.removeprefix("val_"): curve
                for name, curve in curves.items()
                if name.startswith("val_")
            },
        )


class _Predictions(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the validation predictions after each epoch; the first of the callbacks."""

    def __init__(
        self,
        held: ValidationSide,
        log: EpochLog,
        on_epoch: Callable[[], None],
        epochs: int,
        users_callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        super().__init__()
        self._held = held
        self._users_callbacks = users_callbacks
        self._on_epoch = on_epoch
        self._epochs = epochs
        self.log = log
        self.counted = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with as_validated(self._users_callbacks):
            answers = self._held.answers()
        self.log.append(answers.astype(np.float32))
        if logs is not None:
            for name, value in self._figures(answers, f"epoch {epoch}").items():
                logs.setdefault(f"val_{name}", value)
        if self.counted < self._epochs:
            self.counted += 1
            self._on_epoch()

    def figures(self, place: FoldPlace) -> list[Mapping[str, float]]:
        """Our own metrics after each epoch."""
        predictions = self.log
        if not len(predictions):
            return []
        every = predictions.result()
        return [
            self._figures(every[epoch], f"{place}, epoch {epoch}") for epoch in range(len(every))
        ]

    def _figures(self, answers: Any, where: str) -> Mapping[str, float]:
        if not np.isfinite(answers).all():
            raise TrialError(f"{where}: predictions on the validation rows are not finite")
        return self._held.metrics([answers], [self._held.rows], [f"{where}, validation"])[0]


def _left_at(answers: npt.NDArray[np.float32], log: EpochLog, num_epochs: int) -> int | None:
    """The epoch that gave the predictions of the model that `fit` left; None if it is the last.

    `EarlyStopping` may go back to the best weights. If no epoch gave these predictions, such as
    those of averaged weights, the last one stands for them.
    """
    predictions = log.result()
    for epoch in range(num_epochs - 1, -1, -1):
        if np.array_equal(predictions[epoch], answers):
            return None if epoch == num_epochs - 1 else epoch
    return None


def _mentions(function: Callable[..., Any], name: str) -> bool:
    """Whether a function's code has a name as an argument by name, such as `epochs=5`."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    waiting = [code] if code is not None else []
    while waiting:
        for constant in waiting.pop().co_consts:
            if constant == name or (isinstance(constant, tuple) and name in constant):
                return True
            if isinstance(constant, types.CodeType):
                waiting.append(constant)
    return False
