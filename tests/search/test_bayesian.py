"""Bayesian optimisation: KerasTuner's own proposals, from records alone."""

import pickle
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from growing_problems import (
    GROWING,
    Build,
    another_default,
    another_range,
    branch,
    loop_that_shrinks,
    open_growing,
    play,
    points_of,
    range_of_a_value,
    scopes,
    used_by,
)
from keras_tuner.engine.trial import Trial, TrialStatus
from oracle_problems import (
    Declare,
    Values,
    as_set,
    fail,
    finish,
    load_trials,
    open_oracle,
    run_to_the_end,
)

from rust_tuner import BayesianOptimizationOracle, RandomSearchOracle
from rust_tuner.errors import SpaceError
from rust_tuner.search import bayesian
from rust_tuner.search.exact_space import exact
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.stock_oracles import resumable


def two_numbers(hp: keras_tuner.HyperParameters) -> None:
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Int("units", 8, 64, step=8)


def one_number(hp: keras_tuner.HyperParameters) -> None:
    hp.Float("rate", 1e-4, 1e-1, sampling="log")


def nothing(hp: keras_tuner.HyperParameters) -> None:
    """Declares nothing: all is asked for in training."""


def four_points(hp: keras_tuner.HyperParameters) -> None:
    hp.Choice("units", [2, 3])
    hp.Choice("dropout", [0.0, 0.25])


def score(values: Values) -> float:
    return float(abs(values["rate"] - 0.01) + values.get("units", 0) / 64)


class StockHistory(keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """KerasTuner's oracle, off the disk, with given first trials."""

    first: list[Values]

    def _random_populate_space(self) -> dict[str, Any]:
        return {"status": TrialStatus.RUNNING, "values": self.first[len(self.trials)]}

    def save(self) -> None:
        pass

    def _save_trial(self, trial: Trial) -> None:
        pass


def played(oracle: Any, *, failing: tuple[int, ...] = ()) -> list[Values]:
    sequence: list[Values] = []
    while (trial := oracle.create_trial("tuner0")).status == TrialStatus.RUNNING:
        values = dict(trial.hyperparameters.values)
        if len(sequence) in failing:
            fail(oracle, trial)
        else:
            finish(oracle, trial, score(values))
        sequence.append(values)
    return sequence


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:getName:DeprecationWarning")
@pytest.mark.parametrize(
    ("declare", "direction"),
    [
        (one_number, "max"),
        pytest.param(two_numbers, "max", marks=pytest.mark.slow),
        pytest.param(two_numbers, "min", marks=pytest.mark.slow),
    ],
)
def test_the_gaussian_process_proposes_what_that_of_keras_tuner_does(
    declare: Declare, direction: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"max_trials": 7, "num_initial_points": 3, "seed": 7}
    if declare is one_number:
        # KerasTuner would repeat the failed point, which ours never does.
        options["max_trials"] = 6
    ours = open_oracle(
        BayesianOptimizationOracle, declare, tmp_path, direction=direction, **options
    )
    proposed = played(ours, failing=(1, 5))
    space = keras_tuner.HyperParameters()
    declare(space)
    stock = StockHistory(
        keras_tuner.Objective("val_auroc", direction), hyperparameters=space, **options
    )
    stock.verbose, stock.first = 0, proposed
    # Three completed trials and a failed one, then three of the Gaussian process.
    assert played(stock, failing=(1, 5)) == proposed
    assert len(proposed) == options["max_trials"]


def test_the_first_trials_are_those_of_a_random_search(tmp_path: Path) -> None:
    ours = open_oracle(BayesianOptimizationOracle, two_numbers, tmp_path, max_trials=6, seed=0)
    random = open_oracle(RandomSearchOracle, two_numbers, tmp_path / "random", seed=0)
    assert played(ours) == [random.values_of(number) for number in range(6)]


@pytest.mark.slow
def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_trials": 6, "num_initial_points": 2, "seed": 0}
    whole = open_oracle(BayesianOptimizationOracle, one_number, tmp_path / "whole", **options)
    expected = played(whole)
    killed = open_oracle(BayesianOptimizationOracle, one_number, tmp_path, **options)
    for _ in range(3):
        trial = killed.create_trial("tuner0")
        finish(killed, trial, score(trial.hyperparameters.values))
    killed.create_trial("tuner0")
    resumed = open_oracle(BayesianOptimizationOracle, one_number, tmp_path, **options)
    resumed.freeze_space()
    resumed.adopt(load_trials(tmp_path))
    assert played(resumed) == expected[3:]
    found = [trial.hyperparameters.values for trial in load_trials(tmp_path)]
    assert found == expected


def test_no_trial_is_repeated_and_a_small_space_ends_when_it_is_complete(tmp_path: Path) -> None:
    oracle = open_oracle(
        BayesianOptimizationOracle, four_points, tmp_path, max_trials=9, num_initial_points=2
    )
    assert oracle.num_trials() == 4
    tried = [tuple(trial.hyperparameters.values.items()) for trial in run_to_the_end(oracle)]
    assert len(tried) == len(set(tried)) == 4


@pytest.mark.parametrize("attempts", [1, 20])
@pytest.mark.parametrize("build", [branch, scopes, another_range, another_default])
def test_points_that_random_draws_miss_are_found_in_the_grid(
    build: Build, attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bayesian, "_MOST_ATTEMPTS", attempts)
    oracle = open_growing(
        BayesianOptimizationOracle, build, tmp_path, max_trials=50, num_initial_points=2, seed=0
    )
    assert_all_are_found_once(oracle, build)


@pytest.mark.slow
@pytest.mark.parametrize("build", [branch, another_default])
@pytest.mark.parametrize("lag", [1, 3])
def test_no_trial_is_repeated_where_several_run_at_once(
    tmp_path: Path, lag: int, build: Build
) -> None:
    oracle = open_growing(
        BayesianOptimizationOracle, build, tmp_path, max_trials=50, num_initial_points=2
    )
    oracle.lag = lag
    assert_all_are_found_once(oracle, build)


def assert_all_are_found_once(oracle: ResumableOracle, build: Build) -> None:
    found = [used_by(build, values) for values in play(oracle)]
    assert len(as_set(found)) == len(found)
    assert as_set(found) == as_set(list(points_of(build)))


def test_a_trial_that_fails_before_it_asks_in_training_ends_no_search(tmp_path: Path) -> None:
    oracle = open_growing(
        BayesianOptimizationOracle, nothing, tmp_path, max_trials=9, num_initial_points=2
    )
    found = []
    while (trial := oracle.create_trial("tuner0")).status == TrialStatus.RUNNING:
        if trial.trial_id in ("1", "2", "0001", "0002"):
            fail(oracle, trial)
            continue
        trial.hyperparameters.Choice("rate", [0.1, 0.2, 0.3, 0.4])
        found.append(trial.hyperparameters.values["rate"])
        finish(oracle, trial, found[-1])
    assert sorted(found) == [0.1, 0.2, 0.3, 0.4]


def test_the_values_of_a_trial_can_be_pickled(tmp_path: Path) -> None:
    oracle = open_growing(BayesianOptimizationOracle, branch, tmp_path, max_trials=2)
    values = oracle.create_trial("tuner0").hyperparameters
    assert pickle.loads(pickle.dumps(values)).values == values.values


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(build, marks=() if build is branch else pytest.mark.slow, id=build.__name__)
        for build in GROWING
        # It is never complete; or it declares what fewer layers do not use, which is a value, too.
        if build not in (range_of_a_value, loop_that_shrinks)
    ],
)
def test_no_trial_is_repeated_in_a_growing_space_either(tmp_path: Path, build: Any) -> None:
    expected = [used_by(build, values) for values in points_of(build)]
    for initial, seed in ((2, 1), (6, 7)):
        oracle = open_growing(
            BayesianOptimizationOracle,
            build,
            tmp_path / str(initial),
            max_trials=200,
            num_initial_points=initial,
            seed=seed,
        )
        found = [used_by(build, values) for values in play(oracle)]
        assert len(as_set(found)) == len(found)
        assert as_set(found) == as_set(expected)


