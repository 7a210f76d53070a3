"""Trains all folds of a trial of any user's model together, where its layers allow it.

As in `fold_parallel`, the loss is the sum of the folds' losses and every fold has its own weights,
batches and dropout masks. What may be trained so is decided in `fold_graph`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.errors import TrialError
from rust_tuner.models.epoch_figures import (
    curves_by_metric,
    merged_figures,
    require_finite,
    scalars,
)
from rust_tuner.models.epoch_file import EpochLog
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_graph import ModelPlan, plan_model, refuse_data, refuse_size
from rust_tuner.models.fold_plan import MixedFolds
from rust_tuner.models.fold_rows import (
    FoldChunks,
    FoldRows,
    batch_starts,
    fold_order,
    outputs_of_fold,
    room_for,
    step_sizes,
)
from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.fold_steps import chunks_of, fed, output_starts, room_of_step
from rust_tuner.models.fold_twin import FoldTwin
from rust_tuner.models.keras_state import clear_session
from rust_tuner.models.model_figures import ModelFigures
from rust_tuner.models.runtime import is_unchangeable, new_garbage_collected, release, shared_tensor

IsHopeless = Callable[[Sequence[Mapping[str, float]]], bool]


class ArraysTogether:
    """Trains trials on arrays; a graph is traced once for each kind of model.

    Attributes:
        splits_batches: whether folds with fewer steps than others split a batch.
    """

    splits_batches = False

    def __init__(self, data: TrainingData) -> None:
        """Take the arrays; nothing is copied before the first trial that trains together."""
        self._data = data
        self._table: keras.Variable | None = None
        self._twin: FoldTwin | None = None
        # The metric of models of a signature that depends on which rows are computed together.
        self._mixing: dict[str, str | None] = {}

    def plan(self, model: keras.Model, folds: Sequence[FoldRows]) -> ModelPlan:
        """Read a compiled model.

        Args:
            model: of the first fold.
            folds: all folds.

        Raises:
            MixedFolds: where data, folds or model are not known to keep folds apart.
        """
        refuse_data(self._data)
        steps = sorted({len(rows.sizes) for rows in folds})
        if len(steps) > 1:
            raise MixedFolds(f"the folds take {steps[0]} to {steps[-1]} steps in each epoch")
        plan = plan_model(model, self._data)
        refuse_size(
            model, self._data, num_folds=len(folds), rows=room_of_step(max(step_sizes(folds)))
        )
        if plan.signature not in self._mixing:
            figures = ModelFigures(model, plan.loss, plan.final)
            assert isinstance(self._data.inputs, np.ndarray)
            shape = model.compute_output_shape(self._data.inputs.shape)[1:]
            targets = np.asarray(self._data.targets)
            self._mixing[plan.signature] = figures.mixing_rows(targets, shape)
        if (metric := self._mixing[plan.signature]) is not None:
            raise MixedFolds(f"metric {metric} depends on which rows are computed together")
        return plan

    def train(
        self,
        models: Callable[[int], keras.Model],
        folds: Sequence[FoldRows],
        *,
        epochs: int,
        on_epoch: Callable[[], None] = lambda: None,
        is_hopeless: IsHopeless | None = None,
        predictions_files: Callable[[int], Path | None] = lambda fold: None,
    ) -> list[FoldCurves]:
        """Train the folds of one trial together.

        Args:
            models: makes the compiled model of a fold, with that fold's initial weights.
            folds: the folds.
            epochs: the number of epochs, at least 1.
            on_epoch: called after each epoch of all folds.
            is_hopeless: as in `FoldParallelTrainer.train`.
            predictions_files: where the predictions of a fold go that would take much memory.

        Raises:
            MixedFolds: where data, folds or model are not known to keep folds apart.
            TrialError: if the loss or predictions become non-finite.
        """
        start = time.monotonic()
        with new_garbage_collected():
            twin = self._prepare(models, folds)
        logs = [EpochLog(epochs, predictions_files(fold)) for fold in range(len(folds))]
        # The metrics of an epoch are computed while the next one trains.
        with ThreadPoolExecutor(1) as pool:
            recorder = _Recorder(self._data, twin, folds, epochs, on_epoch, is_hopeless, logs, pool)
            chunks = fed(FoldChunks(self._data, folds, epochs, 1))
            twin.model.fit(chunks, epochs=1, shuffle=False, verbose=0, callbacks=[recorder])
            return recorder.curves(start)

    def release(self) -> None:
        """Free the memory of arrays and models; the trainer cannot be used afterwards."""
        self._release_twin()
        if self._table is not None:
            release([self._table])
            self._table = None

    def _release_twin(self) -> None:
        if self._twin is not None:
            owned = (*self._twin.model.variables, *self._twin.model.optimizer.variables)
            release(variable for variable in owned if variable is not self._table)
            self._twin = None
            clear_session()

    def _prepare(self, models: Callable[[int], keras.Model], folds: Sequence[FoldRows]) -> FoldTwin:
        """The model with a fold axis for such models, with their initial weights."""
        first = models(0)
        plan = self.plan(first, folds)
        table = self._table_for(first)
        key = (plan.signature, len(folds), room_for(folds), table.dtype)
        if self._twin is None or self._twin.key != key:
            self._release_twin()
            self._twin = FoldTwin(key, plan, first, table)
            self._twin.model.build_for(self._data.targets[np.zeros((1, len(folds)), np.int64)])
        built = [first]
        for fold in range(1, len(folds)):
            built.append(models(fold))
            if plan_model(built[-1], self._data).signature != plan.signature:
                raise MixedFolds("build makes models of several kinds")
        self._twin.reset(plan, built)
        return self._twin

    def _table_for(self, model: keras.Model) -> keras.Variable:
        """The inputs in the type that the model takes."""
        dtype = model.inputs[0].dtype
        if self._table is None or self._table.dtype != dtype:
            self._release_twin()
            if self._table is not None:
                release([self._table])
            values = np.asarray(self._data.inputs)
            # Workers of a node share the memory that they have mapped; what may change is copied.
            if str(values.dtype) == dtype and is_unchangeable(values):
                values = shared_tensor(values)
            else:
                values = values.astype(dtype)
            self._table = keras.Variable(values, trainable=False, dtype=dtype, name="inputs")
        return self._table


class _Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets seeds, validates and computes the figures of each fold between epochs.

    For Keras all epochs are one pass over the batches; the epochs are counted here.
    """

    def __init__(
        self,
        data: TrainingData,
        twin: FoldTwin,
        folds: Sequence[FoldRows],
        epochs: int,
        on_epoch: Callable[[], None],
        is_hopeless: IsHopeless | None,
        logs: Sequence[EpochLog],
        pool: ThreadPoolExecutor,
    ) -> None:
        super().__init__()
        self._data = data
        self._twin = twin
        self._folds = folds
        self._epochs = epochs
        self._on_epoch = on_epoch
        self._is_hopeless = is_hopeless
        self._logs = logs
        self._pool = pool
        starts = batch_starts(folds)
        self._num_chunks = len(chunks_of(starts))
        self._starts = output_starts(starts)
        self._jobs: list[Future[list[_BothSides]]] = []
        longest = max(len(fold.validation) for fold in folds)
        self._rows = np.zeros((longest, len(folds)), dtype=np.int32)
        for fold, rows in enumerate(folds):
            self._rows[: len(rows.validation), fold] = rows.validation

    def on_train_begin(self, logs: Any = None) -> None:
        self._twin.reseed(self._folds, 0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        epoch, chunk = divmod(batch, self._num_chunks)
        if chunk < self._num_chunks - 1:
            return
        if keras.backend.backend() == "jax":
            # Keras's JAX trainer holds the variables elsewhere while it trains.
            self._twin.model.jax_state_sync()
        if self._is_hopeless is not None and self._jobs:
            # Of the epoch before, whose figures were computed while this one was trained.
            before = [validation for _, validation in self._jobs[-1].result()]
            if self._is_hopeless(before):
                self.model.stop_training = True
                self._on_epoch()
                return
        running = as_numpy(self._twin.running.answers)
        trained = [
            outputs_of_fold(running, fold, self._starts, rows.sizes) for fold, rows in self._each()
        ]
        held = self._twin.outputs(self._rows)
        validated = [held[fold, : len(rows.validation)] for fold, rows in self._each()]
        for job in self._jobs:
            if job.done():
                job.result()
        self._jobs.append(self._pool.submit(self._figures, epoch, trained, validated))
        self._twin.running.reset_state()
        self._on_epoch()
        if epoch + 1 < self._epochs:
            self._twin.reseed(self._folds, epoch + 1)

    def curves(self, start: float) -> list[FoldCurves]:
        """The curves of each fold; the time since `start` is divided among them."""
        epochs = [job.result() for job in self._jobs]
        seconds = (time.monotonic() - start) / len(self._folds)
        return [
            FoldCurves(
                training=curves_by_metric([sides[fold][0] for sides in epochs]),
                validation=curves_by_metric([sides[fold][1] for sides in epochs]),
                predictions=self._logs[fold].result(),
                seconds=seconds,
            )
            for fold in range(len(self._folds))
        ]

    def _each(self) -> Sequence[tuple[int, FoldRows]]:
        return list(enumerate(self._folds))

    def _figures(
        self, epoch: int, trained: Sequence[Any], validated: Sequence[Any]
    ) -> "list[_BothSides]":
        """The figures of both sides of each fold, as one fold after another would have them."""
        figures: list[_BothSides] = []
        for (fold, rows), outputs, held in zip(self._each(), trained, validated, strict=True):
            where = f"{rows.place}, epoch {epoch}"
            _require_numbers(outputs, held, where)
            targets = self._data.targets
            batch_figures, _ = self._twin.figures.of(targets[fold_order(rows, epoch)], outputs)
            training = scalars(batch_figures, validation=False)
            require_finite(training, f"{where}, training")
            batch_figures, answers = self._twin.figures.of(targets[rows.validation], held)
            of_ours = self._data.metrics([answers], [rows.validation], [f"{where}, validation"])
            validation = merged_figures(of_ours[0], scalars(batch_figures, validation=False))
            require_finite(validation, f"{where}, validation")
            self._logs[fold].append(answers.astype(np.float32))
            figures.append((training, validation))
        return figures


_BothSides = tuple[Mapping[str, float], Mapping[str, float]]


def _require_numbers(
    trained: npt.NDArray[np.float32], validated: npt.NDArray[np.float32], where: str
) -> None:
    for outputs in (trained, validated):
        if not np.isfinite(outputs).all():
            raise TrialError(f"{where}: predictions are not finite")
