"""What a fold trains on: its rows, the batches of each epoch, and how several devices share them.

Every batch is a function of the fold's place, so that nothing random has to be stored.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.data.outputs import Outputs, side_by_side
from rust_tuner.data.pipeline import Batches, rows_as_dataset
from rust_tuner.data.structures import AnyRows, Tree, leaves, map_leaves
from rust_tuner.models.class_weights import ClassWeights
from rust_tuner.models.code_identity import is_of_library
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_steps import fed
from rust_tuner.models.hidden_state import changed_by_predicting, state_kept
from rust_tuner.seeds import generator

# Validation rows of at most so many bytes are copied into their dataset, which saves the time that
# it takes to call Python for them.
_MOST_HELD = 1 << 24

IntArray = npt.NDArray[np.int64]


Metrics = Callable[
    [Sequence[npt.NDArray[Any]], Sequence[IntArray], Sequence[str]], Sequence[Mapping[str, float]]
]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data that folds are taken from, and how they are fed to `fit`.

    Attributes:
        inputs: rows of arrays, or the frozen features of n images.
        targets: rows of what the loss compares with; None where the model needs only inputs.
        metrics: function that maps each fold's predictions, their rows and a name for error
            messages to each fold's metrics; called for training and for validation.
        scores_loss: whether these metrics include the loss, so that the model need not be
            evaluated for it.
        sample_weight: rows of weights, for training and validation; None weights all alike.
        class_weight: further weights of the training rows.
        shuffle: whether each epoch draws a new order of the training rows.
        validation_batch_size: rows of a batch of validation; that of training where None.
    """

    inputs: AnyRows | FrozenFeatures
    targets: Any
    metrics: Metrics
    scores_loss: bool = False
    sample_weight: AnyRows | None = None
    class_weight: ClassWeights | None = None
    shuffle: bool = True
    validation_batch_size: int | None = None

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        if isinstance(self.inputs, FrozenFeatures):
            return len(self.inputs.values)
        return len(self.inputs)

    @property
    def is_weighted(self) -> bool:
        """Whether rows have weights, in training at least."""
        return self.sample_weight is not None or self.class_weight is not None

    def unflipped(self, rows: IntArray) -> Tree:
        """The inputs of some rows without flips, as in validation."""
        if isinstance(self.inputs, FrozenFeatures):
            return np.asarray(self.inputs.values[rows, 0])
        return as_fed(self.inputs[rows])

    def batch(self, inputs: Tree, rows: IntArray, weights: AnyRows | None) -> tuple[Tree, ...]:
        """What `fit` gets for some rows: their inputs, and targets and weights if there are any."""
        if self.targets is None:
            return (inputs,)
        if weights is None:
            return inputs, as_fed(self.targets[rows])
        return inputs, as_fed(self.targets[rows]), as_fed(weights[rows])

    def training_weights(self, training: IntArray) -> AnyRows | None:
        """The weights of all rows where a fold trains on the rows `training`."""
        if self.class_weight is None:
            return self.sample_weight
        of_classes = self.class_weight.of_rows(training)
        if self.sample_weight is None:
            return of_classes
        assert isinstance(self.sample_weight, np.ndarray)
        shape = (-1,) + (1,) * (self.sample_weight.ndim - 1)
        weights: npt.NDArray[Any] = self.sample_weight * of_classes.reshape(shape)
        return weights


