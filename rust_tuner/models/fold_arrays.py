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
from keras import ops

from rust_tuner.data.pipeline import as_dataset
from rust_tuner.errors import TrialError
from rust_tuner.models.epoch_file import EpochLog
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_graph import ModelPlan, plan_model, refuse_data, refuse_size
from rust_tuner.models.fold_layers import FoldDropout, GatherRows
from rust_tuner.models.fold_parallel import (
    FoldBatches,
    FoldRows,
    batch_starts,
    fold_order,
    room_for,
    step_sizes,
)
from rust_tuner.models.fold_plan import MixedFolds
from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.fold_stock import fold_layer, take_weights
from rust_tuner.models.fold_training import (
    FoldCurves,
    RunningPredictions,
    curves_by_metric,
    merged_figures,
    require_finite,
    scalars,
)
from rust_tuner.models.model_figures import ModelFigures
from rust_tuner.models.runtime import new_garbage_collected, release
from rust_tuner.seeds import derive_seed

IsHopeless = Callable[[Sequence[Mapping[str, float]]], bool]

# Rows of a batch of predictions.
_VALIDATION_ROWS = 4096


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
        self._twin: _Twin | None = None

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
        refuse_size(model, self._data, num_folds=len(folds), rows=max(step_sizes(folds)))
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
            batches = as_dataset(FoldBatches(self._data, folds, epochs, 1))
            twin.model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[recorder])
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

    def _prepare(self, models: Callable[[int], keras.Model], folds: Sequence[FoldRows]) -> "_Twin":
        """The model with a fold axis for such models, with their initial weights."""
        first = models(0)
        plan = self.plan(first, folds)
        table = self._table_for(first)
        key = (plan.signature, len(folds), room_for(sum(step_sizes(folds))), table.dtype)
        if self._twin is None or self._twin.key != key:
            self._release_twin()
            self._twin = _Twin(key, plan, first, table)
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
            values = np.asarray(self._data.inputs).astype(dtype)
            self._table = keras.Variable(values, trainable=False, dtype=dtype, name="inputs")
        return self._table


