"""Trains one fold of one trial with Keras `fit`, on a fixed schedule and with derived seeds.

It returns curves and predictions. Which folds there are, and how the results are used, belongs to
`search`.
"""

import contextlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from rust_tuner.data.pipeline import Batches, as_dataset
from rust_tuner.errors import TrialError
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.seeds import derive_seed, generator, seed_word

IntArray = npt.NDArray[np.int64]
Metrics = Callable[
    [Sequence[npt.NDArray[Any]], Sequence[IntArray], Sequence[str]], Sequence[Mapping[str, float]]
]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data that folds are taken from.

    Attributes:
        inputs: (n, ...) array, or the frozen features of n images.
        targets: (n, ...) what the loss compares with.
        metrics: function that maps each fold's predictions, their rows and a name for error
            messages to each fold's metrics; called for training and for validation.
    """

    inputs: npt.NDArray[Any] | FrozenFeatures
    targets: npt.NDArray[Any]
    metrics: Metrics

    def unflipped(self, rows: IntArray) -> npt.NDArray[Any]:
        """The inputs of some rows without flips, as in validation."""
        if isinstance(self.inputs, FrozenFeatures):
            return np.asarray(self.inputs.values[rows, 0])
        return np.asarray(self.inputs[rows])


@dataclass(frozen=True)
class FoldPlace:
    """The place of a fold in a search; it determines every random draw of its training.

    Attributes:
        seed: of the search.
        trial: number of the trial, from 0.
        fold: number of the fold, from 0.
    """

    seed: int
    trial: int
    fold: int

    def __str__(self) -> str:
        """The place, as written in messages."""
        return f"trial {self.trial:04d}, fold {self.fold}"

    def generator(self, *purpose: int | str) -> np.random.Generator:
        """A generator for one purpose in this fold."""
        return generator(self.seed, self.trial, self.fold, *purpose)


@dataclass(frozen=True, eq=False)
class FoldCurves:
    """The results of training one fold.

    Attributes:
        training: metric -> value per epoch, on the batches as they were trained.
        validation: metric -> value per epoch.
        predictions: (epochs, n_validation, ...) float32.
        seconds: how long it took.
    """

    training: dict[str, list[float]]
    validation: dict[str, list[float]]
    predictions: npt.NDArray[np.float32]
    seconds: float


class Checkpoint(Protocol):
    """Stores the state of a fold between epochs."""

    seconds_between: float

    def load(self) -> dict[str, npt.NDArray[Any]] | None:
        """The stored state, or None if there is none for exactly this fold."""

    def save(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Store a state in place of the previous one."""


