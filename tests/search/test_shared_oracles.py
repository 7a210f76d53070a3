"""An oracle, or a space, that a user gives to several tuners: each search is as with its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import optuna
import pandas as pd
import pytest
from search_problems import TinyHyperModel, arrays

from rust_tuner import (
    BayesianOptimizationOracle,
    CrossValidationTuner,
    GridSearchOracle,
    OptunaOracle,
    RandomSearchOracle,
    SuccessiveHalvingOracle,
)

OBJECTIVE = keras_tuner.Objective("val_loss", "min")
ORACLES: dict[str, Callable[..., Any]] = {
    "random": lambda **more: RandomSearchOracle(OBJECTIVE, 3, seed=1, **more),
    "grid": lambda **more: GridSearchOracle(OBJECTIVE, 3, **more),
    "halving": lambda **more: SuccessiveHalvingOracle(OBJECTIVE, 3, seed=1, **more),
    "bayesian": lambda **more: BayesianOptimizationOracle(
        OBJECTIVE, 3, num_initial_points=1, seed=1, **more
    ),
    "optuna": lambda **more: OptunaOracle(
        optuna.samplers.TPESampler(n_startup_trials=1), OBJECTIVE, 3, seed=1, **more
    ),
    "kerastuner": lambda **more: keras_tuner.oracles.RandomSearchOracle(
        OBJECTIVE, 3, seed=1, **more
    ),
}


class Deeper(keras_tuner.HyperModel):  # type: ignore[misc]
    """Another model: it has other hyperparameters."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.Input((4,))])
        model.add(keras.layers.Dense(hp.Int("width", 1, 3), activation="relu"))
        model.add(keras.layers.Dense(2, activation="sigmoid"))
        model.compile("sgd", "binary_crossentropy", run_eagerly=True)
        return model


def begun(folder: Path, oracle: Any, cv: int = 2, **changes: Any) -> CrossValidationTuner:
    changes.setdefault("hypermodel", TinyHyperModel())
    return CrossValidationTuner(
        oracle=oracle, cv=cv, directory=folder, project_name=f"cv{cv}", **changes
    )


def searched(tuner: CrossValidationTuner) -> CrossValidationTuner:
    x, y, groups = arrays()
    tuner.search(x, y, groups, epochs=2, verbose=0)
    return tuner


def outcome(tuner: CrossValidationTuner) -> pd.DataFrame:
    return tuner.results().drop(columns="seconds")


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind == "random" else [pytest.mark.slow]) for kind in ORACLES],
)
def test_tuners_that_share_an_oracle_search_as_if_each_had_its_own(
    kind: str, tmp_path: Path
) -> None:
    oracle = ORACLES[kind]()
    shared = [begun(tmp_path / "shared", oracle, cv) for cv in (2, 3)]
    alone = [searched(begun(tmp_path / "alone", ORACLES[kind](), cv)) for cv in (2, 3)]
    # Both exist before the first one searches.
    for tuner in shared:
        searched(tuner)
    for one, other in zip(shared, alone, strict=True):
        assert len(one.results()) == 3
        pd.testing.assert_frame_equal(outcome(one), outcome(other))
        best = one.get_best_hyperparameters()[0].values
        assert best == one.best_hyperparameters.values == other.best_hyperparameters.values


@pytest.mark.parametrize("kind", ["random", "bayesian", "kerastuner"])
def test_another_model_has_a_space_of_its_own_in_an_emptied_folder(
    kind: str, tmp_path: Path
) -> None:
    oracle = ORACLES[kind]()
    searched(begun(tmp_path, oracle))
    again = searched(begun(tmp_path, oracle, hypermodel=Deeper(), overwrite=True))
    assert {*again.best_hyperparameters.values} == {"width"}
    # As in a new process.
    resumed = searched(begun(tmp_path, ORACLES[kind](), hypermodel=Deeper()))
    pd.testing.assert_frame_equal(again.results(), resumed.results())


def test_a_space_that_is_given_to_two_oracles_is_not_changed_by_either(tmp_path: Path) -> None:
    space = keras_tuner.HyperParameters()
    space.Fixed("units", 3)
    searched(begun(tmp_path / "first", ORACLES["random"](hyperparameters=space)))
    assert [hp.name for hp in space.space] == ["units"]
    other = begun(tmp_path / "other", ORACLES["random"](hyperparameters=space), hypermodel=Deeper())
    assert {hp.name for hp in other.oracle.hyperparameters.space} == {"units", "width"}


def test_what_is_set_before_the_first_tuner_holds_for_each(tmp_path: Path) -> None:
    space = keras_tuner.HyperParameters()
    oracle = ORACLES["random"](hyperparameters=space)
    # KerasTuner's oracles keep the user's object, which may be completed later.
    space.Fixed("units", 3)
    oracle.seed = 7
    first = searched(begun(tmp_path, oracle))
    assert first.results()["units"].tolist() == [3] * len(first.results())
    assert [hp.name for hp in space.space] == ["units"]
    again = searched(begun(tmp_path, oracle))
    pd.testing.assert_frame_equal(first.results(), again.results())
    other = searched(begun(tmp_path, oracle, cv=3))
    assert other.results()["units"].tolist() == [3] * len(other.results())
    assert other.oracle.seed == 7


def test_a_second_tuner_takes_a_raised_number_of_trials(tmp_path: Path) -> None:
    oracle = ORACLES["random"]()
    searched(begun(tmp_path, oracle))
    oracle.max_trials = 4
    assert len(searched(begun(tmp_path, oracle)).results()) == 4
