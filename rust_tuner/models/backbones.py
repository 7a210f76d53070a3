"""Builds backbones with their weights, which are downloaded if necessary.

Only the convolutional part is built here; heads belong to `architectures`, and the choice of the
weights file to `weights`.
"""

import zipfile
from pathlib import Path

import keras
import numpy as np

from rust_tuner.errors import WeightsError, private
from rust_tuner.files import sha256_of_file
from rust_tuner.models.demonstration_backbone import build_layers
from rust_tuner.models.description import DEMONSTRATION_BACKBONE
from rust_tuner.models.runtime import start_backend
from rust_tuner.models.weights import (
    IMAGENET,
    IMAGENET_FILE,
    IMAGENET_MD5,
    RANDOM_SEED,
    WEIGHTS_VARIABLE,
    BackboneWeights,
    describe_file,
    find_local_weights,
    named_imagenet_file,
)
from rust_tuner.protocol import Precision
from rust_tuner.seeds import generator

IMAGE_SIZE = 299
DTYPE_POLICIES: dict[Precision, str] = {"float32": "float32", "bfloat16": "mixed_bfloat16"}

_IMAGENET_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/" + IMAGENET_FILE
)


def find_weights(weights: str | Path) -> BackboneWeights:
    """Find a backbone's weights without building anything.

    Args:
        weights: `imagenet` (the file that the environment variable `RUST_TUNER_WEIGHTS` names,
            else Keras's download), `random`, `phantoms` (the demonstration's), or a path to an
            `.h5` or `.keras` file of an InceptionV3 without top.

    Raises:
        WeightsError: if the file does not exist or the download fails.
    """
    if str(weights) == IMAGENET and named_imagenet_file() is None:
        return describe_file(IMAGENET, _download())
    local = find_local_weights(weights)
    assert local is not None
    return local


def build_backbone(
    weights: BackboneWeights,
    *,
    image_size: int = IMAGE_SIZE,
    trainable: bool = False,
    precision: Precision = "float32",
) -> keras.Model:
    """Build InceptionV3 without its top, or the network that its weights belong to.

    Args:
        weights: from `find_weights`.
        image_size: side of the square input in pixels, from 75.
        trainable: whether its weights are trained.
        precision: of the convolutions; weights stay float32.

    Returns:
        A model from float32 (n, image_size, image_size, 3) in [-1, 1] to (n, h, w, 2048).

    Raises:
        WeightsError: where the file does not hold weights of this architecture, or has changed.
    """
    start_backend()
    # Keras's application uses only the global dtype policy.
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(DTYPE_POLICIES[precision])
    try:
        if weights.backbone == DEMONSTRATION_BACKBONE:
            model = build_layers(image_size)
        else:
            model = keras.applications.InceptionV3(
                include_top=False, weights=None, input_shape=(image_size, image_size, 3)
            )
    finally:
        keras.config.set_dtype_policy(policy)
    if weights.path is None:
        _randomise(model)
    else:
        _load(model, weights.path)
        if sha256_of_file(weights.path) != weights.sha256:
            raise WeightsError(
                f"{private(weights.path)} changed while it was in use; restore it, and run the "
                "same command again"
            )
    model.trainable = trainable
    return model


def _download() -> Path:
    """ImageNet's file, downloaded where Keras does not have it."""
    try:
        return Path(
            keras.utils.get_file(
                IMAGENET_FILE, _IMAGENET_URL, cache_subdir="models", file_hash=IMAGENET_MD5
            )
        )
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise WeightsError(
            f"the ImageNet weights could not be downloaded ({error}); name a file of InceptionV3 "
            f"weights without top in the environment variable {WEIGHTS_VARIABLE}, or pass "
            "--weights random (weights='random') to continue without pretrained features"
        ) from error


def _load(model: keras.Model, path: Path) -> None:
    before = {layer.name: np.asarray(layer.kernel).copy() for layer in _convolutions(model)}
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{private(path)} does not hold the weights of InceptionV3 without its top: "
            f"{str(error).replace(str(path), path.name)}"
        ) from error
    # Keras may skip layers with a warning.
    kept = [
        layer.name
        for layer in _convolutions(model)
        if np.array_equal(before[layer.name], np.asarray(layer.kernel))
    ]
    if kept:
        raise WeightsError(
            f"{private(path)} left {len(kept)} of InceptionV3's {len(before)} convolutions "
            "unchanged, "
            f"the first is {kept[0]}; it does not hold all weights of InceptionV3 without its top"
        )
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise WeightsError(
            f"{private(path)} holds weights that are not finite; download or copy the file again"
        )


def _randomise(model: keras.Model) -> None:
    # Keras draws initial weights from global state; these come from a fixed seed, so that a record
    # can name them.
    rng = generator(RANDOM_SEED, "backbone")
    for layer in _convolutions(model):
        shape = tuple(layer.kernel.shape)
        # He initialisation: with Keras's default, features shrink to 1e-4 after so many ReLUs.
        limit = np.sqrt(6 / np.prod(shape[:3]))
        layer.kernel.assign(rng.uniform(-limit, limit, shape).astype(np.float32))


def _convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
