"""Models of a finished trial: one on all rows, or those of its folds, trained again.

Every random draw follows from the seed, so training a fold again gives the model that was scored.
No model has to be kept while the search runs.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras_tuner.engine.trial import Trial

from rust_tuner.data.structures import AnyRows
from rust_tuner.errors import SearchError
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_callbacks import as_validated
from rust_tuner.models.fold_training import train_all, train_fold
from rust_tuner.models.keras_state import users_layers_kept
from rust_tuner.models.model_to_keep import ModelToKeep
from rust_tuner.models.runtime import run_first_operation
from rust_tuner.models.schedules import batch_sizes, steps_per_epoch
from rust_tuner.records.folds import FoldRecord
from rust_tuner.search.run_state import Run
from rust_tuner.search.trial_training import choices_of

# Beyond it, the fold that was trained again is not the one that was scored.
_TOLERANCE = 1e-3
# Within it, two epochs of a fold have the same weights.
_SAME = 1e-6


@users_layers_kept()
def refit(run: Run, trial: Trial) -> tuple[keras.Model, Callable[[Any], AnyRows] | None]:
    """Train a model on all rows with the values of a trial, for as many epochs as its score has.

    Where callbacks stopped the folds earlier, it is the mean of their epochs, or of the epochs
    whose weights `EarlyStopping` put back. Callbacks that monitor the validation side, which there
    is none of, are left out.

    Args:
        run: what `search` passed to its trials.
        trial: a completed trial.

    Returns:
        The compiled model; and what prepares inputs for it, fitted on all rows, or None where the
        search prepares none.

    Raises:
        SearchError: for a search on frozen features of radiographs, or with a `fit` of its own.
    """
    subject = run.subject
    if isinstance(subject.data.inputs, FrozenFeatures):
        raise SearchError(
            "a model on frozen features is fitted by Study.final, or rust-tuner final, which "
            "assembles it with its backbone"
        )
    _refuse_own_fit(run)
    _, batch_size = choices_of(run, trial, run.arguments, run.options)
    _refuse_other_batches(run, trial, batch_size)
    # No fold has this number, so the seeds are different.
    place = FoldPlace(run.seed, int(trial.trial_id), len(subject.folds))
    data, apply = subject.data, None
    if subject.preparation is not None:
        prepared, apply = subject.preparation.fit(np.arange(data.num_rows), fold=len(subject.folds))
        data = dataclasses.replace(data, inputs=prepared)
    kept = _built(run, trial, place, data)
    callbacks = subject.callbacks.fresh(place) if subject.callbacks is not None else []
    train_all(
        kept.model,
        data,
        sizes=batch_sizes(data.num_rows, batch_size),
        epochs=_num_epochs(_records(run, trial), int(trial.best_step)),
        place=place,
        users_callbacks=[
            callback
            for callback in callbacks
            if not str(getattr(callback, "monitor", "")).startswith("val_")
        ],
    )
    return kept.result(), apply


@users_layers_kept()
def train_fold_models(
    run: Run, trial: Trial, *, say: Callable[[str], None] = lambda text: None
) -> list[keras.Model]:
    """The model of each fold as it was at the epoch of the trial's score.

    Args:
        run: what `search` passed to its trials.
        trial: a completed trial.
        say: called with a note where a fold does not score what is recorded.
    """
    _refuse_own_fit(run)
    subject, epoch = run.subject, int(trial.best_step)
    _, batch_size = choices_of(run, trial, run.arguments, run.options)
    records = _records(run, trial)
    run_first_operation()
    num_steps = max(steps_per_epoch(len(training), batch_size) for training, _ in subject.folds)
    models = []
    for fold, (training, validation) in enumerate(subject.folds):
        place = FoldPlace(run.seed, int(trial.trial_id), fold)
        data = subject.data_of(fold)
        kept = _built(run, trial, place, data)
        model = kept.model
        given = subject.callbacks.fresh(place, again=True) if subject.callbacks is not None else []
        at_epoch = _WeightsAt(epoch, given)
        curves = train_fold(
            model,
            data,
            training,
            validation,
            sizes=batch_sizes(
                len(training), batch_size, num_steps if subject.keeps_running else None
            ),
            epochs=epoch + 1,
            place=place,
            callbacks=[at_epoch],
            users_callbacks=given,
        )
        # Callbacks such as EarlyStopping may put other weights into the model when `fit` ends.
        if at_epoch.weights is not None:
            model.set_weights(at_epoch.weights)
        if _differs(records[fold], curves.validation, epoch):
            say(
                f"note: trial {trial.trial_id}, fold {fold}: trained again, the model has another "
                "score than recorded; results on this machine are not repeatable"
            )
        models.append(kept.result())
    return models


def ensemble_of(models: Sequence[keras.Model]) -> keras.Model:
    """One model whose output is the mean of the outputs of several.

    Raises:
        SearchError: where the models do not show what their inputs are.
    """
    expected = _inputs_of(models[0])
    if expected is None:
        raise SearchError(
            f"{type(models[0]).__name__} does not show its inputs, so no model can be made of "
            "several; average the predictions of fold_models() instead"
        )
    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name), expected
    )
    for number, model in enumerate(models):
        model.name = f"fold_{number}"
    outputs = [model(inputs) for model in models]
    mean = keras.tree.map_structure(lambda *parts: keras.layers.Average()(list(parts)), *outputs)
    return keras.Model(inputs, mean, name="fold_ensemble")


def _inputs_of(model: keras.Model) -> Any:
    """The symbolic inputs of a model in their structure; None where it has none."""
    if isinstance(model, keras.Sequential):
        inputs = getattr(model, "inputs", None)
        return inputs[0] if inputs else None
    return getattr(model, "input", None)


class _WeightsAt(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights that a model has after one epoch."""

    def __init__(self, epoch: int, users_callbacks: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self._epoch = epoch
        self._users_callbacks = users_callbacks
        self.weights: list[Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == self._epoch:
            with as_validated(self._users_callbacks):
                self.weights = self.model.get_weights()


def _refuse_other_batches(run: Run, trial: Trial, batch_size: int) -> None:
    """Refuse a trial whose folds took other steps than this batch size gives."""
    steps = max(steps_per_epoch(len(training), batch_size) for training, _ in run.subject.folds)
    if max(record.steps_per_epoch for record in _records(run, trial)) != steps:
        raise SearchError(
            f"trial {trial.trial_id} was trained with another batch size, which run_trial chose; "
            "name its hyperparameter batch_size, so that it is known here"
        )


def _refuse_own_fit(run: Run) -> None:
    if run.subject.own_fit:
        raise SearchError(
            "the hypermodel has a fit of its own, which decides what a model is trained on; call "
            "it with best_hyperparameters and your data"
        )


def _built(run: Run, trial: Trial, place: FoldPlace, data: TrainingData) -> ModelToKeep:
    hp = trial.hyperparameters.copy()
    own_inputs = () if run.subject.preparation is None else (data.inputs,)
    return ModelToKeep.build(place, lambda: run.subject.build(hp, None, *own_inputs))


def _records(run: Run, trial: Trial) -> list[FoldRecord]:
    records = run.store_of(trial).load_closed(len(run.subject.folds))
    if records is None:
        raise SearchError(
            f"{run.folder}: trial {trial.trial_id} has no records of its folds; only completed "
            "trials have models"
        )
    return records


def _num_epochs(records: Sequence[FoldRecord], epoch: int) -> int:
    """The mean over folds of the epochs that the scored weights were trained for."""
    counts = [_epochs_of_scored_weights(record, epoch) for record in records]
    return max(1, round(float(np.mean(counts))))


def _epochs_of_scored_weights(record: FoldRecord, epoch: int) -> int:
    trained = record.epochs_trained or epoch + 1
    if trained > epoch:
        return epoch + 1
    # Later epochs have the figures of the model that `fit` left, perhaps with earlier weights.
    for number in range(trained):
        if all(
            math.isclose(curve[number], curve[trained], rel_tol=_SAME, abs_tol=_SAME)
            for curve in record.validation.values()
        ):
            return number + 1
    return trained


def _differs(record: FoldRecord, curves: dict[str, list[float]], epoch: int) -> bool:
    shared = set(record.validation) & set(curves)
    return any(
        abs(record.validation[name][epoch] - curves[name][epoch])
        > _TOLERANCE * max(1.0, abs(record.validation[name][epoch]))
        for name in shared
    )
