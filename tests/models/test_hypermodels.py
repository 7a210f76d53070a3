"""Hypermodels: four hyperparameters declared without a model, and what they make of it."""

from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from rust_tuner.errors import ProtocolError
from rust_tuner.models import architectures, hypermodels
from rust_tuner.models.architectures import masked_binary_crossentropy
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.hypermodels import (
    ImageHyperModel,
    ImageModel,
    SearchSpace,
    TransferLearningHyperModel,
)
from rust_tuner.models.seeding import seeded_weights
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
    monkeypatch.setattr(hypermodels, "LeNet1998", refuse)
    monkeypatch.setattr(hypermodels, "classifier_head", refuse)
    monkeypatch.setattr(keras.applications, "InceptionV3", refuse)


def declared(
    hypermodel: TransferLearningHyperModel | ImageHyperModel,
) -> keras_tuner.HyperParameters:
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


@pytest.mark.slow
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


# ------------------------------------------------------------------- models that train on images


@pytest.fixture
def small_backbone(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A stand-in for InceptionV3, which takes seconds to build; what it was asked for."""
    asked = []

    def build(weights: Any, **options: Any) -> keras.Model:
        asked.append({"weights": weights.asked} | options)
        layers = [
            keras.Input((75, 75, 3)),
            keras.layers.Conv2D(2048, 9, strides=9),
            keras.layers.BatchNormalization(),
        ]
        return keras.Sequential(layers)

    monkeypatch.setattr(architectures, "build_backbone", build)
    return asked


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize("kind", ["lenet1998", "inceptionv3_end2end"])
def test_an_image_models_hyperparameters_are_fixed_at_the_protocols_and_adams(
    kind: ImageModel,
) -> None:
    protocol = Protocol(baseline_batch_size=7, baseline_dropout_rate=0.25)
    hp = declared(ImageHyperModel.from_protocol(protocol, kind))
    assert {type(p).__name__ for p in hp.space} == {"Fixed"}
    dropout = {} if kind == "lenet1998" else {"dropout_rate": 0.25}
    assert hp.values == {"batch_size": 7, "learning_rate": 1e-3, "epsilon": 1e-7} | dropout
    published = declared(ImageHyperModel(kind)).values
    assert published["batch_size"] == 128
    assert published.get("dropout_rate") == (None if kind == "lenet1998" else 0.5)
    assert ImageHyperModel.declares_everything


def test_an_image_model_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(
        ProtocolError, match=r"^kind='lenet5'; expected lenet1998 or inceptionv3_end2end$"
    ):
        ImageHyperModel("lenet5")  # type: ignore[arg-type]


def test_a_protocols_choices_reach_the_images_and_the_model() -> None:
    protocol = Protocol(
        image_size=80, resize="letterbox", flips="horizontal", masked_loss=True, weights="/x.h5"
    )
    hypermodel = ImageHyperModel.from_protocol(protocol, "lenet1998")
    recipe = hypermodel.image_recipe()
    assert (recipe.image_size, recipe.resize, recipe.flips) == (80, "letterbox", "horizontal")
    assert (recipe.precision, recipe.preprocessing) == ("float32", "minus_one_to_one")
    record = recipe.weights.to_json()
    assert (record["asked"], record["file"]) == ("random", None)
    model = hypermodel.build(declared(hypermodel))
    assert model.input_shape == (None, 80, 80, 3)
    assert model.loss is masked_binary_crossentropy
    assert [type(layer).__name__ for layer in model.layers].count("RandomFlip") == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lenet1998", "inceptionv3_end2end"])
def test_an_image_model_is_compiled_with_adam_at_its_defaults_ready_to_train(
    kind: ImageModel, small_backbone: list[dict[str, Any]]
) -> None:
    hypermodel = ImageHyperModel(kind, image_size=75)
    model = hypermodel.build(declared(hypermodel), metrics=["mae"])
    assert type(model.optimizer) is keras.optimizers.Adam
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3, rel=1e-6)
    assert model.optimizer.epsilon == 1e-7
    assert model.loss == "binary_crossentropy"
    assert model.optimizer.built
    assert {id(weight) for weight in model.trainable_weights} == {
        id(weight) for weight in model.weights if "moving" not in weight.path
    }
    logs = model.train_on_batch(
        np.zeros((2, 75, 75, 3)), np.zeros((2, 18), np.float32), return_dict=True
    )
    assert set(logs) == {"loss", "mae"}
    assert hypermodel.num_replicas == 1


def test_the_end_to_end_model_is_the_studys_with_random_weights_and_everything_trained(
    small_backbone: list[dict[str, Any]],
) -> None:
    hypermodel = ImageHyperModel(
        "inceptionv3_end2end", SearchSpace(8, 0.125), image_size=75, precision="bfloat16"
    )
    model = hypermodel.build(declared(hypermodel))
    assert small_backbone == [
        {"weights": "random", "image_size": 75, "trainable": True, "precision": "bfloat16"}
    ]
    head = model.get_layer("classifier_head")
    rates = [layer.rate for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.125] * 3
    *hidden, last = [layer for layer in head.layers if layer.weights]
    assert {layer.compute_dtype for layer in hidden} == {"bfloat16"}
    # A rate in bfloat16 would be one of 128.
    dropouts = [layer for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    assert {layer.compute_dtype for layer in dropouts} == {"float32"}
    assert last.compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_the_initial_weights_of_an_image_model_follow_from_the_folds_place() -> None:
    hypermodel = ImageHyperModel("lenet1998", image_size=75)
    drawn = []
    for place in (FoldPlace(0, 0, 0), FoldPlace(0, 0, 0), FoldPlace(0, 0, 1)):
        with seeded_weights(place):
            model = hypermodel.build(declared(hypermodel))
        drawn.append([np.asarray(weight) for weight in model.trainable_weights])
    kernels = slice(0, None, 2)
    assert all(map(np.array_equal, drawn[0], drawn[1]))
    assert not any(map(np.array_equal, drawn[0][kernels], drawn[2][kernels]))
