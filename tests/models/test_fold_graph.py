"""What is not known to keep folds apart is refused with the reason, before anything is trained."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.models import fold_graph
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_graph import plan_model, refuse_data, refuse_size
from rust_tuner.models.fold_plan import MixedFolds

layers = keras.layers


def data(
    inputs: keras.KerasTensor = None, targets: npt.NDArray[np.float64] | None = None, **more: Any
) -> TrainingData:
    inputs = np.zeros((8, 5), np.float32) if inputs is None else inputs
    targets = np.zeros(8) if targets is None else targets
    return TrainingData(inputs, targets, lambda answers, rows, where: [{} for _ in rows], **more)


def model(
    *parts: Any,
    optimizer: str = "adam",
    loss: Any = "binary_crossentropy",
    metrics: Sequence[Any] = ("accuracy",),
    **more: Any,
) -> keras.Model:
    last = layers.Dense(1, activation="sigmoid", name="last")
    made = keras.Sequential([keras.Input((5,)), *parts, last])
    made.compile(optimizer, loss, metrics=list(metrics), **more)
    return made


def functional(
    make: Callable[[keras.KerasTensor], keras.KerasTensor], loss: Any = "mse"
) -> keras.Model:
    inputs = keras.Input((5,))
    made = keras.Model(inputs, make(inputs))
    made.compile("sgd", loss)
    return made


class OwnModel(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return self.dense(inputs)


class OwnDense(layers.Dense):  # type: ignore[misc,name-defined]
    pass


def own() -> OwnModel:
    made = OwnModel()
    made.compile("sgd", "mse")
    return made


def used_twice() -> keras.Model:
    dense = layers.Dense(5, name="dense")
    return functional(lambda inputs: dense(dense(inputs)))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (own, "OwnModel is a class of your own"),
        (lambda: model(run_eagerly=True), "compiled with run_eagerly"),
        (
            lambda: model(layers.Dropout(0.1), jit_compile=True),
            "has dropout and is compiled with XLA",
        ),
        (lambda: model(loss_weights=[2.0]), "compiled with loss_weights"),
        (lambda: model(OwnDense(3, name="mine")), "layer mine is a OwnDense"),
        (
            lambda: model(layers.BatchNormalization(name="bn")),
            "layer bn is a BatchNormalization that trains",
        ),
        (lambda: model(layers.Reshape((5, 1)), layers.LSTM(2, name="rnn")), "layer rnn is a LSTM"),
        (
            lambda: model(layers.Dense(4, name="d", kernel_regularizer="l2")),
            "layer d has kernel_regularizer",
        ),
        (
            lambda: model(layers.Dropout(0.1, noise_shape=(None, 1), name="drop")),
            "layer drop has noise_shape",
        ),
        (
            lambda: model(layers.Embedding(9, 2, mask_zero=True), layers.GlobalAveragePooling1D()),
            "has mask_zero",
        ),
        (
            lambda: model(layers.Dense(3, dtype="mixed_bfloat16", name="half")),
            "layer half computes in mixed_bfloat16",
        ),
        (lambda: model(layers.Dense(3, activation=lambda x: 2 * x)), "is code of your own"),
        (lambda: model(keras.Sequential([layers.Dense(3)], name="inner")), "inner is a Sequential"),
        (used_twice, "layer dense is used more than once"),
        (lambda: functional(lambda x: layers.Dense(1)(2 * x)), "operations that are not layers"),
        (lambda: functional(lambda x: layers.Concatenate(axis=0)([x, x])), "works over axis 0"),
        (lambda: functional(lambda x: [layers.Dense(1)(x), layers.Dense(2)(x)]), "several outputs"),
        (lambda: functional(lambda x: {"only": layers.Dense(1)(x)}), "outputs by name"),
        (lambda: model(loss=lambda y, p: (y - p) ** 2), "is code of your own"),
        (lambda: model(loss="dice"), "not known to treat each row separately"),
        (lambda: model(loss=keras.losses.MeanSquaredError(reduction="sum")), "has reduction='sum'"),
        *(
            (lambda loss=loss: model(loss=loss(axis=1)), "has axis=1")
            for loss in (
                keras.losses.BinaryCrossentropy,
                keras.losses.BinaryFocalCrossentropy,
                keras.losses.CategoricalCrossentropy,
                keras.losses.CategoricalFocalCrossentropy,
            )
        ),
        (lambda: model(metrics=[lambda y, p: 0.0]), "is code of your own"),
        (lambda: model(optimizer=keras.optimizers.Adam(clipnorm=1.0)), "has clipnorm=1.0"),
        (lambda: model(optimizer="nadam"), "Nadam is not known to treat each weight separately"),
    ],
)
def test_what_could_mix_folds_is_refused_with_the_reason(
    build: Callable[[], OwnModel], reason: str
) -> None:
    with pytest.raises(MixedFolds, match=reason):
        plan_model(build(), data())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (data(FrozenFeatures(np.zeros((8, 1, 5), np.float32), "x")), "inputs are not one array"),
        (data(np.array([["a"]] * 8)), "the inputs are not numbers"),
        (data(targets=np.array(["a"] * 8, object)), "the targets are not numbers but object"),
        (data(sample_weight=np.ones(8)), "rows or classes have weights"),
        (data(shuffle=False), "rows are not shuffled"),
    ],
)
def test_data_that_are_not_one_table_of_numbers_are_refused(
    given: TrainingData, reason: str
) -> None:
    with pytest.raises(MixedFolds, match=reason):
        refuse_data(given)


@pytest.mark.parametrize("shape", [(8,), (8, 5, 1)])
def test_rows_of_other_dimensions_than_the_input_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MixedFolds, match="the rows of x have other dimensions"):
        plan_model(model(), data(np.zeros(shape, np.float32)))


def test_models_that_would_fill_the_memory_together_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    big = model(layers.Dense(1000))
    refuse_size(big, data(), num_folds=5, rows=8)
    monkeypatch.setattr(fold_graph, "memory_bytes", lambda: 1e6)
    with pytest.raises(MixedFolds, match="5 models at once would take"):
        refuse_size(big, data(), num_folds=5, rows=8)


def test_numbers_share_a_signature_and_graphs_do_not() -> None:
    def signature(*parts: Any, rate: float = 0.1, **more: Any) -> str:
        return plan_model(model(layers.Dropout(rate), *parts, **more), data()).signature

    same = signature()
    assert same == signature(rate=0.4)
    assert same == signature(optimizer=keras.optimizers.Adam(0.5))
    others = [
        signature(layers.Dense(3)),
        signature(optimizer=keras.optimizers.Adam(epsilon=0.1)),
        signature(optimizer="sgd"),
        signature(loss=keras.losses.BinaryCrossentropy(label_smoothing=0.1)),
        signature(metrics=["mae"]),
    ]
    assert len({same, *others}) == 1 + len(others)


def test_the_activation_that_losses_look_through_is_split_off() -> None:
    plan = plan_model(model(), data())
    assert (plan.final, plan.last) == (keras.activations.sigmoid, "last")
    linear = plan_model(functional(layers.Dense(1, name="last")), data())
    assert (linear.final, linear.last) == (None, None)