def as_fed(tree: Tree) -> Tree:
    """Arrays with floats of Keras's own precision, as `fit` makes them of arrays."""
    floatx = keras.config.floatx()

    def cast(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array.astype(floatx) if array.dtype.kind == "f" else array

    return map_leaves(cast, tree)


@dataclass(frozen=True)
class FoldPlace:
    """The place of a fold in a search; it determines every random draw of its training.

    Attributes:
        seed: of the search.
        trial: number of the trial, from 0.
        fold: number of the fold, from 0.
        name: in messages, where it is no fold of a trial.
    """

    seed: int
    trial: int
    fold: int
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        """The place, as written in messages."""
        return self.name or f"trial {self.trial:04d}, fold {self.fold}"

    def generator(self, *purpose: int | str) -> np.random.Generator:
        """A generator for one purpose in this fold."""
        return generator(self.seed, self.trial, self.fold, *purpose)


class EpochFeed:
    """The batches of one epoch after another; one dataset, whose graph is traced once a fold.

    TensorFlow takes longer to make an iterator of a dataset than to train a few small batches, and
    Keras makes two for each pass. So where `fit` can count the batches of an epoch, all epochs are
    one pass. Else each pass gives the epoch that was begun last.

    Attributes:
        dataset: what `fit` gets.
        options: arguments of `fit` that belong to it.
    """

    def __init__(
        self,
        model: keras.Model,
        data: TrainingData,
        training: IntArray,
        sizes: list[int],
        place: FoldPlace,
        *,
        epochs: int,
        are_whole: bool,
    ) -> None:
        """Feed `model` with the rows `training`, in batches of `sizes`.

        Args:
            model: compiled.
            data: all rows.
            training: rows to train on.
            sizes: sizes of an epoch's batches, in order.
            place: decides order and flips.
            epochs: how many there are at most.
            are_whole: whether no epoch but the last can be cut short, as callbacks may do.
        """
        self.place = place
        self._data = data
        self._training = training
        self._weights = data.training_weights(training)
        self._bounds = np.concatenate([[0], np.cumsum(sizes)])
        self._steps = len(sizes)
        self._is_one_pass = are_whole and _counts_its_steps(model, self._steps)
        # One batch more than is trained on, since Keras makes another iterator when a pass ends.
        self._num_batches = epochs * self._steps + 1 if self._is_one_pass else self._steps
        self._first: int | None = None
        self._drawn: _Drawn | None = None
        self.options = {"steps_per_epoch": self._steps} if self._is_one_pass else {}
        self.dataset = fed(_shared(self, model))

    def begin(self, epoch: int) -> IntArray:
        """Begin an epoch; returns its rows in the order of training."""
        # Keras may begin with a later epoch than the first.
        if self._first is None or not self._is_one_pass:
            self._first = epoch
        return self._order(epoch)

    def __len__(self) -> int:
        """How many batches a pass has."""
        return self._num_batches

    def __getitem__(self, index: int) -> tuple[Tree, ...]:
        """One batch: inputs, and targets and weights if there are any."""
        epochs, step = divmod(index, self._steps)
        drawn = self._draw((self._first or 0) + epochs)
        span = slice(self._bounds[step], self._bounds[step + 1])
        rows = drawn.order[span]
        inputs = self._data.inputs
        if isinstance(inputs, FrozenFeatures):
            flipped = inputs.values[rows, drawn.variants[span]]
            return self._data.batch(flipped, rows, self._weights)
        return self._data.batch(as_fed(inputs[rows]), rows, self._weights)

    def _draw(self, epoch: int) -> "_Drawn":
        """Order and flips of an epoch, which is read ahead: perhaps before it has begun."""
        drawn = self._drawn
        if drawn is None or drawn.epoch != epoch:
            order = self._order(epoch)
            variants = np.zeros(len(order), np.int64)
            if isinstance(self._data.inputs, FrozenFeatures):
                flips = self.place.generator(epoch, "flips")
                variants = flips.integers(self._data.inputs.num_variants, size=len(order))
            # In one step: the thread of an abandoned iterator may still be reading.
            self._drawn = drawn = _Drawn(epoch, order, variants)
        return drawn

    def _order(self, epoch: int) -> IntArray:
        if not self._data.shuffle:
            return self._training
        permutation = self.place.generator(epoch, "order").permutation(len(self._training))
        return self._training[permutation]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The rows of an epoch in order, and the flip variant of each."""

    epoch: int
    order: IntArray
    variants: IntArray


def _counts_its_steps(model: keras.Model, steps: int) -> bool:
    """Whether `fit` of the model can be told to take this many batches for each epoch."""
    return (
        keras.backend.backend() == "tensorflow"
        and isinstance(model, keras.Model)
        and is_of_library(type(model).fit)
        and is_of_library(type(model).make_train_function)
        # A call of several steps would take some of the next epoch.
        and steps % model.steps_per_execution == 0
        and _num_devices(model) == 1
    )


class _ValidationBatches:
    """The rows of a fold's validation side, in order."""

    def __init__(self, data: TrainingData, rows: IntArray, batch_size: int) -> None:
        self._data = data
        self._rows = rows
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Tree, ...]:
        return self._of(self._rows[index * self._batch_size : (index + 1) * self._batch_size])

    def num_bytes(self) -> float:
        """How much memory all rows take; infinite for objects, such as text of any length."""
        first = [array for _, array in leaves(self._of(self._rows[:1]))]
        if any(array.dtype == object for array in first):
            return math.inf
        return len(self._rows) * sum(array.nbytes for array in first)

    def as_dataset(self) -> Any:
        """The batches as a dataset of TensorFlow that holds the rows."""
        return rows_as_dataset(self._of(self._rows), self._batch_size)

    def _of(self, rows: IntArray) -> tuple[Tree, ...]:
        return self._data.batch(self._data.unflipped(rows), rows, self._data.sample_weight)