class _Twin:
    """A compiled model with a fold axis; reused by trials that differ only in numbers."""

    def __init__(
        self,
        key: tuple[Any, ...],
        plan: ModelPlan,
        model: keras.Model,
        table: keras.Variable,
    ) -> None:
        self.key = key
        _, num_folds, room, _ = key
        self.layers: dict[str, keras.layers.Layer] = {}

        def made(layer: keras.layers.Layer) -> keras.layers.Layer:
            assert layer.name not in self.layers
            is_last = layer.name == plan.last
            self.layers[layer.name] = fold_layer(layer, num_folds, without_activation=is_last)
            return self.layers[layer.name]

        # The same layers as a model that is not compiled, so that nothing else is cloned.
        plain = keras.Model(model.inputs[0], model.outputs[0])
        shape = (num_folds, None, *table.shape[1:])
        inputs = keras.Input(batch_shape=shape, dtype=table.dtype)
        body = keras.models.clone_model(plain, input_tensors=inputs, clone_function=made)
        rows = keras.Input((num_folds,), dtype="int32", name="rows")
        outputs = body(GatherRows(table)(rows))
        self.model = keras.Model(rows, outputs, name="folds_together")
        self.running = _RowsFirst((room, num_folds, *outputs.shape[2:]))
        own = plan.optimizer
        self.model.compile(
            # Not the fused update: TensorFlow's rounds 1 - beta_2 to 32 bits, which moves what is
            # learned in 20 epochs by 1e-5.
            optimizer=type(own).from_config(own.get_config()),
            loss=_SummedLoss(plan.loss, plan.final),
            metrics=[self.running],
            jit_compile=False,
        )
        self.figures = ModelFigures(model, plan.loss, plan.final)

    def reset(self, plan: ModelPlan, models: Sequence[keras.Model]) -> None:
        """Set the trial's numbers and the initial weights of each fold."""
        for name, layer in self.layers.items():
            position = list(plan.layers).index(name)
            sources = [_layers(model)[position] for model in models]
            take_weights(layer, sources)
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        for variable in optimizer.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        if plan.learning_rate is not None:
            optimizer.learning_rate = plan.learning_rate
        # Layers of the random states, in the order in which one fold after another numbers them.
        states = {
            id(layer.seed_generator.state): name
            for name, layer in plan.layers.items()
            if getattr(layer, "seed_generator", None) is not None
        }
        ordered = [states[id(v)] for v in models[0].variables if id(v) in states]
        self.random = [self.layers[name] for name in ordered]

    def reseed(self, folds: Sequence[FoldRows], epoch: int) -> None:
        """Give each fold's dropout layers the seeds of this epoch."""
        for position, layer in enumerate(self.random):
            assert isinstance(layer, FoldDropout)
            for fold, generator in zip(folds, layer.generators, strict=True):
                place = fold.place
                seeds = derive_seed(place.seed, place.trial, place.fold, epoch, "layers", position)
                state = generator.state
                state.assign(seeds.generate_state(2).astype(state.dtype))

    def outputs(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """What the model of each fold makes of rows (n, F): (F, n, ...)."""
        parts = [
            np.asarray(self.model.predict_on_batch(rows[start : start + _VALIDATION_ROWS]))
            for start in range(0, len(rows), _VALIDATION_ROWS)
        ]
        return np.concatenate(parts, axis=1)


class _RowsFirst(RunningPredictions):
    """Keeps outputs (F, rows, ...) with their rows first."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Append a batch."""
        super().update_state(y_true, _swapped(y_pred))


class _SummedLoss(keras.losses.Loss):  # type: ignore[misc]
    """The loss summed over rows, whose weights make it each fold's mean."""

    def __init__(self, loss: keras.losses.Loss, final: Any) -> None:
        super().__init__(reduction="sum", name="summed_loss")
        self._loss = loss
        self._final = final

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses (rows, F) of targets (rows, F, ...) and outputs (F, rows, ...)."""
        targets = _swapped(y_true)
        answers = y_pred if self._final is None else self._final(y_pred)
        if len(targets.shape) == 2 and answers.shape[2:] == (1,):
            # Keras would do so for one fold, but here not know rows from labels.
            targets = ops.expand_dims(targets, -1)
        losses = self._loss.call(targets, answers)
        if len(losses.shape) > 2:
            losses = ops.mean(losses, axis=tuple(range(2, len(losses.shape))))
        return _swapped(losses)


class _Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets seeds, validates and computes the figures of each fold between epochs.

    For Keras all epochs are one pass over the batches; the epochs are counted here.
    """

    def __init__(
        self,
        data: TrainingData,
        twin: _Twin,
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
        self._steps = len(folds[0].sizes)
        self._starts = batch_starts(folds)
        self._jobs: list[Future[list[_BothSides]]] = []
        longest = max(len(fold.validation) for fold in folds)
        self._rows = np.zeros((longest, len(folds)), dtype=np.int32)
        for fold, rows in enumerate(folds):
            self._rows[: len(rows.validation), fold] = rows.validation

    def on_train_begin(self, logs: Any = None) -> None:
        self._twin.reseed(self._folds, 0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        epoch, step = divmod(batch, self._steps)
        if step < self._steps - 1:
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
        trained = [_of_fold(running, fold, self._starts, rows.sizes) for fold, rows in self._each()]
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
            own, _ = self._twin.figures.of(targets[fold_order(rows, epoch)], outputs)
            training = scalars(own, validation=False)
            require_finite(training, f"{where}, training")
            own, answers = self._twin.figures.of(targets[rows.validation], held)
            of_ours = self._data.metrics([answers], [rows.validation], [f"{where}, validation"])
            validation = merged_figures(of_ours[0], scalars(own, validation=False))
            require_finite(validation, f"{where}, validation")
            self._logs[fold].append(answers.astype(np.float32))
            figures.append((training, validation))
        return figures


_BothSides = tuple[Mapping[str, float], Mapping[str, float]]


def _of_fold(
    running: npt.NDArray[np.float32], fold: int, starts: Sequence[int], sizes: Sequence[int]
) -> npt.NDArray[np.float32]:
    """The outputs of a fold's own rows, in the order of training."""
    parts = [
        running[start : start + size, fold] for start, size in zip(starts[:-1], sizes, strict=True)
    ]
    return np.concatenate(parts)


def _require_numbers(
    trained: npt.NDArray[np.float32], validated: npt.NDArray[np.float32], where: str
) -> None:
    for outputs in (trained, validated):
        if not np.isfinite(outputs).all():
            raise TrialError(f"{where}: predictions are not finite")


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]


def _swapped(values: Any) -> Any:
    """(rows, F, ...) as (F, rows, ...), and the other way round."""
    return ops.transpose(values, (1, 0, *range(2, len(values.shape))))
