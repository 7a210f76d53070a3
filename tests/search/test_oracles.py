"""Oracles: order, completeness, repeatability, retries, failures, and files others can read.

Long because it mirrors one module, and its tests share their fixtures.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SpaceError
from rust_tuner.search.oracles import (
    GridSearchOracle,
    RandomSearchOracle,
    RepeatOracle,
    ResumableOracle,
)

Declare = Callable[[keras_tuner.HyperParameters], None]
Values = dict[str, Any]

KINDS = (RandomSearchOracle, GridSearchOracle)
KIND_NAMES = ("random", "grid")

# Stock KerasTuner asks for the thread's name in a deprecated way at every step.
STOCK_THREADS = [
    pytest.mark.filterwarnings(
        r"ignore:currentThread\(\) is deprecated, use current_thread\(\) instead$"
        ":DeprecationWarning"
    ),
    pytest.mark.filterwarnings(
        r"ignore:getName\(\) is deprecated, get the name attribute instead$:DeprecationWarning"
    ),
]


def open_oracle(
    kind: type[ResumableOracle],
    declare: Declare,
    folder: Path | None = None,
    *,
    direction: str = "max",
    **options: Any,
) -> ResumableOracle:
    oracle = kind(keras_tuner.Objective("val_auroc", direction), **options)
    if folder is not None:
        oracle._set_project_dir(str(folder), "project")
    space = keras_tuner.HyperParameters()
    declare(space)
    oracle.update_space(space)
    return oracle


def finish(oracle: ResumableOracle, trial: Trial, score: float = 0.5) -> None:
    oracle.update_trial(trial.trial_id, {"val_auroc": score})
    trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)


def fail(oracle: ResumableOracle, trial: Trial, message: str = "out of memory") -> None:
    trial.status, trial.message = TrialStatus.FAILED, message
    oracle.end_trial(trial)


def run_to_the_end(oracle: ResumableOracle, score: float = 0.5) -> list[Trial]:
    trials = []
    while (trial := oracle.create_trial("tuner0")).status != TrialStatus.STOPPED:
        finish(oracle, trial, score)
        trials.append(trial)
    return trials


def all_values(oracle: ResumableOracle) -> list[Values]:
    found = (oracle.values_of(index) for index in itertools.count())
    return list(itertools.takewhile(lambda values: values is not None, found))


def load_trials(folder: Path) -> list[Trial]:
    paths = sorted((folder / "project").glob("trial_*/trial.json"))
    return [Trial.load(str(path)) for path in paths]


def thirty_points(hp: keras_tuner.HyperParameters) -> None:
    hp.Int("units", 1, 5)
    hp.Choice("activation", ["relu", "tanh", "selu", "gelu", "silu", "elu"])


def continuous(hp: keras_tuner.HyperParameters) -> None:
    hp.Int("batch_size", 16, 2048)
    hp.Float("dropout_rate", 0.0, 0.5)


def two_models(hp: keras_tuner.HyperParameters) -> None:
    hp.Choice("model", ["linear", "deep"])
    with hp.conditional_scope("model", ["deep"]):
        hp.Int("layers", 1, 3)
        hp.Boolean("norm")
    with hp.conditional_scope("model", ["linear"]):
        hp.Choice("penalty", [0.1, 1.0])


def same_name_in_two_scopes(hp: keras_tuner.HyperParameters) -> None:
    hp.Choice("model", ["wide", "deep"])
    with hp.conditional_scope("model", ["wide"]):
        hp.Choice("units", [512, 1024])
    with hp.conditional_scope("model", ["deep"]):
        hp.Choice("units", [16, 32, 64])


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter of a generated space, active where its parent has one of some values."""

    name: str
    kind: str
    values: tuple[Any, ...]
    default: Any
    parent: "Parameter | None"
    parent_values: tuple[Any, ...]

    def declare(self, hp: keras_tuner.HyperParameters) -> None:
        with contextlib.ExitStack() as scopes:
            for parameter in self.scopes():
                assert parameter.parent is not None
                scope = hp.conditional_scope(parameter.parent.name, list(parameter.parent_values))
                scopes.enter_context(scope)
            if self.kind == "Choice":
                hp.Choice(self.name, list(self.values), default=self.default)
            elif self.kind == "Boolean":
                hp.Boolean(self.name, default=self.default)
            elif self.kind == "Int":
                step = self.values[1] - self.values[0]
                hp.Int(self.name, self.values[0], self.values[-1], step=step, default=self.default)
            else:
                hp.Fixed(self.name, self.default)

    def scopes(self) -> "list[Parameter]":
        if self.parent is None:
            return []
        return [*self.parent.scopes(), self]

    def is_active(self, values: Values) -> bool:
        return all(
            scope.parent is not None
            and scope.parent.name in values
            and values[scope.parent.name] in scope.parent_values
            for scope in self.scopes()
        )


