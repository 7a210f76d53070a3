"""The space is found by building, also where a build fails or a scope cannot be reached."""

from collections.abc import Callable
from typing import Any, NoReturn

import keras
import keras_tuner
import pytest

from rust_tuner import GridSearchOracle
from rust_tuner.search.declaring import declare_by_building


def declared(build: Callable[[keras_tuner.HyperParameters], Any]) -> list[str]:
    class Hyper(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            return build(hp)

    oracle = GridSearchOracle(keras_tuner.Objective("val_loss", "min"))
    declare_by_building(Hyper(), oracle)
    return [hp.name for hp in oracle.get_space().space]


def branches(hp: keras_tuner.HyperParameters) -> None:
    kind = hp.Choice("model", ["linear", "deep"])
    with hp.conditional_scope("model", ["deep"]):
        if kind == "deep":
            inner = hp.Choice("kind", ["dense", "conv"])
            with hp.conditional_scope("kind", ["conv"]):
                if inner == "conv":
                    hp.Int("filters", 8, 16)


def test_branches_within_branches_are_found() -> None:
    assert declared(branches) == ["model", "kind", "filters"]


def test_a_scope_that_no_value_reaches_ends() -> None:
    def build(hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("model", ["linear", "deep"])
        with hp.conditional_scope("model", ["deeper"]):
            hp.Int("layers", 1, 3)

    assert declared(build) == ["model", "layers"]


def test_what_is_declared_after_a_line_that_fails_at_the_defaults_is_found() -> None:
    def build(hp: keras_tuner.HyperParameters) -> None:
        if hp.Int("units", 1, 9) == 1:
            raise keras_tuner.errors.FailedTrialError("too few")
        hp.Choice("late", ["a", "b"])

    assert declared(build) == ["units", "late"]


def test_a_mistake_that_every_value_makes_is_raised() -> None:
    def build(hp: keras_tuner.HyperParameters) -> NoReturn:
        raise ValueError(f"no model of {hp.Int('units', 1, 9)} units")

    with pytest.raises(ValueError, match="no model of 1 units"):
        declared(build)


def test_a_programming_error_is_raised_at_once() -> None:
    def build(hp: keras_tuner.HyperParameters) -> NoReturn:
        raise KeyError("typo")

    with pytest.raises(KeyError, match="typo"):
        declared(build)
