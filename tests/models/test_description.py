"""The description of the model is that of the model which is built."""

import re

import keras
import pytest

from rust_tuner.models.architectures import TransferLearningModel
from rust_tuner.models.description import (
    BACKBONE,
    HEAD_ACTIVATION,
    HEAD_UNITS,
    NUM_FEATURES,
    OUTPUT_ACTIVATION,
    POOLING,
    describe_model,
)

# Keras's layers of each pooling that a text may name.
POOLINGS = {
    "global maximum pooling": keras.layers.GlobalMaxPooling2D,
    "global average pooling": keras.layers.GlobalAveragePooling2D,
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return TransferLearningModel(weights="random", image_size=75)


def layers_of(model: keras.Model, kind: type[keras.Layer]) -> list[keras.Layer]:
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += layers_of(layer, kind)
        elif isinstance(layer, kind):
            found.append(layer)
    return found


def test_pooling_and_features_are_those_of_the_built_model(model: keras.Model) -> None:
    pooling = model.get_layer("features")
    assert type(pooling) is POOLINGS[POOLING]
    assert pooling.output.shape == (None, NUM_FEATURES)


def test_the_head_has_the_units_and_activations_of_the_description(model: keras.Model) -> None:
    dense = layers_of(model, keras.layers.Dense)
    assert [layer.units for layer in dense[:-1]] == list(HEAD_UNITS)
    assert {layer.activation.__name__ for layer in dense[:-1]} == {HEAD_ACTIVATION}
    assert dense[-1].activation.__name__ == OUTPUT_ACTIVATION
    assert len(layers_of(model, keras.layers.Dropout)) == len(HEAD_UNITS)


def test_the_backbone_is_frozen_and_of_the_name(model: keras.Model) -> None:
    (backbone,) = [
        layer for layer in model.layers if BACKBONE.lower() in layer.name.replace("_", "")
    ]
    assert not backbone.trainable


def test_the_words_hold_every_value() -> None:
    text = describe_model("imagenet")
    assert POOLING in text
    assert [int(number) for number in re.findall(r"\d{3,}", text)] == list(HEAD_UNITS)
    assert "pretrained" not in describe_model("random")
