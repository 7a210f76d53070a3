"""k-fold cross-validation of one configuration, and the rule that turns its curves into a score.

Each epoch's validation figure is first averaged over the folds; the score is that mean curve at the
protocol's epoch. The best epoch of each fold is never used: it would be chosen on the rows that it
is scored on.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.data.structures import AnyRows
from rust_tuner.errors import SearchError
from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.metrics import macro_aurocs
from rust_tuner.models.compiled_once import CompiledOnce
from rust_tuner.models.described import ensure_built
from rust_tuner.models.fold_arrays import ArraysTogether
from rust_tuner.models.fold_batches import FoldPlace, IntArray, Metrics, TrainingData
from rust_tuner.models.fold_callbacks import FoldCallbacks
from rust_tuner.models.fold_parallel import FoldParallelTrainer, FoldRows
from rust_tuner.models.fold_training import (
    FoldCurves,
    RunningPredictions,
    seeded_weights,
    train_fold,
)
from rust_tuner.models.runtime import (
    MemoryOf,
    clear_session,
    new_garbage_collected,
    number_names_from_scratch,
    run_first_operation,
    variables_of,
)
from rust_tuner.models.schedules import batch_sizes, steps_per_epoch
from rust_tuner.progress import Silent, Task
from rust_tuner.records.folds import TOGETHER, FoldRecord, FoldStore
from rust_tuner.records.metric_names import with_same_names
from rust_tuner.records.model import Curves
from rust_tuner.search.fold_lengths import of_one_length

# From the metric that keeps training predictions, or None; and the inputs where folds differ.
BuildModel = Callable[..., keras.Model]
FoldList = tuple[tuple[IntArray, IntArray], ...]


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


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The outcome of a cross-validation.

    Attributes:
        folds: one record a fold, in order.
        mean: fold-averaged validation metrics, a value per epoch.
    """

    folds: tuple[FoldRecord, ...]
    mean: Curves

    def out_of_fold(self, epoch: int, num_rows: int) -> npt.NDArray[np.float32]:
        """Each row's prediction by the folds that did not train on it.

        Args:
            epoch: from 0.
            num_rows: rows of the data set.

        Returns:
            (num_rows, ...) float32: the mean over the folds that validate the row, such as those of
            a repeated splitter; NaN in rows that no fold validates.
        """
        return mean_of_repeats(self.out_of_fold_repeats(epoch, num_rows))

    def out_of_fold_repeats(self, epoch: int, num_rows: int) -> npt.NDArray[np.float32]:
        """Every prediction of each row by a fold that did not train on it.

        Args:
            epoch: from 0.
            num_rows: rows of the data set.

        Returns:
            (repeats, num_rows, ...) float32: in place r the r-th fold that validates the row; NaN
            where there are fewer. One repeat unless the splitter repeats.
        """
        seen = np.zeros(num_rows, dtype=np.int64)
        for record in self.folds:
            seen[record.validation_indices] += 1
        first = self.folds[0].predictions
        assert first is not None
        shape = (max(int(seen.max()), 1), num_rows, *first.shape[2:])
        table = np.full(shape, np.nan, dtype=np.float32)
        seen[:] = 0
        for record in self.folds:
            assert record.predictions is not None
            rows = record.validation_indices
            table[seen[rows], rows] = record.predictions[epoch]
            seen[rows] += 1
        return table


