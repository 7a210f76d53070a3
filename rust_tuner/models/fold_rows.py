"""The rows that folds train on together: order, batches and chunks of batches in each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.models.fold_batches import FoldPlace, IntArray, TrainingData
from rust_tuner.models.fold_steps import as_chunk, chunks_of, most_outputs


@dataclass(frozen=True, eq=False)
class FoldRows:
    """The rows of one fold, and its place in the search."""

    training: IntArray
    validation: IntArray
    sizes: list[int]
    place: FoldPlace


class FoldBatches:
    """The batches of all epochs in sequence, each determined by its index alone."""

    def __init__(
        self, data: TrainingData, folds: Sequence[FoldRows], epochs: int, num_variants: int
    ) -> None:
        """Lay out `epochs` epochs, with that many variants of each input."""
        self._data = data
        self._folds = folds
        self._epochs = epochs
        self._num_variants = num_variants
        self._starts = batch_starts(folds)
        self._steps = len(folds[0].sizes)
        self._epoch = -1

    def __len__(self) -> int:
        """How many batches all epochs have."""
        return self._epochs * self._steps

    def __getitem__(self, index: int) -> tuple[Any, npt.NDArray[Any], npt.NDArray[Any]]:
        """One batch: rows of the table, targets and weights, each (rows, F, ...)."""
        epoch, step = divmod(index, self._steps)
        if epoch != self._epoch:
            self._lay_out(epoch)
        span = slice(self._starts[step], self._starts[step + 1])
        counted = self._counted[span]
        # Each fold's loss is the mean over its own rows of the batch; padding has no weight.
        weights = counted / counted.sum(axis=0)
        return self._rows[span], self._data.targets[self._images[span]], weights

    def _lay_out(self, epoch: int) -> None:
        shape = (self._starts[-1], len(self._folds))
        # Padding repeats a row of the fold: any other might be NaN, and so would its product with a
        # weight of zero be.
        self._images = np.tile([rows.training[0] for rows in self._folds], (shape[0], 1))
        self._counted = np.zeros(shape, dtype=np.float32)
        variants = np.zeros(shape, dtype=np.int64)
        for fold, rows in enumerate(self._folds):
            order = fold_order(rows, epoch)
            draws = rows.place.generator(epoch, "flips").integers(
                self._num_variants, size=len(order)
            )
            bounds = np.concatenate([[0], np.cumsum(rows.sizes)])
            for step, start in enumerate(self._starts[:-1]):
                span = slice(start, start + rows.sizes[step])
                taken = slice(bounds[step], bounds[step + 1])
                self._images[span, fold] = order[taken]
                variants[span, fold] = draws[taken]
                self._counted[span, fold] = 1
        self._rows = (self._images * self._num_variants + variants).astype(np.int32)
        self._epoch = epoch


class FoldChunks:
    """The same batches in chunks, each determined by its index alone."""

    def __init__(
        self, data: TrainingData, folds: Sequence[FoldRows], epochs: int, num_variants: int
    ) -> None:
        """Lay out `epochs` epochs, with that many variants of each input."""
        self._batches = FoldBatches(data, folds, epochs, num_variants)
        self._steps = len(folds[0].sizes)
        self._starts = batch_starts(folds)
        self._chunks = chunks_of(self._starts)
        self._epochs = epochs

    def __len__(self) -> int:
        """How many chunks all epochs have."""
        return self._epochs * len(self._chunks)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """One chunk, as `fit` takes it."""
        epoch, position = divmod(index, len(self._chunks))
        chunk = self._chunks[position]
        batches = [self._batches[epoch * self._steps + step] for step in chunk]
        return as_chunk(batches, chunk, self._starts)


def fold_order(rows: FoldRows, epoch: int) -> IntArray:
    """The training rows of a fold, in the order of an epoch."""
    permutation = rows.place.generator(epoch, "order").permutation(len(rows.training))
    return rows.training[permutation]


def step_sizes(folds: Sequence[FoldRows]) -> list[int]:
    """The most rows that a fold has in each step."""
    return [max(sizes) for sizes in zip(*(fold.sizes for fold in folds), strict=True)]


def room_for(folds: Sequence[FoldRows]) -> int:
    """Outputs to make room for: a power of two, so that most batch sizes share one graph."""
    return 1 << (most_outputs(batch_starts(folds)) - 1).bit_length()


def batch_starts(folds: Sequence[FoldRows]) -> list[int]:
    """Where each step begins among the rows of an epoch, and where the last one ends."""
    return [0, *np.cumsum(step_sizes(folds)).tolist()]


def outputs_of_fold(
    outputs: npt.NDArray[np.float32], fold: int, starts: Sequence[int], sizes: Sequence[int]
) -> npt.NDArray[np.float32]:
    """The outputs of a fold's own rows, in the order of training.

    Args:
        outputs: (rows, folds, labels), with each step of the folds as long as the longest.
        fold: the fold.
        starts: from `output_starts`.
        sizes: of the fold's batches.
    """
    steps = zip(starts[:-1], sizes, strict=True)
    return np.concatenate([outputs[start : start + size, fold] for start, size in steps])
