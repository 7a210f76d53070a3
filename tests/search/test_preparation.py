"""Preprocessing is fitted on the training rows of each fold and on no others."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pytest
from hand_written import assert_equal, by_hand, searched
from narrowing import is_a
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.models.preparation import Preparation

FOLDS = KFold(3)
SHARED: dict[str, Any] = {"epochs": 3, "batch_size": 16, "seed": 7}


def diabetes(rows: int = 60) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x, y = load_diabetes(return_X_y=True)
    return x[:rows] * 20 + 3, (y[:rows] - y.mean()) / y.std()


def regressor() -> keras.Model:
    model = keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=True)
    return model


def with_input(width: int) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=True)
        return model

    return build


@pytest.mark.slow
def test_a_pipeline_is_that_of_a_loop_by_hand(tmp_path: Path) -> None:
    x, y = diabetes()
    pipeline = make_pipeline(StandardScaler(), PCA(3))

    def prepare(
        training: npt.NDArray[np.float64],
        targets: npt.NDArray[np.float64],
        validation: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        fitted = make_pipeline(StandardScaler(), PCA(3)).fit(training)
        return fitted.transform(training), fitted.transform(validation)

    build = with_input(3)
    tuner = searched(tmp_path, lambda hp: build(), x, y, cv=FOLDS, preprocess=pipeline)
    assert_equal(tuner, by_hand(build, x, y, list(FOLDS.split(x)), prepare=prepare, **SHARED))
    assert not hasattr(pipeline[0], "mean_")
    with pytest.raises(ResumeError, match=r"values\.pca__whiten: was False, is True"):
        other = make_pipeline(StandardScaler(), PCA(3, whiten=True))
        searched(tmp_path, lambda hp: build(), x, y, cv=FOLDS, preprocess=other)


@pytest.mark.slow
def test_a_layer_is_adapted_in_each_fold(tmp_path: Path) -> None:
    x, y = diabetes()
    layer = keras.layers.Normalization()

    def prepare(
        training: npt.NDArray[np.float64],
        targets: npt.NDArray[np.float64],
        validation: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        mean, deviation = training.mean(axis=0), training.std(axis=0)
        return (training - mean) / deviation, (validation - mean) / deviation

    build = with_input(10)
    tuner = searched(tmp_path, lambda hp: build(), x, y, cv=FOLDS, preprocess=layer)
    expected = by_hand(build, x, y, list(FOLDS.split(x)), prepare=prepare, **SHARED)
    np.testing.assert_allclose(
        tuner.history().query("split == 'validation' and fold == 1")["value"],
        expected["loss"][1],
        rtol=1e-4,
    )
    assert layer.mean is None


def test_a_text_layer_learns_the_words_of_the_rows_that_it_is_fitted_on() -> None:
    words = np.array([f"word{number}" for number in range(20)], dtype=object)
    layer = keras.layers.TextVectorization(output_mode="multi_hot")
    trained, apply = Preparation(layer, words, words, None, seed=0).fit(np.arange(10), fold=0)
    assert is_a(np.ndarray, trained).shape == (10, 11)
    # All words that it has not seen are one.
    assert is_a(np.ndarray, apply(words[10:])).tolist() == [[1.0] + [0.0] * 10] * 10


class Seeing(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Remembers which rows it was fitted on."""

    fitted: list[Any] = []  # noqa: RUF012

    def fit(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64] | None = None) -> Self:
        Seeing.fitted.append((sorted(x[:, 0].tolist()), None if y is None else len(y)))
        return self

    def transform(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return x


@pytest.mark.slow
def test_it_sees_the_training_rows_of_a_fold_and_their_targets_alone(tmp_path: Path) -> None:
    x, y = diabetes()
    x[:, 0] = np.arange(60)
    Seeing.fitted.clear()
    searched(tmp_path, lambda hp: regressor(), x, y, cv=FOLDS, preprocess=Seeing(), epochs=1)
    expected = [(training.tolist(), 40) for training, _ in FOLDS.split(x)]
    assert Seeing.fitted == expected


@pytest.mark.slow
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_a_transformer_gets_a_frame_by_its_columns(library: ModuleType, tmp_path: Path) -> None:
    x, y = diabetes()
    frame = library.DataFrame(
        {"age": x[:, 0], "colour": np.array(["red", "blue", "green"])[np.arange(60) % 3].tolist()}
    )
    columns = make_column_transformer(
        (StandardScaler(), ["age"]), (OneHotEncoder(sparse_output=False), ["colour"])
    )
    build = with_input(4)
    tuner = searched(tmp_path, lambda hp: build(), frame, y, cv=FOLDS, preprocess=columns, epochs=1)
    assert list(tuner.results()["status"]) == ["COMPLETED"]


@pytest.mark.slow
def test_text_is_vectorised_and_widths_may_differ_between_folds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(60)])
    texts = np.array([" ".join(rng.choice(words, 5)) for _ in range(60)], dtype=object)
    y = np.array([float("word1" in text) for text in texts])
    tuner = searched(
        tmp_path, lambda hp: regressor(), texts, y, cv=FOLDS, preprocess=TfidfVectorizer(), epochs=1
    )
    assert list(tuner.results()["status"]) == ["COMPLETED"]
    again = searched(
        tmp_path, lambda hp: regressor(), texts.copy(), y, cv=FOLDS,
        preprocess=TfidfVectorizer(), epochs=1,
    )  # fmt: skip
    assert again.results().equals(tuner.results())


