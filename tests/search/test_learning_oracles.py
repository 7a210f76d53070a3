"""Searches that learn from their trials: killed, damaged, resumed with something changed."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pandas as pd
import pytest
from fault_injection import Snapshots
from optuna import samplers
from search_problems import TinyHyperModel, arrays

from rust_tuner import BayesianOptimizationOracle, CrossValidationTuner, OptunaOracle
from rust_tuner.errors import ExtraError, ResumeError, SearchError
from rust_tuner.search.optuna_oracle import describe_sampler

OBJECTIVE = keras_tuner.Objective("val_auroc", "max")
NUM_TRIALS = 4


def bayesian(**options: Any) -> Any:
    return BayesianOptimizationOracle(
        OBJECTIVE, **({"max_trials": NUM_TRIALS, "num_initial_points": 2, "seed": 3} | options)
    )


def optuna_with(sampler: Callable[[], Any]) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        return OptunaOracle(
            sampler(), OBJECTIVE, **({"max_trials": NUM_TRIALS, "seed": 3} | options)
        )

    return make


# Optuna says so whenever such a sampler is made.
pytestmark = pytest.mark.filterwarnings("ignore:QMCSampler is experimental")

ORACLES: dict[str, Callable[..., Any]] = {
    "bayesian": bayesian,
    "tpe": optuna_with(lambda: samplers.TPESampler(n_startup_trials=2)),
    "cma-es": optuna_with(lambda: samplers.CmaEsSampler(popsize=4)),
    "nsga-ii": optuna_with(lambda: samplers.NSGAIISampler(population_size=2)),
    "quasi-monte carlo": optuna_with(lambda: samplers.QMCSampler(warn_independent_sampling=False)),
}


class Growing(TinyHyperModel):
    """Asks for a hyperparameter only where another has some value."""

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("units", [2, 3])

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        hp.Float("rate", 1e-3, 1e-1, sampling="log")
        if hp.Boolean("drops"):
            hp.Float("dropout", 0.0, 0.5)
        else:
            hp.Fixed("dropout", 0.0)
        return super().build(hp)


def search(folder: Path, oracle: Any, hypermodel: Any = None) -> CrossValidationTuner:
    tuner = CrossValidationTuner(
        hypermodel or Growing(), oracle, cv=2, seed=5, directory=folder, project_name="search"
    )
    x, y, groups = arrays()
    tuner.search(x, y, groups, epochs=1, batch_size=24)
    return tuner


def outcome(tuner: CrossValidationTuner) -> tuple[pd.DataFrame, pd.DataFrame]:
    assert tuner.project.problems == ()
    return pd.DataFrame(tuner.results().drop(columns="seconds")), tuner.history()


def assert_same(one: tuple[pd.DataFrame, ...], other: tuple[pd.DataFrame, ...]) -> None:
    for ours, theirs in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A search that was never touched: its outcome, its folder, and copies at its writes."""
    kept: dict[str, Any] = {}

    def of(name: str) -> Any:
        if name not in kept:
            folder = tmp_path_factory.mktemp("whole")
            snapshots = Snapshots(folder, tmp_path_factory.mktemp("snapshots"))
            with snapshots.taken():
                tuner = search(folder, ORACLES[name]())
            kept[name] = outcome(tuner), folder, snapshots
        return kept[name]

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["bayesian", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tpe", "cma-es"))],
)
def test_a_search_killed_in_its_last_trial_ends_as_if_untouched(
    name: str, whole: Any, tmp_path: Path
) -> None:
    expected, _, snapshots = whole(name)
    assert len(expected[0]) == NUM_TRIALS
    strike = max(number for number, file in enumerate(snapshots.writes) if file == "fold_0.json")
    place = snapshots.restore(strike, "after", tmp_path / "killed")
    assert_same(outcome(search(place, ORACLES[name]())), expected)


STRUCK = ("trial.json", "oracle.json")


@pytest.mark.slow
@pytest.mark.parametrize("name", ORACLES)
def test_a_search_killed_at_some_writes_of_a_trial_or_of_the_search_ends_as_if_untouched(
    name: str, whole: Any, tmp_path: Path
) -> None:
    expected, _, snapshots = whole(name)
    writes = snapshots.writes
    # Before a write all is as during it, and after one as during the next but for half a file.
    strikes = [
        (number, moment)
        for number, file in enumerate(writes)
        if file in STRUCK
        for moment in ("during", "after")
        if moment == "during" or number + 1 == len(writes) or writes[number + 1] not in STRUCK
    ]
    # Every state is struck, each with one of the oracles.
    for strike, moment in strikes[list(ORACLES).index(name) :: len(ORACLES)]:
        place = snapshots.restore(strike, moment, tmp_path / f"{strike}-{moment}")
        assert_same(outcome(search(place, ORACLES[name]())), expected)
        shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("bayesian", marks=pytest.mark.slow), "tpe"])
