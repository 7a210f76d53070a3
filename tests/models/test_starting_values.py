"""Values of models as they were built: kept no longer than needed, put back where two have them."""

import gc

import keras
import numpy as np
import pytest

from rust_tuner.models.starting_values import StartingValues


def dense(name: str) -> keras.layers.Dense:
    layer = keras.layers.Dense(2, name=name)
    layer.build((None, 3))
    return layer


def model_of(*layers: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((3,)), *layers])


def build(values: StartingValues, *layers: keras.layers.Layer) -> keras.Model:
    before = values.begin_build()
    model = model_of(*layers)
    values.note(model, before)
    values.end_build(before)
    return model


@pytest.mark.slow
def test_values_of_a_model_go_with_it() -> None:
    values = StartingValues()
    model = build(values, dense("own"))
    assert len(values._starts) == 2
    del model
    gc.collect()
    assert not values._starts


def test_only_what_two_models_have_is_put_back() -> None:
    values = StartingValues()
    shared = dense("shared")
    start = np.asarray(shared.kernel).copy()
    own, last = dense("own"), keras.layers.Dense(3, name="last")
    first = build(values, own, last, shared)
    for layer in (own, shared):
        layer.kernel.assign(layer.kernel + 1)
    trained = np.asarray(own.kernel).copy()
    build(values, shared)
    np.testing.assert_array_equal(shared.kernel, start)
    np.testing.assert_array_equal(own.kernel, trained)
    shared.kernel.assign(shared.kernel + 1)
    values.end(failed=False)
    np.testing.assert_array_equal(shared.kernel, start)
    np.testing.assert_array_equal(first.layers[0].kernel, trained)


def test_the_same_model_twice_without_training_is_one() -> None:
    values = StartingValues()
    model = model_of(dense("own"))
    for _ in range(2):
        values.note(model, values.begin_build())
    assert not values.shared(model)
    model.layers[0].kernel.assign(model.layers[0].kernel + 1)
    values.note(model, values.begin_build())
    assert len(values.shared(model)) == 2
