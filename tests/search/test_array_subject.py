"""Searches on dicts, several outputs, frames, text and no targets: as a Keras loop by hand."""

from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pytest
from hand_written import assert_equal, by_hand, classifier, searched
from search_problems import TinyHyperModel
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import KFold, StratifiedKFold

from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.search.array_subject import arrays_subject

SHARED: dict[str, Any] = {"epochs": 3, "batch_size": 16, "seed": 7}


def digits(rows: int = 72) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    x, y = load_digits(return_X_y=True)
    return (x[:rows] / 16).astype("float32"), y[:rows]


def two_in_two_out() -> keras.Model:
    top, bottom = keras.Input((32,), name="top"), keras.Input((32,), name="bottom")
    hidden = keras.layers.Dense(8, "relu")(keras.layers.concatenate([top, bottom]))
    digit = keras.layers.Dense(10, "softmax", name="digit")(hidden)
    even = keras.layers.Dense(1, "sigmoid", name="even")(hidden)
    model = keras.Model({"top": top, "bottom": bottom}, {"digit": digit, "even": even})
    model.compile(
        keras.optimizers.SGD(0.2),
        {"digit": "sparse_categorical_crossentropy", "even": "binary_crossentropy"},
        metrics={"digit": "accuracy", "even": "accuracy"},
        run_eagerly=True,
    )
    return model


@pytest.mark.slow
def test_dict_inputs_and_two_outputs_are_those_of_a_loop_by_hand(tmp_path: Path) -> None:
    images, y = digits()
    x = {"top": images[:, :32], "bottom": images[:, 32:]}
    targets = {"digit": y, "even": (y % 2 == 0).astype("float32")}
    tuner = searched(tmp_path, lambda hp: two_in_two_out(), x, targets, cv=KFold(3))
    folds = list(KFold(3).split(images))
    expected = by_hand(two_in_two_out, x, targets, folds, **SHARED)
    assert {"digit_accuracy", "even_accuracy", "digit_loss"} <= set(expected)
    assert_equal(tuner, expected)
    predictions = tuner.out_of_fold()
    assert predictions["digit"].shape == (72, 10)
    assert predictions["even"].shape == (72, 1)
    np.testing.assert_allclose(predictions["digit"].sum(axis=1), 1, atol=1e-5)
    files = {path: path.read_bytes() for path in tmp_path.rglob("fold_*.json")}
    searched(tmp_path, lambda hp: two_in_two_out(), x, targets, cv=KFold(3))
    assert {path: path.read_bytes() for path in tmp_path.rglob("fold_*.json")} == files
    other = targets | {"even": 1 - targets["even"]}
    with pytest.raises(ResumeError, match=r"subject\.targets"):
        searched(tmp_path, lambda hp: two_in_two_out(), x, other, cv=KFold(3))


def listed() -> keras.Model:
    left, right = keras.Input((2,)), keras.Input((2,))
    both = keras.layers.concatenate([left, right])
    outputs = [keras.layers.Dense(3, "softmax")(both), keras.layers.Dense(1)(both)]
    model = keras.Model([left, right], outputs)
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], run_eagerly=True)
    return model