def test_a_damaged_trial_in_the_middle_is_proposed_and_run_again(
    name: str, whole: Any, tmp_path: Path
) -> None:
    expected, folder, _ = whole(name)
    shutil.copytree(folder, tmp_path / "copy")
    for number in (1, 2):
        (tmp_path / "copy" / "search" / f"trial_000{number}" / "trial.json").write_text("{")
    assert_same(outcome(search(tmp_path / "copy", ORACLES[name]())), expected)


@pytest.mark.slow
def test_a_search_that_is_extended_ends_as_one_that_was_longer_from_the_start(
    whole: Any, tmp_path: Path
) -> None:
    expected, _, _ = whole("tpe")
    search(tmp_path, ORACLES["tpe"](max_trials=2))
    assert_same(outcome(search(tmp_path, ORACLES["tpe"]())), expected)


@pytest.mark.parametrize(
    ("name", "other", "shown"),
    [
        ("bayesian", lambda: bayesian(beta=3), "oracle_arguments.beta: was 2.6, is 3.0"),
        ("bayesian", lambda: bayesian(num_initial_points=3), "num_initial_points: was 2, is 3"),
        *(
            pytest.param("tpe", other, shown, marks=pytest.mark.slow)
            for other, shown in (
                (optuna_with(samplers.RandomSampler), "oracle_arguments.sampler.class"),
                (
                    optuna_with(lambda: samplers.TPESampler(n_startup_trials=3)),
                    "oracle_arguments.sampler._n_startup_trials: was 2, is 3",
                ),
                (lambda: bayesian(), "oracle: was OptunaOracle, is BayesianOptimizationOracle"),
                (lambda: ORACLES["tpe"](seed=4), "oracle_seed: was 3, is 4"),
            )
        ),
    ],
)
def test_another_oracle_is_another_search(
    name: str, other: Callable[[], Any], shown: str, whole: Any, tmp_path: Path
) -> None:
    _, folder, _ = whole(name)
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(ResumeError, match=shown):
        search(tmp_path / "copy", other())


def test_the_seed_of_the_sampler_is_no_part_of_the_search() -> None:
    assert describe_sampler(samplers.TPESampler(seed=1)) == describe_sampler(
        samplers.TPESampler(seed=2)
    )


@pytest.mark.filterwarnings("ignore:`gamma`:FutureWarning")
def test_functions_of_a_sampler_are_described_by_their_code() -> None:
    first, same, other = (
        describe_sampler(samplers.TPESampler(gamma=gamma))
        for gamma in (lambda n: 2, lambda n: 2, lambda n: 3)
    )
    assert list(first["_gamma"].values())[1:] == list(same["_gamma"].values())[1:]
    assert first != other
    json.dumps(first)


@pytest.mark.parametrize("name", ["bayesian", pytest.param("tpe", marks=pytest.mark.slow)])
def test_values_that_were_edited_are_refused(name: str, whole: Any, tmp_path: Path) -> None:
    _, folder, _ = whole(name)
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "search" / "trial_0001" / "trial.json"
    record = json.loads(path.read_text())
    record["hyperparameters"]["values"]["rate"] /= 2
    path.write_text(json.dumps(record))
    with pytest.raises(ResumeError, match="trial 0001 belong to another search"):
        search(tmp_path / "copy", ORACLES[name]())


@pytest.mark.slow
def test_the_versions_of_the_optimiser_are_recorded(whole: Any) -> None:
    for name, package in (("bayesian", "scikit-learn"), ("tpe", "optuna")):
        _, folder, _ = whole(name)
        assert package in json.loads((folder / "search" / "search.json").read_text())["versions"]


def test_without_optuna_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "optuna" else find(name)
    )
    with pytest.raises(ExtraError, match=r"rust-tuner\[optuna\]"):
        OptunaOracle(samplers.RandomSampler(), OBJECTIVE)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("sampler", "shown"),
    [
        (lambda: "tpe", "expected a sampler of Optuna"),
        (lambda: samplers.PartialFixedSampler({"a": 1}, samplers.RandomSampler()), "hp.Fixed"),
        (lambda: samplers.CmaEsSampler(x0={"a": 1}), "leave x0 out"),
    ],
)
def test_what_cannot_be_a_function_of_the_records_is_refused(sampler: Any, shown: str) -> None:
    made = sampler()
    with pytest.raises(SearchError, match=shown):
        OptunaOracle(made, OBJECTIVE)
