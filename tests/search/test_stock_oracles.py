"""KerasTuner's own oracles are taken over by their arguments, or refused with what to use."""

from typing import Any

import keras_tuner
import pytest
from search_problems import TinyHyperModel

from rust_tuner import CrossValidationTuner, GridSearchOracle, RandomSearchOracle
from rust_tuner.errors import SearchError
from rust_tuner.search.stock_oracles import resumable

OBJECTIVE = keras_tuner.Objective("val_auroc", "max")
STOCK = [
    (keras_tuner.oracles.RandomSearchOracle, RandomSearchOracle),
    (keras_tuner.oracles.GridSearchOracle, GridSearchOracle),
]


@pytest.mark.parametrize(("stock", "ours"), STOCK)
def test_an_oracle_is_taken_over_by_its_arguments(stock: Any, ours: Any, tmp_path: Any) -> None:
    space = keras_tuner.HyperParameters()
    space.Choice("units", [2, 3])
    given = stock(
        OBJECTIVE,
        max_trials=4,
        seed=12,
        hyperparameters=space,
        tune_new_entries=False,
        max_retries_per_trial=2,
    )
    tuner = CrossValidationTuner(TinyHyperModel(), given, directory=tmp_path)
    oracle = tuner.oracle
    assert type(oracle) is ours
    assert oracle.objective == OBJECTIVE
    assert (oracle.max_trials, oracle.seed) == (4, 12)
    assert (oracle.tune_new_entries, oracle.allow_new_entries) == (False, True)
    assert (oracle.max_retries_per_trial, oracle.max_consecutive_failed_trials) == (2, 3)
    assert [hp.name for hp in oracle.get_space().space] == ["units"]


def test_a_seed_that_keras_tuner_drew_is_that_of_the_search_to_resume() -> None:
    said: list[str] = []
    drawn = keras_tuner.oracles.RandomSearchOracle(OBJECTIVE, max_trials=2)
    assert resumable(drawn, drawn.seed, said.append).seed == drawn.seed
    assert said == []
    other = drawn.seed % 9_999 + 1
    assert resumable(drawn, other, said.append).seed == other
    assert f"the oracle's seed is {other}, with which the search was begun" in said[0]
    # A larger one was given.
    given = keras_tuner.oracles.RandomSearchOracle(OBJECTIVE, max_trials=2, seed=10_001)
    assert resumable(given, 5, said.append).seed == 10_001
    assert len(said) == 1


def test_an_oracle_that_cannot_be_taken_over_is_refused_with_what_to_use() -> None:
    class Own(keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
        pass

    for oracle, use in (
        (keras_tuner.oracles.HyperbandOracle(OBJECTIVE), "halve the trials step by step"),
        (Own(OBJECTIVE), "use RandomSearchOracle, GridSearchOracle, BayesianOptimizationOracle or"),
    ):
        with pytest.raises(
            SearchError, match=f"{type(oracle).__name__} cannot be resumed; .*{use}"
        ):
            resumable(oracle, None, print)


def test_an_oracle_of_this_package_is_used_as_it_is() -> None:
    oracle = GridSearchOracle(OBJECTIVE)
    assert resumable(oracle, 3, print) is oracle


@pytest.mark.parametrize("kind", [GridSearchOracle, keras_tuner.oracles.RandomSearchOracle])
def test_a_class_in_place_of_an_oracle_is_named(kind: Any) -> None:
    with pytest.raises(SearchError, match=f"oracle={kind.__name__} is a class; give an object"):
        resumable(kind, None, print)