@pytest.mark.parametrize(
    "declare",
    [
        lambda hp: hp.Int("size", 1, 100, sampling="log"),
        lambda hp: hp.Int("size", 2, 9, sampling="reverse_log"),
        lambda hp: hp.Float("size", 1e-3, 0.3, sampling="log"),
        lambda hp: hp.Float("size", 0, 0.5, step=0.1),
    ],
)
def test_both_ends_of_the_probabilities_are_values_of_the_space(declare: Declare) -> None:
    hp = keras_tuner.HyperParameters()
    declare(hp)
    part = exact(hp.space[0])
    found = sorted(part.prob_to_value(prob) for prob in (0.0, 1.0))
    assert found == [part.min_value, part.max_value]
    for value in found:
        assert part.prob_to_value(part.value_to_prob(value)) == pytest.approx(value)


def test_an_exact_step_is_in_the_middle_of_its_probabilities() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0, 0.5, step=0.1)
    part = exact(hp.space[0])
    values = [part.prob_to_value((index + 0.5) / 6) for index in range(6)]
    assert values == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert [part.prob_to_value(part.value_to_prob(value)) for value in values] == values


@pytest.mark.parametrize(
    "options",
    [{"max_trials": 0}, {"num_initial_points": 0}, {"alpha": -1.0}, {"beta": float("nan")}],
)
def test_numbers_out_of_range_are_refused_by_name(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(SpaceError, match=name):
        BayesianOptimizationOracle(keras_tuner.Objective("val_auroc", "max"), **options)


def test_the_oracle_of_keras_tuner_is_taken_over_with_its_arguments() -> None:
    stock = keras_tuner.oracles.BayesianOptimizationOracle(
        keras_tuner.Objective("val_auroc", "max"),
        max_trials=7,
        num_initial_points=2,
        alpha=1e-3,
        beta=1.5,
        seed=11,
    )
    ours = resumable(stock, None, lambda note: None)
    assert isinstance(ours, BayesianOptimizationOracle)
    for name in ("max_trials", "num_initial_points", "alpha", "beta", "seed"):
        assert getattr(ours, name) == getattr(stock, name)
