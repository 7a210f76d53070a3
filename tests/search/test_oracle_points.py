"""The points of a search: the grid in KerasTuner's order, random ones by their index alone."""

from pathlib import Path

import keras_tuner
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.engine.trial import TrialStatus
from narrowing import not_none
from oracle_problems import (
    KIND_NAMES,
    KINDS,
    STOCK_THREADS,
    Declare,
    Parameter,
    Values,
    all_values,
    as_set,
    continuous,
    declare_all,
    every_point,
    fail,
    finish,
    load_trials,
    open_oracle,
    run_to_the_end,
    same_name_in_two_scopes,
    spaces,
    stock_grid_sequence,
    thirty_points,
    two_models,
    with_marks,
)

from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.random_search import RandomSearchOracle


@pytest.mark.slow
@with_marks(STOCK_THREADS)
@settings(max_examples=60, deadline=None)
@given(space=spaces())
def test_grid_has_the_order_of_keras_tuner(space: list[Parameter]) -> None:
    ours = all_values(open_oracle(GridSearchOracle, declare_all(space)))
    assert ours == stock_grid_sequence(declare_all(space))


@settings(max_examples=60, deadline=None)
@given(space=spaces())
def test_grid_holds_every_point_once_defaults_first_and_last_declared_fastest(
    space: list[Parameter],
) -> None:
    ours = all_values(open_oracle(GridSearchOracle, declare_all(space)))
    assert ours == list(every_point(space))


@with_marks(STOCK_THREADS)
@pytest.mark.parametrize(
    "declare",
    [
        two_models,
        lambda hp: hp.Float("rate", 0.0, 1.0),
        lambda hp: hp.Float("rate", 0.0, 1.0, step=0.25, default=0.5),
        lambda hp: hp.Int("units", 1, 100, sampling="log"),
        lambda hp: hp.Int("units", 2, 64, step=2, sampling="log", default=8),
    ],
    ids=["conditional", "float", "float step", "int log", "int log step"],
)
def test_grid_samples_ranges_as_keras_tuner(declare: Declare) -> None:
    ours = all_values(open_oracle(GridSearchOracle, declare))
    assert ours == stock_grid_sequence(declare)


@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
@pytest.mark.parametrize("oracle", [GridSearchOracle, RandomSearchOracle])
def test_integers_with_steps_are_integers_and_each_comes_once(
    oracle: type[ResumableOracle], sampling: str
) -> None:
    def declare(hp: keras_tuner.HyperParameters) -> None:
        hp.Int("units", 2, 16, step=2, sampling=sampling)
        hp.Int("batch_size", 8, 32, step=2 if sampling != "linear" else 8, sampling=sampling)

    points = all_values(open_oracle(oracle, declare))
    assert {type(value) for point in points for value in point.values()} == {int}
    values = [tuple(point.values()) for point in points]
    assert len(values) == len(set(values)) == {"linear": 8 * 4}.get(sampling, 4 * 3)


def stepped(hp: keras_tuner.HyperParameters) -> None:
    hp.Float("rate", 0, 0.5, step=0.1)
    hp.Float("decay", 1e-4, 1e-1, step=10, sampling="log", default=1e-2)


RATES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_grid_visits_the_end_of_a_range_with_steps() -> None:
    points = all_values(open_oracle(GridSearchOracle, stepped))
    assert len(points) == 24
    assert [point["rate"] for point in points[::4]] == RATES
    assert [point["decay"] for point in points[:4]] == [1e-2, 1e-4, 1e-3, 1e-1]


def test_random_draws_each_value_of_a_range_with_steps_alike() -> None:
    oracle = open_oracle(RandomSearchOracle, stepped, max_trials=100)
    points = all_values(oracle)
    assert as_set(points) == as_set(all_values(open_oracle(GridSearchOracle, stepped)))
    assert {"0.3", "0.5"} < {repr(point["rate"]) for point in points}


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_a_search_that_was_begun_with_keras_tuners_steps_keeps_them(
    kind: type[ResumableOracle],
) -> None:
    oracle = open_oracle(kind, lambda hp: hp.Float("rate", 0, 0.5, step=0.1), max_trials=50)
    assert max(point["rate"] for point in all_values(oracle)) == 0.5
    oracle.exact_steps = False
    assert max(point["rate"] for point in all_values(oracle)) == 0.4


