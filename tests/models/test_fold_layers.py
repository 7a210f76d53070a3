"""A layer with a fold axis is so many of Keras's own layers side by side."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from instructions import needs_all_instructions

from rust_tuner.models import fold_layers
from rust_tuner.models.fold_layers import FoldDense, FoldDropout, GatherRows, units_first
from rust_tuner.models.fold_state import as_numpy

pytestmark = pytest.mark.numerical

NUM_FOLDS, NUM_ROWS, NUM_INPUTS = 3, 8, 5


def normal(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def answer(layer: keras.Layer, *inputs: Any, **options: Any) -> npt.NDArray[Any]:
    return np.asarray(layer(*inputs, **options))


def test_gathered_rows_are_those_of_each_fold_and_the_table_is_not_trained() -> None:
    table = keras.Variable(normal(20, NUM_INPUTS), trainable=False)
    rows = np.random.default_rng(1).integers(20, size=(NUM_ROWS, NUM_FOLDS)).astype(np.int32)
    layer = GatherRows(table)
    gathered = answer(layer, rows)
    assert gathered.shape == (NUM_FOLDS, NUM_ROWS, NUM_INPUTS)
    for fold in range(NUM_FOLDS):
        np.testing.assert_array_equal(gathered[fold], as_numpy(table)[rows[:, fold]])
    assert layer.trainable_variables == []


@pytest.mark.parametrize("units_first", [False, True])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "linear", None])
@pytest.mark.parametrize("places", [(), (2,)])
@pytest.mark.parametrize("num_rows", [NUM_ROWS, 100])
def test_fold_dense_is_a_dense_layer_a_fold(
    activation: str | None,
    use_bias: bool,
    units_first: bool,
    places: tuple[int],
    num_rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fold_layers, "_MANY_INPUTS", NUM_INPUTS)
    values = tf.constant(normal(NUM_FOLDS, num_rows, *places, NUM_INPUTS))
    stock = [keras.layers.Dense(4, activation=activation, use_bias=use_bias) for _ in values]
    for fold, one in enumerate(stock):
        one.build(values.shape[1:])
        one.set_weights([normal(*v.shape, seed=fold + n) for n, v in enumerate(one.variables, 1)])
    layer = FoldDense(NUM_FOLDS, 4, activation, use_bias, units_first=units_first)
    layer.build(values.shape)
    layer.take(stock)
    assert len(layer.trainable_variables) == 1 + use_bias

    def outputs_and_gradients(one: keras.Layer, inputs: tf.Tensor) -> list[npt.NDArray[Any]]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = one(inputs)
            total = tf.reduce_sum(outputs * outputs)
        return [outputs.numpy(), *map(as_numpy, tape.gradient(total, [one.kernel.value, inputs]))]

    answers, kernels, inputs = outputs_and_gradients(layer, values)
    if units_first:
        kernels = kernels.transpose(0, 2, 1)
    for fold, one in enumerate(stock):
        expected, kernel, of_inputs = outputs_and_gradients(one, values[fold])
        np.testing.assert_allclose(answers[fold], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(kernels[fold], kernel, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(inputs[fold], of_inputs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_inputs", [2047, 2048])
def test_one_graph_multiplies_few_rows_and_many(num_inputs: int) -> None:
    layer = FoldDense(NUM_FOLDS, 4, None, True, units_first=True)
    layer.build((NUM_FOLDS, None, num_inputs))
    layer.kernel.assign(normal(NUM_FOLDS, 4, num_inputs) / num_inputs)
    graph = tf.function(layer.call, input_signature=[tf.TensorSpec((NUM_FOLDS, None, num_inputs))])
    for num_rows in (1, 64, 65, 200):
        values = normal(NUM_FOLDS, num_rows, num_inputs, seed=1)
        expected = values @ as_numpy(layer.kernel).transpose(0, 2, 1)
        np.testing.assert_allclose(graph(values), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("units_first", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool", "float16"])
def test_inputs_of_any_type_are_converted_as_keras_does(dtype: str, units_first: bool) -> None:
    values = (normal(NUM_FOLDS, NUM_ROWS, NUM_INPUTS) > 0).astype(dtype)
    stock = [keras.layers.Dense(4) for _ in values]
    for one in stock:
        one.build(values.shape[1:])
    layer = FoldDense(NUM_FOLDS, 4, None, True, units_first=units_first)
    layer.build(values.shape)
    layer.take(stock)
    expected = np.stack([answer(one, values[fold]) for fold, one in enumerate(stock)])
    np.testing.assert_allclose(answer(layer, values), expected, rtol=1e-5, atol=1e-6)


@needs_all_instructions
@pytest.mark.parametrize("units_first", [False, True])
def test_in_bfloat16_the_values_are_those_of_dense_layers(units_first: bool) -> None:
    values = normal(NUM_FOLDS, NUM_ROWS, NUM_INPUTS)
    stock = [keras.layers.Dense(4, dtype="mixed_bfloat16") for _ in values]
    for one in stock:
        one.build(values.shape[1:])
    layer = FoldDense(NUM_FOLDS, 4, None, True, units_first=units_first, dtype="mixed_bfloat16")
    layer.build(values.shape)
    layer.take(stock)
    expected = np.stack([answer(one, values[fold]) for fold, one in enumerate(stock)])
    answers = answer(layer, values)
    assert answers.dtype.name == expected.dtype.name == "bfloat16"
    last_bit = 2**-7
    np.testing.assert_allclose(
        answers.astype(np.float32), expected.astype(np.float32), rtol=last_bit, atol=last_bit
    )


@pytest.mark.parametrize(
    ("changed", "units", "expected"),
    [
        ({}, 512, True),
        ({}, 511, False),
        ({"onednn_enabled": False}, 1024, False),
        ({"onednn_enabled": None}, 1024, False),
        ({"can_switch_onednn": False}, 1024, False),
        ({"uses_gpu": True}, 1024, False),
    ],
)
def test_wide_kernels_have_their_units_first_where_onednn_multiplies(
    changed: dict[str, bool | None], units: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"onednn_enabled": True, "can_switch_onednn": True, "uses_gpu": False} | changed
    for name, value in here.items():
        monkeypatch.setattr(fold_layers, name, lambda value=value: value)
    assert units_first(units) == expected


def test_wide_kernels_in_other_precisions_keep_the_usual_layout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keras.config, "floatx", lambda: "float64")
    assert not units_first(1024)


def dropout(rate: float, shape: tuple[int, int, int], **options: Any) -> FoldDropout:
    layer = FoldDropout(NUM_FOLDS, **options)
    layer.build(shape)
    layer.rate.assign(rate)
    return layer


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_fold_dropout_drops_its_share_and_keeps_the_expectation(rate: float) -> None:
    ones = np.ones((NUM_FOLDS, 200, 300), dtype=np.float32)
    answers = answer(dropout(rate, ones.shape), ones, training=True)
    kept = np.float32(1) / (np.float32(1) - np.float32(rate))
    assert set(np.unique(answers)) == ({0.0, kept} if rate else {1.0})
    # Of 60,000 draws the mean is within five standard errors of 1 in every fold.
    error = np.sqrt(rate / (1 - rate) / 60_000)
    assert np.abs(answers.mean(axis=(1, 2)) - 1).max() <= 5 * error


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("rate", [0.003, 0.4])
def test_each_fold_draws_the_mask_of_keras_dropout_with_its_own_seed(
    rate: float, policy: str
) -> None:
    values = np.ones((NUM_FOLDS, 400, 30), dtype=np.float32)
    layer = dropout(rate, values.shape, dtype=policy)
    states = [np.array([fold, 7], dtype=np.int64) for fold in range(NUM_FOLDS)]
    for generator, state in zip(layer.generators, states, strict=True):
        generator.state.assign(state)
    answers = answer(layer, values, training=True)
    masks = answers != 0
    for fold, state in enumerate(states):
        stock = keras.layers.Dropout(rate, dtype=policy)
        stock.seed_generator.state.assign(state)
        expected = answer(stock, values[fold], training=True)
        np.testing.assert_array_equal(masks[fold], expected != 0)
        rtol = 1e-6 if policy == "float32" else 1e-2
        np.testing.assert_allclose(*map(np.float32, (answers[fold], expected)), rtol=rtol)  # type: ignore[call-overload]
        assert not np.array_equal(masks[fold], masks[fold - 1])
    assert not np.array_equal(answer(layer, values, training=True) != 0, masks)


def test_fold_dropout_does_nothing_outside_training() -> None:
    values = normal(NUM_FOLDS, NUM_ROWS, NUM_INPUTS)
    layer = dropout(0.9, values.shape)
    before = [as_numpy(generator.state).tolist() for generator in layer.generators]
    np.testing.assert_array_equal(answer(layer, values), values)
    assert [as_numpy(generator.state).tolist() for generator in layer.generators] == before


def test_the_dropout_rate_is_set_without_a_new_graph() -> None:
    ones = np.ones((NUM_FOLDS, 100, 100), dtype=np.float32)
    layer = dropout(0.0, ones.shape)
    traces = []

    @tf.function  # type: ignore[untyped-decorator]
    def training(values: npt.NDArray[np.float32]) -> tf.Tensor:
        traces.append(values)
        return layer(values, training=True)

    for rate in (0.1, 0.7, 0.0):
        layer.rate.assign(rate)
        assert np.mean(np.asarray(training(ones)) == 0) == pytest.approx(rate, abs=0.02)
    assert len(traces) == 1
    assert layer.trainable_variables == []
