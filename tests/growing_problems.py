"""What the tests of growing spaces share: models that ask as they go, and played searches."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
from hypothesis import strategies as st
from keras_tuner.engine.trial import Trial, TrialStatus
from oracle_problems import StockGrid, Values

from rust_tuner.search.declaring import declare_by_building
from rust_tuner.search.oracles import ResumableOracle

Build = Callable[[Any], object]


def loop(hp: Any) -> None:
    """The second model of "Getting started"."""
    for layer in range(hp.Int("num_layers", 1, 3)):
        hp.Int(f"units_{layer}", 8, 16, step=8)
        hp.Choice("activation", ["relu", "tanh"])
    hp.Boolean("dropout")


def branch(hp: Any) -> None:
    if hp.Boolean("norm"):
        hp.Choice("axis", [1, 2, 3])
    hp.Choice("rate", [0.1, 0.01])


def loop_that_shrinks(hp: Any) -> None:
    for layer in range(hp.Choice("num_layers", [2, 3, 1], default=2)):
        hp.Choice(f"units_{layer}", [8, 16])


def nested(hp: Any) -> None:
    for block in range(hp.Int("blocks", 1, 2)):
        for layer in range(hp.Int(f"layers_{block}", 1, 2)):
            hp.Choice(f"units_{block}_{layer}", [8, 16])


def another_order(hp: Any) -> None:
    """What is asked for first at one value is asked for last, or not at all, at another."""
    context = hp.Choice("context", ["a", "b", "c"])
    if context == "b":
        hp.Choice("first", [1, 2])
        hp.Choice("second", ["x", "y"])
    elif context == "c" and hp.Choice("second", ["x", "y"]) == "x":
        hp.Choice("first", [1, 2])


def scopes(hp: Any) -> None:
    kind = hp.Choice("model", ["linear", "deep"])
    with hp.conditional_scope("model", ["deep"]):
        if kind == "deep":
            for layer in range(hp.Int("layers", 1, 2)):
                with hp.name_scope(f"layer_{layer}"):
                    hp.Choice("units", [8, 16])
    with hp.conditional_scope("model", ["linear"]):
        hp.Choice("penalty", [0.1, 1.0])


def one_name_in_two_places(hp: Any) -> None:
    kind = hp.Choice("model", ["linear", "deep", "wide"])
    with hp.conditional_scope("model", ["deep"]):
        hp.Choice("units", [8, 16])
    if kind == "wide":
        with hp.conditional_scope("model", ["wide"]):
            hp.Choice("units", [512, 1024])


def range_of_a_value(hp: Any) -> None:
    first = hp.Int("first", 1, 3)
    if first > 1:
        hp.Int("below", 1, first)


def another_range(hp: Any) -> None:
    kind = hp.Choice("kind", ["none", "few", "many"])
    for name, low in (("few", 1), ("many", 10)):
        if kind == name:
            with hp.conditional_scope("kind", [name]):
                hp.Int("units", low, low + 2)


def another_default(hp: Any) -> None:
    kind = hp.Choice("kind", ["none", "low", "high"])
    if kind == "low":
        hp.Choice("rate", [1, 2, 3], default=1)
    elif kind == "high":
        hp.Choice("rate", [1, 2, 3], default=3)
        hp.Choice("other", [1, 2])


GROWING = (
    loop,
    branch,
    loop_that_shrinks,
    nested,
    another_order,
    scopes,
    one_name_in_two_places,
    range_of_a_value,
    another_range,
    another_default,
)
NAMES = tuple(build.__name__ for build in GROWING)


def points_of(build: Build) -> Iterator[Values]:
    """Every distinct set of values that a model asks for, found by trying all combinations.

    It knows nothing of oracles: KerasTuner's container is given all combinations of the candidates
    that it was ever asked for.
    """
    found: dict[str, Values] = {}
    waiting: list[Values] = [{}]
    while waiting:
        given = waiting.pop()
        hp = keras_tuner.HyperParameters()
        hp.values = dict(given)
        build(hp)
        asked = [one for one in hp.space if hp.is_active(one)]
        values = {one.name: hp.values[one.name] for one in asked}
        if repr(sorted(values.items())) in found:
            continue
        found[repr(sorted(values.items()))] = values
        for one in asked:
            position = list(values).index(one.name)
            before = dict(itertools.islice(values.items(), position))
            choices = [one.default, *(value for value in one.values if value != one.default)]
            waiting.extend(before | {one.name: value} for value in choices)
    return iter(found.values())


def open_growing(
    kind: type[ResumableOracle], build: Build, folder: Path, **options: Any
) -> ResumableOracle:
    oracle = kind(keras_tuner.Objective("val_auroc", "max"), **options)
    oracle._set_project_dir(str(folder), "project")

    class Hyper(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> object:
            return build(hp)

    declare_by_building(Hyper(), oracle)
    oracle.freeze_space()
    oracle.complete_by(lambda number, hp: build(hp))
    return oracle


def play(oracle: ResumableOracle, most: int = 1000) -> list[Values]:
    """The values of all trials of a search."""
    values = []
    while (trial := oracle.create_trial("tuner0")).status != TrialStatus.STOPPED:
        values.append(dict(trial.hyperparameters.values))
        oracle.update_trial(trial.trial_id, {"val_auroc": 0.5})
        trial.status = TrialStatus.COMPLETED
        oracle.end_trial(trial)
        assert len(values) <= most
    return values


def play_stock(oracle: keras_tuner.Oracle, build: Build, most: int = 1000) -> list[Values]:
    """The same as KerasTuner's own tuner would."""
    oracle.verbose = 0

    class Hyper(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> object:
            return build(hp)

    tuner = object.__new__(keras_tuner.engine.base_tuner.BaseTuner)
    tuner.oracle, tuner.hypermodel = oracle, Hyper()
    tuner._populate_initial_space()
    values: list[Values] = []
    while (trial := oracle.create_trial("tuner0")).status == TrialStatus.RUNNING:
        build(trial.hyperparameters)
        values.append(dict(trial.hyperparameters.values))
        oracle.update_trial(trial.trial_id, {"val_auroc": 0.5})
        trial.status = TrialStatus.COMPLETED
        oracle.end_trial(trial)
        if len(values) == most:
            break
    return values


class StockRandom(keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """KerasTuner's random search, kept off the disk."""

    def save(self) -> None:
        pass

    def _save_trial(self, trial: Trial) -> None:
        pass


def used_by(build: Build, values: Values) -> Values:
    """The values that a model asks for, of those of a trial."""
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    build(hp)
    return {one.name: values[one.name] for one in hp.space if hp.is_active(one)}


def stock_grid(build: Build) -> list[Values]:
    """KerasTuner's grid: what the model uses of each trial, without repetitions."""
    sequence = play_stock(StockGrid(keras_tuner.Objective("val_auroc", "max")), build)
    used = [used_by(build, values) for values in sequence]
    return [values for index, values in enumerate(used) if values not in used[:index]]


@dataclass(frozen=True)
class Question:
    """A hyperparameter of a generated model, and what the model asks next at each of its values."""

    name: str
    num_values: int
    default: int
    then: "tuple[tuple[Question, ...], ...]"

    def ask(self, hp: Any) -> None:
        value = hp.Choice(self.name, list(range(self.num_values)), default=self.default)
        for question in self.then[value]:
            question.ask(hp)


@st.composite
def models(draw: st.DrawFn) -> Build:
    """Models that ask for some hyperparameters only at some values of others."""
    questions = draw(_questions("p", 1))

    def build(hp: Any) -> None:
        for question in questions:
            question.ask(hp)

    return build


@st.composite
def _questions(draw: st.DrawFn, prefix: str, depth: int) -> tuple[Question, ...]:
    made = []
    for number in range(draw(st.integers(depth, 2))):
        name = f"{prefix}{number}"
        num_values = draw(st.integers(1, 2 + depth))
        then = [
            draw(_questions(f"{name}{value}", depth - 1)) if depth else ()
            for value in range(num_values)
        ]
        made.append(Question(name, num_values, draw(st.integers(0, num_values - 1)), tuple(then)))
    return tuple(made)