class RunningPredictions(keras.metrics.Metric):  # type: ignore[misc]
    """Stores the model's predictions for each row of an epoch, in the order of training."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Allocate predictions of `shape`, rows first."""
        super().__init__(name="running_predictions")
        self.answers = self.add_variable(shape, "zeros", name="answers")
        self.position = self.add_variable((), "zeros", dtype="int32", name="position")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Append a batch."""
        one_hot = [1] + [0] * (len(self.answers.shape) - 1)
        start = ops.array(one_hot, dtype="int32") * self.position.value
        answers = ops.cast(y_pred, self.answers.dtype)
        self.answers.assign(ops.slice_update(self.answers.value, start, answers))
        self.position.assign_add(ops.shape(y_pred)[0])

    def result(self) -> Any:
        """The number of rows predicted; the predictions are in `answers`."""
        return ops.cast(self.position, "float32")


@contextlib.contextmanager
def seeded_weights(place: FoldPlace) -> Iterator[None]:
    """Seed Keras, so that the initial weights of a model depend only on the place.

    Keras draws initial weights from global state. That state is set within the block, and Python's
    and NumPy's are restored afterwards.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        keras.utils.set_random_seed(seed_word(place.seed, place.trial, place.fold, "weights"))
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


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
) -> FoldCurves:
    """Train a compiled model on one fold.

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
        on_restored: called with the number of epochs that the checkpoint restored, if any.
        checkpoint: stores the state of a long fold, to resume from its last epoch.

    Raises:
        TrialError: if the loss or predictions become non-finite.
    """
    start = last_save = time.monotonic()
    training_curves: list[Mapping[str, float]] = []
    validation_curves: list[Mapping[str, float]] = []
    predictions: list[npt.NDArray[np.float32]] = []
    elapsed = 0.0
    # Otherwise there would be no variables to load a state into.
    model.optimizer.build(model.trainable_variables)
    state = checkpoint.load() if checkpoint is not None else None
    if state is not None:
        _restore(model, state)
        past = json.loads(state["past"].tobytes())
        training_curves, validation_curves = past["training"], past["validation"]
        elapsed = past["seconds"]
        predictions = list(state["predictions"])
        on_restored(len(predictions))
    feed = _EpochFeed(model, data, training, sizes, place)
    held = _Held(model, _ValidationBatches(data, validation, max(sizes)))
    for epoch in range(len(predictions), epochs):
        where = f"{place}, epoch {epoch}"
        figures, order = _train_epoch(model, feed, epoch)
        if running is not None:
            answers = as_numpy(running.answers)
            figures = dict(data.metrics([answers], [order], [f"{where}, training"])[0])
            _require_finite(figures, f"{where}, training")
        training_curves.append(figures)

        answers = held.answers()
        if not np.isfinite(answers).all():
            raise TrialError(f"{where}: predictions on the validation rows are not finite")
        figures = dict(data.metrics([answers], [validation], [f"{where}, validation"])[0])
        if running is None and "loss" not in figures:
            figures |= model.evaluate(held.dataset, verbose=0, return_dict=True)
        _require_finite(figures, f"{where}, validation")
        validation_curves.append(figures)
        predictions.append(answers.astype(np.float32))
        if (
            checkpoint is not None
            and epoch + 1 < epochs
            and time.monotonic() - last_save >= checkpoint.seconds_between
        ):
            seconds = elapsed + time.monotonic() - start
            past = {
                "training": training_curves,
                "validation": validation_curves,
                "seconds": seconds,
            }
            checkpoint.save(
                {
                    "past": np.frombuffer(json.dumps(past).encode(), np.uint8),
                    "predictions": np.stack(predictions),
                    **_state(model),
                }
            )
            last_save = time.monotonic()
        on_epoch()
    return FoldCurves(
        training=curves_by_metric(training_curves),
        validation=curves_by_metric(validation_curves),
        predictions=np.stack(predictions),
        seconds=elapsed + time.monotonic() - start,
    )


