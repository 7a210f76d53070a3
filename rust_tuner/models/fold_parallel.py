"""Trains all folds of a trial together, as one Keras model with a leading fold axis.

The loss is the sum of the folds' losses, so their gradients do not mix. Every fold has its own
initial weights, batches, flips and dropout masks, so the results equal those of training one fold
after another. A head, optimiser or loss that would mix folds is refused with the reason, and
`fold_training` trains it instead.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops

from rust_tuner.errors import TrialError
from rust_tuner.models.epoch_figures import curves_by_metric
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_layers import FoldDense, FoldDropout, GatherRows, units_first
from rust_tuner.models.fold_plan import LAYER_KINDS, HeadPlan, plan_head
from rust_tuner.models.fold_rows import (
    FoldChunks,
    FoldRows,
    batch_starts,
    fold_order,
    outputs_of_fold,
    room_for,
)
from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.fold_steps import SteppingModel, chunks_of, fed, output_starts
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.kept_memory import freed_memory_kept
from rust_tuner.models.keras_state import clear_session
from rust_tuner.models.optimizers import AnyEpsilonAdam, fused
from rust_tuner.models.runtime import jit_compiled, new_garbage_collected, release, shared_tensor
from rust_tuner.seeds import derive_seed


class FoldParallelTrainer:
    """Trains trials on one feature table; a graph is traced once for each kind of head.

    Attributes:
        splits_batches: whether folds with fewer steps than others split a batch.
    """

    splits_batches = True

    def __init__(self, data: TrainingData) -> None:
        """Make the features available to the backend.

        Args:
            data: frozen features, targets of shape (n, outputs), and metrics.
        """
        assert isinstance(data.inputs, FrozenFeatures)
        self._data = data
        self._num_variants = data.inputs.num_variants
        values = data.inputs.values
        table = shared_tensor(values.reshape(-1, values.shape[-1]))
        self._table = keras.Variable(table, trainable=False, name="features")
        self._twins: dict[str, _Twin] = {}

    def train(
        self,
        heads: Callable[[int], keras.Model],
        folds: Sequence[FoldRows],
        *,
        epochs: int,
        on_epoch: Callable[[], None] = lambda: None,
        is_hopeless: Callable[[Sequence[Mapping[str, float]]], bool] | None = None,
    ) -> list[FoldCurves]:
        """Train the folds of one trial together.

        Args:
            heads: function that makes the compiled head of a fold, with that fold's initial
                weights.
            folds: the folds, all with the same number of steps.
            epochs: the number of epochs, at least 1.
            on_epoch: called after each epoch of all folds.
            is_hopeless: called with the validation figures of each fold after each epoch, in order;
                where it returns True, training stops and the curves end with that epoch.

        Raises:
            MixedFolds: where head, optimiser or loss would mix folds.
            TrialError: if the loss or predictions become non-finite.
        """
        start = time.monotonic()
        with new_garbage_collected():
            twin = self._prepare(heads, len(folds), room_for(folds))
        chunks = fed(FoldChunks(self._data, folds, epochs, self._num_variants))
        # The metrics of an epoch are computed while the next one trains.
        with freed_memory_kept(), ThreadPoolExecutor(1) as pool:
            epoch_log = _EpochLog(self, twin, folds, epochs, on_epoch, pool, is_hopeless)
            twin.model.fit(chunks, epochs=1, shuffle=False, verbose=0, callbacks=[epoch_log])
            return epoch_log.curves(start)

    def release(self) -> None:
        """Free the memory of features and heads; the trainer cannot be used afterwards."""
        self._release_twins()
        release([self._table])

    def _release_twins(self) -> None:
        for twin in self._twins.values():
            # The features are among the variables of every head that gathers from them.
            variables = (*twin.model.variables, *twin.model.optimizer.variables)
            release(variable for variable in variables if variable is not self._table)
        if self._twins:
            self._twins.clear()
            clear_session()

    def _prepare(
        self, heads: Callable[[int], keras.Model], num_folds: int, longest: int
    ) -> "_Twin":
        """The model with a fold axis for such heads, with their initial weights."""
        first = heads(0)
        plan = plan_head(first)
        key = json.dumps([plan.signature, num_folds, longest, self._data.targets.shape])
        twin = self._twins.get(key)
        if twin is None:
            # Keep only one, so that a search over many architectures does not fill the memory.
            self._release_twins()
            twin = self._twins[key] = _Twin(plan, self._table, num_folds, longest)
            twin.model.build_for(self._data.targets[np.zeros((1, num_folds), np.int64)])
        twin.reset(plan, [first, *(heads(fold) for fold in range(1, num_folds))])
        return twin


class _Twin:
    """A compiled head with a fold axis; reused by trials that differ only in numbers."""

    def __init__(self, plan: HeadPlan, table: keras.Variable, num_folds: int, longest: int) -> None:
        rows = keras.Input((num_folds,), dtype="int32", name="rows")
        self.layers: list[Any] = []
        values = GatherRows(table)(rows)
        for kind, config in plan.layers:
            is_first = not any(isinstance(one, FoldDense) for one in self.layers)
            layer = _fold_layer(kind, config, num_folds, is_first=is_first)
            self.layers.append(layer)
            values = layer(values)
        outputs = ops.transpose(values, (1, 0, 2))
        self.model = SteppingModel(rows, outputs, name="fold_parallel_head")
        self.running = RunningPredictions((longest, num_folds, outputs.shape[-1]))
        self.model.compile(
            optimizer=fused(plan.optimizer),
            loss=_summed(plan.loss),
            metrics=[self.running],
            jit_compile=jit_compiled(),
        )

    def reset(self, plan: HeadPlan, heads: Sequence[keras.Model]) -> None:
        """Set the trial's numbers and the initial weights of each fold's head."""
        sources = [_planned_layers(head) for head in heads]
        for position, layer in enumerate(self.layers):
            if isinstance(layer, FoldDropout):
                layer.rate.assign(plan.layers[position][1]["rate"])
            elif isinstance(layer, FoldDense):
                layer.take([source[position] for source in sources])
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        for variable in optimizer.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        optimizer.learning_rate = plan.learning_rate
        if isinstance(optimizer, AnyEpsilonAdam):
            optimizer.epsilon_value.assign(plan.optimizer.epsilon)

    def reseed(self, folds: Sequence[FoldRows], epoch: int) -> None:
        """Give each fold's dropout layers the seeds of this epoch."""
        dropouts = [layer for layer in self.layers if isinstance(layer, FoldDropout)]
        for position, layer in enumerate(dropouts):
            for fold, generator in zip(folds, layer.generators, strict=True):
                place = fold.place
                seeds = derive_seed(place.seed, place.trial, place.fold, epoch, "layers", position)
                state = generator.state
                state.assign(seeds.generate_state(2).astype(state.dtype))


