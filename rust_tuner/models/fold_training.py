"""Trains one fold of one trial with Keras `fit`, on a fixed schedule and with derived seeds.

It returns curves and predictions. Which folds there are, and how the results are used, belongs to
`search`.
"""

import contextlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from rust_tuner.errors import TrialError
from rust_tuner.models.fold_batches import (
    EpochFeed,
    FoldPlace,
    IntArray,
    TrainingData,
    ValidationSide,
)
from rust_tuner.seeds import derive_seed, seed_word


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
    feed = EpochFeed(model, data, training, sizes, place)
    held = ValidationSide(model, data, validation, max(sizes))
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
    feed = EpochFeed(model, data, np.arange(len(data.targets)), sizes, place)
    for epoch in range(epochs):
        _train_epoch(model, feed, epoch)
        on_epoch()


def _train_epoch(
    model: keras.Model, feed: EpochFeed, epoch: int
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
