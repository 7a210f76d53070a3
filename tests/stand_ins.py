"""Stand-ins for what takes long: a backbone of a few layers with the interface of InceptionV3."""

import keras


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
