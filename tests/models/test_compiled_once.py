"""A model that takes the place of another trains bitwise as that one would."""

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from narrowing import is_a

from rust_tuner.models.compiled_once import CompiledOnce, shared_key
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_training import train_fold
from rust_tuner.models.schedules import batch_sizes
from rust_tuner.models.seeding import seeded_weights

ROWS, EPOCHS = 40, 2


def model(
    *,
    units: int = 3,
    rate: float = 0.3,
    learning_rate: float = 0.05,
    loss: Any = "binary_crossentropy",
    layers: Sequence[keras.Layer] = (),
    **more: Any,
) -> keras.Model:
    chain = [
        keras.Input((4,)),
        keras.layers.Dense(units, activation="relu"),
        *layers,
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(rate),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    made = keras.Sequential(chain)
    optimizer = more.pop("optimizer", None) or keras.optimizers.Adam(learning_rate)
    made.compile(optimizer, loss, metrics=["accuracy"], **more)
    return made


def data() -> TrainingData:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=ROWS) > 0).astype(np.float32)
    return TrainingData(x, y, lambda answers, rows, where: [{} for _ in rows])


def train(
    build: Callable[[], keras.Model], fold: int, compiled: CompiledOnce | None = None
) -> tuple[FoldCurves, keras.Model]:
    place = FoldPlace(3, 1, fold)
    # Sides of unequal sizes, so that the last batches differ.
    validation = np.arange(fold * 11, fold * 11 + 10 + fold)
    training = np.setdiff1d(np.arange(ROWS), validation)
    with seeded_weights(place):
        made = build() if compiled is None else compiled.model_of(build)
    curves = train_fold(
        made,
        data(),
        training,
        validation,
        sizes=batch_sizes(len(training), 8),
        epochs=EPOCHS,
        place=place,
    )
    if compiled is not None:
        compiled.trained(made)
    return curves, made


def assert_bitwise(one: FoldCurves, other: FoldCurves) -> None:
    assert (
        is_a(np.ndarray, one.predictions).tobytes() == is_a(np.ndarray, other.predictions).tobytes()
    )
    assert one.training == other.training
    assert one.validation == other.validation


@pytest.mark.slow
@pytest.mark.numerical
def test_a_fold_on_compiled_functions_is_bitwise_the_fold_of_a_fresh_model() -> None:
    compiled = CompiledOnce()
    _, first = train(model, 0, compiled)
    curves, second = train(model, 1, compiled)
    assert second is first
    # A trial with another learning rate, then the same fold again.
    other, third = train(lambda: model(learning_rate=0.5), 1, compiled)
    again, fourth = train(model, 1, compiled)
    assert third is fourth is first
    assert not np.array_equal(np.asarray(other.predictions), np.asarray(curves.predictions))
    expected, _ = train(model, 1)
    assert_bitwise(curves, expected)
    assert_bitwise(again, expected)


@pytest.mark.slow
@pytest.mark.numerical
def test_a_scaled_loss_trains_alike_on_compiled_functions() -> None:
    def build() -> keras.Model:
        return model(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(name="a")))

    compiled = CompiledOnce()
    _, first = train(build, 0, compiled)
    curves, second = train(build, 1, compiled)
    assert second is first
    expected, _ = train(build, 1)
    assert_bitwise(curves, expected)


def test_models_that_differ_in_more_than_numbers_share_nothing() -> None:
    key = shared_key(model())
    assert key == shared_key(model(learning_rate=0.5))
    others = [
        model(units=4),
        model(rate=0.4),
        model(loss="mse"),
        model(layers=[keras.layers.Dense(3, trainable=False)]),
        model(layers=[keras.layers.Dense(3, kernel_regularizer="l2")]),
        model(optimizer=keras.optimizers.Adam(0.05, beta_1=0.5)),
        model(optimizer=keras.optimizers.Adam(0.05, clipnorm=1.0)),
        model(steps_per_execution=2),
    ]
    keys = {key, *map(shared_key, others)}
    assert None not in keys
    assert len(keys) == len(others) + 1


def own_loss(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


class OwnLayer(keras.layers.Layer):  # type: ignore[misc]
    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return inputs


class OwnModel(keras.Model):  # type: ignore[misc]
    pass


def excluding() -> keras.optimizers.AdamW:
    optimizer = keras.optimizers.AdamW(0.05)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize(
    "build",
    [
        lambda: model(loss=own_loss),
        lambda: model(layers=[OwnLayer()]),
        lambda: model(layers=[keras.layers.Lambda(lambda x: x)]),
        lambda: model(layers=[keras.layers.Normalization()]),
        lambda: model(optimizer=excluding()),
        lambda: model(run_eagerly=True),
    ],
)
def test_code_of_the_user_and_what_a_compiled_function_may_keep_are_not_shared(
    build: Callable[[], keras.Model],
) -> None:
    assert shared_key(build()) is None


@pytest.mark.slow
def test_a_model_that_other_code_keeps_is_trained_itself() -> None:
    compiled, built = CompiledOnce(), []

    def build() -> keras.Model:
        built.append(model())
        return built[-1]

    returned = []
    for _ in range(3):
        returned.append(compiled.model_of(build))
        compiled.trained(returned[-1])
    assert all(one is other for one, other in zip(returned, built, strict=True))


@pytest.mark.slow
def test_a_model_whose_training_ended_in_an_error_is_not_used_again() -> None:
    compiled = CompiledOnce()
    broken = compiled.model_of(model)
    assert compiled.model_of(model) is not broken


@pytest.mark.slow
def test_a_released_model_takes_no_memory() -> None:
    compiled = CompiledOnce()
    made = compiled.model_of(model)
    made.predict_on_batch(np.zeros((2, 4), np.float32))
    values = [variable.value for variable in made.variables]
    reference = weakref.ref(made)
    del made
    compiled.release()
    gc.collect()
    assert reference() is None
    if keras.backend.backend() == "tensorflow":
        assert sum(np.asarray(value).nbytes for value in values) == 0