class _EpochLog(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets seeds, validates and computes the metrics of each fold between epochs.

    For Keras all epochs are one pass over the batches; the epochs are counted here.
    """

    def __init__(
        self,
        trainer: FoldParallelTrainer,
        twin: _Twin,
        folds: Sequence[FoldRows],
        epochs: int,
        on_epoch: Callable[[], None],
        pool: ThreadPoolExecutor,
        is_hopeless: Callable[[Sequence[Mapping[str, float]]], bool] | None,
    ) -> None:
        super().__init__()
        self._data = trainer._data
        self._num_variants = trainer._num_variants
        self._twin = twin
        self._folds = folds
        self._epochs = epochs
        self._on_epoch = on_epoch
        starts = batch_starts(folds)
        self._num_chunks = len(chunks_of(starts))
        self._starts = output_starts(starts)
        self._pool = pool
        self._is_hopeless = is_hopeless
        self._num_kept = epochs
        self._figures: dict[str, list[Future[Any]]] = {"training": [], "validation": []}
        self._predictions: list[list[Any]] = [[] for _ in folds]
        longest = max(len(fold.validation) for fold in folds)
        self._rows = np.zeros((longest, len(folds)), dtype=np.int32)
        for fold, rows in enumerate(folds):
            self._rows[: len(rows.validation), fold] = rows.validation * self._num_variants

    def on_train_begin(self, logs: Any = None) -> None:
        self._twin.reseed(self._folds, 0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        epoch, chunk = divmod(batch, self._num_chunks)
        if chunk < self._num_chunks - 1:
            return
        if keras.backend.backend() == "jax":
            # Keras's JAX trainer holds the variables elsewhere while it trains.
            self._twin.model.jax_state_sync()
        answers = as_numpy(self._twin.running.answers)
        validation = np.asarray(self._twin.model.predict_on_batch(self._rows))
        places = [f"{rows.place}, epoch {epoch}" for rows in self._folds]
        trained = [
            outputs_of_fold(answers, fold, self._starts, rows.sizes)
            for fold, rows in enumerate(self._folds)
        ]
        validated = [
            validation[: len(rows.validation), fold] for fold, rows in enumerate(self._folds)
        ]
        for predictions, place in zip((*trained, *validated), 2 * places, strict=True):
            if not np.isfinite(predictions).all():
                raise TrialError(f"{place}: predictions are not finite")
        orders = [fold_order(rows, epoch) for rows in self._folds]
        held = [rows.validation for rows in self._folds]
        for split, predicted, rows_of_folds in (
            ("training", trained, orders),
            ("validation", validated, held),
        ):
            where = [f"{place}, {split}" for place in places]
            future = self._pool.submit(self._data.metrics, predicted, rows_of_folds, where)
            self._figures[split].append(future)
        for kept, expected in zip(self._predictions, validated, strict=True):
            kept.append(expected.astype(np.float32))
        self._twin.running.reset_state()
        self._on_epoch()
        if self._is_hopeless is not None and epoch > 0:
            # Of the epoch before, whose figures were computed while this one was trained.
            figures = self._figures["validation"][epoch - 1].result()
            if self._is_hopeless(figures):
                self._num_kept = epoch
                self.model.stop_training = True
                return
        if epoch + 1 < self._epochs:
            self._twin.reseed(self._folds, epoch + 1)

    def curves(self, start: float) -> list[FoldCurves]:
        """The curves of each fold; the time since `start` is divided among them."""
        training, validation = (
            [future.result() for future in self._figures[split][: self._num_kept]]
            for split in ("training", "validation")
        )
        seconds = time.monotonic() - start
        return [
            FoldCurves(
                training=curves_by_metric([figures[fold] for figures in training]),
                validation=curves_by_metric([figures[fold] for figures in validation]),
                predictions=np.stack(self._predictions[fold][: self._num_kept]),
                seconds=seconds / len(self._folds),
            )
            for fold in range(len(self._folds))
        ]


def _fold_layer(kind: str, config: dict[str, Any], num_folds: int, *, is_first: bool) -> Any:
    dtype = config["dtype"]
    if kind == "Dense":
        units, activation = config["units"], config["activation"]
        return FoldDense(
            num_folds,
            units,
            activation,
            config["use_bias"],
            units_first=is_first and units_first(units),
            dtype=dtype,
        )
    if kind == "Dropout":
        return FoldDropout(num_folds, dtype=dtype)
    assert kind == "Activation"
    return keras.layers.Activation(config["activation"], dtype=dtype)


def _summed(loss: Callable[..., Any]) -> keras.losses.Loss:
    """The loss summed over rows, so that sample weights decide how much a row counts."""
    return _SummedLoss(loss)


class _SummedLoss(keras.losses.Loss):  # type: ignore[misc]
    def __init__(self, loss: Callable[..., Any]) -> None:
        super().__init__(reduction="sum", name="summed_loss")
        self._loss = loss

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._loss(y_true, y_pred)


def _planned_layers(head: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in head.layers if type(layer).__name__ in LAYER_KINDS]
