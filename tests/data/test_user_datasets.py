"""Datasets are taken apart into rows in their order, or refused with the cure."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from rust_tuner.data.structures import leaves
from rust_tuner.data.user_datasets import is_dataset, rows_of_dataset
from rust_tuner.errors import SearchError

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10)


def slices(*parts: Any) -> tf.data.Dataset:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(parts)


class Batched(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.size = size

    def __len__(self) -> int:
        return -(-len(X) // self.size)

    def __getitem__(
        self, position: int
    ) -> tuple[dict[str, npt.NDArray[Any]], list[npt.NDArray[Any]], npt.NDArray[np.float64]]:
        span = slice(position * self.size, (position + 1) * self.size)
        return {"a": X[span]}, [Y[span], Y[span] * 2], np.ones(len(X[span]))


@pytest.mark.parametrize(
    ("make", "batch_size"),
    [
        (lambda data: data.batch(4), 4),
        (lambda data: data.batch(5, drop_remainder=True), 5),
        (lambda data: data.batch(4).prefetch(1), 4),
        (lambda data: data, None),
    ],
)
def test_every_row_comes_once_and_in_order(
    make: Callable[[tf.data.Dataset], tf.data.Dataset], batch_size: int | None
) -> None:
    rows = rows_of_dataset(make(slices(X, Y)))
    np.testing.assert_array_equal(rows.x, X)
    np.testing.assert_array_equal(rows.y, Y)
    assert rows.weights is None
    assert rows.batch_size == batch_size


def test_structures_and_weights_are_kept() -> None:
    rows = rows_of_dataset(Batched())
    np.testing.assert_array_equal(rows.x["a"], X)
    np.testing.assert_array_equal(rows.y[1], Y * 2)
    assert [len(array) for _, array in leaves(rows.weights)] == [10]
    assert rows.batch_size == 4


def test_inputs_alone_and_text_are_rows() -> None:
    import tensorflow as tf

    rows = rows_of_dataset(tf.data.Dataset.from_tensor_slices(["a", "b", "c"]).batch(2))
    assert rows.y is None
    assert rows.x.tolist() == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: data.repeat().batch(2), r"infinite; drop repeat\(\)"),
        (lambda data: data.repeat(2).batch(2), r"copies of one row .* drop repeat\(\)"),
        (lambda data: data.batch(2).repeat(3), r"copies of one row .* drop repeat\(\)"),
        (lambda data: data.repeat(2).map(lambda *row: row).batch(2), r"copies of one row"),
        (lambda data: data.filter(lambda x, y: y < 3).repeat(2).apply(of_rows(6)), "copies of one"),
        (lambda data: data.filter(lambda x, y: y > 3).batch(2), "assert_cardinality"),
        (lambda data: data.shuffle(10).batch(2), r"drop shuffle\(\)"),
        (lambda data: data.take(0).batch(2), "empty"),
    ],
)
def test_datasets_without_fixed_rows_are_refused_with_the_cure(
    make: Callable[[tf.data.Dataset], tf.data.Dataset], message: str
) -> None:
    with pytest.raises(SearchError, match=message):
        rows_of_dataset(make(slices(X, Y)))


def of_rows(number: int) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    import tensorflow as tf

    made: Callable[[tf.data.Dataset], tf.data.Dataset] = tf.data.experimental.assert_cardinality(
        number
    )
    return made


def test_what_is_repeated_beside_the_rows_repeats_no_row() -> None:
    import tensorflow as tf

    # Keras repeats the array itself there, and takes another window of it each time.
    windows = keras.utils.timeseries_dataset_from_array(X, Y, sequence_length=2)
    assert len(rows_of_dataset(windows).x) == len(X) - 1
    weight = tf.data.Dataset.from_tensors(2.0).repeat(len(X))
    weighted = tf.data.Dataset.zip((slices(X), slices(Y), weight)).batch(4)
    assert len(rows_of_dataset(weighted).weights) == len(X)
    assert len(rows_of_dataset(slices(X, Y).repeat(1).batch(2)).y) == len(X)


def test_arrays_are_no_datasets() -> None:
    assert not is_dataset(X)
    assert not is_dataset({"a": X})
    assert is_dataset(slices(X))
    assert is_dataset(Batched())


class Noisy(Batched):
    """Augments its rows anew each time, as augmentation in `__getitem__` does."""

    def __getitem__(self, position: int) -> Any:
        inputs, targets, weights = super().__getitem__(position)
        return {"a": inputs["a"] + np.random.normal(size=inputs["a"].shape)}, targets, weights


def flipped(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.where(tf.random.uniform(()) < 0.5, x, -x), y


@pytest.mark.parametrize(
    "data",
    [
        slices(X, Y).map(flipped),
        slices(X, Y).map(flipped).batch(4),
        slices(X, Y)
        .batch(4)
        .map(lambda x, y: (x + tf.random.normal(tf.shape(x), 0, 1, x.dtype), y)),
        Noisy(),
    ],
    ids=["rows", "before batch", "after batch", "PyDataset"],
)
def test_values_that_are_drawn_anew_are_refused_with_the_cure(data: Any) -> None:
    tf.random.set_seed(0)
    with pytest.raises(SearchError, match=r"other values each time .* keras\.layers\.RandomFlip"):
        rows_of_dataset(data)


def test_values_that_are_computed_alike_each_time_are_rows() -> None:
    with_gaps = np.where(X > 5, np.nan, X)
    data = slices(with_gaps, Y).map(lambda x, y: (tf.sqrt(x), tf.as_string(y))).batch(4)
    found = rows_of_dataset(data)
    np.testing.assert_allclose(found.x, np.sqrt(with_gaps))
    assert found.y.tolist() == [str(y).encode() for y in Y]
