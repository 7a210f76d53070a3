"""The study's networks as functional models of stock Keras layers, and their losses.

Every model takes float32 (n, size, size, 3) in [-1, 1], a head takes pooled features; all return 18
probabilities. They are compiled and trained elsewhere.
"""

from pathlib import Path

import keras
from keras import ops

from rust_tuner.labels import NUM_LABELS
from rust_tuner.models.backbones import DTYPE_POLICIES, IMAGE_SIZE, build_backbone, find_weights
from rust_tuner.models.description import (
    HEAD_ACTIVATION,
    HEAD_UNITS,
    NUM_FEATURES,
    OUTPUT_ACTIVATION,
)
from rust_tuner.models.runtime import find_devices
from rust_tuner.protocol import Flips, Precision

LENET_FILTERS = (6, 16)
LENET_UNITS = 1024


def LeNet1998(  # noqa: N802 - the study's own name
    flips: Flips = "horizontal_and_vertical",
    image_size: int = IMAGE_SIZE,
    *,
    precision: Precision = "float32",
) -> keras.Model:
    """The study's small network, after LeNet-5 (LeCun et al., Proceedings of the IEEE, 1998).

    Random flip, 6 filters of 5x5 (padded) and 16 of 5x5 (not padded) with tanh, average pooling
    by 2 after each, Dense 1024 with ReLU as published (LeNet-5 itself has tanh there), 18
    sigmoids. Nothing in it is pretrained.

    Args:
        flips: random flips of the input, active in training only.
        image_size: side of the square input in pixels; the study's is 299.
        precision: of convolutions and matrix products; weights and the last layer are float32.

    Returns:
        A functional model from float32 (n, image_size, image_size, 3) in [-1, 1] to float32
        (n, 18).

    Examples:
        >>> model = LeNet1998(image_size=75)
        >>> model.input_shape, model.output_shape
        ((None, 75, 75, 3), (None, 18))
    """
    find_devices()
    dtype = DTYPE_POLICIES[precision]
    inputs = keras.Input((image_size, image_size, 3), name="radiograph")
    maps = _flipped(inputs, flips)
    for filters, padding in zip(LENET_FILTERS, ("same", "valid"), strict=True):
        convolution = keras.layers.Conv2D(
            filters, 5, padding=padding, activation="tanh", dtype=dtype
        )
        maps = keras.layers.AveragePooling2D(2, dtype=dtype)(convolution(maps))
    hidden = keras.layers.Flatten(dtype=dtype)(maps)
    hidden = keras.layers.Dense(LENET_UNITS, activation="relu", dtype=dtype)(hidden)
    last = keras.layers.Dense(NUM_LABELS, activation="sigmoid", dtype="float32", name="rust")
    return keras.Model(inputs, last(hidden), name="lenet1998")


def TransferLearningModel(  # noqa: N802 - the study's own name
    dropout_rate: float = 0.5,
    weights: str | Path = "imagenet",
    trainable: bool = False,
    flips: Flips = "horizontal_and_vertical",
    image_size: int = IMAGE_SIZE,
    *,
    precision: Precision = "float32",
) -> keras.Model:
    """The study's transfer-learning model.

    Random flip, InceptionV3 (in inference mode where frozen), global maximum pooling, Dense
    1024, 512 and 256 with dropout, 18 sigmoids.

    Args:
        dropout_rate: of the three dropout layers, in [0, 1).
        weights: `imagenet`, `random` or a path; see `backbones.find_weights`.
        trainable: whether InceptionV3 is trained end to end.
        flips: random flips of the input, active in training only.
        image_size: side of the square input in pixels; the study's is 299.
        precision: of convolutions and matrix products; weights and the last layer are float32.

    Returns:
        A functional model from float32 (n, size, size, 3) in [-1, 1] to float32 (n, 18).

    Raises:
        WeightsError: if the weights are unavailable.

    Examples:
        >>> model = TransferLearningModel(dropout_rate=0.2, weights="phantoms", image_size=75)
        >>> model.output_shape, len(model.trainable_weights)
        ((None, 18), 8)
    """
    backbone = build_backbone(
        find_weights(weights), image_size=image_size, trainable=trainable, precision=precision
    )
    inputs = keras.Input((image_size, image_size, 3), name="radiograph")
    flipped = _flipped(inputs, flips)
    # A frozen BatchNormalization must not use its batch's statistics; one that trains must.
    maps = backbone(flipped) if trainable else backbone(flipped, training=False)
    pooled = keras.layers.GlobalMaxPooling2D(dtype="float32", name="features")(maps)
    outputs = classifier_head(dropout_rate, precision=precision)(pooled)
    return keras.Model(inputs, outputs, name="transfer_learning")


def classifier_head(
    dropout_rate: float, num_features: int = NUM_FEATURES, precision: Precision = "float32"
) -> keras.Model:
    """The study's classifier: Dense 1024, 512, 256 with dropout after each, 18 sigmoids.

    Args:
        dropout_rate: in [0, 1).
        num_features: length of a pooled feature vector.
        precision: of the hidden layers' products; weights and the last layer are float32.

    Returns:
        A functional model from float32 (n, num_features) to float32 (n, 18).
    """
    inputs = keras.Input((num_features,), name="features")
    hidden = inputs
    for units in HEAD_UNITS:
        dtype = DTYPE_POLICIES[precision]
        hidden = keras.layers.Dense(units, activation=HEAD_ACTIVATION, dtype=dtype)(hidden)
        # bfloat16 would round the rate to one of 128 values.
        hidden = keras.layers.Dropout(dropout_rate, dtype="float32")(hidden)
    last = keras.layers.Dense(
        NUM_LABELS, activation=OUTPUT_ACTIVATION, dtype="float32", name="rust"
    )
    outputs = last(hidden)
    return keras.Model(inputs, outputs, name="classifier_head")


def feature_extractor(backbone: keras.Model) -> keras.Model:
    """A frozen backbone with the study's global maximum pooling: images to (n, 2048) features."""
    inputs = keras.Input(backbone.input_shape[1:], name="radiograph")
    pooling = keras.layers.GlobalMaxPooling2D(dtype="float32", name="features")
    pooled = pooling(backbone(inputs, training=False))
    return keras.Model(inputs, pooled, name="feature_extractor")


def masked_binary_crossentropy(y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> object:
    """Binary cross-entropy over the labels that count, averaged within each row.

    Args:
        y_true: (n, labels) of 0, 1, or -1 where the label does not count; at least one label
            of every row counts (the view always does).
        y_pred: (n, labels) probabilities.

    Returns:
        (n,) losses.
    """
    counted = ops.cast(ops.greater_equal(y_true, 0), y_pred.dtype)
    clipped = ops.clip(y_pred, keras.config.epsilon(), 1 - keras.config.epsilon())
    positive = ops.cast(ops.greater(y_true, 0), y_pred.dtype)
    loss = -(positive * ops.log(clipped) + (1 - positive) * ops.log(1 - clipped))
    return ops.sum(loss * counted, axis=-1) / ops.sum(counted, axis=-1)


def _flipped(images: keras.KerasTensor, flips: Flips) -> keras.KerasTensor:
    # One layer per direction: Keras 3's layer for both draws once, and turns by 180 degrees or not.
    for mode in [] if flips == "none" else flips.split("_and_"):
        # By default the layer also flips in `model(x)`; like this, it flips only in training.
        images = keras.layers.RandomFlip(mode)(images, training=False)
    return images
