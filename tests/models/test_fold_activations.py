"""What does not treat each row by itself, an activation included, trains no folds together."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_graph import plan_model
from rust_tuner.models.fold_plan import MixedFolds, plan_head

layers = keras.layers
MIXING: dict[str, Callable[[], Any]] = {
    "batch normalisation": layers.BatchNormalization,
    "layer normalisation": layers.LayerNormalization,
    "RMS normalisation": layers.RMSNormalization,
    "softmax over rows": lambda: layers.Softmax(axis=0),
    "normalised over rows": lambda: layers.UnitNormalization(axis=0),
    "random": lambda: layers.Dropout(0.5),
    "with weights": layers.PReLU,
    "bound": lambda: functools.partial(keras.activations.softmax, axis=0),
    "an operation": lambda: keras.ops.cumsum,
}
BY_ROW: dict[str, Callable[[], Any]] = {
    "name": lambda: "relu",
    "function": lambda: keras.activations.gelu,
    "leaky": layers.LeakyReLU,
    "clipped": lambda: layers.ReLU(max_value=1.0),
}


def model_with(activation: Any, *, alone: bool = False) -> keras.Model:
    inner = (
        [layers.Dense(5), layers.Activation(activation)]
        if alone
        else [layers.Dense(5, activation=activation)]
    )
    model = keras.Sequential([keras.Input((6,)), *inner, layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def rows(count: int = 20) -> TrainingData:
    return TrainingData(
        np.zeros((count, 6), np.float32), np.zeros((count, 1), np.float32), lambda *_: []
    )


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("plan", [lambda model: plan_model(model, rows()), plan_head])
def test_what_may_mix_rows_is_refused(name: str, alone: bool, plan: Callable[..., object]) -> None:
    with pytest.raises(MixedFolds, match=r"activation|get_config|configuration|code of your own"):
        plan(model_with(MIXING[name](), alone=alone))


@pytest.mark.parametrize("name", BY_ROW)
@pytest.mark.parametrize("alone", [False, True])
def test_what_treats_each_row_by_itself_is_planned(name: str, alone: bool) -> None:
    model = model_with(BY_ROW[name](), alone=alone)
    assert plan_model(model, rows()).layers
    plan_head(model)


@pytest.mark.parametrize("axis", [0, [0], (0, 1), -2])
def test_rows_that_are_normalised_together_are_refused(axis: Any) -> None:
    model = keras.Sequential(
        [keras.Input((6,)), layers.UnitNormalization(axis=axis), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    with pytest.raises(MixedFolds, match="works over axis"):
        plan_model(model, rows())


@pytest.mark.parametrize("reduction", [None, "none", "sum"])
def test_a_loss_that_does_not_average_is_refused(reduction: str | None) -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
    model.compile("adam", keras.losses.MeanSquaredError(reduction=reduction))
    with pytest.raises(MixedFolds, match="has reduction="):
        plan_model(model, rows())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch normalisation", "softmax over rows", "with weights"])
def test_a_fold_does_not_depend_on_rows_of_another(name: str, tmp_path: Path) -> None:
    """Folds without a common row: other rows of the second one change nothing in the first."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    folds = [(np.arange(30), np.arange(30, 40)), (np.arange(40, 70), np.arange(70, 80))]
    other = x.copy()
    other[40:] *= -3
    found = []
    for place, values in (("a", x), ("b", other)):
        tuner = CrossValidationTuner(
            lambda hp: model_with(MIXING[name]()),
            GridSearchOracle(keras_tuner.Objective("val_loss", "min"), max_trials=1),
            cv=folds,
            directory=tmp_path / place,
        )
        tuner.search(values, y, epochs=2, batch_size=10, verbose=0)
        found.append(tuner.history().query("split == 'validation'").set_index(["fold", "epoch"]))
    one, two = (table["value"] for table in found)
    np.testing.assert_array_equal(one.loc[0], two.loc[0])
    assert (one.loc[1] != two.loc[1]).all()
