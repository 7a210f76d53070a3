"""Trains one fold of one trial with Keras `fit`, on a fixed schedule and with derived seeds.

It returns curves and predictions. Which folds there are, and how the results are used, belongs to
`search`.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from rust_tuner.errors import TrialError
from rust_tuner.models.epoch_figures import (
    curves_by_metric,
    merged_figures,
    require_finite,
    scalars,
)
from rust_tuner.models.epoch_file import EpochFile, EpochLog
from rust_tuner.models.fold_batches import (
    EpochFeed,
    FoldPlace,
    IntArray,
    TrainingData,
    ValidationSide,
)
from rust_tuner.models.fold_callbacks import (
    as_validated,
    keeps_state,
    leaves_functions,
    restore_state,
    state_of,
)
from rust_tuner.models.fold_curves import Checkpoint, FoldCurves
from rust_tuner.models.fold_state import (
    as_numpy,
    build_optimizer,
    reseed,
    restore_model,
    shows_its_state,
    state_of_model,
)
from rust_tuner.models.metric_elements import by_element
from rust_tuner.models.runtime import is_plain_variable


class RunningPredictions(keras.metrics.Metric):  # type: ignore[misc]
    """Stores the model's predictions for each row of an epoch, in the order of training."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Allocate predictions of `shape`, rows first; an epoch may have fewer rows."""
        super().__init__(name="running_predictions")
        self.answers = self.add_variable(shape, "zeros", name="answers")
        self.position = self.add_variable((), "zeros", dtype="int32", name="position")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Append a batch."""
        _write(self.answers, self.position.value, ops.cast(y_pred, self.answers.dtype))
        self.position.assign_add(ops.shape(y_pred)[0])

    def result(self) -> Any:
        """The number of rows predicted; the predictions are in `answers`."""
        return ops.cast(self.position, "float32")


def _write(variable: keras.Variable, position: Any, rows: Any) -> None:
    """Write rows to a variable from `position` on.

    On TensorFlow, Keras's operation would copy the whole variable for each batch, by a function
    that XLA compiles for each batch size.
    """
    if is_plain_variable(variable):
        variable.value[position : position + ops.shape(rows)[0]].assign(rows)
        return
    start = ops.array([1] + [0] * (len(variable.shape) - 1), dtype="int32") * position
    variable.assign(ops.slice_update(variable.value, start, rows))


def running_of(model: keras.Model) -> RunningPredictions | None:
    """The metric that a model is compiled with to keep its training predictions, if it is."""
    # Keras's list of all metrics is empty until the model has seen a batch.
    compiled = getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None)
    metrics = keras.tree.flatten(compiled)
    return next((metric for metric in metrics if isinstance(metric, RunningPredictions)), None)


def train_fold(
    model: keras.Model,
    data: TrainingData,
    training: IntArray,
    validation: IntArray,
    *,
    sizes: list[int],
    epochs: int,
    place: FoldPlace,
    running: RunningPredictions | None = None,
    on_epoch: Callable[[], None] = lambda: None,
    on_restored: Callable[[int], None] = lambda epochs: None,
    checkpoint: Checkpoint | None = None,
    predictions_file: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    users_callbacks: Sequence[keras.callbacks.Callback] = (),
) -> FoldCurves:
    """Train a compiled model on one fold, in one call of its `fit`.

    Where `fit` stops early, as with `keras.callbacks.EarlyStopping`, each later epoch has the
    figures and predictions of the model that it leaves.

    Args:
        model: freshly built and compiled.
        data: all rows.
        training: rows to train on.
        validation: rows to validate on after each epoch.
        sizes: sizes of an epoch's batches, in order.
        epochs: the number of epochs, at least 1.
        place: determines order, flips and dropout of each epoch.
        running: the metric that `model` was compiled with to keep its training predictions;
            without it the training curves are what the model's own metrics report.
        on_epoch: called after each epoch that is trained.
        on_restored: called with the number of epochs that the checkpoint restored or that `fit`
            left out, if any.
        checkpoint: stores the state of a long fold, to resume from its last epoch. Not used where
            the model has state that Keras does not show: a `fit` of its own, or several optimizers.
        predictions_file: where predictions go that would take much memory; None keeps them there.
        callbacks: further callbacks of `fit`, which remember nothing.
        users_callbacks: those that follow; their state is stored as well, and where that of one
            cannot be, `checkpoint` is not used.

    Raises:
        TrialError: if the loss or predictions become non-finite, or `fit` trains no epoch.
    """
    if not shows_its_state(model) or not all(map(keeps_state, users_callbacks)):
        checkpoint = None
    # Otherwise there would be no variables to load a state into.
    build_optimizer(model)
    past = _Past(epochs, predictions_file)
    if past.restore(model, checkpoint):
        on_restored(len(past.predictions))
    are_whole = not callbacks and all(map(leaves_functions, users_callbacks))
    feed = EpochFeed(model, data, training, sizes, place, epochs=epochs, are_whole=are_whole)
    held = ValidationSide(model, data, validation, max(sizes))
    evaluates = running is None and not data.scores_loss
    recorder = _Recorder(data, feed, held, past, running, users_callbacks, evaluates=evaluates)
    after = _AfterEpoch(past, epochs, checkpoint, on_epoch, users_callbacks)
    model.fit(
        feed.dataset,
        initial_epoch=len(past.predictions),
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[recorder, *callbacks, *users_callbacks, after],
        **feed.options,
        **({"validation_data": held.dataset} if evaluates else {}),
    )
    trained = len(past.predictions)
    if trained < epochs:
        if not trained:
            raise TrialError(f"{place}: fit ended before its first epoch")
        recorder.keep_to_the_end(epochs)
        on_restored(epochs - trained)
    return FoldCurves(
        training=curves_by_metric(past.training),
        validation=curves_by_metric(past.validation),
        predictions=past.predictions.result(),
        seconds=past.seconds,
        epochs_trained=trained,
        outputs=held.outputs,
    )


def train_all(
    model: keras.Model,
    data: TrainingData,
    *,
    sizes: list[int],
    epochs: int,
    place: FoldPlace,
    on_epoch: Callable[[], None] = lambda: None,
    users_callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train a compiled model on every row, like `train_fold` but without validation.

    Args:
        model: freshly built and compiled.
        data: the rows.
        sizes: sizes of an epoch's batches, in order.
        epochs: the number of epochs, at least 1.
        place: determines order, flips and dropout of each epoch.
        on_epoch: called after each epoch.
        users_callbacks: further callbacks of `fit`.

    Raises:
        TrialError: if the loss becomes non-finite.
    """
    # Else the first step would be traced twice: once to make its variables, once to use them.
    build_optimizer(model)
    are_whole = all(map(leaves_functions, users_callbacks))
    rows = np.arange(data.num_rows)
    feed = EpochFeed(model, data, rows, sizes, place, epochs=epochs, are_whole=are_whole)
    model.fit(
        feed.dataset,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[_Beginning(feed), *users_callbacks, _AfterEpoch(None, epochs, None, on_epoch)],
        **feed.options,
    )


