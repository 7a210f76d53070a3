"""Hypermodels: four hyperparameters declared without a model, and what they make of it."""

from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from rust_tuner.models import hypermodels
from rust_tuner.models.architectures import masked_binary_crossentropy
from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel
from rust_tuner.protocol import Protocol

NAMES = ["batch_size", "dropout_rate", "learning_rate", "epsilon"]
GRID = SearchSpace(
    batch_size=64, dropout_rate=0.2, learning_rates=(1e-1, 1e-3), epsilons=(1e-1, 1e-7)
)


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a model was built")

    monkeypatch.setattr(hypermodels, "TransferLearningModel", refuse)
    monkeypatch.setattr(hypermodels, "classifier_head", refuse)
    monkeypatch.setattr(keras.applications, "InceptionV3", refuse)


def declared(hypermodel: TransferLearningHyperModel) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    return hp


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize("space", [None, GRID, SearchSpace()])
def test_all_four_are_declared_without_a_model(space: SearchSpace | None) -> None:
    hypermodel = TransferLearningHyperModel(space, weights="/not/there.h5")
    assert [p.name for p in declared(hypermodel).space] == NAMES
    assert hypermodel.declares_everything


@pytest.mark.usefixtures("no_models")
def test_fixed_hyperparameters_are_recorded_with_their_values() -> None:
    hp = declared(TransferLearningHyperModel(SearchSpace()))
    assert [type(p).__name__ for p in hp.space] == ["Fixed"] * 4
    assert hp.values == {
        "batch_size": 32,
        "dropout_rate": 0.5,
        "learning_rate": 1e-3,
        "epsilon": 1e-7,
    }


@pytest.mark.usefixtures("no_models")
def test_the_default_space_is_the_studys_regime_1() -> None:
    batch_size, dropout_rate, learning_rate, epsilon = declared(TransferLearningHyperModel()).space
    assert type(batch_size).__name__ == "Int"
    assert (batch_size.min_value, batch_size.max_value) == (16, 2048)
    assert (batch_size.step, batch_size.sampling) == (1, "linear")
    assert type(dropout_rate).__name__ == "Float"
    assert (dropout_rate.min_value, dropout_rate.max_value) == (0.0, 0.5)
    assert (dropout_rate.step, dropout_rate.sampling) == (None, "linear")
    assert (learning_rate.value, epsilon.value) == (1e-3, 1e-7)


@pytest.mark.usefixtures("no_models")
def test_the_protocols_grid_is_the_studys_regime_2() -> None:
    protocol = Protocol.study()
    space = SearchSpace(32, 0.1, protocol.learning_rates, protocol.epsilons)
    batch_size, dropout_rate, learning_rate, epsilon = declared(
        TransferLearningHyperModel.from_protocol(protocol, space)
    ).space
    assert (batch_size.value, dropout_rate.value) == (32, 0.1)
    assert learning_rate.values == [1e-1, 1e-2, 1e-3, 1e-4]
    assert epsilon.values == [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8]


@pytest.mark.usefixtures("no_models")
def test_declaring_twice_changes_nothing() -> None:
    hp = keras_tuner.HyperParameters()
    hypermodel = TransferLearningHyperModel(GRID)
    hypermodel.declare_hyperparameters(hp)
    hp.values["epsilon"] = 1e-7
    hypermodel.declare_hyperparameters(hp)
    assert [p.name for p in hp.space] == NAMES
    assert hp.values["epsilon"] == 1e-7


def test_a_protocols_choices_reach_the_features() -> None:
    protocol = Protocol(weights="random", image_size=75, resize="letterbox", flips="horizontal")
    recipe = TransferLearningHyperModel.from_protocol(protocol, GRID).feature_recipe()
    assert (recipe.weights.asked, recipe.image_size) == ("random", 75)
    assert (recipe.resize, recipe.flips) == ("letterbox", "horizontal")


@pytest.mark.parametrize(("learning_rate", "epsilon"), [(1e-1, 1e-7), (1e-3, 1e-1)])
def test_a_head_is_compiled_with_the_trials_adam(learning_rate: float, epsilon: float) -> None:
    hypermodel = TransferLearningHyperModel(GRID)
    hp = declared(hypermodel)
    hp.values |= {"learning_rate": learning_rate, "epsilon": epsilon}
    head = hypermodel.build_head(hp, num_features=5)
    assert type(head.optimizer) is keras.optimizers.Adam
    assert float(head.optimizer.learning_rate) == pytest.approx(learning_rate, rel=1e-6)
    assert head.optimizer.epsilon == epsilon
    assert head.loss == "binary_crossentropy"
    assert not head.jit_compile


def test_a_head_has_the_trials_dropout_rate_and_the_metrics_it_is_given() -> None:
    hypermodel = TransferLearningHyperModel()
    hp = declared(hypermodel)
    hp.values["dropout_rate"] = 0.125
    head = hypermodel.build_head(hp, num_features=5, metrics=["mae"])
    rates = [layer.rate for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.125] * 3
    logs = head.test_on_batch(np.zeros((2, 5)), np.zeros((2, 18)), return_dict=True)
    assert set(logs) == {"loss", "mae"}


def test_a_masked_loss_is_compiled_where_it_is_asked_for() -> None:
    hypermodel = TransferLearningHyperModel(GRID, masked_loss=True)
    assert hypermodel.build_head(declared(hypermodel), 5).loss is masked_binary_crossentropy


def test_the_head_alone_answers_as_the_head_of_the_whole_model() -> None:
    hypermodel = TransferLearningHyperModel(
        SearchSpace(learning_rates=(1e-2,), epsilons=(1e-4,)), weights="random", image_size=75
    )
    whole = hypermodel.build(declared(hypermodel))
    head = hypermodel.build_head(declared(hypermodel))
    head.set_weights(whole.get_layer("classifier_head").get_weights())
    pictures = np.random.default_rng(0).uniform(-1, 1, (3, 75, 75, 3)).astype(np.float32)
    pooled = keras.Model(whole.input, whole.get_layer("features").output)(pictures)
    answers = np.asarray(whole(pictures))
    np.testing.assert_allclose(np.asarray(head(pooled)), answers, rtol=1e-5)
    assert np.ptp(answers) > 1e-3
    assert type(whole.optimizer) is keras.optimizers.Adam
    assert float(whole.optimizer.learning_rate) == pytest.approx(1e-2, rel=1e-6)
    assert whole.optimizer.epsilon == 1e-4
