"""Architectures: the study's layers, what frozen means, and files."""

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.models import architectures
from rust_tuner.models.architectures import (
    TransferLearningModel,
    classifier_head,
    feature_extractor,
)
from rust_tuner.protocol import Flips

# NumPy 2 asks for a keyword that Keras's variables do not know; Keras saves through it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SIZE = 75
# As it was built, and from a file.
BOTH_MODELS = ("plain_model", pytest.param("reloaded_model", marks=pytest.mark.slow))

FloatArray = npt.NDArray[np.float32]


def images(count: int, *, size: int = SIZE, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def with_own_statistics(model: keras.Model) -> keras.Model:
    """Moves the moving statistics away from 0 and 1, so that ignoring them shows."""
    rng = np.random.default_rng(5)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(rng.uniform(-0.05, 0.05, shape))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, shape))
    return model


def statistics_of(model: keras.Model) -> list[FloatArray]:
    return [
        np.asarray(statistic).copy()
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        for statistic in (layer.moving_mean, layer.moving_variance)
    ]


@pytest.fixture(scope="module")
def study_model() -> keras.Model:
    return TransferLearningModel(dropout_rate=0.3, weights="random")


@pytest.fixture(scope="module")
def plain_model() -> keras.Model:
    """Small and frozen, without flips and dropout, so that training mode may change nothing."""
    return with_own_statistics(
        TransferLearningModel(dropout_rate=0.0, weights="random", flips="none", image_size=SIZE)
    )


@pytest.fixture(scope="module")
def flipping_model(tmp_path_factory: pytest.TempPathFactory) -> keras.Model:
    """The study's flips before a small stand-in for the backbone, as read from a file."""
    backbone = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(2048, 9)])
    path = tmp_path_factory.mktemp("flipping") / "model.keras"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "build_backbone", lambda *args, **options: backbone)
        model = TransferLearningModel(dropout_rate=0.0, weights="random", image_size=SIZE)
    model.save(path)
    return keras.models.load_model(path, safe_mode=True)


@pytest.fixture(scope="module")
def trainable_model() -> keras.Model:
    return TransferLearningModel(
        dropout_rate=0.0, weights="random", trainable=True, flips="none", image_size=SIZE
    )


@pytest.fixture(scope="module")
def reloaded_model(
    plain_model: keras.Model, tmp_path_factory: pytest.TempPathFactory
) -> keras.Model:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    plain_model.save(path)
    try:
        return keras.models.load_model(path, safe_mode=True)
    finally:
        path.unlink()


# ------------------------------------------------------------------------------------- the layers


def test_the_model_is_a_functional_one_of_stock_layers(study_model: keras.Model) -> None:
    assert type(study_model).__name__ == "Functional"
    layers = list(study_model._flatten_layers())
    assert len(layers) > 300
    assert {type(layer).__module__.split(".")[0] for layer in layers} == {"keras"}


def test_the_models_input_is_the_studys(study_model: keras.Model) -> None:
    assert study_model.input_shape == (None, 299, 299, 3)
    assert study_model.inputs[0].dtype == "float32"


def test_the_model_answers_with_18_probabilities(study_model: keras.Model) -> None:
    assert study_model.output_shape == (None, 18)
    answers = np.asarray(study_model(images(2, size=299)))
    assert answers.dtype == np.float32
    assert answers.shape == (2, 18)
    assert ((answers >= 0) & (answers <= 1)).all()
    assert len(np.unique(answers)) > 18


def test_the_layers_stand_in_the_studys_order(study_model: keras.Model) -> None:
    kinds = [type(layer).__name__ for layer in study_model.layers]
    assert kinds == [
        "InputLayer",
        "RandomFlip",
        "RandomFlip",
        "Functional",
        "GlobalMaxPooling2D",
        "Functional",
    ]
    assert study_model.get_layer("features").output.shape == (None, 2048)


def test_the_head_has_the_studys_sizes_and_dropout(study_model: keras.Model) -> None:
    head = study_model.get_layer("classifier_head")
    dense = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [1024, 512, 256, 18]
    activations = [layer.activation.__name__ for layer in dense]
    assert activations == ["relu", "relu", "relu", "sigmoid"]
    dropouts = [layer for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in dropouts] == [0.3] * 3
    order = [type(layer).__name__ for layer in head.layers]
    assert order == ["InputLayer", *["Dense", "Dropout"] * 3, "Dense"]


