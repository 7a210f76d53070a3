"""Architectures: the study's layers, what frozen means, files, and the masked loss."""

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.models import architectures
from rust_tuner.models.architectures import (
    LeNet1998,
    TransferLearningModel,
    classifier_head,
    feature_extractor,
    masked_binary_crossentropy,
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


# ------------------------------------------------------------------------------------------ LeNet


@pytest.fixture(scope="module")
def lenet() -> keras.Model:
    return LeNet1998(image_size=SIZE)


def test_lenet_has_the_studys_layers_in_their_order(lenet: keras.Model) -> None:
    assert type(lenet).__name__ == "Functional"
    assert [type(layer).__name__ for layer in lenet.layers] == [
        "InputLayer",
        "RandomFlip",
        "RandomFlip",
        "Conv2D",
        "AveragePooling2D",
        "Conv2D",
        "AveragePooling2D",
        "Flatten",
        "Dense",
        "Dense",
    ]
    assert [layer.mode for layer in lenet.layers[1:3]] == ["horizontal", "vertical"]
    first, second = lenet.layers[3], lenet.layers[5]
    assert [(c.filters, c.kernel_size, c.strides) for c in (first, second)] == [
        (6, (5, 5), (1, 1)),
        (16, (5, 5), (1, 1)),
    ]
    assert (first.padding, second.padding) == ("same", "valid")
    assert all(layer.pool_size == (2, 2) for layer in (lenet.layers[4], lenet.layers[6]))
    activations = [layer.activation.__name__ for layer in lenet.layers if layer.weights]
    assert activations == ["tanh", "tanh", "relu", "sigmoid"]


def test_lenets_shapes_and_parameters_are_those_of_its_layers_by_hand() -> None:
    model = LeNet1998()
    assert model.input_shape == (None, 299, 299, 3)
    assert model.inputs[0].dtype == "float32"
    shapes = [layer.output.shape[1:] for layer in model.layers[3:]]
    assert shapes == [
        (299, 299, 6),
        (149, 149, 6),
        (145, 145, 16),
        (72, 72, 16),
        (72 * 72 * 16,),
        (1024,),
        (18,),
    ]
    counts = [layer.count_params() for layer in model.layers if layer.count_params()]
    assert counts[:2] == [6 * (3 * 25 + 1), 16 * (6 * 25 + 1)]
    assert counts[2:] == [1024 * (72 * 72 * 16 + 1), 18 * (1024 + 1)]
    assert model.count_params() == 84_957_002
    assert not model.non_trainable_weights


@pytest.mark.parametrize("flips", ["horizontal", "none"])
def test_lenet_has_the_flips_that_are_asked_for(flips: Flips) -> None:
    model = LeNet1998(flips, SIZE)
    found = [layer.mode for layer in model.layers if isinstance(layer, keras.layers.RandomFlip)]
    assert found == ([] if flips == "none" else [flips])


def test_lenet_answers_with_18_probabilities_that_do_not_depend_on_flips_or_the_batch(
    lenet: keras.Model,
) -> None:
    pictures = images(4)
    answers = np.asarray(lenet(pictures))
    assert answers.shape == (4, 18)
    assert answers.dtype == np.float32
    assert ((answers > 0) & (answers < 1)).all()
    np.testing.assert_allclose(np.asarray(lenet(pictures[:1])), answers[:1], rtol=1e-4)
    picture = np.repeat(pictures[:1], 16, axis=0)
    assert np.ptp(np.asarray(lenet(picture, training=True)), axis=0).max() > 1e-6


@pytest.mark.slow
def test_lenet_trains() -> None:
    keras.utils.set_random_seed(0)
    model = LeNet1998("none", SIZE)
    model.compile(keras.optimizers.Adam(), "binary_crossentropy")
    pictures = images(8)
    pictures[4:] = 0.5
    labels = np.repeat([[1.0], [0.0]], 4, axis=0) * np.ones((1, 18), dtype=np.float32)
    model.fit(pictures, labels, epochs=8, batch_size=8, verbose=0)
    answers = model.predict(pictures, verbose=0)
    assert answers[:4].min() > 0.6
    assert answers[4:].max() < 0.4


def test_lenet_in_bfloat16_keeps_weights_and_answers_in_float32() -> None:
    model = LeNet1998(image_size=SIZE, precision="bfloat16")
    *hidden, last = [layer for layer in model.layers if layer.weights]
    assert {layer.compute_dtype for layer in hidden} == {"bfloat16"}
    assert last.compute_dtype == "float32"
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    answers = np.asarray(model(images(2)))
    assert answers.dtype == np.float32
    whole = LeNet1998(image_size=SIZE)
    whole.set_weights(model.get_weights())
    np.testing.assert_allclose(answers, np.asarray(whole(images(2))), atol=0.02)


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


# ------------------------------------------------------------------------------------ masked loss


def targets_and_answers(
    seed: int, rows: int, *, masked_share: float
) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, (rows, 18)).astype(np.float32)
    targets[rng.random((rows, 18)) < masked_share] = -1
    # The view always counts.
    targets[:, 0] = rng.integers(0, 2, rows)
    return targets, rng.uniform(0.001, 0.999, (rows, 18)).astype(np.float32)