def cross_validate(
    build_model: Callable[[], keras.Model],
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    folds: Iterable[tuple[IntArray, IntArray]],
    *,
    epochs: int,
    batch_size: int = 32,
    seed: int = 0,
) -> CrossValidation:
    """Cross-validate any compiled Keras model on arrays.

    Args:
        build_model: makes a compiled model; called once per fold, with the fold's own seed.
        x: (n, ...) inputs.
        y: (n, ...) targets.
        folds: pairs of training and validation rows, such as `make_folds` gives.
        epochs: epochs of each fold, from 1.
        batch_size: rows of a batch; the last batch has what remains.
        seed: an integer from 0.

    Returns:
        Curves per fold, their means, and the predictions of every epoch. For 0-1 targets of
        shape (n, labels), `auroc` is the exact macro AUROC.

    Raises:
        SearchError: where `x`, `y` and `folds` do not match.
        TrialError: where the loss becomes infinite or NaN.
    """
    x, y = np.asarray(x), np.asarray(y)
    if not x.ndim or not y.ndim:
        raise SearchError(
            f"x has the shape {x.shape} and y {y.shape}; expected arrays of one row per example"
        )
    if len(x) != len(y):
        raise SearchError(
            f"x has {len(x)} rows and y has {len(y)}; give one target for each row of x"
        )
    pairs = checked_folds(folds, len(x))
    data = TrainingData(x, y, array_metrics(y, pairs))

    def build(running: object) -> keras.Model:
        model = build_model()
        if getattr(model, "optimizer", None) is None:
            raise SearchError(
                "build_model returned a model that is not compiled; compile it with an optimizer "
                "and a loss"
            )
        ensure_built(model, x[:2])
        return model

    compiled = CompiledOnce()
    try:
        return run_folds(
            build, data, pairs, epochs=epochs, batch_size=batch_size, seed=seed, compiled=compiled
        )
    finally:
        compiled.release()


def checked_folds(folds: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]], num_rows: int) -> FoldList:
    """Folds as arrays of rows.

    Args:
        folds: pairs of training and validation rows.
        num_rows: rows of the data set.

    Raises:
        SearchError: for fewer than two folds, or a fold with an empty side, a row on both sides,
            or a row that is not in the data set.
    """
    pairs = tuple(
        (np.asarray(training, dtype=np.int64), np.asarray(validation, dtype=np.int64))
        for training, validation in folds
    )
    if len(pairs) < 2:
        raise SearchError(f"{len(pairs)} folds; cross-validation needs at least 2")
    for fold, (training, validation) in enumerate(pairs):
        if not len(training) or not len(validation) or np.intersect1d(training, validation).size:
            raise SearchError(
                f"fold {fold} has {len(training)} training and {len(validation)} validation rows; "
                "one side is empty, or some rows are on both: give two disjoint sides that are not "
                "empty"
            )
        rows = np.concatenate([training, validation])
        if rows.min() < 0 or rows.max() >= num_rows:
            raise SearchError(
                f"fold {fold} has rows {rows.min()} to {rows.max()}, but the data have {num_rows} "
                "rows, counted from 0; make folds for these data"
            )
    return pairs


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
            fold needs a model of its own, as with `keep_running` or callbacks of the user's own.
        store: where records are kept; nowhere by default.
        on_record: called after each record is saved in `store`.
        callbacks: our callbacks of a fold's `fit`, from its model.
        users_callbacks: those of the user, made anew for each fold.
        data_of: gives the data of each fold, where they differ; `build_model` then gets the fold's
            inputs as well.
        own_fit: trains a fold in place of `train_fold`.
        task: advanced once per epoch of each fold.
        way: what each record says of how folds were trained.
    """
    progress = task or Silent()
    run_first_operation()
    num_steps = max(steps_per_epoch(len(training), batch_size) for training, _ in folds)
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
                    running = RunningPredictions((len(training), data.targets.shape[1]))
                number_names_from_scratch()
                fold_data = data if data_of is None else data_of(fold)
                with seeded_weights(place):
                    own_inputs = () if data_of is None else (fold_data.inputs,)
                    build = functools.partial(build_model, running, *own_inputs)
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
                        running=running,
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
                    memory.release()
                del model, running
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
        number_names_from_scratch()
        with seeded_weights(rows[fold].place):
            return build_model()

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
        outputs=curves.outputs,
        folds_trained=way,
    )


def mean_of_repeats(repeats: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean (n, ...) of the predictions that each row has among (repeats, n, ...)."""
    if len(repeats) == 1:
        only: npt.NDArray[np.float32] = repeats[0]
        return only
    given = ~np.isnan(repeats)
    with np.errstate(invalid="ignore"):
        # In float64, so that the mean of equal predictions is that prediction.
        total = np.where(given, repeats, 0).sum(axis=0, dtype=np.float64)
        return np.asarray(total / given.sum(axis=0), dtype=np.float32)


