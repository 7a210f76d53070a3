"""Oracles that learn, with workers: what they propose depends on records alone."""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from fake_executors import LastFirst, SameProcess
from fault_injection import Killed, Killer, Snapshots
from notes import Notes
from optuna import samplers
from search_problems import TinyHyperModel, arrays, assert_same, outcome

from rust_tuner import BayesianOptimizationOracle, CrossValidationTuner, OptunaOracle
from rust_tuner.records.run import read_run

OBJECTIVE = keras_tuner.Objective("val_auroc", "max")
# With three at a time, the fifth is the first that knows of two others.
TRIALS = 5
ORACLES: dict[str, Callable[[int], Any]] = {
    "bayesian": lambda trials: BayesianOptimizationOracle(
        OBJECTIVE, trials, num_initial_points=2, seed=3
    ),
    "tpe": lambda trials: OptunaOracle(
        samplers.TPESampler(n_startup_trials=2), OBJECTIVE, trials, seed=3
    ),
    "cma-es": lambda trials: OptunaOracle(
        samplers.CmaEsSampler(popsize=4), OBJECTIVE, trials, seed=3
    ),
}


class Rates(TinyHyperModel):
    """Two numbers, so that values are hardly ever equal."""

    def declare_hyperparameters(self, hp: Any) -> None:
        hp.Float("dropout", 0.0, 0.5)
        hp.Float("rate", 1e-3, 1.0, sampling="log")
        hp.Fixed("units", 2)


def search(
    folder: Path, kind: str, executor: Any = None, *, trials: int = TRIALS, progress: Any = None
) -> CrossValidationTuner:
    tuner = CrossValidationTuner(
        Rates(),
        ORACLES[kind](trials),
        cv=2,
        seed=5,
        directory=folder,
        project_name="search",
        progress=progress,
    )
    tuner.search(*arrays(), epochs=1, batch_size=24, executor=executor)
    return tuner


def values(tuner: CrossValidationTuner) -> list[Any]:
    return [trial.values for trial in tuner.project.trials]


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """What a search leaves whose three workers end as they began."""

    @functools.cache
    def of(kind: str) -> Any:
        return outcome(search(tmp_path_factory.mktemp("at once"), kind, SameProcess(3)))

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "bayesian",
        pytest.param("tpe", marks=pytest.mark.slow),
        pytest.param("cma-es", marks=pytest.mark.slow),
    ],
)
def test_the_order_in_which_workers_end_does_not_matter(
    kind: str, at_once: Callable[[str], Any], tmp_path: Path
) -> None:
    last_first = LastFirst(3)
    one = search(tmp_path, kind, last_first)
    assert last_first.order[:2] == ["0001", "0000"]
    assert_same(outcome(one), at_once(kind))
    assert read_run(one.project_folder).lag == 2


class AtTheFirstResult(Killer):
    """Kills once the first trials have begun, and nothing is trained."""

    def replace(self, source: Any, target: Any) -> Any:
        if Path(target).name == "fold_0.npz" and not self.dead:
            self._die()
        return super().replace(source, target)


@pytest.mark.slow
@pytest.mark.parametrize("others", [None, pytest.param(2, marks=pytest.mark.slow), 5])
def test_the_number_of_workers_that_a_search_is_resumed_with_does_not_matter(
    others: int | None, at_once: Callable[[str], Any], tmp_path: Path
) -> None:
    expected = at_once("tpe")
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
        AtTheFirstResult(tmp_path / "killed", patch)
        search(tmp_path / "killed", "tpe", LastFirst(3))
    notes = Notes()
    executor = None if others is None else SameProcess(others)
    assert_same(outcome(search(tmp_path / "killed", "tpe", executor, progress=notes)), expected)
    idle = "note: this search was begun with 3 trials at a time and keeps that, so 2 workers"
    assert any(line.startswith(idle) for line in notes.said) == (others == 5)


@pytest.mark.slow
def test_a_search_of_one_process_is_as_before_and_resumed_so_by_workers(tmp_path: Path) -> None:
    alone = search(tmp_path, "tpe", trials=3)
    assert "lag" not in read_run(alone.project_folder).to_json()
    expected = outcome(search(tmp_path / "whole", "tpe", trials=5))
    executor, notes = LastFirst(3), Notes()
    more = search(tmp_path, "tpe", executor, trials=5, progress=notes)
    assert_same(outcome(more), expected)
    assert executor.order == ["0003", "0004"]
    assert any("one trial at a time and keeps that" in line for line in notes.said)


@pytest.mark.slow
def test_a_search_whose_trials_are_all_proposed_at_once_says_so(tmp_path: Path) -> None:
    notes = Notes()
    search(tmp_path, "tpe", SameProcess(2), trials=2, progress=notes)
    assert any("OptunaOracle learns nothing" in line for line in notes.said)


@pytest.mark.slow
def test_a_search_killed_around_its_writes_proposes_the_same(tmp_path: Path) -> None:
    kind = "tpe"
    (tmp_path / "whole").mkdir()
    snapshots = Snapshots(tmp_path / "whole", tmp_path / "snapshots")
    with snapshots.taken():
        expected = outcome(search(tmp_path / "whole", kind, SameProcess(2), trials=4))
    begun = snapshots.writes.index("search.json")
    for strike in range(begun + 1, len(snapshots.writes), 11):
        moment = ("before", "during", "after")[strike // 11 % 3]
        folder = snapshots.restore(strike, moment, tmp_path / str(strike))
        executor = (None, SameProcess(2), LastFirst(4))[strike % 3]
        assert_same(outcome(search(folder, kind, executor, trials=4)), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:BruteForceSampler is experimental")
def test_a_grid_of_optuna_ends_though_its_last_trials_still_run(tmp_path: Path) -> None:
    class Grid(TinyHyperModel):
        def declare_hyperparameters(self, hp: Any) -> None:
            hp.Choice("units", [2, 3])
            hp.Fixed("dropout", 0.0)

    tuner = CrossValidationTuner(
        Grid(),
        OptunaOracle(samplers.BruteForceSampler(), OBJECTIVE, 9, seed=3),
        cv=2,
        directory=tmp_path,
        project_name="search",
    )
    tuner.search(*arrays(), epochs=1, batch_size=24, executor=LastFirst(3))
    assert sorted(trial.values["units"] for trial in tuner.project.trials) == [2, 3]
