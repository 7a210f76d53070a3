"""Trains the folds of a trial, together or one after another, and keeps their records."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras

from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.models.compiled_once import CompiledOnce
from rust_tuner.models.fold_arrays import ArraysTogether
from rust_tuner.models.fold_batches import FoldPlace, IntArray, TrainingData
from rust_tuner.models.fold_callbacks import FoldCallbacks
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.fold_rows import FoldRows
from rust_tuner.models.fold_training import RunningPredictions, running_of, train_fold
from rust_tuner.models.keras_state import build_at, clear_session, starting_values
from rust_tuner.models.runtime import (
    MemoryOf,
    new_garbage_collected,
    run_first_operation,
    variables_of,
)
from rust_tuner.models.schedules import batch_sizes, steps_per_epoch
from rust_tuner.models.trained_here import trained_here
from rust_tuner.progress import Silent, Task
from rust_tuner.records.folds import TOGETHER, FoldRecord, FoldStore
from rust_tuner.records.metric_names import with_same_names
from rust_tuner.records.trained_on import TrainedOn
from rust_tuner.search.fold_lengths import of_one_length
from rust_tuner.search.mean_curves import CrossValidation, calculate_mean_metrics

# From the metric that keeps training predictions, or None; and the inputs where folds differ.
BuildModel = Callable[..., keras.Model]


class OwnFit(Protocol):
    """Trains one fold with the user's own code; see `own_fit.HyperModelFit`."""

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
        """The curves and predictions of the fold."""


def run_folds(
    build_model: BuildModel,
    data: TrainingData,
    folds: Sequence[tuple[IntArray, IntArray]],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    trial: int = 0,
    keep_running: bool = False,
    owns_models: bool = False,
    compiled: CompiledOnce | None = None,
    store: FoldStore | None = None,
    on_record: Callable[[], None] = lambda: None,
    callbacks: Callable[[keras.Model], Sequence[keras.callbacks.Callback]] = lambda model: (),
    users_callbacks: FoldCallbacks | None = None,
    data_of: Callable[[int], TrainingData] | None = None,
    own_fit: OwnFit | None = None,
    spare: list[keras.Model] | None = None,
    task: Task | None = None,
    way: str | None = None,
) -> CrossValidation:
    """Train the folds of a trial one after another; folds with a record in `store` are skipped.

    Args:
        build_model: makes a compiled model from the metric that keeps training predictions, or
            None.
        data: inputs, targets and metrics.
        folds: pairs of training and validation rows.
        epochs: epochs of each fold.
        batch_size: rows of a batch.
        seed: of the search.
        trial: number of the trial.
        keep_running: whether `build_model` compiles the model with that metric.
        owns_models: whether nothing else uses the models that `build_model` makes, so that their
            memory can be released after each fold. Else it is released where no other part of the
            program refers to a variable any more.
        compiled: keeps compiled functions for folds whose models are the same; None where every
            fold needs a model of its own, as with callbacks of the user's own.
        store: where records are kept; nowhere by default.
        on_record: called after each record is saved in `store`.
        callbacks: our callbacks of a fold's `fit`, from its model.
        users_callbacks: those of the user, copied for each fold.
        data_of: gives the data of each fold, where they differ; `build_model` then gets the fold's
            inputs as well.
        own_fit: trains a fold in place of `train_fold`.
        spare: the model of fold 0, if it was just built; taken from the list.
        task: advanced once per epoch of each fold.
        way: what each record says of how folds were trained.
    """
    progress = task or Silent()
    run_first_operation()
    num_steps = max(steps_per_epoch(len(training), batch_size) for training, _ in folds)
    longest = max(len(training) for training, _ in folds)
    records = []
    for fold, (training, validation) in enumerate(folds):
        record = store.load(fold) if store is not None else None
        if record is None:
            # Folds that train one after another may each take hours.
            if fold:
                end_if_time_is_up()
            with new_garbage_collected():
                sizes = batch_sizes(len(training), batch_size, num_steps if keep_running else None)
                place = FoldPlace(seed, trial, fold)
                running = None
                if keep_running:
                    # Of one shape, since models that share compiled functions share the first's.
                    running = RunningPredictions((longest, data.targets.shape[1]))
                fold_data = data if data_of is None else data_of(fold)
                own_inputs = () if data_of is None else (fold_data.inputs,)
                anew = functools.partial(build_model, running, *own_inputs)
                build: Callable[[], keras.Model] = functools.partial(build_at, place, anew)
                if spare and fold == 0:
                    build = spare.pop
                model = build() if compiled is None else compiled.model_of(build)
                shared: dict[str, Any] = {
                    "epochs": epochs,
                    "place": place,
                    "on_epoch": progress.advance,
                    "on_restored": progress.skip,
                    "predictions_file": None if store is None else store.predictions_file(fold),
                    "callbacks": callbacks(model),
                    "users_callbacks": users_callbacks.fresh(place) if users_callbacks else (),
                }
                if own_fit is not None:
                    curves = own_fit(model, fold_data, training, validation, **shared)
                else:
                    curves = train_fold(
                        model,
                        fold_data,
                        training,
                        validation,
                        sizes=sizes,
                        running=running_of(model),
                        checkpoint=store.checkpoint(fold) if store is not None else None,
                        **shared,
                    )
                record = _as_record(fold, curves, validation, steps=len(sizes), way=way)
                if store is not None:
                    store.save(record)
                    on_record()
                    note_recorded_work()
                is_kept = compiled is not None and compiled.trained(model)
                memory = MemoryOf(() if is_kept else variables_of(model))
                if owns_models:
                    starting_values().hand_out(model)
                    memory.release()
                del model, running
                if not is_kept:
                    clear_session()
            memory.release_unused()
        else:
            progress.skip(epochs)
        records.append(record)
    if own_fit is not None:
        records = of_one_length(records, store)
    named = with_same_names([record.validation for record in records])
    return CrossValidation(tuple(records), calculate_mean_metrics(named))


