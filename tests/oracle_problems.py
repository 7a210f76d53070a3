"""What the tests of oracles share: spaces, drawn or by hand, and a search played by hand."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from hypothesis import strategies as st
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.random_search import RandomSearchOracle

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
    found: list[Values] = []
    while (values := oracle.values_of(len(found))) is not None:
        found.append(values)
    return found


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
        parent_values = tuple(draw(st.permutations(parent.values))[:count])
    return Parameter(name, kind, values, default, parent, parent_values)


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


class StockGrid(keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
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
