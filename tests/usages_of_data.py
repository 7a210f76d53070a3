"""The data, weights and callbacks that KerasTuner's users pass to a search."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops
from usages import LABELS, X, Y, compiled, dense, tune, works

# Data.


@works("Two inputs in a dict")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        one, two = keras.Input((2,), name="one"), keras.Input((2,), name="two")
        joined = keras.layers.Concatenate()([one, two])
        hidden = keras.layers.Dense(hp.Int("units", 2, 4))(joined)
        outputs = keras.layers.Dense(2, activation="sigmoid")(hidden)
        return compiled(keras.Model({"one": one, "two": two}, outputs))

    tune(folder, build, {"one": X[:, :2], "two": X[:, 2:]})


@works("Two inputs in a list")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        one, two = keras.Input((2,)), keras.Input((2,))
        hidden = keras.layers.Dense(hp.Int("units", 2, 4))(keras.layers.Concatenate()([one, two]))
        return compiled(
            keras.Model([one, two], keras.layers.Dense(2, activation="sigmoid")(hidden))
        )

    tune(folder, build, [X[:, :2], X[:, 2:]])


@works("Two outputs in a dict")
def _(folder: Path) -> None:
    def build(hp: Any) -> keras.Model:
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(hp.Int("units", 2, 4))(inputs)
        outputs = {
            "a": keras.layers.Dense(1, activation="sigmoid", name="a")(hidden),
            "b": keras.layers.Dense(1, name="b")(hidden),
        }
        return compiled(
            keras.Model(inputs, outputs),
            {"a": "binary_crossentropy", "b": "mean_squared_error"},
            metrics={"a": ["accuracy"]},
        )

    tune(folder, build, y={"a": Y[:, :1], "b": Y[:, 1:]})


@works("A pandas frame and text labels")
def _(folder: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    labels = pd.Series(np.array(["broken", "healed"])[LABELS])

    def build(hp: Any) -> keras.Model:
        return dense(hp, loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    tune(folder, build, frame, labels, objective="val_accuracy")


@works("Text as input")
def _(folder: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TextVectorization needs TensorFlow")
    texts = np.array(["a stable bridge", "no bridge at all"], dtype=object)[LABELS]

    def build(hp: Any) -> keras.Model:
        layer = keras.layers.TextVectorization(
            output_mode="multi_hot", vocabulary=["a", "stable", "bridge", "no"]
        )
        inputs = keras.Input((), dtype="string")
        outputs = keras.layers.Dense(1, activation=hp.Choice("last", ["sigmoid", "hard_sigmoid"]))
        return compiled(keras.Model(inputs, outputs(layer(inputs))))

    tune(folder, build, texts, Y[:, :1])


@works("tf.data.Dataset")
def _(folder: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    tune(folder, dense, tf.data.Dataset.from_tensor_slices((X, Y)).batch(16), None)


@works("keras.utils.PyDataset")
def _(folder: Path) -> None:
    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            rows = slice(16 * index, 16 * index + 16)
            return X[rows], Y[rows]

    tune(folder, dense, Batches(), None)


@works("sample_weight")
def _(folder: Path) -> None:
    tune(folder, dense, sample_weight=np.linspace(0.5, 1.5, len(X)))


@works("class_weight")
def _(folder: Path) -> None:
    tune(folder, lambda hp: dense(hp, units=1), y=Y[:, :1], class_weight={0: 1.0, 1: 2.0})


@works("EarlyStopping and ReduceLROnPlateau")
def _(folder: Path) -> None:
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(patience=1),
    ]
    tune(folder, dense, callbacks=callbacks, epochs=3)


@works("ModelCheckpoint and TensorBoard")
def _(folder: Path) -> None:
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(folder / "saved" / "model.keras")),
        keras.callbacks.TensorBoard(str(folder / "logs")),
    ]
    tune(folder, dense, callbacks=callbacks, trials=1)
    assert len(list((folder / "saved").rglob("*.keras"))) == 2


@works("An autoencoder, without y")
def _(folder: Path) -> None:
    class Autoencoder(keras.Model):  # type: ignore[misc]
        def __init__(self, units: int) -> None:
            super().__init__()
            self.inner, self.outer = keras.layers.Dense(units), keras.layers.Dense(4)

        def call(self, inputs: Any) -> Any:
            outputs = self.outer(self.inner(inputs))
            self.add_loss(ops.mean(ops.square(outputs - inputs)))
            return outputs

    def build(hp: Any) -> keras.Model:
        model = Autoencoder(hp.Int("units", 1, 3))
        model.compile("sgd", run_eagerly=True)
        return model

    tune(folder, build, X, None)
