"""Batches as a dataset; the published division of a dataset into folds, where nothing is lost."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rust_tuner import k_fold_dataset as public_k_fold_dataset
from rust_tuner.data.pipeline import as_dataset, k_fold_dataset, rows_as_dataset
from rust_tuner.errors import SplitError


@pytest.mark.parametrize(("num_rows", "k"), [(10, 10), (11, 2), (23, 5), (7, 3)])
def test_k_fold_dataset_validates_each_row_in_one_fold_and_trains_on_the_others(
    num_rows: int, k: int
) -> None:
    pairs = k_fold_dataset(tf.data.Dataset.range(num_rows), k)
    assert len(pairs) == k
    for index, (training, validation) in enumerate(pairs):
        shards = [list(range(start, num_rows, k)) for start in range(k)]
        assert list(validation.as_numpy_iterator()) == shards.pop(index)
        assert list(training.as_numpy_iterator()) == [row for shard in shards for row in shard]


def test_k_fold_dataset_makes_ten_folds_by_default() -> None:
    assert len(k_fold_dataset(tf.data.Dataset.range(30))) == 10


def test_k_fold_dataset_keeps_images_and_labels_together_and_does_not_batch() -> None:
    x, y = np.arange(24.0).reshape(12, 2), np.arange(12)
    for pair in k_fold_dataset(tf.data.Dataset.from_tensor_slices((x, y)), 3):
        for dataset in pair:
            for image, label in dataset:
                assert image.shape == (2,)
                np.testing.assert_array_equal(image, x[int(label)])


def test_k_fold_dataset_takes_rows_whose_number_is_not_known() -> None:
    rows = tf.data.Dataset.range(20).filter(lambda row: row % 2 == 0)
    validation = [list(pair[1].as_numpy_iterator()) for pair in k_fold_dataset(rows, 2)]
    assert validation == [[0, 4, 8, 12, 16], [2, 6, 10, 14, 18]]


@pytest.mark.parametrize("k", [1, 0, -3])
def test_fewer_than_two_folds_are_refused(k: int) -> None:
    with pytest.raises(SplitError, match=f"k={k}; a cross-validation has at least 2 folds"):
        k_fold_dataset(tf.data.Dataset.range(5), k)


def test_more_folds_than_rows_are_refused() -> None:
    with pytest.raises(SplitError, match="k=6 folds of 5 rows"):
        k_fold_dataset(tf.data.Dataset.range(5), 6)


def test_rows_without_end_are_refused() -> None:
    with pytest.raises(SplitError, match="is infinite"):
        k_fold_dataset(tf.data.Dataset.range(5).repeat(), 2)


def test_k_fold_dataset_is_public() -> None:
    assert public_k_fold_dataset is k_fold_dataset


class Batches:
    """Rows of arrays, two in a batch."""

    dataset: tf.data.Dataset

    def __init__(self, *arrays: Any, changed: Callable[[Any], Any] = lambda array: array) -> None:
        self._arrays = arrays
        self._changed = changed

    def __len__(self) -> int:
        return -(-len(self._arrays[0]) // 2)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = tuple(array[2 * index : 2 * index + 2] for array in self._arrays)
        return rows if index == 0 else tuple(map(self._changed, rows))


NUMBERS = np.arange(10).reshape(5, 2)
KINDS = {
    **{kind: NUMBERS.astype(kind) for kind in ("<f4", ">f4", "<f8", "<i4", ">i4", ">i2", "|u1")},
    "bool": NUMBERS % 3 == 0,
    "not contiguous": NUMBERS.T.copy().T.astype(np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_has_the_values_of_its_batches_whatever_their_kind(kind: str) -> None:
    array = KINDS[kind]
    for _ in range(2):
        batches = list(as_dataset(Batches(array, array[:, 0])))
        assert [len(rows) for rows, _ in batches] == [2, 2, 1]
        np.testing.assert_array_equal(np.concatenate([rows for rows, _ in batches]), array)
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in batches]), array[:, 0])
        assert batches[0][0].dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_in_one_piece_are_the_same_dataset(kind: str) -> None:
    array = KINDS[kind]
    batches = as_dataset(Batches(array, array[:, 0]))
    whole = rows_as_dataset((array, array[:, 0]), 2)
    assert whole.element_spec == batches.element_spec
    for _ in range(2):
        for one, other in zip(whole, batches, strict=True):
            for parts in zip(one, other, strict=True):
                np.testing.assert_array_equal(*parts)


def test_rows_in_one_piece_keep_their_structure() -> None:
    inputs = {"words": np.array(["a", "\u9aa8"], "U"), "numbers": (NUMBERS[:2], NUMBERS[3:])}
    ((read, targets),) = rows_as_dataset((inputs, NUMBERS[:2, 0]), 7)
    assert [word.decode() for word in read["words"].numpy()] == ["a", "\u9aa8"]
    np.testing.assert_array_equal(read["numbers"][1], NUMBERS[3:])
    np.testing.assert_array_equal(targets, NUMBERS[:2, 0])


def test_a_dataset_says_what_keras_asks_of_it() -> None:
    batches = Batches(NUMBERS, NUMBERS[:, 0])
    for dataset in (as_dataset(batches), rows_as_dataset((NUMBERS, NUMBERS[:, 0]), 2)):
        rows, targets = dataset.element_spec
        assert (rows.shape.as_list(), targets.shape.as_list()) == ([None, 2], [None])
        assert int(dataset.cardinality()) == len(batches) == 3
        # Its thread would sleep for longer and longer.
        assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize("dtype", ["U", "O"])
def test_a_dataset_has_text_in_any_script(dtype: str) -> None:
    words = ["\u00e4", "b", "\u9aa8\u6298", "", "e"]
    read = [row for (rows,) in as_dataset(Batches(np.array(words, dtype))) for row in rows.numpy()]
    assert [word.decode() for word in read] == words


def test_a_batch_of_another_type_has_that_of_the_first() -> None:
    array = NUMBERS.astype(np.float32)
    batches = Batches(array, changed=lambda rows: rows.astype(np.float64))
    read = [rows for (rows,) in as_dataset(batches)]
    assert {rows.dtype for rows in read} == {tf.float32}
    np.testing.assert_array_equal(np.concatenate(read), array)


@pytest.mark.parametrize("error", [StopIteration, ValueError, KeyError])
def test_an_error_in_a_batch_does_not_end_the_dataset_early(error: type[Exception]) -> None:
    def fail(rows: Any) -> Any:
        raise error

    with pytest.raises(tf.errors.OpError):
        list(as_dataset(Batches(NUMBERS, changed=fail)))


@pytest.mark.slow
def test_a_dataset_keeps_its_batches_for_as_long_as_it_is_used() -> None:
    batches = Batches(NUMBERS)
    gone = weakref.ref(batches)
    dataset = as_dataset(batches)
    # As who feeds a model keeps both.
    batches.dataset = dataset
    iterator = iter(dataset.take(2))
    del batches, dataset
    gc.collect()
    assert len(list(iterator)) == 2
    del iterator
    gc.collect()
    assert gone() is None
