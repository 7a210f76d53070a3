"""Models of a finished trial: one on all rows, or those of its folds, trained again.

Every random draw follows from the seed, so training a fold again gives the model that was scored.
No model has to be kept while the search runs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras_tuner.engine.trial import Trial

from rust_tuner.errors import SearchError
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.fold_training import seeded_weights, train_all, train_fold
from rust_tuner.models.runtime import number_names_from_scratch, run_first_operation
from rust_tuner.models.schedules import batch_sizes, steps_per_epoch
from rust_tuner.records.folds import FoldRecord
from rust_tuner.search.run_state import Run
from rust_tuner.search.trial_training import choices_of

# Beyond it, the fold that was trained again is not the one that was scored.
_TOLERANCE = 1e-3


def refit(run: Run, trial: Trial) -> keras.Model:
    """Train a model on all rows with the values of a trial, for as many epochs as its score has.

    Where callbacks stopped the folds earlier, it is the mean of their epochs. Callbacks that
    monitor the validation side, which there is none of, are left out.

    Args:
        run: what `search` passed to its trials.
        trial: a completed trial.

    Raises:
        SearchError: for a search on frozen features of radiographs.
    """
    subject = run.subject
    if isinstance(subject.data.inputs, FrozenFeatures):
        raise SearchError(
            "a model on frozen features is fitted by Study.final, or rust-tuner final, which "
            "assembles it with its backbone"
        )
    _, batch_size = choices_of(run, trial, run.arguments, run.options)
    # No fold has this number, so the seeds are different.
    place = FoldPlace(run.seed, int(trial.trial_id), len(subject.folds))
    model = _built(run, trial, place)
    callbacks = subject.callbacks.fresh(place) if subject.callbacks is not None else []
    train_all(
        model,
        subject.data,
        sizes=batch_sizes(subject.data.num_rows, batch_size),
        epochs=_num_epochs(_records(run, trial), int(trial.best_step)),
        place=place,
        users_callbacks=[
            callback
            for callback in callbacks
            if not str(getattr(callback, "monitor", "")).startswith("val_")
        ],
    )
    return model


def train_fold_models(
    run: Run, trial: Trial, *, say: Callable[[str], None] = lambda text: None
) -> list[keras.Model]:
    """The model of each fold as it was at the epoch of the trial's score.

    Args:
        run: what `search` passed to its trials.
        trial: a completed trial.
        say: called with a note where a fold does not score what is recorded.
    """
    subject, epoch = run.subject, int(trial.best_step)
    _, batch_size = choices_of(run, trial, run.arguments, run.options)
    records = _records(run, trial)
    run_first_operation()
    num_steps = max(steps_per_epoch(len(training), batch_size) for training, _ in subject.folds)
    models = []
    for fold, (training, validation) in enumerate(subject.folds):
        place = FoldPlace(run.seed, int(trial.trial_id), fold)
        model = _built(run, trial, place)
        at_epoch = _WeightsAt(epoch)
        curves = train_fold(
            model,
            subject.data,
            training,
            validation,
            sizes=batch_sizes(
                len(training), batch_size, num_steps if subject.keeps_running else None
            ),
            epochs=epoch + 1,
            place=place,
            callbacks=[at_epoch],
            users_callbacks=subject.callbacks.fresh(place) if subject.callbacks is not None else (),
        )
        # Callbacks such as EarlyStopping may put other weights into the model when `fit` ends.
        if at_epoch.weights is not None:
            model.set_weights(at_epoch.weights)
        if _differs(records[fold], curves.validation, epoch):
            say(
                f"note: trial {trial.trial_id}, fold {fold}: trained again, the model scores other "
                "than recorded; results on this machine are not repeatable"
            )
        models.append(model)
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
        lambda tensor: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name),
        expected,
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

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch
        self.weights: list[Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == self._epoch:
            self.weights = self.model.get_weights()


def _built(run: Run, trial: Trial, place: FoldPlace) -> keras.Model:
    number_names_from_scratch()
    with seeded_weights(place):
        return run.subject.build(trial.hyperparameters.copy(), None)


def _records(run: Run, trial: Trial) -> list[FoldRecord]:
    records = run.store_of(trial).load_closed(len(run.subject.folds))
    if records is None:
        raise SearchError(
            f"{run.folder}: trial {trial.trial_id} has no records of its folds; only completed "
            "trials have models"
        )
    return records


def _num_epochs(records: Sequence[FoldRecord], epoch: int) -> int:
    trained = [min(record.epochs_trained or epoch + 1, epoch + 1) for record in records]
    return max(1, round(float(np.mean(trained))))


def _differs(record: FoldRecord, curves: dict[str, list[float]], epoch: int) -> bool:
    shared = set(record.validation) & set(curves)
    return any(
        abs(record.validation[name][epoch] - curves[name][epoch])
        > _TOLERANCE * max(1.0, abs(record.validation[name][epoch]))
        for name in shared
    )