class _Past:
    """The epochs of a fold that are finished."""

    def __init__(self, epochs: int, predictions_file: Path | None) -> None:
        self._start = time.monotonic()
        self._elapsed = 0.0
        self.training: list[Mapping[str, float]] = []
        self.validation: list[Mapping[str, float]] = []
        self.predictions = EpochLog(epochs, predictions_file)
        self.restored: Mapping[str, npt.NDArray[Any]] = {}

    @property
    def seconds(self) -> float:
        return self._elapsed + time.monotonic() - self._start

    def restore(self, model: keras.Model, checkpoint: Checkpoint | None) -> bool:
        """Load the epochs and the state that a checkpoint has, if any."""
        state = checkpoint.load() if checkpoint is not None else None
        if state is None:
            return False
        past = json.loads(state["past"].tobytes())
        if "predictions" in state:
            self.predictions.restore(state["predictions"])
        elif not self.predictions.reopen(state["epoch_shape"].tolist(), len(past["validation"])):
            return False
        restore_model(model, state)
        self.training, self.validation = past["training"], past["validation"]
        self._elapsed = past["seconds"]
        self.restored = state
        return True

    def state(self) -> dict[str, npt.NDArray[Any]]:
        past = {"training": self.training, "validation": self.validation, "seconds": self.seconds}
        encoded = {"past": np.frombuffer(json.dumps(past).encode(), np.uint8)}
        predictions = self.predictions.result()
        if isinstance(predictions, EpochFile):
            predictions.sync()
            return encoded | {"epoch_shape": np.asarray(predictions.shape[1:])}
        return encoded | {"predictions": predictions}


