"""Oracles of both kinds: how searches end, retries, failures, and files others can read."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest
from keras_tuner.engine.trial import TrialStatus
from oracle_problems import (
    KIND_NAMES,
    KINDS,
    STOCK_THREADS,
    as_set,
    continuous,
    fail,
    finish,
    load_trials,
    open_oracle,
    run_to_the_end,
    thirty_points,
    two_models,
    with_marks,
)

from rust_tuner.errors import SpaceError
from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.random_search import RandomSearchOracle
from rust_tuner.search.repeats import RepeatOracle

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


@pytest.mark.parametrize("kind", [RandomSearchOracle, GridSearchOracle])
def test_a_number_of_trials_is_an_integer_from_1(kind: Any) -> None:
    assert kind("val_loss", max_trials=np.int64(2)).max_trials == 2
    for wrong in (0, -1, True, 2.0, "2"):
        with pytest.raises(SpaceError, match=rf"max_trials={wrong!r}; .* needs an integer from 1"):
            kind("val_loss", max_trials=wrong)