def test_grid_runs_from_the_defaults_with_the_last_declared_fastest(tmp_path: Path) -> None:
    def declare(hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("learning_rate", [0.1, 0.01], default=0.01)
        hp.Choice("epsilon", [1e-1, 1e-4, 1e-7], default=1e-4)

    oracle = open_oracle(GridSearchOracle, declare, tmp_path)
    values = [trial.hyperparameters.values for trial in run_to_the_end(oracle)]
    order = [(point["learning_rate"], point["epsilon"]) for point in values]
    assert order == [
        (0.01, 1e-4),
        (0.01, 1e-1),
        (0.01, 1e-7),
        (0.1, 1e-4),
        (0.1, 1e-1),
        (0.1, 1e-7),
    ]


def test_grid_does_not_depend_on_the_seed() -> None:
    assert all_values(open_oracle(GridSearchOracle, thirty_points, seed=0)) == all_values(
        open_oracle(GridSearchOracle, thirty_points, seed=5)
    )


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_a_grid_point_does_not_wait_for_the_trials_before_it(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_oracle(kind, thirty_points, tmp_path, max_trials=4)
    trials = [oracle.create_trial(f"tuner{number}") for number in range(4)]
    assert [trial.status for trial in trials] == [TrialStatus.RUNNING] * 4
    fresh = open_oracle(kind, thirty_points, max_trials=4)
    assert [t.hyperparameters.values for t in trials] == [fresh.values_of(n) for n in range(4)]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(space=spaces(), seed=st.integers(0, 3))
def test_random_finishes_a_small_space_with_every_point_once(
    space: list[Parameter], seed: int
) -> None:
    oracle = open_oracle(RandomSearchOracle, declare_all(space), max_trials=1000, seed=seed)
    drawn = all_values(oracle)
    points = list(every_point(space))
    assert len(drawn) == len(points) == oracle.num_trials()
    assert as_set(drawn) == as_set(points)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(space=spaces(), index=st.integers(0, 20))
def test_random_values_depend_on_the_index_alone(space: list[Parameter], index: int) -> None:
    asked_in_order = open_oracle(RandomSearchOracle, declare_all(space), seed=3)
    in_order = [asked_in_order.values_of(number) for number in range(index + 1)]
    asked_at_once = open_oracle(RandomSearchOracle, declare_all(space), seed=3)
    assert asked_at_once.values_of(index) == in_order[index]
    assert [asked_at_once.values_of(number) for number in range(index)] == in_order[:index]


def test_random_values_do_not_depend_on_what_finished_before(tmp_path: Path) -> None:
    fresh = open_oracle(RandomSearchOracle, continuous, max_trials=8, seed=11)
    expected = [fresh.values_of(number) for number in range(8)]

    one_by_one = open_oracle(RandomSearchOracle, continuous, tmp_path / "a", max_trials=8, seed=11)
    assert [t.hyperparameters.values for t in run_to_the_end(one_by_one)] == expected

    mixed = open_oracle(RandomSearchOracle, continuous, tmp_path / "b", max_trials=8, seed=11)
    begun = [mixed.create_trial(f"tuner{number}") for number in range(4)]
    fail(mixed, begun[3])
    finish(mixed, begun[1], 0.9)
    begun.extend(mixed.create_trial(f"tuner{number}") for number in (3, 1))
    for trial in reversed(begun):
        if trial.status == TrialStatus.RUNNING:
            fail(mixed, trial)
    begun.extend(mixed.create_trial(f"tuner{number}") for number in (0, 1))
    assert [trial.trial_id for trial in begun] == [f"000{number}" for number in range(8)]
    assert [trial.hyperparameters.values for trial in begun] == expected


def test_random_draws_are_distinct_and_stay_in_their_ranges() -> None:
    oracle = open_oracle(RandomSearchOracle, continuous, max_trials=100)
    drawn = [oracle.values_of(number) for number in range(100)]
    assert len(as_set(drawn)) == 100  # type: ignore[arg-type]
    assert all(16 <= not_none(values)["batch_size"] <= 2048 for values in drawn)
    assert all(0 <= not_none(values)["dropout_rate"] <= 0.5 for values in drawn)
    sizes = [not_none(values)["batch_size"] for values in drawn]
    assert min(sizes) < 200 and max(sizes) > 1850
    assert all(type(not_none(values)["batch_size"]) is int for values in drawn)


def test_random_finishes_thirty_points_then_stops(tmp_path: Path) -> None:
    oracle = open_oracle(RandomSearchOracle, thirty_points, tmp_path, max_trials=100)
    trials = run_to_the_end(oracle)
    assert len(trials) == 30 == oracle.num_trials()
    assert len(as_set([trial.hyperparameters.values for trial in trials])) == 30


def test_random_ends_on_a_logarithmic_range_of_few_numbers() -> None:
    oracle = open_oracle(
        RandomSearchOracle, lambda hp: hp.Int("units", 1, 5, sampling="log"), max_trials=50
    )
    assert sorted(values["units"] for values in all_values(oracle)) == [1, 2, 3, 4, 5]


def test_random_ends_at_max_trials_on_a_continuous_space(tmp_path: Path) -> None:
    oracle = open_oracle(RandomSearchOracle, continuous, tmp_path, max_trials=3)
    assert len(run_to_the_end(oracle)) == 3 == oracle.num_trials()


def test_seed_0_is_a_seed_like_any_other() -> None:
    def draws(seed: int) -> list[Values]:
        oracle = open_oracle(RandomSearchOracle, continuous, seed=seed)
        assert oracle.seed == seed
        return [not_none(oracle.values_of(number)) for number in range(5)]

    assert draws(0) == draws(0)
    assert not as_set(draws(0)) & as_set(draws(1))


def test_random_draws_of_a_seed_are_those_of_searches_begun_earlier() -> None:
    oracle = open_oracle(RandomSearchOracle, continuous, seed=0)
    assert [oracle.values_of(number) for number in range(3)] == [
        {"batch_size": 523, "dropout_rate": 0.3671062177668475},
        {"batch_size": 123, "dropout_rate": 0.14907572905013988},
        {"batch_size": 411, "dropout_rate": 0.18347215179077708},
    ]


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_only_active_hyperparameters_have_values(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_oracle(kind, two_models, tmp_path, max_trials=100)
    trials = run_to_the_end(oracle)
    for trial in trials:
        values = trial.hyperparameters.values
        inner = {"layers", "norm"} if values["model"] == "deep" else {"penalty"}
        assert set(values) == {"model"} | inner
    assert len(trials) == 3 * 2 + 2


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_one_name_in_two_scopes_keeps_each_scopes_values(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_oracle(kind, same_name_in_two_scopes, tmp_path, max_trials=100)
    run_to_the_end(oracle)
    recorded = [trial.hyperparameters.values for trial in load_trials(tmp_path)]
    found = {(values["model"], values.get("units")) for values in recorded}
    assert found == {("wide", 512), ("wide", 1024), ("deep", 16), ("deep", 32), ("deep", 64)}
    assert recorded == all_values(open_oracle(kind, same_name_in_two_scopes, max_trials=100))


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_a_space_without_choices_has_one_trial(kind: type[ResumableOracle], tmp_path: Path) -> None:
    fixed = open_oracle(
        kind, lambda hp: hp.Fixed("batch_size", 32), tmp_path / "fixed", max_trials=5
    )
    assert fixed.num_trials() == 1
    assert [t.hyperparameters.values for t in run_to_the_end(fixed)] == [{"batch_size": 32}]
    empty = open_oracle(kind, lambda hp: None, tmp_path / "empty", max_trials=5)
    assert empty.num_trials() == 1
    assert [t.hyperparameters.values for t in run_to_the_end(empty)] == [{}]


def test_a_known_name_under_new_conditions_is_a_new_hyperparameter() -> None:
    oracle = open_oracle(GridSearchOracle, two_models)
    oracle.freeze_space()
    grown = oracle.get_space()
    with grown.conditional_scope("model", ["linear"]):
        grown.Int("layers", 1, 3)
    oracle.update_space(grown)
    assert [hp.name for hp in oracle.get_space().space].count("layers") == 2
    assert [hp.name for hp in oracle.declared.space].count("layers") == 1


def test_a_space_may_grow_until_it_is_frozen() -> None:
    oracle = open_oracle(GridSearchOracle, lambda hp: hp.Boolean("norm"))
    assert oracle.num_trials() == 2
    grown = oracle.get_space()
    grown.Boolean("bias")
    oracle.update_space(grown)
    assert oracle.num_trials() == 4