def masked_reference(targets: FloatArray, answers: FloatArray) -> npt.NDArray[np.float64]:
    losses = []
    for truth, answer in zip(targets.astype(float), answers.astype(float), strict=True):
        counted = truth >= 0
        right = np.where(truth[counted] == 1, answer[counted], 1 - answer[counted])
        losses.append(-np.log(right).mean())
    return np.array(losses)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 20))
def test_without_masks_the_loss_is_kerass(seed: int, rows: int) -> None:
    targets, answers = targets_and_answers(seed, rows, masked_share=0)
    ours = np.asarray(masked_binary_crossentropy(targets, answers))
    theirs = np.asarray(keras.losses.binary_crossentropy(targets, answers))
    assert ours.shape == theirs.shape == (rows,)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000), rows=st.integers(1, 20), masked_share=st.sampled_from([0.1, 0.9])
)
def test_with_masks_the_loss_is_the_mean_over_what_counts(
    seed: int, rows: int, masked_share: float
) -> None:
    targets, answers = targets_and_answers(seed, rows, masked_share=masked_share)
    ours = np.asarray(masked_binary_crossentropy(targets, answers))
    np.testing.assert_allclose(ours, masked_reference(targets, answers), rtol=1e-5)


def test_certain_answers_have_a_finite_loss_as_in_keras() -> None:
    targets = np.array([[1.0, 0.0, 1.0, 0.0]], dtype=np.float32)
    answers = np.array([[0.0, 1.0, 1.0, 0.0]], dtype=np.float32)
    ours = np.asarray(masked_binary_crossentropy(targets, answers))
    theirs = np.asarray(keras.losses.binary_crossentropy(targets, answers))
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_masked_labels_have_no_gradient_and_the_others_have_one() -> None:
    targets, answers = targets_and_answers(3, 10, masked_share=0.5)
    variable = tf.Variable(answers)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(masked_binary_crossentropy(targets, variable))
    gradient = np.asarray(tape.gradient(loss, variable))
    assert (gradient[targets < 0] == 0).all()
    assert (gradient[targets >= 0] != 0).all()
    assert (targets < 0).sum() > 50


def test_a_certain_answer_at_a_masked_label_changes_nothing() -> None:
    targets = np.array([[1.0, -1.0]], dtype=np.float32)
    for answer in (0.0, 0.5, 1.0):
        loss = masked_binary_crossentropy(targets, np.array([[0.25, answer]], dtype=np.float32))
        np.testing.assert_allclose(np.asarray(loss), [-np.log(0.25)], rtol=1e-6)
