"""KerasTuner's hyperparameters in Optuna: the same values, of the same types, no others."""

from typing import Any

import keras_tuner
import optuna
import pytest

from rust_tuner.search.optuna_space import contains, dimension, plain_dimension


def declared(name: str) -> Any:
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    made = {
        "units": lambda: hp.Int("units", 3, 20, step=4),
        "layers": lambda: hp.Int("layers", 1, 3),
        "width": lambda: hp.Int("width", 1, 1000, step=10, sampling="log"),
        "mirrored width": lambda: hp.Int("mirrored width", 2, 40, step=2, sampling="reverse_log"),
        "size": lambda: hp.Int("size", 2, 90, sampling="log"),
        "mirrored size": lambda: hp.Int("mirrored size", 2, 90, sampling="reverse_log"),
        "rate": lambda: hp.Float("rate", 0.0, 0.5),
        "step": lambda: hp.Float("step", 0.0, 0.5, step=0.1),
        "log": lambda: hp.Float("log", 1e-5, 1e-1, sampling="log"),
        "log step": lambda: hp.Float("log step", 1e-5, 1e-1, step=10, sampling="log"),
        "mirrored": lambda: hp.Float("mirrored", 1e-3, 1.0, sampling="reverse_log"),
        "mirrored step": lambda: hp.Float(
            "mirrored step", 1e-3, 1.0, step=10, sampling="reverse_log"
        ),
        "activation": lambda: hp.Choice("activation", ["relu", "tanh"]),
        "unsorted": lambda: hp.Choice("unsorted", [0.1, 10.0, 1.0]),
        "unordered": lambda: hp.Choice("unordered", [3, 1, 2], ordered=False),
        "single": lambda: hp.Int("single", 4, 4),
        "norm": lambda: hp.Boolean("norm"),
    }
    made[name]()
    return hp.space[-1]


LISTED: dict[str, list[Any]] = {
    "units": [3, 7, 11, 15, 19],
    "layers": [1, 2, 3],
    "width": [1, 10, 100, 1000],
    "mirrored width": [40, 38, 34, 26, 10],
    "step": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
    "log step": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
    "activation": ["relu", "tanh"],
    "unsorted": [0.1, 10.0, 1.0],
    "unordered": [3, 1, 2],
    "single": [4],
    "norm": [False, True],
}
CONTINUOUS = ("size", "mirrored size", "rate", "log", "mirrored")


def sampled(name: str, count: int = 60) -> list[Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [dimension(declared(name)).suggest(study.ask()) for _ in range(count)]


@pytest.mark.parametrize("name", sorted(LISTED))
def test_a_finite_hyperparameter_takes_each_of_its_values_and_no_other(name: str) -> None:
    found = sampled(name)
    assert set(found) == set(LISTED[name])
    assert {type(value) for value in found} == {type(value) for value in LISTED[name]}


@pytest.mark.parametrize("name", [*sorted(LISTED), *CONTINUOUS])
def test_a_value_survives_the_way_into_a_study_and_back(name: str) -> None:
    hp = declared(name)
    for part in (dimension(hp), plain_dimension(hp)):
        for value in sampled(name, 20):
            assert contains(hp, value)
            inside = part.to_study(value)
            assert part.distribution._contains(part.distribution.to_internal_repr(inside))
            again = part.to_space(inside)
            # A mirrored value may lose its last digit; what counts is the recorded one.
            assert again == (pytest.approx(value) if name == "mirrored" else value)
            assert type(again) is type(value)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_range_is_sampled_as_keras_tuner_samples_it(name: str) -> None:
    hp = declared(name)
    ours = sorted(sampled(name, 400))[200]
    theirs = sorted(hp.random_sample(seed) for seed in range(400))[200]
    low, high = hp.value_to_prob(ours), hp.value_to_prob(theirs)
    assert low == pytest.approx(high, abs=0.12)


def test_two_scopes_may_give_one_name_to_different_hyperparameters() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("model", ["wide", "deep"])
    with hp.conditional_scope("model", ["wide"]):
        hp.Choice("units", [512, 1024])
    with hp.conditional_scope("model", ["deep"]):
        hp.Choice("units", [16, 32])
    names = [dimension(part).name for part in hp.space]
    assert len(set(names)) == 3
    assert names[0] == "model"