class Drawing(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Draws from NumPy's global state, as scikit-learn does without a random state."""

    def fit(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64] | None = None) -> Self:
        self.noise_ = np.random.normal(size=x.shape[1])
        return self

    def transform(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return x + self.noise_


@pytest.mark.slow
def test_what_it_draws_is_a_function_of_the_seed_and_the_fold(tmp_path: Path) -> None:
    x, y = diabetes()
    build = with_input(10)
    found = []
    for name in ("one", "other"):
        np.random.seed(len(name))
        tuner = searched(
            tmp_path / name, lambda hp: build(), x, y, cv=2, preprocess=Drawing(), epochs=1
        )
        found.append(tuner.history())
    assert found[0].equals(found[1])


def leaked(
    rows: int = 240, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A category of its own in nearly every row, and targets of pure noise."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, rows // 2, (rows, 1)).astype(float), rng.normal(size=rows)


def linear() -> keras.Model:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    return model


@pytest.mark.slow
def test_fitted_on_all_rows_a_target_encoder_leaks_and_in_each_fold_it_does_not(
    tmp_path: Path,
) -> None:
    x, y = leaked()
    everything = TargetEncoder(target_type="continuous").fit(x, y).transform(x)
    options: dict[str, Any] = {"cv": 3, "epochs": 8, "batch_size": 32}
    before = searched(tmp_path / "before", lambda hp: linear(), everything, y, **options)
    encoder = TargetEncoder(target_type="continuous")
    within = searched(tmp_path / "within", lambda hp: linear(), x, y, preprocess=encoder, **options)
    variance = y.var()
    # Noise cannot be predicted: an honest error is not below its variance.
    assert before.results()["score"][0] < 0.85 * variance
    assert within.results()["score"][0] > 0.95 * variance


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (StandardScaler, "expected a scikit-learn transformer"),
        ("scale", "expected a scikit-learn transformer"),
        (keras.layers.Dense(2), "Dense, which has no adapt"),
        (PCA(99), "cannot be fitted and applied in fold 0: ValueError"),
    ],
)
def test_what_cannot_prepare_is_refused_before_work(
    given: str, message: str, tmp_path: Path
) -> None:
    x, y = diabetes()
    with pytest.raises(SearchError, match=message):
        searched(tmp_path, lambda hp: regressor(), x, y, cv=FOLDS, preprocess=given)
    assert not list(tmp_path.rglob("trial_*"))


def test_a_dict_of_inputs_is_not_prepared(tmp_path: Path) -> None:
    x, y = diabetes()
    with pytest.raises(SearchError, match="preprocess with inputs in a dict"):
        searched(tmp_path, lambda hp: regressor(), {"a": x}, y, preprocess=StandardScaler())