@pytest.mark.slow
def test_lists_of_inputs_targets_and_outputs_are_those_of_a_loop_by_hand(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    x, y = x[::3].astype("float32"), y[::3]
    inputs, targets = [x[:, :2], x[:, 2:]], [y, x[:, :1]]
    cv = KFold(2, shuffle=True, random_state=0)
    tuner = searched(tmp_path, lambda hp: listed(), inputs, targets, cv=cv, epochs=2)
    assert_equal(
        tuner, by_hand(listed, inputs, targets, list(cv.split(x)), **(SHARED | {"epochs": 2}))
    )
    first, second = tuner.out_of_fold()
    assert (first.shape, second.shape) == ((50, 3), (50, 1))


@pytest.mark.slow
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_frames_and_labels_as_text_train_as_the_same_numbers(
    library: ModuleType, tmp_path: Path
) -> None:
    x, y = load_iris(return_X_y=True)
    x, y = x[::2].astype("float32"), y[::2]
    names = np.array(["setosa", "versicolor", "virginica"])
    cv = StratifiedKFold(3)
    frame = library.DataFrame({f"column {n}": x[:, n] for n in range(4)})
    labels = library.Series(names[y].tolist())
    tuner = searched(
        tmp_path, lambda hp: classifier(), frame, labels, cv=cv, class_weight={"setosa": 2.0}
    )
    plain = searched(
        tmp_path / "plain", lambda hp: classifier(), x, y, cv=cv, class_weight={0: 2.0}
    )
    assert tuner.history().equals(plain.history())
    assert tuner.classes == {"": names.tolist()}
    assert tuner.project.run.subject.classes == {"": names.tolist()}
    assert plain.classes == {}
    # The same labels in other words are other classes.
    with pytest.raises(ResumeError, match=r"subject\.classes"):
        renamed = [name.upper() for name in names[y]]
        searched(
            tmp_path, lambda hp: classifier(), frame, renamed, cv=cv, class_weight={"SETOSA": 2.0}
        )


def of_mixed_columns() -> keras.Model:
    age = keras.Input((1,), name="age")
    colour = keras.Input((1,), name="colour", dtype="string")
    lookup = keras.layers.StringLookup(vocabulary=["red", "blue"], output_mode="one_hot")
    output = keras.layers.Dense(1)(keras.layers.concatenate([age, lookup(colour)]))
    model = keras.Model({"age": age, "colour": colour}, output)
    model.compile("sgd", "mse", run_eagerly=True)
    return model


@pytest.mark.slow
def test_text_is_trained_on_and_resumed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = rng.choice(["red", "blue"], 40).tolist()
    y = rng.normal(size=40).astype("float32")

    def frame() -> pd.DataFrame:
        return pd.DataFrame({"age": np.arange(40.0) / 40, "colour": list(map("".join, colours))})

    first = searched(tmp_path, lambda hp: of_mixed_columns(), frame(), y, cv=2, epochs=1)
    again = searched(tmp_path, lambda hp: of_mixed_columns(), frame(), y, cv=2, epochs=1)
    assert list(first.results()["status"]) == ["COMPLETED"]
    assert again.results().equals(first.results())
    colours[3] = "blue" if colours[3] == "red" else "red"
    with pytest.raises(ResumeError, match=r"subject\.inputs"):
        searched(tmp_path, lambda hp: of_mixed_columns(), frame(), y, cv=2, epochs=1)


class Reconstructing(keras.Model):  # type: ignore[misc]
    """As in the guides: steps of its own, and neither targets nor `call`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        self.decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
        self.tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.tracker]

    def _loss(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.mean((self.decoder(self.encoder(x)) - x) ** 2)

    def train_step(self, data: tuple[keras.KerasTensor, ...]) -> dict[str, Any]:
        import tensorflow as tf

        (x,) = data
        with tf.GradientTape() as tape:
            loss = self._loss(x)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    def test_step(self, data: tuple[keras.KerasTensor, ...]) -> dict[str, Any]:
        (x,) = data
        self.tracker.update_state(self._loss(x))
        return {"loss": self.tracker.result()}


def reconstructing(hp: keras_tuner.HyperParameters) -> Reconstructing:
    model = Reconstructing()
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    return model


@pytest.mark.slow
def test_an_autoencoder_is_trained_without_targets(tmp_path: Path) -> None:
    x = load_iris(return_X_y=True)[0][::3]
    tuner = searched(tmp_path, reconstructing, x, None, cv=2)
    assert list(tuner.results()["status"]) == ["COMPLETED"]
    assert tuner.out_of_fold().shape == (50, 0)
    curve = tuner.history().query("split == 'validation' and fold == 0")["value"]
    assert curve.is_monotonic_decreasing
    with pytest.raises(SearchError, match="sample_weight without y"):
        searched(tmp_path, reconstructing, x, None, cv=2, sample_weight=np.ones(50))


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: {"digit": weights},
        lambda weights: [weights, weights],
        lambda weights: {"digit": weights, "odd": weights},
        lambda weights: np.stack([weights] * 3, axis=1),
    ],
    ids=["one output", "a list", "another output", "three columns"],
)
def test_weights_of_another_structure_than_the_targets_are_refused(
    make: Any, tmp_path: Path
) -> None:
    images, y = digits()
    x = {"top": images[:, :32], "bottom": images[:, 32:]}
    targets = {"digit": y, "even": (y % 2 == 0).astype("float32")}
    with pytest.raises(SearchError, match=r"but y has digit, even; give one weight for each row"):
        searched(
            tmp_path,
            lambda hp: two_in_two_out(),
            x,
            targets,
            cv=KFold(3),
            sample_weight=make(np.ones(len(y))),
        )
    # Nothing is written, so the corrected call is no other search.
    assert not list(tmp_path.rglob("search.json"))


def test_folds_of_several_targets_are_stratified_by_the_first_that_can_be_classes() -> None:
    x, y = digits(60)
    size = np.arange(60) + 0.5
    subject = arrays_subject(
        TinyHyperModel(), {"image": x}, {"size": size, "digit": y}, None, StratifiedKFold(2), seed=0
    )
    expected = list(StratifiedKFold(2).split(x, y))
    for found, pair in zip(subject.folds, expected, strict=True):
        np.testing.assert_array_equal(found[1], pair[1])
    with pytest.raises(SearchError, match="StratifiedKFold divides by y, but there is none"):
        arrays_subject(TinyHyperModel(), x, None, None, StratifiedKFold(2), seed=0)


@pytest.mark.parametrize("shape", [(40,), pytest.param((40, 1, 1), marks=pytest.mark.slow)])
def test_rows_that_keras_gives_the_dimensions_of_the_input_are_trained(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    x = np.random.default_rng(0).normal(size=shape)
    tuner = searched(tmp_path, build, x, x.ravel())
    (way,) = tuner.results()["folds_trained"]
    assert way == "one after another: the rows of x have other dimensions than the model's input"


def test_rows_of_another_size_than_the_input_are_refused_before_the_first_trial(
    tmp_path: Path,
) -> None:
    x, y = np.zeros((40, 3)), np.zeros(40)
    message = r"rows of x have the shape \(3,\), but the model's input has \(4,\)"
    with pytest.raises(SearchError, match=message):
        searched(tmp_path, lambda hp: classifier(), x, y)


class Cuts(keras.Sequential):  # type: ignore[misc]
    """Its own steps give the layers a part of each row."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        return super().train_step((x[:, :4], y))

    def test_step(self, data: Any) -> Any:
        x, y = data
        return super().test_step((x[:, :4], y))

    def predict_step(self, data: Any) -> Any:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return super().predict_step((x[:, :4],))


@pytest.mark.slow
def test_a_model_with_steps_of_its_own_takes_rows_of_any_size(tmp_path: Path) -> None:
    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        model = Cuts([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    tuner = searched(tmp_path, build, np.ones((40, 6)), np.zeros(40))
    assert tuner.results()["status"].tolist() == ["COMPLETED"]
