"""LeNet: the study's layers in their order, and answers that depend on the image alone."""

import keras
import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.models.architectures import LeNet1998
from rust_tuner.protocol import Flips

# NumPy 2 asks for a keyword that Keras's variables do not know; Keras saves through it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SIZE = 75

FloatArray = npt.NDArray[np.float32]


def images(count: int, *, size: int = SIZE, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


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
