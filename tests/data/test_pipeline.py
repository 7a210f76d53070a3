"""Pipelines: the asked batch size, a seeded order, images with their labels, errors with a name."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from rust_tuner import k_fold_dataset as public_k_fold_dataset
from rust_tuner.data.pipeline import DecodedImages, decode_images, image_dataset, k_fold_dataset
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import LabelError, ProtocolError, SplitError

SIZE = 24


@pytest.fixture
def numbered() -> DecodedImages:
    """Image i is full of i, and its only target is i."""
    numbers = np.arange(20, dtype=np.float32)
    values = np.broadcast_to(numbers[:, None, None, None], (20, 2, 2, 3))
    return DecodedImages(values, numbers[:, None])


def rows_of(dataset: Any) -> list[int]:
    return [int(target) for _, targets in dataset for target in targets[:, 0]]


def sizes_of(dataset: Any) -> list[int]:
    return [len(targets) for _, targets in dataset]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 5, 10, 11, 64])
def test_the_number_of_optimiser_steps_follows_the_batch_size(
    radiographs: Radiographs, batch_size: int
) -> None:
    images = decode_images(radiographs, image_size=8)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(radiographs.labels.shape[1], activation="sigmoid"),
        ]
    )
    model.compile("sgd", "binary_crossentropy")
    training, validation = np.arange(10), np.array([10])
    for epoch in range(2):
        model.fit(
            image_dataset(images, training, batch_size=batch_size, training=True, epoch=epoch),
            validation_data=image_dataset(images, validation, batch_size=4, training=False),
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        )
        assert int(model.optimizer.iterations) == (epoch + 1) * math.ceil(10 / batch_size)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("num_rows", [1, 6, 7, 20])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_batches_have_the_asked_size_and_the_last_takes_the_rest(
    numbered: DecodedImages, batch_size: int, num_rows: int, training: bool
) -> None:
    batches = image_dataset(numbered, np.arange(num_rows), batch_size=batch_size, training=training)
    full, rest = divmod(num_rows, batch_size)
    assert sizes_of(batches) == [batch_size] * full + [rest] * (rest > 0)
    assert int(batches.cardinality()) == math.ceil(num_rows / batch_size)


def test_the_shapes_are_known_before_the_first_batch(numbered: DecodedImages) -> None:
    x, y = image_dataset(numbered, [1, 2], batch_size=2, training=True).element_spec
    assert (x.shape.as_list(), x.dtype) == ([None, 2, 2, 3], tf.float32)
    assert (y.shape.as_list(), y.dtype) == ([None, 1], tf.float32)


def test_validation_comes_in_the_given_order(numbered: DecodedImages) -> None:
    rows = [7, 3, 3, 19, 0]
    batches = image_dataset(numbered, rows, batch_size=2, training=False, seed=5, epoch=9)
    assert rows_of(batches) == rows


def test_training_sees_every_row_once_an_epoch(numbered: DecodedImages) -> None:
    rows = np.arange(3, 18)
    for epoch in range(5):
        batches = image_dataset(numbered, rows, batch_size=4, training=True, epoch=epoch)
        assert sorted(rows_of(batches)) == rows.tolist()


def test_the_order_is_a_function_of_seed_and_epoch(numbered: DecodedImages) -> None:
    def order(seed: int, epoch: int, batch_size: int = 4) -> tuple[int, ...]:
        options = {"batch_size": batch_size, "seed": seed, "epoch": epoch}
        return tuple(rows_of(image_dataset(numbered, range(20), training=True, **options)))

    places = [(seed, epoch) for seed in range(3) for epoch in range(4)]
    orders = {place: order(*place) for place in reversed(places)}
    assert all(orders[place] == order(*place) for place in places)
    assert all(orders[place] == order(*place, batch_size=7) for place in places)
    assert len(set(orders.values())) == len(places)
    assert tuple(range(20)) not in orders.values()


def test_a_dataset_read_twice_gives_the_same_batches(numbered: DecodedImages) -> None:
    batches = image_dataset(numbered, range(20), batch_size=3, training=True)
    assert rows_of(batches) == rows_of(batches)


def test_the_order_does_not_touch_global_random_state(numbered: DecodedImages) -> None:
    def order() -> list[int]:
        return rows_of(image_dataset(numbered, range(20), batch_size=3, training=True))

    state = np.random.get_state()
    try:
        np.random.seed(1)
        tf.random.set_seed(1)
        first = order()
        before = np.random.get_state()[1].tolist()
        np.random.seed(2)
        tf.random.set_seed(2)
        assert order() == first
        np.random.seed(1)
        assert np.random.get_state()[1].tolist() == before
    finally:
        np.random.set_state(state)


@pytest.mark.parametrize("cached", [False, True])
def test_labels_stay_with_their_images(
    radiographs: Radiographs, tmp_path: Path, cached: bool
) -> None:
    cache = tmp_path / "cache" if cached else None
    images = decode_images(radiographs, image_size=SIZE, cache=cache)
    known = {
        image.tobytes(): label for image, label in zip(images.values, images.labels, strict=True)
    }
    assert len(known) == len(radiographs)
    for epoch in range(3):
        batches = image_dataset(images, range(11), batch_size=4, training=True, epoch=epoch)
        for x, y in batches:
            for image, label in zip(x.numpy(), y.numpy(), strict=True):
                np.testing.assert_array_equal(label, known[image.tobytes()])


@pytest.mark.parametrize("shape", [(20,), (20, 2, 3)])
def test_targets_of_any_shape_replace_the_labels(
    numbered: DecodedImages, shape: tuple[int, ...]
) -> None:
    targets = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    batches = image_dataset(numbered, [4, 9], batch_size=2, training=False, targets=targets)
    ((_, answers),) = batches
    np.testing.assert_array_equal(answers, targets[[4, 9]])
    assert answers.dtype == tf.int64


def test_targets_that_are_not_one_each_are_refused(numbered: DecodedImages) -> None:
    with pytest.raises(LabelError, match=r"targets of shape \(19, 2\) for 20 images"):
        image_dataset(numbered, [0], batch_size=1, training=False, targets=np.zeros((19, 2)))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_1_is_refused(numbered: DecodedImages, batch_size: int) -> None:
    with pytest.raises(ProtocolError, match=f"batch_size={batch_size}; expected an integer from 1"):
        image_dataset(numbered, [0], batch_size=batch_size, training=False)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([], "no rows to make batches of"),
        (np.ones(20, dtype=bool), r"indices of bool .* numpy.flatnonzero"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([0.5], "indices of float64"),
        ([3, 20], "position 20; expected 0-19"),
        ([-1], "position -1; expected 0-19"),
    ],
)
def test_indices_that_are_no_positions_are_refused(
    numbered: DecodedImages, indices: Any, message: str
) -> None:
    with pytest.raises(SplitError, match=message):
        image_dataset(numbered, indices, batch_size=2, training=False)


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
    with pytest.raises(SplitError, match="no end"):
        k_fold_dataset(tf.data.Dataset.range(5).repeat(), 2)


def test_k_fold_dataset_is_public() -> None:
    assert public_k_fold_dataset is k_fold_dataset