def train_all(
    model: keras.Model,
    data: TrainingData,
    *,
    sizes: list[int],
    epochs: int,
    place: FoldPlace,
    on_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Train a compiled model on every row, like `train_fold` but without validation.

    Args:
        model: freshly built and compiled.
        data: the rows.
        sizes: sizes of an epoch's batches, in order.
        epochs: the number of epochs, at least 1.
        place: determines order, flips and dropout of each epoch.
        on_epoch: called after each epoch.

    Raises:
        TrialError: if the loss becomes non-finite.
    """
    # Else the first step would be traced twice: once to make its variables, once to use them.
    model.optimizer.build(model.trainable_variables)
    feed = _EpochFeed(model, data, np.arange(len(data.targets)), sizes, place)
    for epoch in range(epochs):
        _train_epoch(model, feed, epoch)
        on_epoch()


def _train_epoch(
    model: keras.Model, feed: "_EpochFeed", epoch: int
) -> tuple[dict[str, float], IntArray]:
    """Train one epoch; return the model's own metrics and the order of the rows."""
    _reseed(model, feed.place, epoch)
    order = feed.lay_out(epoch)
    logs = model.fit(
        feed.dataset, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0
    ).history
    figures = {name: float(values[-1]) for name, values in logs.items()}
    _require_finite(figures, f"{feed.place}, epoch {epoch}, training")
    return figures, order


def _state(model: keras.Model) -> dict[str, npt.NDArray[Any]]:
    """Everything that the next epoch depends on: weights, statistics and the optimiser's state."""
    return {
        f"{owner}_{position}": as_numpy(variable)
        for owner, variables in _stateful(model)
        for position, variable in enumerate(variables)
    }


def _restore(model: keras.Model, state: Mapping[str, npt.NDArray[Any]]) -> None:
    for owner, variables in _stateful(model):
        for position, variable in enumerate(variables):
            variable.assign(state[f"{owner}_{position}"])


def _stateful(model: keras.Model) -> tuple[tuple[str, list[Any]], ...]:
    return (("model", model.variables), ("optimizer", model.optimizer.variables))


class _EpochFeed:
    """The batches of one epoch after another; one dataset, whose graph is traced once a fold.

    A pass over the dataset gives the epoch that was laid out last, each batch a function of its
    index alone.
    """

    def __init__(
        self,
        model: keras.Model,
        data: TrainingData,
        training: IntArray,
        sizes: list[int],
        place: FoldPlace,
    ) -> None:
        self.place = place
        self._data = data
        self._training = training
        self._bounds = np.concatenate([[0], np.cumsum(sizes)])
        self.lay_out(0)
        self.dataset = as_dataset(_shared(self, model))

    def lay_out(self, epoch: int) -> IntArray:
        """Draw order and flips of an epoch; returns the rows in that order."""
        permutation = self.place.generator(epoch, "order").permutation(len(self._training))
        self._order = self._training[permutation]
        if isinstance(self._data.inputs, FrozenFeatures):
            flips = self.place.generator(epoch, "flips")
            self._variants = flips.integers(self._data.inputs.num_variants, size=len(self._order))
        return self._order

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        span = slice(self._bounds[index], self._bounds[index + 1])
        rows = self._order[span]
        inputs = self._data.inputs
        if isinstance(inputs, FrozenFeatures):
            return inputs.values[rows, self._variants[span]], self._data.targets[rows]
        return inputs[rows], self._data.targets[rows]


class _ValidationBatches:
    """The rows of a fold's validation side, in order."""

    def __init__(self, data: TrainingData, rows: IntArray, batch_size: int) -> None:
        self._data = data
        self._rows = rows
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        return self._data.unflipped(rows), self._data.targets[rows]


class _Held:
    """A fold's validation side as the model is asked about it, after every epoch anew."""

    def __init__(self, model: keras.Model, batches: Batches) -> None:
        self._model = model
        self._batches = batches
        self._shared = _shared(batches, model)
        self.dataset = as_dataset(self._shared)

    def answers(self) -> npt.NDArray[Any]:
        """What the model predicts for the rows, in order."""
        answers: npt.NDArray[Any] = np.asarray(self._model.predict(self.dataset, verbose=0))
        if self._shared is self._batches:
            return answers
        shares = (self._shared[index] for index in range(len(self._shared)))
        counted: npt.NDArray[Any] = answers[
            np.concatenate([weights > 0 for _, _, weights in shares])
        ]
        return counted


class _EvenShares:
    """Batches padded with rows of zero weight, so that several devices share them evenly.

    Keras averages over each device's share and then over the shares, so rows of a smaller share
    would count more. It also fails if the first batch does not divide evenly, and a convolution of
    an empty share is an error. The padding repeats the first rows of the batch. Metrics compiled
    without weights include it, and means over an epoch's batches, such as the training loss, weight
    a batch by its padded size.
    """

    def __init__(self, batches: Batches, num_devices: int) -> None:
        self._batches = batches
        self._num_devices = num_devices

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], ...]:
        inputs, targets = self._batches[index]
        counted = len(targets)
        filled = counted + -counted % self._num_devices
        rows = np.arange(filled) % counted
        weights = np.where(np.arange(filled) < counted, filled / counted, 0)
        return inputs[rows], targets[rows], weights.astype(np.float32)


def _shared(batches: Batches, model: keras.Model) -> Batches:
    """The batches as `fit` and `evaluate` of the model take them, on as many devices as it has."""
    # Backends other than TensorFlow have no strategies.
    strategy = getattr(model, "distribute_strategy", None)
    num_devices = 1 if strategy is None else strategy.num_replicas_in_sync
    return batches if num_devices == 1 else _EvenShares(batches, num_devices)


def _reseed(model: keras.Model, place: FoldPlace, epoch: int) -> None:
    """Give every random layer the seed of this epoch, so that its state needs no saving."""
    states = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    for position, state in enumerate(states):
        seeds = derive_seed(place.seed, place.trial, place.fold, epoch, "layers", position)
        words = seeds.generate_state(int(np.prod(state.shape))).astype(state.dtype)
        state.assign(words.reshape(tuple(state.shape)))


def _require_finite(figures: Mapping[str, float], where: str) -> None:
    for name, value in figures.items():
        if not math.isfinite(value):
            raise TrialError(f"{where}: {name} is {value}")


def as_numpy(variable: keras.Variable) -> npt.NDArray[Any]:
    """The value of a variable; `ops.convert_to_numpy` makes NumPy issue a warning."""
    return np.asarray(variable)


def curves_by_metric(epochs: list[Mapping[str, float]]) -> dict[str, list[float]]:
    """Turn the metrics of each epoch into a curve for each metric."""
    return {name: [float(figures[name]) for figures in epochs] for name in epochs[0]}
