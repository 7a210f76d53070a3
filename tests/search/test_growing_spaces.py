"""Spaces that grow while models are built: each point once, in KerasTuner's order, resumable."""

import itertools
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras_tuner
import pytest
from growing_problems import (
    GROWING,
    NAMES,
    Build,
    StockRandom,
    another_default,
    another_order,
    another_range,
    branch,
    loop,
    loop_that_shrinks,
    models,
    one_name_in_two_places,
    open_growing,
    play,
    play_stock,
    points_of,
    range_of_a_value,
    stock_grid,
    used_by,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.engine.trial import TrialStatus
from oracle_problems import (
    KIND_NAMES,
    KINDS,
    STOCK_THREADS,
    StockGrid,
    Values,
    as_set,
    fail,
    finish,
    load_trials,
    with_marks,
)

from rust_tuner.errors import SpaceError
from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.random_search import RandomSearchOracle

# KerasTuner stops at a KeyError, or misses points, on these.
BEYOND_KERAS_TUNER = (
    another_order,
    one_name_in_two_places,
    range_of_a_value,
    another_range,
    another_default,
)
EVERY_BUILD = pytest.mark.parametrize("build", GROWING, ids=NAMES)
BOTH_KINDS = pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
OBJECTIVE = keras_tuner.Objective("val_auroc", "max")


def played(kind: type[ResumableOracle], build: Build, **options: Any) -> list[Values]:
    options = {"max_trials": 500} | options
    with TemporaryDirectory() as folder:
        return play(open_growing(kind, build, Path(folder), **options))


@pytest.mark.slow
@EVERY_BUILD
@BOTH_KINDS
def test_every_point_is_tried_once(kind: type[ResumableOracle], build: Build) -> None:
    values = played(kind, build)
    assert len(as_set(values)) == len(values)
    assert as_set([used_by(build, one) for one in values]) == as_set(list(points_of(build)))
    if build is not loop_that_shrinks:
        # That one declares at its defaults what fewer layers do not use, as in KerasTuner.
        assert as_set(values) == as_set(list(points_of(build)))


@with_marks(STOCK_THREADS)
@pytest.mark.parametrize(
    "build",
    [build for build in GROWING if build not in BEYOND_KERAS_TUNER],
    ids=lambda b: b.__name__,
)
def test_the_grid_has_the_order_of_keras_tuner(build: Build) -> None:
    used = [used_by(build, values) for values in played(GridSearchOracle, build)]
    assert [one for index, one in enumerate(used) if one not in used[:index]] == stock_grid(build)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(build=models())
def test_the_grid_of_any_model_has_each_of_its_points(build: Build) -> None:
    assert as_set([used_by(build, values) for values in played(GridSearchOracle, build)]) == as_set(
        list(points_of(build))
    )


@settings(max_examples=10, deadline=None)
@given(build=models(), seed=st.integers(0, 3))
@pytest.mark.slow
def test_random_search_of_any_model_ends_with_each_of_its_points(build: Build, seed: int) -> None:
    values = played(RandomSearchOracle, build, seed=seed, max_trials=5000)
    assert len(as_set(values)) == len(values)
    assert as_set([used_by(build, one) for one in values]) == as_set(list(points_of(build)))


def resumed_at_each_step(
    kind: type[ResumableOracle], build: Build, folder: Path, **options: Any
) -> list[Values]:
    """The trials of a search whose process dies while each trial runs, and again after it."""
    while True:
        oracle = open_growing(kind, build, folder, **options)
        before = load_trials(folder)
        oracle.adopt(before)
        for number, trial in enumerate(before):
            assert oracle.accepts(number, trial)
        running = oracle.create_trial("tuner0")
        if running.status == TrialStatus.STOPPED:
            return [dict(trial.hyperparameters.values) for trial in load_trials(folder)]
        again = open_growing(kind, build, folder, **options)
        again.adopt(load_trials(folder))
        trial = again.create_trial("tuner0")
        assert trial.trial_id == running.trial_id
        assert trial.hyperparameters.values == running.hyperparameters.values
        finish(again, trial)


@settings(max_examples=6, deadline=None)
@given(build=models(), kind=st.sampled_from(KINDS), seed=st.integers(0, 2))
@pytest.mark.slow
def test_only_the_trials_have_to_survive(
    build: Build, kind: type[ResumableOracle], seed: int
) -> None:
    options = {"max_trials": 12, "seed": seed}
    with TemporaryDirectory() as folder:
        assert resumed_at_each_step(kind, build, Path(folder), **options) == played(
            kind, build, **options
        )


def test_a_random_value_follows_from_seed_trial_and_name_alone() -> None:
    def values(*, with_more: bool) -> list[Values]:
        def build(hp: Any) -> None:
            if hp.Boolean("deep"):
                if with_more:
                    hp.Float("more", 0, 1)
                hp.Float("rate", 0, 1)

        return played(RandomSearchOracle, build, max_trials=9)

    with_more, without = values(with_more=True), values(with_more=False)
    assert sum(one["deep"] for one in without) > 2
    # Without the continuous values there is one shallow trial only.
    rates = [one["rate"] for one in without if one["deep"]]
    assert len(set(rates)) == len(rates)
    assert [one["rate"] for one in with_more if one["deep"]][: len(rates)] == rates


def test_random_values_of_a_growing_search_are_those_of_searches_begun_earlier(
    tmp_path: Path,
) -> None:
    def build(hp: Any) -> None:
        if hp.Int("layers", 1, 3) > 1:
            hp.Float("rate", 1e-4, 1e-1, sampling="log")

    found = play(open_growing(RandomSearchOracle, build, tmp_path, max_trials=4, seed=7))
    assert found == [
        {"layers": 3, "rate": 0.005847075624092052},
        {"layers": 1},
        {"layers": 2, "rate": 0.0029635850884957046},
        {"layers": 2, "rate": 0.04358157582855555},
    ]


@BOTH_KINDS
def test_trials_record_what_they_asked_for_and_no_more(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_growing(kind, loop, tmp_path, max_trials=30)
    play(oracle)
    for trial in load_trials(tmp_path):
        layers = trial.hyperparameters.values["num_layers"]
        names = [name for name in trial.hyperparameters.values if name.startswith("units")]
        assert sorted(names) == [f"units_{layer}" for layer in range(layers)]
    assert [hp.name for hp in oracle.declared.space] == [
        "num_layers",
        "units_0",
        "activation",
        "dropout",
    ]
    assert {hp.name for hp in oracle.get_space().space} >= {"units_1", "units_2"}
    stock = StockGrid(OBJECTIVE)
    stock._set_project_dir(str(tmp_path), "project")
    stock.reload()
    assert len(stock.trials) == 30


@BOTH_KINDS
def test_the_number_of_trials_is_revised_and_ends_exact(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_growing(kind, branch, tmp_path, max_trials=100)
    play(oracle)
    assert oracle.num_trials() == 8
    if kind is GridSearchOracle:
        resumed = open_growing(kind, branch, tmp_path, max_trials=100)
        assert resumed.num_trials() == 4
        resumed.adopt(load_trials(tmp_path))
        assert resumed.num_trials() == 8
        # The two shallow points and the first of three deep ones: six deep ones are expected.
        resumed.adopt(load_trials(tmp_path)[:3])
        assert resumed.num_trials() == 8


def units_and_axis(hp: Any) -> None:
    hp.Int("units", 1, 3)
    hp.Choice("axis", [1, 2])


def units_and_norm(hp: Any) -> None:
    hp.Int("units", 1, 3)
    if hp.Boolean("norm"):
        hp.Choice("axis", [1, 2])


@with_marks(STOCK_THREADS)
@pytest.mark.parametrize("tune", [True, False])
@pytest.mark.parametrize(
    ("kind", "stock"), [(RandomSearchOracle, StockRandom), (GridSearchOracle, StockGrid)]
)
def test_what_is_tuned_is_what_keras_tuner_tunes(
    kind: type[ResumableOracle], stock: type[keras_tuner.Oracle], tune: bool, tmp_path: Path
) -> None:
    def given() -> dict[str, Any]:
        space = keras_tuner.HyperParameters()
        space.Choice("units", [5, 7])
        return {"hyperparameters": space, "tune_new_entries": tune, "max_trials": 12}

    ours = play(open_growing(kind, units_and_axis, tmp_path, **given()))
    theirs = play_stock(stock(OBJECTIVE, **given()), units_and_axis)

    def tried(values: list[Values]) -> dict[str, set[Any]]:
        names = sorted({name for one in values for name in one})
        return {name: {one[name] for one in values if name in one} for name in names}

    assert tried(ours) == tried(theirs)
    assert tried(ours)["units"] == {5, 7}
    assert tried(ours)["axis"] == ({1, 2} if tune else {1})


@BOTH_KINDS
def test_new_entries_that_are_not_allowed_are_refused_by_name(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    space = keras_tuner.HyperParameters()
    space.Int("units", 1, 3)
    with pytest.raises(SpaceError, match=r"hyperparameter norm, .* allow_new_entries is False"):
        open_growing(kind, units_and_norm, tmp_path, hyperparameters=space, allow_new_entries=False)
    space.Boolean("norm")
    oracle = open_growing(
        kind,
        units_and_norm,
        tmp_path,
        hyperparameters=space,
        allow_new_entries=False,
        max_trials=20,
    )
    with pytest.raises(SpaceError, match=r"hyperparameter axis, .* allow_new_entries is False"):
        play(oracle)
    for option in ("allow_new_entries", "tune_new_entries"):
        with pytest.raises(ValueError, match=f"{option}=False"):
            kind(OBJECTIVE, **{option: False})


@BOTH_KINDS
def test_an_invalid_trial_runs_again_as_often_as_asked(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_growing(kind, loop, tmp_path, max_trials=2, max_retries_per_trial=2)
    for runs in range(1, 4):
        trial = oracle.create_trial("tuner0")
        assert trial.trial_id == "0000"
        trial.status, trial.message = TrialStatus.INVALID, "out of memory"
        oracle.end_trial(trial)
        (saved,) = load_trials(tmp_path)
        assert saved.status == ("FAILED" if runs == 3 else "RUNNING")
        state = json.loads((tmp_path / "project/trial_0000/trial.json").read_text())
        assert state.get("failed_runs") == (None if runs == 3 else runs)
    trial = oracle.create_trial("tuner0")
    assert trial.trial_id == "0001"
    fail(oracle, trial)
    assert [one.status for one in load_trials(tmp_path)] == ["FAILED"] * 2


@BOTH_KINDS
def test_what_is_asked_for_in_training_is_searched_too(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    """As `HyperModel.fit` may ask for more than `build`."""
    oracle = open_growing(kind, branch, tmp_path, max_trials=100)
    found = []
    while (trial := oracle.create_trial("tuner0")).status != TrialStatus.STOPPED:
        in_fit = trial.hyperparameters.copy()
        in_fit.Choice("shuffle", ["no", "yes"])
        oracle.note_asked(trial, in_fit)
        found.append(dict(load_trials(tmp_path)[-1].hyperparameters.values))
        finish(oracle, trial)
    assert {one["shuffle"] for one in found} == {"no", "yes"}
    assert len(as_set(found)) == len(found) == 2 * 8


def test_a_model_that_fails_before_it_has_asked_is_one_point(tmp_path: Path) -> None:
    def build(hp: Any) -> None:
        hp.Choice("rate", [0.1, 0.01])
        for layer in range(hp.Int("layers", 1, 3)):
            if hp.Choice(f"units_{layer}", [8, 16]) == 16 and layer == 1:
                raise keras_tuner.errors.FailedTrialError("too large")

    for kind in KINDS:
        oracle = open_growing(kind, build, tmp_path / kind.__name__, max_trials=100)

        def ask(number: int, hp: Any) -> None:
            try:
                build(hp)
            except keras_tuner.errors.FailedTrialError:
                pass

        oracle.complete_by(ask)
        values = play(oracle)
        failing = [one for one in values if one.get("units_1") == 16]
        assert all("units_2" not in one for one in failing)
        # Two rates, times 2 points of one layer, 4 of two, 2 + 2 * 2 of three.
        assert len(as_set(values)) == len(values) == 2 * (2 + 4 + 6)


def test_a_space_with_a_growing_range_is_never_complete(tmp_path: Path) -> None:
    def build(hp: Any) -> None:
        if hp.Boolean("norm"):
            hp.Float("epsilon", 1e-7, 1e-1, sampling="log")

    values = play(open_growing(RandomSearchOracle, build, tmp_path, max_trials=20))
    assert len(values) == 20
    assert [one["norm"] for one in values].count(False) == 1


def test_distinct_numbers_of_trials_do_not_change_the_first_ones(tmp_path: Path) -> None:
    few = played(RandomSearchOracle, loop, max_trials=5)
    assert played(RandomSearchOracle, loop, max_trials=25)[:5] == few
    assert list(itertools.islice(points_of(loop), 1))