class _Beginning(keras.callbacks.Callback):  # type: ignore[misc]
    """Begins each epoch's batches, and gives random layers the seed of the epoch."""

    def __init__(self, feed: EpochFeed) -> None:
        super().__init__()
        self._feed = feed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        reseed(self.model, self._feed.place, epoch)
        self._order = self._feed.begin(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        where = f"{self._feed.place}, epoch {epoch}, training"
        require_finite(scalars(logs or {}, validation=False), where)


class _Recorder(_Beginning):
    """Keeps the figures and predictions of each epoch; the first of the callbacks."""

    def __init__(
        self,
        data: TrainingData,
        feed: EpochFeed,
        held: ValidationSide,
        past: _Past,
        running: RunningPredictions | None,
        users_callbacks: Sequence[keras.callbacks.Callback],
        *,
        evaluates: bool,
    ) -> None:
        super().__init__(feed)
        self._data = data
        self._held = held
        self._past = past
        self._running = running
        self._users_callbacks = users_callbacks
        self._evaluates = evaluates

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        logs = {} if logs is None else logs
        where = f"{self._feed.place}, epoch {epoch}"
        figures: Mapping[str, float] = scalars(logs, validation=False)
        if self._running is not None:
            answers = as_numpy(self._running.answers)[: len(self._order)]
            figures = self._data.metrics([answers], [self._order], [f"{where}, training"])[0]
            require_finite(figures, f"{where}, training")
        self._past.training.append(dict(figures))

        with as_validated(self._users_callbacks):
            answers = self._held.answers()
        of_model = scalars(logs, validation=True) if self._evaluates else {}
        figures = self._validated(answers, of_model, where)
        self._past.validation.append(figures)
        self._past.predictions.append(answers.astype(np.float32))
        # The callbacks that follow can monitor what the model itself does not compute.
        for name, value in figures.items():
            logs.setdefault(f"val_{name}", value)

    def keep_to_the_end(self, epochs: int) -> None:
        """Give the epochs that `fit` left out the figures of the model as it is now."""
        of_model: Mapping[str, float] = {}
        if self._evaluates:
            of_model = by_element(
                self.model.evaluate(self._held.dataset, verbose=0, return_dict=True)
            )
        answers = self._held.answers()
        figures = self._validated(answers, of_model, f"{self._feed.place}, after its last epoch")
        for _ in range(epochs - len(self._past.predictions)):
            self._past.training.append(self._past.training[-1])
            self._past.validation.append(figures)
            self._past.predictions.append(answers.astype(np.float32))

    def _validated(
        self, answers: npt.NDArray[Any], of_model: Mapping[str, float], where: str
    ) -> dict[str, float]:
        """The figures of the validation side: ours, and those of the model's own metrics."""
        if not np.isfinite(answers).all():
            raise TrialError(f"{where}: predictions on the validation rows are not finite")
        rows = self._held.rows
        ours = self._data.metrics([answers], [rows], [f"{where}, validation"])[0]
        figures = merged_figures(ours, of_model)
        require_finite(figures, f"{where}, validation")
        return figures


class _AfterEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the state of a long fold and counts its epochs; the last of the callbacks.

    With the state of the model goes that of the user's callbacks.
    """

    def __init__(
        self,
        past: _Past | None,
        epochs: int,
        checkpoint: Checkpoint | None,
        on_epoch: Callable[[], None],
        users_callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        self._users_callbacks = users_callbacks
        self._past = past
        self._epochs = epochs
        self._checkpoint = checkpoint
        self._on_epoch = on_epoch
        self._last_save = time.monotonic()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # After the others, which forget here what an earlier training taught them.
        if self._past is not None and self._past.restored and self._users_callbacks:
            restore_state(self._users_callbacks, self._past.restored)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        checkpoint = self._checkpoint
        if (
            checkpoint is not None
            and self._past is not None
            and epoch + 1 < self._epochs
            # A callback has ended the training, which would continue if it were resumed.
            and not getattr(self.model, "stop_training", False)
            and time.monotonic() - self._last_save >= checkpoint.seconds_between
        ):
            state = {**self._past.state(), **state_of_model(self.model)}
            if self._users_callbacks:
                state |= state_of(self._users_callbacks)
            checkpoint.save(state)
            self._last_save = time.monotonic()
        self._on_epoch()
