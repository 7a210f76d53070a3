"""The small network that stands in for InceptionV3 in the demonstration, where no weights are.

`experiments/demonstration_backbone.py` trains it on phantoms; only its layers are here.
"""

import keras

from rust_tuner.models.description import NUM_FEATURES

# Filters and stride of each 3x3 convolution.
CONVOLUTIONS = ((16, 2), (24, 1), (48, 2), (48, 1), (96, 2), (96, 1), (128, 2))


def build_layers(image_size: int) -> keras.Model:
    """Seven 3x3 convolutions and one of 1x1 that widens to InceptionV3's number of features.

    Each convolution is followed by batch normalisation and ReLU, as in InceptionV3.

    Args:
        image_size: side of the square input in pixels.

    Returns:
        A functional model from float32 (n, image_size, image_size, 3) in [-1, 1] to
        (n, h, w, 2048), with untrained weights.
    """
    inputs = keras.Input((image_size, image_size, 3), name="radiograph")
    maps = inputs
    for filters, stride in CONVOLUTIONS:
        maps = _convolution(maps, filters, 3, stride)
    return keras.Model(inputs, _convolution(maps, NUM_FEATURES, 1, 1), name="demonstration")


def _convolution(
    maps: keras.KerasTensor, filters: int, side: int, stride: int
) -> keras.KerasTensor:
    maps = keras.layers.Conv2D(filters, side, stride, padding="same", use_bias=False)(maps)
    maps = keras.layers.BatchNormalization(momentum=0.9)(maps)
    return keras.layers.ReLU()(maps)