@st.composite
def parameters(draw: st.DrawFn, name: str, earlier: list[Parameter]) -> Parameter:
    kind = draw(st.sampled_from(["Choice", "Choice", "Boolean", "Int", "Fixed"]))
    if kind == "Choice":
        pool = draw(st.sampled_from([("a", "b", "c"), (3, 1, 2), (0.1, 1e-3, 0.0)]))
        values: tuple[Any, ...] = pool[: draw(st.integers(1, 3))]
    elif kind == "Boolean":
        values = (True, False)
    elif kind == "Int":
        low, step = draw(st.integers(-2, 3)), draw(st.integers(1, 2))
        values = tuple(range(low, low + draw(st.integers(2, 3)) * step, step))
    else:
        values = (draw(st.sampled_from([7, 0.5, "fixed", True])),)
    # KerasTuner takes an Int's default of 0 for none.
    default = draw(st.sampled_from([v for v in values if kind != "Int" or v] or list(values)))
    parent = draw(st.none() | st.sampled_from(earlier)) if earlier else None
    parent_values: tuple[Any, ...] = ()
    if parent is not None:
        count = draw(st.integers(1, len(parent.values)))
        parent_values = draw(st.permutations(parent.values))[:count]
    return Parameter(name, kind, values, default, parent, tuple(parent_values))


@st.composite
def spaces(draw: st.DrawFn) -> list[Parameter]:
    space: list[Parameter] = []
    for number in range(draw(st.integers(1, 4))):
        space.append(draw(parameters(f"p{number}", list(space))))
    return space


def declare_all(space: list[Parameter]) -> Declare:
    def declare(hp: keras_tuner.HyperParameters) -> None:
        for parameter in space:
            parameter.declare(hp)

    return declare


def every_point(space: list[Parameter], values: Values | None = None) -> Iterator[Values]:
    """Each combination of active values, computed without KerasTuner."""
    values = values or {}
    if not space:
        yield values
        return
    first, *rest = space
    if not first.is_active(values):
        yield from every_point(rest, values)
        return
    for value in sorted(first.values, key=lambda candidate: candidate != first.default):
        yield from every_point(rest, values | {first.name: value})


def as_set(points: list[Values]) -> set[str]:
    return {json.dumps(point, sort_keys=True) for point in points}


class StockGrid(keras_tuner.oracles.GridSearchOracle):
    """KerasTuner's grid search, kept off the disk."""

    def save(self) -> None:
        pass

    def _save_trial(self, trial: Trial) -> None:
        pass


def stock_grid_sequence(declare: Declare) -> list[Values]:
    space = keras_tuner.HyperParameters()
    declare(space)
    oracle = StockGrid(keras_tuner.Objective("val_auroc", "max"), hyperparameters=space)
    oracle.verbose = 0
    sequence = []
    while (trial := oracle.create_trial("tuner0")).status == TrialStatus.RUNNING:
        sequence.append(dict(trial.hyperparameters.values))
        oracle.update_trial(trial.trial_id, {"val_auroc": 0.5})
        trial.status = TrialStatus.COMPLETED
        oracle.end_trial(trial)
    return sequence


def with_marks(marks: list[pytest.MarkDecorator]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for mark in marks:
            function = mark(function)
        return function

    return decorate


# ------------------------------------------------------------------------------------------ grid


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
        lambda hp: hp.Float("rate", 0.1, 0.9, step=0.2, default=0.5),
        lambda hp: hp.Int("units", 1, 100, sampling="log"),
        lambda hp: hp.Int("units", 2, 64, step=2, sampling="log", default=8),
    ],
    ids=["conditional", "float", "float step", "int log", "int log step"],
)
def test_grid_samples_ranges_as_keras_tuner(declare: Declare) -> None:
    ours = all_values(open_oracle(GridSearchOracle, declare))
    assert ours == stock_grid_sequence(declare)


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


# ---------------------------------------------------------------------------------------- random


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
    assert len(as_set(drawn)) == 100
    assert all(16 <= values["batch_size"] <= 2048 for values in drawn)
    assert all(0 <= values["dropout_rate"] <= 0.5 for values in drawn)
    sizes = [values["batch_size"] for values in drawn]
    assert min(sizes) < 200 and max(sizes) > 1850
    assert all(type(values["batch_size"]) is int for values in drawn)


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
        return [oracle.values_of(number) for number in range(5)]

    assert draws(0) == draws(0)
    assert not as_set(draws(0)) & as_set(draws(1))


