"""A stock layer with a fold axis is so many of Keras's own layers side by side."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.models.fold_stock import fold_layer, take_weights

pytestmark = pytest.mark.numerical

NUM_FOLDS, NUM_ROWS = 3, 4
layers = keras.layers


def numbers(*shape: Any, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def normalization(fold: int) -> keras.Layer:
    layer = layers.Normalization()
    layer.adapt(numbers(30, 5, seed=fold) * (fold + 1))
    return layer


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda fold: layers.Dense(3, activation="tanh"), (2, 5)),
        (lambda fold: layers.LayerNormalization(scale=False), (5,)),
        (lambda fold: layers.LayerNormalization(), (2, 5)),
        (lambda fold: layers.BatchNormalization(trainable=False), (2, 5)),
        (lambda fold: layers.BatchNormalization(scale=False, trainable=False), (5,)),
        (normalization, (5,)),
        (lambda fold: layers.Normalization(mean=2.0, variance=3.0), (2, 5)),
        (lambda fold: layers.Embedding(7, 2), (6,)),
        (lambda fold: layers.GlobalAveragePooling1D(), (4, 5)),
        (lambda fold: layers.MaxPooling2D(), (4, 4, 2)),
        (lambda fold: layers.Softmax(), (5,)),
        (lambda fold: layers.Flatten(), (2, 5)),
    ],
)
def test_each_fold_is_as_its_own_stock_layer(
    make: Callable[[int], keras.Layer], shape: tuple[int, ...]
) -> None:
    values = numbers(NUM_FOLDS, NUM_ROWS, *shape)
    stock = [make(fold) for fold in range(NUM_FOLDS)]
    if isinstance(stock[0], layers.Embedding):
        values = np.random.default_rng(0).integers(-7, 7, size=values.shape).astype(np.int32)
    for fold, layer in enumerate(stock):
        if not layer.built:
            layer.build((None, *shape))
        layer.set_weights(
            [np.abs(numbers(*w.shape, seed=9 * fold + n)) for n, w in enumerate(layer.weights)]
            if not isinstance(layer, layers.Normalization)
            else layer.get_weights()
        )
    target = fold_layer(stock[0], NUM_FOLDS)
    answers = np.asarray(target(values))
    take_weights(target, stock)
    answers = np.asarray(target(values))
    for fold, layer in enumerate(stock):
        expected = np.asarray(layer(values[fold]))
        np.testing.assert_allclose(answers[fold], expected, rtol=1e-5, atol=1e-6)


def test_several_inputs_of_a_layer_keep_their_folds() -> None:
    values = [numbers(NUM_FOLDS, NUM_ROWS, 5, seed=seed) for seed in range(2)]
    joined = np.asarray(fold_layer(layers.Concatenate(), NUM_FOLDS)(values))
    np.testing.assert_array_equal(joined, np.concatenate(values, axis=-1))
