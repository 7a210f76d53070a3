"""What a sampler of Optuna proposes follows from the seed and the records of a search alone."""

import warnings
from collections.abc import Callable
from typing import Any

import keras_tuner
import pytest
from optuna import samplers

from rust_tuner.errors import SpaceError
from rust_tuner.search.optuna_space import contains, is_active
from rust_tuner.search.optuna_study import Earlier, Proposals

Make = Callable[[], Any]
SAMPLERS: dict[str, Make] = {
    "random": samplers.RandomSampler,
    "tpe": lambda: samplers.TPESampler(n_startup_trials=3),
    "multivariate tpe": lambda: samplers.TPESampler(n_startup_trials=3, multivariate=True),
    "cma-es": lambda: samplers.CmaEsSampler(popsize=4),
    "quasi-monte carlo": lambda: samplers.QMCSampler(
        scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False
    ),
    "nsga-ii": lambda: samplers.NSGAIISampler(population_size=4),
    "gp": lambda: samplers.GPSampler(n_startup_trials=3),
}
NUM_TRIALS = 12


def make(name: str, *, seed: int = 0) -> Proposals:
    if name == "gp":
        pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = SAMPLERS[name]()
    return Proposals(sampler, direction="min", seed=seed)


def space() -> list[Any]:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Float("momentum", 1e-3, 1.0, sampling="reverse_log")
    hp.Int("units", 8, 64, step=8)
    hp.Fixed("depth", 3)
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Boolean("norm")
    return list(hp.space)


def ended(number: int, values: dict[str, Any], known: int) -> Earlier:
    if number % 5 == 3:
        return Earlier(known, values, "FAIL")
    return Earlier(known, values, "COMPLETE", abs(values["rate"] - 0.01) + values["units"] / 64)


def played(proposals: Proposals, parts: list[Any], count: int = NUM_TRIALS) -> list[Earlier]:
    earlier: list[Earlier] = []
    for number in range(count):
        values = proposals.next(parts, earlier)
        assert values is not None
        earlier.append(ended(number, values, len(parts)))
    return earlier


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_proposal_is_the_same_in_a_search_that_was_killed_before_it(name: str) -> None:
    parts = space()
    trials = played(make(name), parts)
    for number, trial in enumerate(trials):
        assert make(name).next(parts, trials[:number]) == trial.values
    assert make(name, seed=1).next(parts, []) != trials[0].values


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "gp"])
def test_a_proposal_is_a_point_of_the_space(name: str) -> None:
    parts = space()
    for trial in played(make(name), parts):
        active = [hp for hp in parts if is_active(hp, trial.values)]
        assert set(trial.values) == {hp.name for hp in active}
        assert all(contains(hp, trial.values[hp.name]) for hp in active)
        assert trial.values["depth"] == 3


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ("gp", "random")])
def test_a_proposal_depends_on_the_scores_before_it(name: str) -> None:
    if name == "quasi-monte carlo":
        pytest.skip("its sequence does not")
    parts = space()
    trials = played(make(name), parts)
    other = [
        Earlier(t.known, t.values, t.state, None if t.score is None else -t.score) for t in trials
    ]
    assert make(name).next(parts, trials) != make(name).next(parts, other)


@pytest.mark.parametrize("name", ["tpe", "cma-es", "nsga-ii"])
def test_a_space_may_grow_between_two_trials(name: str) -> None:
    parts = space()

    def grown(proposals: Proposals, earlier: list[Earlier]) -> list[Earlier]:
        for number in range(len(earlier), NUM_TRIALS):
            known = parts[: 3 if number < 4 else len(parts)]
            values = proposals.next(known, earlier)
            assert values is not None
            earlier = [*earlier, ended(number, values, len(known))]
        return earlier

    trials = grown(make(name), [])
    assert grown(make(name), trials[:5]) == trials
    assert "kind" not in trials[3].values
    assert "kind" in trials[4].values


def test_the_seed_of_the_sampler_itself_does_not_matter() -> None:
    first, other = (
        Proposals(samplers.TPESampler(seed=seed), direction="max", seed=4).next(space(), [])
        for seed in (1, 2)
    )
    assert first == other


def test_records_are_told_as_they_are_where_they_differ_from_what_was_proposed() -> None:
    parts = space()
    trials = played(make("cma-es"), parts, 6)
    changed = [Earlier(t.known, t.values | {"units": 8}, t.state, t.score) for t in trials]
    live = make("cma-es")
    assert live.next(parts, trials) != live.next(parts, changed)
    assert live.next(parts, changed) == make("cma-es").next(parts, changed)


def test_a_grid_of_optuna_ends_with_its_last_point() -> None:
    sampler = samplers.GridSampler({"rate": [0.01, 0.001], "kind": ["a", "b"]})
    parts = [space()[0], space()[4]]
    proposals = Proposals(sampler, direction="min", seed=0)
    earlier: list[Earlier] = []
    while (values := proposals.next(parts, earlier)) is not None:
        earlier.append(Earlier(2, values, "COMPLETE", 0.5))
    assert len(earlier) == 4
    assert {(t.values["rate"], t.values["kind"]) for t in earlier} == {
        (rate, kind) for rate in (0.01, 0.001) for kind in "ab"
    }
    assert Proposals(sampler, direction="min", seed=0).next(parts, earlier) is None


def test_a_grid_without_a_hyperparameter_of_the_space_is_refused_by_its_name() -> None:
    sampler = samplers.GridSampler({"rate": [0.01]})
    with pytest.raises(SpaceError, match="GridSampler cannot sample hyperparameter momentum"):
        Proposals(sampler, direction="min", seed=0).next(space()[:2], [])


@pytest.mark.filterwarnings("ignore:with_margin:optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:Argument:optuna.exceptions.ExperimentalWarning")
def test_a_sampler_that_fails_on_conditions_is_refused_before_the_first_trial() -> None:
    proposals = Proposals(samplers.CmaEsSampler(with_margin=True), direction="min", seed=0)
    with pytest.raises(SpaceError, match="conditional, such as norm"):
        proposals.next(space(), [])
