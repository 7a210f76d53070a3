"""The published division of a dataset into folds: by row, and nothing lost."""

import numpy as np
import pytest
import tensorflow as tf

from rust_tuner import k_fold_dataset as public_k_fold_dataset
from rust_tuner.data.pipeline import k_fold_dataset
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