def calculate_mean_metrics(
    histories: Sequence[Mapping[str, Sequence[float]]],
) -> dict[str, list[float]]:
    """Average histories epoch by epoch.

    Args:
        histories: one per fold: metric -> value per epoch; all with the same metrics and epochs.

    Returns:
        metric -> mean per epoch.

    Raises:
        SearchError: where there is no history, or they differ in metrics or epochs.

    Examples:
        >>> calculate_mean_metrics([{"auroc": [0.6, 0.8]}, {"auroc": [0.7, 0.75]}])
        {'auroc': [0.6499999999999999, 0.775]}
    """
    if not histories:
        raise SearchError("no histories to average; give one per fold")
    first = histories[0]
    for number, history in enumerate(histories):
        if set(history) != set(first):
            raise SearchError(
                f"history {number} has the metrics {sorted(history)}, but history 0 has "
                f"{sorted(first)}"
            )
        for metric, values in history.items():
            if len(values) != len(first[metric]):
                raise SearchError(
                    f"history {number} has {len(values)} epochs of {metric}, but history 0 has "
                    f"{len(first[metric])}"
                )
    return {
        metric: [float(v) for v in np.mean([history[metric] for history in histories], axis=0)]
        for metric in first
    }


def chosen_epoch(curve: Sequence[float], rule: str | int, direction: str = "max") -> int:
    """The epoch whose fold-averaged value is the score.

    Args:
        curve: the objective's fold-averaged value per epoch.
        rule: `best_mean` (the first of the best epochs), `last`, or an epoch from 0.
        direction: `max` or `min`, whichever is better.

    Raises:
        SearchError: for an unknown rule, or an epoch that was not trained.
    """
    if rule == "best_mean":
        return int(np.argmax(curve) if direction == "max" else np.argmin(curve))
    epoch = len(curve) - 1 if rule == "last" else rule
    if isinstance(epoch, str) or not 0 <= epoch < len(curve):
        raise SearchError(
            f"score_epoch={rule!r} with {len(curve)} epochs; expected best_mean, last, or an "
            f"epoch in 0-{len(curve) - 1}"
        )
    return int(epoch)


def array_metrics(y: AnyRows | None, folds: Sequence[tuple[IntArray, IntArray]] = ()) -> Metrics:
    """The metrics of arrays: the exact macro AUROC, for 0-1 labels.

    Args:
        y: (n, ...) targets; of several outputs, and of none, there is no AUROC.
        folds: pairs of training and validation rows; where one side of a fold has no label with
            both classes, as in leave-one-out, there is no AUROC.
    """
    if not isinstance(y, np.ndarray):
        return lambda answers, rows, where: [{} for _ in rows]
    labels = y.reshape(len(y), -1) if y.ndim == 1 else y
    is_scored = labels.ndim == 2 and bool(np.isin(labels, (0, 1)).all())
    if is_scored:
        sides = [labels[rows] for training, validation in folds for rows in (training, validation)]
        is_scored = all((side.min(axis=0) < side.max(axis=0)).any() for side in sides)

    def metrics(
        answers: Sequence[npt.NDArray[Any]], rows: Sequence[IntArray], where: Sequence[str]
    ) -> list[dict[str, float]]:
        scores = [answer.reshape(len(answer), -1) for answer in answers]
        if not is_scored or scores[0].shape[1] != labels.shape[1]:
            return [{} for _ in rows]
        truth = [labels[of_fold] for of_fold in rows]
        (areas,) = macro_aurocs(
            truth, scores, [[np.ones(t.shape, bool) for t in truth]], where=where
        )
        return [{"auroc": area} for area in areas]

    return metrics
