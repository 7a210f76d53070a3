"""Schedules: the batches that Keras `fit` would take, and no two batch sizes made alike."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.errors import SearchError
from rust_tuner.models.schedules import batch_sizes, steps_per_epoch

PUBLISHED_RANGE = range(16, 2049)


def as_keras(num_rows: int, batch_size: int) -> list[int]:
    full, rest = divmod(num_rows, batch_size)
    return [batch_size] * full + [rest] * (rest > 0)


class SizesSeen(keras.layers.Layer):  # type: ignore[misc]
    """Notes how many rows each training batch has."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        if training:
            self.sizes.append(len(inputs))
        return inputs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_rows", "batch_size"), [(10, 3), (10, 5), (10, 10), (10, 64), (7, 1), (1, 1), (33, 16)]
)
def test_the_sizes_are_those_of_keras_fit(num_rows: int, batch_size: int) -> None:
    seen = SizesSeen()
    model = keras.Sequential([keras.Input((2,)), seen, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    x, y = np.zeros((num_rows, 2), dtype=np.float32), np.zeros((num_rows, 1), dtype=np.float32)
    seen.sizes.clear()
    model.fit(x, y, batch_size=batch_size, verbose=0)
    assert batch_sizes(num_rows, batch_size) == seen.sizes
    assert int(model.optimizer.iterations) == steps_per_epoch(num_rows, batch_size)


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_batches_have_the_asked_size_and_the_last_takes_the_rest(
    num_rows: int, batch_size: int
) -> None:
    sizes = batch_sizes(num_rows, batch_size)
    assert sizes == as_keras(num_rows, batch_size)
    assert len(sizes) == steps_per_epoch(num_rows, batch_size) == math.ceil(num_rows / batch_size)


@settings(deadline=None)
@given(st.data())
def test_a_schedule_with_more_steps_splits_as_little_as_it_can(data: st.DataObject) -> None:
    num_rows = data.draw(st.integers(1, 400), label="rows")
    batch_size = data.draw(st.integers(1, 400), label="batch size")
    fewest = math.ceil(num_rows / batch_size)
    steps = data.draw(st.integers(fewest, num_rows), label="steps")
    sizes = batch_sizes(num_rows, batch_size, steps)
    assert len(sizes) == steps
    assert sum(sizes) == num_rows
    assert min(sizes) >= 1
    assert max(sizes) <= batch_size
    if steps == fewest:
        assert sizes == as_keras(num_rows, batch_size)


@settings(deadline=None)
@given(st.data())
def test_one_step_more_splits_the_last_full_batch_in_two_halves(data: st.DataObject) -> None:
    batch_size = data.draw(st.integers(2, 300), label="batch size")
    num_rows = data.draw(st.integers(batch_size, 3000), label="rows")
    plain = as_keras(num_rows, batch_size)
    last_full = num_rows // batch_size - 1
    halves = [batch_size - batch_size // 2, batch_size // 2]
    expected = plain[:last_full] + halves + plain[last_full + 1 :]
    assert batch_sizes(num_rows, batch_size, len(plain) + 1) == expected


@pytest.mark.parametrize(
    ("num_rows", "batch_size", "steps", "expected"),
    [
        (2075, 1000, 4, [1000, 500, 500, 75]),
        (2075, 1000, 5, [1000, 334, 333, 333, 75]),
        (2000, 1000, 3, [1000, 500, 500]),
        (10, 16, 2, [5, 5]),
        (10, 16, 10, [1] * 10),
        (5, 4, 5, [1] * 5),
        (6, 3, 6, [1] * 6),
    ],
)
def test_hand_checked_schedules(
    num_rows: int, batch_size: int, steps: int, expected: list[int]
) -> None:
    assert batch_sizes(num_rows, batch_size, steps) == expected


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(24, 3000), st.integers(2, 2048))
def test_folds_of_equal_shares_take_one_number_of_steps_from_batch_size_2_on(
    num_folds: int, num_rows: int, batch_size: int
) -> None:
    largest = num_rows - num_rows // num_folds
    smallest = num_rows - math.ceil(num_rows / num_folds)
    steps = steps_per_epoch(largest, batch_size)
    schedules = [batch_sizes(rows, batch_size, steps) for rows in (smallest, largest)]
    assert [len(sizes) for sizes in schedules] == [steps, steps]
    assert schedules[1] == as_keras(largest, batch_size)


def test_batches_of_one_row_cannot_be_split_for_a_larger_fold() -> None:
    with pytest.raises(SearchError, match="12 rows in batches of 1 cannot take 13 steps"):
        batch_sizes(12, 1, steps_per_epoch(13, 1))


def test_every_batch_size_of_regime_1_trains_as_keras_would_and_none_like_another() -> None:
    for num_rows in (2075, 2489):
        ours = {tuple(batch_sizes(num_rows, size)) for size in PUBLISHED_RANGE}
        keras_own = {tuple(as_keras(num_rows, size)) for size in PUBLISHED_RANGE}
        assert ours == keras_own
        # No batch size of the published range reaches the number of rows, so all differ.
        assert len(ours) == len(PUBLISHED_RANGE) == 2033


def test_batch_sizes_stay_different_where_a_smaller_fold_must_split() -> None:
    schedules = {
        (
            tuple(batch_sizes(2074, size, steps_per_epoch(2075, size))),
            tuple(batch_sizes(2075, size)),
        )
        for size in PUBLISHED_RANGE
    }
    assert len(schedules) == len(PUBLISHED_RANGE)


@pytest.mark.parametrize(("num_rows", "batch_size"), [(0, 16), (-1, 16), (10, 0), (10, -4)])
def test_nothing_to_train_on_is_refused(num_rows: int, batch_size: int) -> None:
    with pytest.raises(
        SearchError,
        match=f"{num_rows} training rows in batches of {batch_size}; expected at least 1 each",
    ):
        batch_sizes(num_rows, batch_size)


@pytest.mark.parametrize("steps", [-1, 0, 3, 11])
def test_fewer_steps_than_keras_or_more_than_rows_are_refused(steps: int) -> None:
    with pytest.raises(SearchError, match=f"10 rows in batches of 3 cannot take {steps} steps"):
        batch_sizes(10, 3, steps)