def test_random_draws_of_a_seed_are_those_of_searches_begun_earlier() -> None:
    oracle = open_oracle(RandomSearchOracle, continuous, seed=0)
    assert [oracle.values_of(number) for number in range(3)] == [
        {"batch_size": 523, "dropout_rate": 0.3671062177668475},
        {"batch_size": 123, "dropout_rate": 0.14907572905013988},
        {"batch_size": 411, "dropout_rate": 0.18347215179077708},
    ]


# ----------------------------------------------------------------------------- both, their spaces


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


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_a_space_that_grows_in_mid_search_is_refused_by_name(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_oracle(kind, thirty_points, tmp_path, max_trials=5)
    trial = oracle.create_trial("tuner0")
    grown = oracle.get_space()
    grown.Float("momentum", 0.0, 1.0)
    with pytest.raises(SpaceError, match=r"hyperparameter momentum appeared in mid-search"):
        oracle.update_space(grown)
    trial.hyperparameters.Boolean("nesterov")
    oracle.update_trial(trial.trial_id, {"val_auroc": 0.5})
    trial.status = TrialStatus.COMPLETED
    with pytest.raises(SpaceError, match=r"hyperparameter nesterov appeared in mid-search"):
        oracle.end_trial(trial)
    assert [hp.name for hp in oracle.get_space().space] == ["units", "activation"]


def test_a_known_name_under_new_conditions_is_refused() -> None:
    oracle = open_oracle(GridSearchOracle, two_models)
    oracle.freeze_space()
    oracle.update_space(oracle.get_space())
    grown = oracle.get_space()
    with grown.conditional_scope("model", ["linear"]):
        grown.Int("layers", 1, 3)
    with pytest.raises(SpaceError, match=r"hyperparameter layers appeared in mid-search"):
        oracle.update_space(grown)


def test_a_space_may_grow_until_it_is_frozen() -> None:
    oracle = open_oracle(GridSearchOracle, lambda hp: hp.Boolean("norm"))
    assert oracle.num_trials() == 2
    grown = oracle.get_space()
    grown.Boolean("bias")
    oracle.update_space(grown)
    assert oracle.num_trials() == 4


# ------------------------------------------------------------------------------- both, their ends


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_a_search_ends_at_max_trials_and_leaves_no_trace_of_the_stop(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_oracle(kind, thirty_points, tmp_path, max_trials=4)
    trials = run_to_the_end(oracle)
    assert [trial.trial_id for trial in trials] == ["0000", "0001", "0002", "0003"]
    assert oracle.create_trial("tuner0").status == TrialStatus.STOPPED
    assert sorted(oracle.trials) == ["0000", "0001", "0002", "0003"]
    assert len(list((tmp_path / "project").glob("trial_*"))) == 4


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_an_extended_search_goes_on_as_if_it_had_been_longer_from_the_start(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    longer = open_oracle(kind, thirty_points, tmp_path / "longer", max_trials=12)
    expected = {t.trial_id: t.hyperparameters.values for t in run_to_the_end(longer)}
    run_to_the_end(open_oracle(kind, thirty_points, tmp_path / "short", max_trials=3))
    extended = open_oracle(kind, thirty_points, tmp_path / "short", max_trials=12)
    extended.adopt(load_trials(tmp_path / "short"))
    run_to_the_end(extended)
    found = {t.trial_id: t.hyperparameters.values for t in load_trials(tmp_path / "short")}
    assert found == expected
    assert sorted(found) == [f"{number:04d}" for number in range(12)]


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_consecutive_failures_never_end_a_search(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_oracle(kind, thirty_points, tmp_path, max_trials=22)
    for number in range(20):
        fail(oracle, oracle.create_trial("tuner0"), f"reason {number}")
    assert len(run_to_the_end(oracle)) == 2
    saved = load_trials(tmp_path)
    assert [trial.status for trial in saved] == ["FAILED"] * 20 + ["COMPLETED"] * 2
    assert [trial.message for trial in saved[:20]] == [f"reason {n}" for n in range(20)]


def test_threads_never_get_the_same_trial(tmp_path: Path) -> None:
    oracle = open_oracle(RandomSearchOracle, thirty_points, tmp_path, max_trials=20)
    with ThreadPoolExecutor(8) as pool:
        trials = list(pool.map(lambda number: oracle.create_trial(f"tuner{number}"), range(20)))
    assert {trial.trial_id for trial in trials} == {f"{number:04d}" for number in range(20)}
    assert len(as_set([trial.hyperparameters.values for trial in trials])) == 20


# ------------------------------------------------------------------------ both, retries and scores


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_an_interrupted_trial_runs_again_first_under_its_id_with_its_values(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    killed = open_oracle(kind, thirty_points, tmp_path, max_trials=6)
    finish(killed, killed.create_trial("tuner0"))
    open_trials = [killed.create_trial("tuner0"), killed.create_trial("tuner1")]
    fail(killed, killed.create_trial("tuner2"))

    resumed = open_oracle(kind, thirty_points, tmp_path, max_trials=6)
    resumed.adopt(load_trials(tmp_path))
    order = []
    while (trial := resumed.create_trial("tuner0")).status != TrialStatus.STOPPED:
        order.append(trial)
        finish(resumed, trial)
    assert [trial.trial_id for trial in order] == ["0001", "0002", "0004", "0005"]
    again = [trial.hyperparameters.values for trial in order[:2]]
    assert again == [trial.hyperparameters.values for trial in open_trials]
    statuses = [trial.status for trial in load_trials(tmp_path)]
    assert statuses == ["COMPLETED"] * 3 + ["FAILED"] + ["COMPLETED"] * 2


def test_a_retried_trial_has_the_metrics_of_its_retry_alone(tmp_path: Path) -> None:
    killed = open_oracle(GridSearchOracle, thirty_points, tmp_path)
    trial = killed.create_trial("tuner0")
    killed.update_trial(trial.trial_id, {"val_auroc": 0.9, "val_loss": 0.1}, step=7)
    killed._save_trial(trial)

    resumed = open_oracle(GridSearchOracle, thirty_points, tmp_path)
    resumed.adopt(load_trials(tmp_path))
    again = resumed.create_trial("tuner0")
    assert again.trial_id == trial.trial_id
    resumed.update_trial(again.trial_id, {"val_auroc": 0.6}, step=2)
    again.status = TrialStatus.COMPLETED
    resumed.end_trial(again)
    (saved,) = load_trials(tmp_path)
    assert (saved.score, saved.best_step) == (0.6, 2)
    assert saved.metrics.get_config()["metrics"] == {
        "val_auroc": {"direction": "max", "observations": [{"value": [0.6], "step": 2}]}
    }


def test_metrics_reported_again_replace_the_first(tmp_path: Path) -> None:
    oracle = open_oracle(RandomSearchOracle, continuous, tmp_path)
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"val_auroc": 0.9}, step=5)
    finish(oracle, trial, 0.4)
    assert (trial.score, trial.best_step) == (0.4, 0)


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_best_trials_are_completed_ones_best_first(
    kind: type[ResumableOracle], tmp_path: Path
) -> None:
    oracle = open_oracle(kind, thirty_points, tmp_path, max_trials=7)
    for score in (0.6, 0.8, 0.7, 0.8):
        finish(oracle, oracle.create_trial("tuner0"), score)
    failed = oracle.create_trial("tuner0")
    oracle.update_trial(failed.trial_id, {"val_auroc": 0.99})
    fail(oracle, failed)
    running = oracle.create_trial("tuner0")
    oracle.update_trial(running.trial_id, {"val_auroc": 0.98})
    best = [trial.trial_id for trial in oracle.get_best_trials(10)]
    assert best == ["0001", "0003", "0002", "0000"]
    assert [trial.trial_id for trial in oracle.get_best_trials()] == ["0001"]
    assert load_trials(tmp_path)[4].score is None


def test_no_trial_is_best_before_one_has_completed(tmp_path: Path) -> None:
    oracle = open_oracle(GridSearchOracle, thirty_points, tmp_path)
    fail(oracle, oracle.create_trial("tuner0"))
    oracle.create_trial("tuner0")
    assert oracle.get_best_trials(3) == []


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_an_objective_may_be_minimised(kind: type[ResumableOracle], tmp_path: Path) -> None:
    oracle = open_oracle(kind, thirty_points, tmp_path, direction="min", max_trials=3)
    for score in (0.6, 0.2, 0.7):
        finish(oracle, oracle.create_trial("tuner0"), score)
    assert [trial.score for trial in oracle.get_best_trials(3)] == [0.2, 0.6, 0.7]


# ------------------------------------------------------------------------------ both, their files


def state_files(folder: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return {
        str(path.relative_to(folder)): json.loads(path.read_text(), parse_constant=refuse)
        for path in sorted(folder.rglob("*.json"))
    }


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_files_are_valid_json_after_every_step(kind: type[ResumableOracle], tmp_path: Path) -> None:
    oracle = open_oracle(kind, two_models, tmp_path, max_trials=4, seed=0)
    expected = ["project/oracle.json"]
    for number in range(4):
        trial = oracle.create_trial("tuner0")
        expected.append(f"project/trial_{trial.trial_id}/trial.json")
        files = state_files(tmp_path)
        assert list(files) == expected
        assert files[expected[-1]]["status"] == "RUNNING"
        assert files["project/oracle.json"]["ongoing_trials"] == {"tuner0": trial.trial_id}
        oracle.update_trial(trial.trial_id, {"val_auroc": 0.5 + number / 10})
        assert list(state_files(tmp_path)) == expected
        if number == 2:
            fail(oracle, trial)
        else:
            trial.status = TrialStatus.COMPLETED
            oracle.end_trial(trial)
        files = state_files(tmp_path)
        assert files[expected[-1]]["status"] == ("FAILED" if number == 2 else "COMPLETED")
        assert files["project/oracle.json"]["ongoing_trials"] == {}
        assert files["project/oracle.json"]["seed"] == 0
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize(
    ("kind", "stock_kind"),
    [
        (RandomSearchOracle, keras_tuner.oracles.RandomSearchOracle),
        (GridSearchOracle, keras_tuner.oracles.GridSearchOracle),
    ],
    ids=KIND_NAMES,
)
def test_stock_keras_tuner_reloads_the_folder_and_finds_the_same_best_trial(
    kind: type[ResumableOracle],
    stock_kind: type[keras_tuner.Oracle],
    direction: str,
    tmp_path: Path,
) -> None:
    ours = open_oracle(kind, two_models, tmp_path, direction=direction, max_trials=6)
    for score in (0.5, 0.8, 0.3, 0.6):
        finish(ours, ours.create_trial("tuner0"), score)
    fail(ours, ours.create_trial("tuner0"))
    interrupted = ours.create_trial("tuner0")

    stock = stock_kind(keras_tuner.Objective("val_auroc", direction), max_trials=6)
    stock._set_project_dir(str(tmp_path), "project")
    stock.reload()
    (best,), (our_best,) = stock.get_best_trials(), ours.get_best_trials()
    assert best.trial_id == our_best.trial_id == ("0001" if direction == "max" else "0002")
    assert best.score == our_best.score == (0.8 if direction == "max" else 0.3)
    assert best.hyperparameters.values == our_best.hyperparameters.values
    assert {t.trial_id: t.status for t in stock.trials.values()} == {
        t.trial_id: t.status for t in ours.trials.values()
    }
    assert stock._retry_queue == [interrupted.trial_id]
    assert stock.get_space().get_config()["space"] == ours.get_space().get_config()["space"]


@with_marks(STOCK_THREADS)
def test_stock_keras_tuner_goes_on_in_the_folder(tmp_path: Path) -> None:
    ours = open_oracle(RandomSearchOracle, thirty_points, tmp_path, max_trials=3)
    finish(ours, ours.create_trial("tuner0"), 0.5)
    interrupted = ours.create_trial("tuner0")
    stock = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("val_auroc", "max"), max_trials=3
    )
    stock._set_project_dir(str(tmp_path), "project")
    stock.reload()
    stock.verbose = 0
    again = stock.create_trial("tuner0")
    assert again.trial_id == interrupted.trial_id
    assert again.hyperparameters.values == interrupted.hyperparameters.values
    stock.update_trial(again.trial_id, {"val_auroc": 0.7})
    again.status = TrialStatus.COMPLETED
    stock.end_trial(again)
    assert [trial.trial_id for trial in stock.get_best_trials()] == [interrupted.trial_id]


def test_a_repeat_oracle_gives_the_same_values_as_often_as_asked(tmp_path: Path) -> None:
    def declare(space: keras_tuner.HyperParameters) -> None:
        space.Fixed("units", 3)
        space.Fixed("rate", 0.5)

    oracle = open_oracle(RepeatOracle, declare, tmp_path, max_trials=3)
    assert oracle.num_trials() == 3
    trials = []
    while True:
        trial = oracle.create_trial("tuner0")
        if trial.status == TrialStatus.STOPPED:
            break
        finish(oracle, trial)
        trials.append(trial)
    assert [trial.trial_id for trial in trials] == ["0000", "0001", "0002"]
    for trial in trials:
        assert trial.hyperparameters.values == {"units": 3, "rate": 0.5}