class ValidationSide:
    """A fold's validation side, which the model predicts after every epoch.

    Attributes:
        rows: the rows, in order.
        metrics: those of the data.
        outputs: which columns of the predictions are whose, once there are some; None where the
            model has one output.
    """

    def __init__(
        self, model: keras.Model, data: TrainingData, validation: IntArray, batch_size: int
    ) -> None:
        """Ask `model` about the rows `validation`, in batches of `batch_size` if none is set."""
        self.rows = validation
        self.metrics = data.metrics
        batches = _ValidationBatches(data, validation, data.validation_batch_size or batch_size)
        self._model = model
        self._shared = _shared(batches, model)
        is_held = (
            keras.backend.backend() == "tensorflow"
            and self._shared is batches
            and batches.num_bytes() <= _MOST_HELD
        )
        self.dataset = batches.as_dataset() if is_held else fed(self._shared)
        self.outputs: Outputs | None = None
        self._changed: list[Any] | None = None
        # A model that only trains, such as one with steps of its own, predicts nothing.
        self._predicts = getattr(type(model), "call", None) is not keras.Model.call
        # Sizes and weights of the batches are those of every epoch.
        self._counted = (
            _counted_rows(self._shared) if isinstance(self._shared, _EvenShares) else None
        )

    def answers(self) -> npt.NDArray[Any]:
        """What the model predicts for the rows, in order; several outputs side by side."""
        if not self._predicts:
            return np.zeros((len(self.rows), 0), np.float32)
        if self._changed is None:
            # Not before the first epoch, as some variables are made in it.
            self._changed = changed_by_predicting(self._model)
        with state_kept(self._changed):
            answers, self.outputs = side_by_side(self._model.predict(self.dataset, verbose=0))
        if self._counted is None:
            return answers
        counted: npt.NDArray[Any] = answers[self._counted]
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

    def __getitem__(self, index: int) -> tuple[Tree, ...]:
        batch = self._batches[index]
        counted, filled = self._sizes(batch)
        rows = np.arange(filled) % counted
        is_row = np.where(np.arange(filled) < counted, filled / counted, 0).astype(np.float32)
        inputs, targets, *weights = map_leaves(lambda array: array[rows], batch)
        if not weights:
            return inputs, targets, is_row
        weighted = map_leaves(lambda array: (array.T * is_row).T.astype(np.float32), weights[0])
        return inputs, targets, weighted

    def is_row(self, index: int) -> npt.NDArray[np.bool_]:
        """Which rows of a batch are not padding."""
        counted, filled = self._sizes(self._batches[index])
        return np.arange(filled) < counted

    def _sizes(self, batch: tuple[Tree, ...]) -> tuple[int, int]:
        counted = len(next(array for _, array in leaves(batch)))
        return counted, counted + -counted % self._num_devices


def _counted_rows(shared: "_EvenShares") -> npt.NDArray[np.bool_]:
    """Which of all rows, the padding included, are rows of the fold."""
    return np.concatenate([shared.is_row(index) for index in range(len(shared))])


def _shared(batches: Batches, model: keras.Model) -> Batches:
    """The batches as `fit` and `evaluate` of the model take them, on as many devices as it has."""
    num_devices = _num_devices(model)
    return batches if num_devices == 1 else _EvenShares(batches, num_devices)


def _num_devices(model: keras.Model) -> int:
    # Backends other than TensorFlow have no strategies.
    strategy = getattr(model, "distribute_strategy", None)
    return 1 if strategy is None else int(strategy.num_replicas_in_sync)