@pytest.mark.parametrize("rate", [0.0, 0.17, 0.5])
def test_a_head_alone_has_the_rate_that_it_is_given(rate: float) -> None:
    head = classifier_head(rate, num_features=7)
    assert head.input_shape == (None, 7)
    assert head.output_shape == (None, 18)
    rates = [layer.rate for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [rate] * 3


def test_training_sees_a_picture_in_all_four_ways_alike(study_model: keras.Model) -> None:
    picture = images(1, size=9)
    horizontal, vertical = study_model.layers[1:3]
    assert (horizontal.mode, vertical.mode) == ("horizontal", "vertical")
    flipped = np.repeat(picture, 400, axis=0)
    for layer in (horizontal, vertical):
        flipped = np.asarray(layer(flipped, training=True))
    ways = [picture, picture[:, :, ::-1], picture[:, ::-1], picture[:, ::-1, ::-1]]
    counts = [sum(np.array_equal(one, way[0]) for one in flipped) for way in ways]
    assert sum(counts) == 400
    assert min(counts) > 60


@pytest.mark.slow
@pytest.mark.parametrize("training", [None, False])
def test_answers_outside_training_do_not_depend_on_flips(
    flipping_model: keras.Model, training: bool | None
) -> None:
    picture = np.repeat(images(1), 8, axis=0)
    answers = np.asarray(flipping_model(picture, training=training))
    np.testing.assert_allclose(answers, np.repeat(answers[:1], 8, axis=0), rtol=1e-6)
    trained = np.asarray(flipping_model(picture, training=True))
    assert np.ptp(trained, axis=0).max() > 1e-6


@pytest.mark.parametrize("flips", ["horizontal", "none"])
def test_a_model_has_the_flips_that_are_asked_for(
    flips: Flips, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which layers there are does not need another InceptionV3.
    backbone = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(2048, 9)])
    monkeypatch.setattr(architectures, "build_backbone", lambda *args, **options: backbone)
    model = TransferLearningModel(weights="random", flips=flips, image_size=SIZE)
    found = [layer.mode for layer in model.layers if isinstance(layer, keras.layers.RandomFlip)]
    assert found == ([] if flips == "none" else [flips])


# ----------------------------------------------------------------------------------------- frozen


def test_frozen_means_that_only_the_head_trains(study_model: keras.Model) -> None:
    head = study_model.get_layer("classifier_head")
    trained = {id(weight) for weight in study_model.trainable_weights}
    assert trained == {id(weight) for weight in head.trainable_weights}
    assert len(trained) == 8


@pytest.mark.slow
@pytest.mark.parametrize("which", BOTH_MODELS)
def test_frozen_means_that_training_moves_no_statistics(
    which: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(which)
    before = statistics_of(model)
    model(images(4), training=True)
    after = statistics_of(model)
    assert len(before) == 2 * 94
    assert all(map(np.array_equal, before, after))


@pytest.mark.slow
@pytest.mark.parametrize("which", BOTH_MODELS)
def test_frozen_means_that_an_answer_does_not_depend_on_the_batch(
    which: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(which)
    first, others = images(4), images(4, seed=1)
    others[0] = first[0]
    answers = [np.asarray(model(batch, training=True))[0] for batch in (first, others)]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-5)
    inference = np.asarray(model(first, training=False))[0]
    np.testing.assert_allclose(answers[0], inference, rtol=1e-5)


@pytest.mark.slow
def test_trainable_means_that_the_backbone_trains_with_its_statistics(
    trainable_model: keras.Model,
) -> None:
    assert len(trainable_model.trainable_weights) == 8 + 2 * 94
    before = statistics_of(trainable_model)
    first, others = images(4), images(4, seed=1)
    others[0] = first[0]
    answers = [np.asarray(trainable_model(b, training=True))[0] for b in (first, others)]
    assert np.abs(answers[0] - answers[1]).max() > 1e-4
    moved = map(np.array_equal, before, statistics_of(trainable_model))
    assert not any(moved)


def test_the_feature_extractor_pools_a_frozen_backbone(plain_model: keras.Model) -> None:
    inner = plain_model.layers[1]
    extractor = feature_extractor(inner)
    pictures = images(3)
    features = np.asarray(extractor(pictures, training=True))
    assert features.shape == (3, 2048)
    maps = np.asarray(inner(pictures, training=False))
    np.testing.assert_allclose(features, maps.max(axis=(1, 2)), rtol=1e-5)
    assert extractor.trainable_weights == []


# ------------------------------------------------------------------------------------------ files


@pytest.mark.slow
def test_a_saved_model_is_loaded_in_safe_mode_with_the_same_answers(
    plain_model: keras.Model, reloaded_model: keras.Model
) -> None:
    pictures = images(3)
    expected = np.asarray(plain_model(pictures))
    np.testing.assert_array_equal(np.asarray(reloaded_model(pictures)), expected)
    assert len(reloaded_model.trainable_weights) == 8


def test_a_saved_model_is_no_pickle_and_needs_no_code_of_ours(
    tmp_path: Path, plain_model: keras.Model
) -> None:
    assert "rust_tuner" not in plain_model.to_json()
