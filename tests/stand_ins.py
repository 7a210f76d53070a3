"""Stand-ins for what takes long: a backbone of a few layers with the interface of InceptionV3."""

import importlib
from typing import Any

import keras
import pytest

from rust_tuner.models.weights import BackboneWeights

# Where backbones are built: for models that are trained on images, for final models and the
# measuring of a machine, and for cached features.
_BUILDERS = ("architectures", "backbones", "features")


def backbone_stand_in(
    weights: object, *, image_size: int, trainable: bool = False, precision: str = "float32"
) -> keras.Model:
    """A backbone that is quick to build and train, with statistics of its batches as the real."""
    drawn = [keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2)]
    layers = [
        keras.Input((image_size, image_size, 3)),
        keras.layers.Conv2D(64, 9, strides=9, activation="relu", kernel_initializer=drawn[0]),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(2048, 3, strides=3, activation="relu", kernel_initializer=drawn[1]),
    ]
    model = keras.Sequential(layers)
    model.trainable = trainable
    return model


def without_inception(patch: pytest.MonkeyPatch) -> list[BackboneWeights]:
    """Build the stand-in wherever a backbone is built, and list the weights that were asked for."""
    asked: list[BackboneWeights] = []

    def build(weights: BackboneWeights, **options: Any) -> keras.Model:
        asked.append(weights)
        return backbone_stand_in(weights, **options)

    for name in _BUILDERS:
        module = importlib.import_module(f"rust_tuner.models.{name}")
        patch.setattr(module, "build_backbone", build)
    return asked
