"""Takes datasets apart into rows: `tf.data.Dataset` and `keras.utils.PyDataset` of known length.

Folds take rows by index, so all rows are read once and kept in memory.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rust_tuner.data.structures import Tree, leaves, map_leaves
from rust_tuner.data.user_data import refuse_sparse
from rust_tuner.errors import SearchError

# What tf.data gives as the length of a dataset without end, and of one whose length is not known.
_INFINITE, _UNKNOWN = -1, -2
# So many items are read twice, to find those that are drawn anew.
_READ_TWICE = 8
# A warning before memory runs out, in bytes.
_LARGEST = 16 << 30


@dataclass(frozen=True, eq=False)
class DatasetRows:
    """The rows of a dataset.

    Attributes:
        x: inputs.
        y: targets, or None.
        weights: weights of the rows, or None.
        batch_size: rows of its first batch; None where it was not batched.
    """

    x: Tree
    y: Tree
    weights: Tree
    batch_size: int | None


def is_dataset(value: Any) -> bool:
    """Whether a value is a dataset of TensorFlow or Keras; also what is refused as one."""
    return _is_tf_data(value) or _is_py_dataset(value)


def rows_of_dataset(dataset: Any) -> DatasetRows:
    """Every row of a dataset, in its order.

    Args:
        dataset: of `(x,)`, `(x, y)` or `(x, y, sample_weight)`, or of inputs alone; batched as for
            `fit`, or row by row.

    Raises:
        SearchError: where it has no end or no known length, draws a new order or new values in
            every pass, or does not fit into memory.
    """
    if _is_tf_data(dataset):
        _require_length(dataset)
        _refuse_other_rows(dataset)
        read: Callable[[], Iterator[Any]] = dataset.as_numpy_iterator
        is_batched = _is_batched(dataset)
    else:
        try:
            count = len(dataset)
        except (TypeError, NotImplementedError) as error:
            raise SearchError(
                "the dataset has no length; give it __len__, since folds take rows by their numbers"
            ) from error

        def read() -> Iterator[Any]:
            return (dataset[position] for position in range(count))

        is_batched = True
    parts: list[tuple[Tree, ...]] = []
    size = 0
    for item in read():
        part = _arrays_of(item)
        if not is_batched:
            part = map_leaves(lambda array: array[None], part)
        size += sum(array.nbytes for _, array in leaves(part))
        if size > _LARGEST:
            raise SearchError(
                f"the dataset has more than {_LARGEST >> 30} GiB, and all of its rows are kept in "
                "memory; pass arrays, such as np.memmap"
            )
        parts.append(part)
    if not parts:
        raise SearchError("the dataset is empty")
    _refuse_random(read(), is_batched, parts)
    batch_size = len(next(array for _, array in leaves(parts[0]))) if is_batched else None
    x, y, weights = (*_joined(parts), None, None)[:3]
    return DatasetRows(x, y, weights, batch_size)


def _arrays_of(item: Any) -> tuple[Tree, ...]:
    part = item if isinstance(item, tuple) else (item,)
    if len(part) > 3:
        raise SearchError(
            f"the dataset gives tuples of {len(part)}; expected (x,), (x, y) or "
            "(x, y, sample_weight)"
        )
    return tuple(map_leaves(_as_array, _tuples(value)) for value in part)


def _refuse_random(items: Iterator[Any], is_batched: bool, parts: list[tuple[Tree, ...]]) -> None:
    """Refuse a dataset whose first items have other values when they are read again."""
    for item, part in zip(itertools.islice(items, _READ_TWICE), parts, strict=False):
        for (_, again), (_, first) in zip(leaves(_arrays_of(item)), leaves(part), strict=True):
            if not _is_same(again if is_batched else again[None], first):
                raise SearchError(
                    "the dataset gives other values each time it is read, as random augmentation "
                    "in map or __getitem__ does. Its rows are read once, so every epoch would see "
                    "the same values, validation rows too, and the search could not be resumed. "
                    "Put augmentation into the model, such as keras.layers.RandomFlip"
                )


def _is_same(first: Any, other: Any) -> bool:
    if first.shape != other.shape:
        return False
    if first.dtype.kind not in "fc":
        return bool((first == other).all())
    # Some kernels round differently from run to run.
    return np.allclose(first, other, rtol=1e-3, atol=1e-5, equal_nan=True)


def _joined(parts: list[tuple[Tree, ...]]) -> tuple[Tree, ...]:
    columns = [dict(leaves(part)) for part in parts]
    names = iter([name for name, _ in leaves(parts[0])])

    def join(array: Any) -> Any:
        name = next(names)
        return np.concatenate([column[name] for column in columns])

    joined: tuple[Tree, ...] = map_leaves(join, parts[0])
    return joined


def _tuples(value: Any) -> Tree:
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _as_array(value: Any) -> Any:
    refuse_sparse(value, "an item of the dataset")
    return np.asarray(value)


def _require_length(dataset: Any) -> None:
    count = int(dataset.cardinality())
    if count == _INFINITE:
        raise SearchError(
            "the dataset is infinite; drop repeat(), since an epoch is all training rows of a fold"
        )
    if count == _UNKNOWN:
        raise SearchError(
            "the length of the dataset is not known; give it one with "
            "dataset.apply(tf.data.experimental.assert_cardinality(n)), or pass arrays"
        )


def _refuse_other_rows(dataset: Any) -> None:
    for part in _chain(dataset):
        if "Shuffle" in type(part).__name__:
            raise SearchError(
                "the dataset is shuffled, so its rows would be numbered differently in every run; "
                "drop shuffle(): each epoch of a fold is shuffled anyway"
            )
    if any(_repeats(part) for part in _rows_of(dataset)):
        raise SearchError(
            "the dataset repeats its rows, so copies of one row would be on both sides of a fold; "
            "drop repeat(), and give more epochs"
        )


def _rows_of(dataset: Any) -> Iterator[Any]:
    """A dataset and those whose rows it has; not those that are joined into its rows."""
    inputs = [dataset]
    while len(inputs) == 1:
        (part,) = inputs
        yield part
        inputs = list(part._inputs()) if callable(getattr(part, "_inputs", None)) else []


def _repeats(part: Any) -> bool:
    if "Repeat" not in type(part).__name__:
        return False
    before, after = (int(one.cardinality()) for one in (*part._inputs(), part))
    return before != after or before == _UNKNOWN


def _is_batched(dataset: Any) -> bool:
    """Whether items are batches: by their shapes, else by whether `batch` was called."""
    import tensorflow as tf

    shapes = [spec.shape for spec in tf.nest.flatten(dataset.element_spec)]
    if any(shape.rank == 0 for shape in shapes):
        return False
    firsts = [None if shape.rank is None else shape[0] for shape in shapes]
    if None in firsts:
        return True
    return len(set(firsts)) == 1 and any(
        "Batch" in type(part).__name__ and "Unbatch" not in type(part).__name__
        for part in _chain(dataset)
    )


def _chain(dataset: Any) -> Iterator[Any]:
    """A dataset and those that it was made from."""
    waiting = [dataset]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(part._inputs() if callable(getattr(part, "_inputs", None)) else ())


def _is_tf_data(value: Any) -> bool:
    return hasattr(value, "element_spec") and hasattr(value, "cardinality")


def _is_py_dataset(value: Any) -> bool:
    return any(
        base.__name__ in ("PyDataset", "Sequence") and base.__module__.startswith("keras")
        for base in type(value).__mro__
    )
