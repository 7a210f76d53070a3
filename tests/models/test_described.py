"""What a model is: each choice of its layers and its compilation, and nothing of the process."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import keras
import numpy as np
import pytest

from rust_tuner.models.described import describe_model, differences, ensure_built


def dense(
    *,
    units: int = 3,
    activation: Any = "relu",
    rate: float = 0.1,
    regularizer: keras.regularizers.Regularizer | None = None,
    optimizer: Any = None,
    loss: Any = "mse",
    metrics: Sequence[Any] = ("mae",),
    extra: Sequence[keras.Layer] = (),
) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(units, activation=activation, kernel_regularizer=regularizer),
            keras.layers.Dropout(rate),
            *extra,
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer or keras.optimizers.Adam(1e-3), loss, metrics=list(metrics))
    return model


def changes(**choices: Any) -> list[tuple[str, str, str]]:
    return differences(describe_model(dense()), describe_model(dense(**choices)))


@pytest.mark.parametrize(
    ("choices", "row"),
    [
        ({"optimizer": keras.optimizers.Adam(1.0)}, ("optimizer.learning_rate", "0.001", "1.0")),
        ({"activation": "linear"}, ("layers.dense.activation", "relu", "linear")),
        ({"rate": 0.9}, ("layers.dropout.rate", "0.1", "0.9")),
        ({"units": 5}, ("layers.dense.units", "3", "5")),
        ({"regularizer": "l2"}, ("layers.dense.kernel_regularizer", "absent", "L2")),
        ({"loss": "mae"}, ("loss", "mse", "mae")),
        ({"metrics": ("mse",)}, ("metrics.0", "mae", "mse")),
        ({"loss": keras.losses.Huber(0.5)}, ("loss", "mse", "Huber")),
    ],
    ids=["rate", "activation", "dropout", "units", "regularizer", "loss", "metric", "object"],
)
def test_each_choice_is_named_with_both_values(
    choices: dict[str, str | tuple[str] | float], row: tuple[str, str, str]
) -> None:
    rows = changes(**choices)
    assert list(row[1:]) in [values for name, *values in rows if name.endswith(row[0])], rows


def test_options_of_losses_schedules_and_optimizers_are_told_apart() -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay

    def described(delta: float, decay: float, momentum: float) -> dict[str, Any]:
        optimizer = keras.optimizers.SGD(schedule(0.1, 10, decay), momentum=momentum)
        return describe_model(dense(optimizer=optimizer, loss=keras.losses.Huber(delta)))

    base = described(1.0, 0.9, 0.0)
    assert differences(base, described(1.0, 0.9, 0.0)) == []
    for other in (described(0.5, 0.9, 0.0), described(1.0, 0.5, 0.0), described(1.0, 0.9, 0.9)):
        assert len(differences(base, other)) == 1


def test_a_layer_that_is_inserted_does_not_hide_among_those_that_move() -> None:
    rows = changes(extra=[keras.layers.LayerNormalization()])
    assert ("layers.layer_normalization", "absent", "LayerNormalization") in rows


def test_what_the_process_has_built_before_does_not_count() -> None:
    first = describe_model(dense())
    for _ in range(3):
        dense()
    assert describe_model(dense()) == first


def test_a_description_is_json() -> None:
    described = describe_model(dense(loss=keras.losses.Huber(), metrics=[keras.metrics.AUC()]))
    assert json.loads(json.dumps(described, allow_nan=False)) == described


@pytest.mark.filterwarnings("error")
def test_lambdas_are_told_apart_by_what_they_do() -> None:
    def described(factor: float) -> dict[str, Any]:
        layer = keras.layers.Lambda(lambda x: x * factor)
        return describe_model(dense(extra=[layer], activation=lambda x: x))

    assert described(2.0) == described(2.0)
    ((name, _, _),) = differences(described(2.0), described(3.0))
    assert "<lambda>" in name


class Own(keras.Model):  # type: ignore[misc]
    """A model of its own class, as in the guides: no `get_config`, layers in attributes."""

    def __init__(self, units: int, alpha: float = 0.5) -> None:
        super().__init__()
        self.alpha = alpha
        self.hidden = keras.layers.Dense(units, activation="relu")
        self.last = keras.layers.Dense(1)

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.last(self.hidden(x)) * self.alpha


def own(**choices: Any) -> Own:
    model = Own(**{"units": 3} | choices)
    model.compile("adam", "mse")
    ensure_built(model, np.zeros((2, 4), np.float32))
    return model


def test_a_model_of_an_own_class_is_its_layers_attributes_and_shapes() -> None:
    base = describe_model(own())
    assert differences(base, describe_model(own())) == []
    assert any(row[1:] == ("3", "4") for row in differences(base, describe_model(own(units=4))))
    assert any(
        row[0].endswith("alpha") for row in differences(base, describe_model(own(alpha=0.1)))
    )


def unbuilt() -> keras.Model:
    model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("make", [unbuilt, lambda: own()], ids=["sequential", "own class"])
def test_a_model_that_waits_for_data_gets_its_weights(make: Callable[[], Own]) -> None:
    model = make()
    ensure_built(model, np.zeros((2, 4), np.float32))
    assert [tuple(weight.shape) for weight in model.weights] == [(4, 3), (3,), (3, 1), (1,)]
    # Any number of rows still fits.
    assert model(np.zeros((5, 4), np.float32)).shape == (5, 1)


def test_a_built_model_stays_as_it_is() -> None:
    model = dense()
    before = [weight.numpy() for weight in model.weights]
    ensure_built(model, np.zeros((2, 4), np.float32))
    for was, now in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(was, now.numpy())


class Silent(keras.layers.Layer):  # type: ignore[misc]
    """A layer that does not say what it is."""

    def __init__(
        self, factor: float, fault: type[NotImplementedError] = NotImplementedError
    ) -> None:
        super().__init__()
        self.factor, self.fault = factor, fault

    def get_config(self) -> NoReturn:
        raise self.fault("not written")

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        return inputs * self.factor


def test_a_layer_without_a_configuration_is_known_by_its_attributes_and_by_lacking_one() -> None:
    one, same, other = (describe_model(dense(extra=(Silent(k),))) for k in (2.0, 2.0, 3.0))
    assert differences(one, same) == []
    assert [row[1:] for row in differences(one, other)] == [("2.0", "3.0")]
    assert "NotImplementedError" in json.dumps(one)
    # The layers beside it are described all the same.
    changed = describe_model(dense(rate=0.9, extra=(Silent(2.0),)))
    assert [row[1:] for row in differences(one, changed)] == [("0.1", "0.9")]
