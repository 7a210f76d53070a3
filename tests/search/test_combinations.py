"""What several options of a search do together."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from narrowing import not_none
from search_problems import arrays
from sklearn.preprocessing import StandardScaler

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.errors import SearchError
from rust_tuner.models.code_identity import method_code
from rust_tuner.search.hopeless import StopRule

X, Y, GROUPS = arrays()


class Rates(keras_tuner.HyperModel):  # type: ignore[misc]
    """The second rate keeps the wrong start, so that its trial is hopeless."""

    def build(self, hp: Any) -> keras.Model:
        rate = hp.Choice("rate", [0.5, 1e-6])
        inputs = keras.Input((4,))
        wrong = keras.initializers.Identity(gain=-1.0)
        outputs = keras.layers.Dense(2, activation="sigmoid", kernel_initializer=wrong)(inputs)
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
        return model


def closeness(y_true: Any, y_score: Any) -> float:
    """Higher is better."""
    return -float(np.mean((y_true - y_score) ** 2))


class Eager(Rates):
    """Quicker than to trace for so few steps."""

    def build(self, hp: Any) -> keras.Model:
        model = super().build(hp)
        model.run_eagerly = True
        return model


class Shorter(Eager):
    """Trains for fewer epochs than the search was asked for."""

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*args, **(kwargs | {"epochs": 3}))


def search(folder: Path, hypermodel: Any = None, **options: Any) -> CrossValidationTuner:
    names = ("score_epoch", "keep_models", "max_model_size")
    made = {name: options.pop(name) for name in names if name in options}
    oracle = GridSearchOracle(options.pop("objective", "val_auroc"))
    tuner = CrossValidationTuner(
        hypermodel or Rates(), oracle, cv=4, directory=folder, project_name="p", **made
    )
    tuner.search(X, Y, GROUPS, **({"epochs": 8, "batch_size": 16, "verbose": 0} | options))
    return tuner


@pytest.mark.slow
def test_a_stopped_trial_needs_no_epoch_of_the_score(tmp_path: Path) -> None:
    tuner = search(tmp_path, stop_hopeless=StopRule(first_epoch=1), score_epoch=7)
    assert list(tuner.results()["status"]) == ["COMPLETED", "PRUNED"]
    assert next(iter(tuner.results()["epoch"])) == 7


@pytest.mark.slow
def test_an_own_fit_of_fewer_epochs_is_not_taken_for_a_stopped_trial(tmp_path: Path) -> None:
    tuner = search(tmp_path, Shorter(), stop_hopeless=StopRule(first_epoch=1), epochs=5)
    assert list(tuner.results()["status"]) == ["COMPLETED"] * 2


@pytest.mark.slow
def test_scorers_see_what_each_fold_prepared(tmp_path: Path) -> None:
    tuner = search(tmp_path, Eager(), preprocess=StandardScaler(), objective=closeness, epochs=1)
    assert np.isfinite(tuner.results()["score"].astype(float)).all()
    with pytest.raises(SearchError, match="preprocessed its inputs by itself"):
        tuner.ensemble()


@pytest.mark.slow
def test_a_refit_prepares_all_rows_alike_each_time(tmp_path: Path) -> None:
    tuner = search(tmp_path, Eager(), preprocess=StandardScaler(), epochs=1)
    first, second = (tuner.refit().predict(not_none(tuner.prepare)(X), verbose=0) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_models_of_an_own_fit_are_not_kept_and_that_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"keep_models with a HyperModel\.fit"):
        search(tmp_path, Shorter(), keep_models="best")
    assert not list(tmp_path.rglob("fold_*"))


@pytest.mark.slow
def test_a_model_that_waits_for_data_is_measured_once_it_is_built(tmp_path: Path) -> None:
    def build(hp: Any) -> keras.Model:
        model = keras.Sequential([keras.layers.Dense(hp.Choice("units", [2, 99])), *[]])
        model.add(keras.layers.Dense(2, activation="sigmoid"))
        model.compile("sgd", "binary_crossentropy", run_eagerly=True)
        return model

    tuner = search(tmp_path, build, max_model_size=50, epochs=1)
    assert list(tuner.results()["status"]) == ["COMPLETED", "FAILED"]


@pytest.mark.parametrize("changes", [{"in_a_row": 0}, {"level": 5.0}, {"first_epoch": -1}])
def test_a_rule_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SearchError, match="expected an epoch from 0"):
        StopRule(**changes)


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_a_number_that_is_none_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=f"{name}=None"):
        search(tmp_path, **{name: None})


def test_the_code_of_a_method_includes_the_methods_that_it_calls() -> None:
    class One:
        def fit(self) -> int:
            return self.helper()

        def helper(self) -> int:
            return 1

    class Other(One):
        def helper(self) -> int:
            return 2

    assert method_code(One, "fit") == method_code(type("Same", (One,), {}), "fit")
    assert method_code(One, "fit") != method_code(Other, "fit")