def run_folds_together(
    build_model: Callable[[], keras.Model],
    trainer: FoldParallelTrainer | ArraysTogether,
    folds: Sequence[tuple[IntArray, IntArray]],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    trial: int = 0,
    store: FoldStore | None = None,
    task: Task | None = None,
    is_hopeless: Callable[[Sequence[Mapping[str, float]]], bool] | None = None,
) -> CrossValidation:
    """Train the folds of a trial together; the results are the same as those of `run_folds`.

    Args:
        build_model: makes a compiled head, or model on arrays.
        trainer: holds the features or arrays.
        folds: pairs of training and validation rows.
        epochs: epochs of each fold.
        batch_size: rows of a batch.
        seed: of the search.
        trial: number of the trial.
        store: where predictions of arrays go that would take much memory. Records are not saved.
        task: advanced once per epoch of each fold.
        is_hopeless: stops the trial where it returns True; see `FoldParallelTrainer.train`.

    Raises:
        MixedFolds: where the head, its optimiser or its loss would mix folds.
    """
    run_first_operation()
    num_steps = max(steps_per_epoch(len(training), batch_size) for training, _ in folds)
    rows = [
        FoldRows(
            training,
            validation,
            batch_sizes(len(training), batch_size, num_steps if trainer.splits_batches else None),
            FoldPlace(seed, trial, fold),
        )
        for fold, (training, validation) in enumerate(folds)
    ]

    def head(fold: int) -> keras.Model:
        return build_at(rows[fold].place, build_model)

    shared: dict[str, Any] = {
        "epochs": epochs,
        "on_epoch": lambda: task.advance(len(folds)) if task is not None else None,
        "is_hopeless": is_hopeless,
    }
    if store is not None and isinstance(trainer, ArraysTogether):
        shared["predictions_files"] = store.predictions_file
    curves = trainer.train(head, rows, **shared)
    records = [
        _as_record(fold, curve, rows[fold].validation, steps=num_steps, way=TOGETHER)
        for fold, curve in enumerate(curves)
    ]
    return CrossValidation(
        tuple(records), calculate_mean_metrics([record.validation for record in records])
    )


def _as_record(
    fold: int, curves: FoldCurves, validation: IntArray, *, steps: int, way: str | None
) -> FoldRecord:
    return FoldRecord(
        fold=fold,
        training=curves.training,
        validation=curves.validation,
        validation_indices=validation,
        predictions=curves.predictions,
        steps_per_epoch=steps if curves.steps_per_epoch is None else curves.steps_per_epoch,
        seconds=curves.seconds,
        epochs_trained=curves.epochs_trained,
        left_at=curves.left_at,
        outputs=curves.outputs,
        folds_trained=way,
        trained_on=TrainedOn.of(trained_here()),
    )
