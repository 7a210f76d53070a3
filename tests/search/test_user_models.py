"""Models as KerasTuner's guides write them: unnamed metrics, names of their own, steps."""

import os
import threading
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from narrowing import not_none
from notes import Notes
from search_problems import TinyHyperModel, arrays, make_tuner

from rust_tuner import CrossValidationTuner, GridSearchOracle, RandomSearchOracle
from rust_tuner.errors import SpaceError
from rust_tuner.files import read_json, sha256_of_json, write_json
from rust_tuner.progress import Silent
from rust_tuner.records.metric_names import renumbered


class WithMetrics(keras_tuner.HyperModel):  # type: ignore[misc]
    """Two metrics of one class and one of another, none with a name; a hyperparameter `trial`."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        units = hp.Choice("trial", [2, 3])
        hp.Fixed("score", "own")
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(units, activation="relu"),
                keras.layers.Dense(2, activation="sigmoid"),
            ]
        )
        model.compile(
            "adam",
            "binary_crossentropy",
            metrics=[keras.metrics.AUC(), keras.metrics.AUC(curve="PR"), keras.metrics.Precision()],
            run_eagerly=True,
        )
        return model


def search(
    directory: Path,
    hypermodel: "WithMetrics | Stepped",
    *,
    objective: str = "val_auc",
    kind: type[GridSearchOracle] | type[RandomSearchOracle] = GridSearchOracle,
    **options: Any,
) -> CrossValidationTuner:
    search_options = {"epochs": 1, "batch_size": 48} | options.pop("search", {})
    tuner = CrossValidationTuner(
        hypermodel,
        kind(keras_tuner.Objective(objective, "max"), **options.pop("oracle", {})),
        cv=2,
        seed=5,
        directory=directory,
        project_name="search",
        **options,
    )
    x, y, groups = arrays()
    tuner.search(x, y, groups, **search_options)
    return tuner


@pytest.fixture(scope="module")
def unnamed(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    # What the process has built before must not matter.
    keras.metrics.AUC(), keras.metrics.AUC(), keras.metrics.Precision()
    return search(tmp_path_factory.mktemp("unnamed"), WithMetrics())


def test_unnamed_metrics_have_the_same_names_in_every_fold_and_trial(
    unnamed: CrossValidationTuner,
) -> None:
    names = {
        split: {
            frozenset(getattr(fold, split))
            for trial in unnamed.project.trials
            for fold in trial.folds
        }
        for split in ("training", "validation")
    }
    own = {"loss", "auc", "auc_1", "precision"}
    assert names == {"training": {frozenset(own)}, "validation": {frozenset(own | {"auroc"})}}
    assert set(unnamed.history()["metric"]) == own | {"auroc"}
    results = unnamed.results()
    assert results["val_auc"].tolist() == results["score"].tolist()
    assert (results["val_auc"] != results["val_auc_1"]).all()


@pytest.mark.slow
def test_a_fold_that_another_process_named_otherwise_is_resumed(
    unnamed: CrossValidationTuner, tmp_path: Path
) -> None:
    tuner = search(tmp_path, WithMetrics(), oracle={"max_trials": 1})
    for path in (tuner.project_folder / "trial_0000").glob("fold_0.json"):
        head = read_json(path)
        for split in ("training", "validation"):
            renamed = {"auc": "auc_4", "auc_1": "auc_5", "precision": "precision_2"}
            head[split] = {renamed.get(name, name): curve for name, curve in head[split].items()}
        write_json(path, resealed(head))
    resumed = search(tmp_path, WithMetrics(), oracle={"max_trials": 2})
    columns = ["trial", "score", "val_auc", "val_auc_1", "val_precision"]
    assert resumed.results()[columns].equals(unnamed.results()[columns])


def resealed(head: Any) -> dict[Any, Any]:
    content = {name: value for name, value in head.items() if name != "sha256"}
    return content | {"sha256": sha256_of_json(content)}


def test_hyperparameters_named_as_columns_stand_beside_them(unnamed: CrossValidationTuner) -> None:
    results = unnamed.results()
    assert list(results["trial"]) == ["0000", "0001"]
    assert list(results["hp_trial"]) == [2, 3]
    assert list(results["hp_score"]) == ["own", "own"]
    assert results["score"].between(0, 1).all()
    assert unnamed.get_best_hyperparameters()[0].get("score") == "own"


@pytest.mark.slow
def test_a_metric_that_is_made_once_for_all_models_is_found_by_its_own_name(tmp_path: Path) -> None:
    keras.metrics.AUC()
    shared = keras.metrics.AUC()
    assert renumbered([shared.name]) == {shared.name: "auc"}

    class Shared(TinyHyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            model = super().build(hp)
            model.compile("adam", "binary_crossentropy", metrics=[shared], run_eagerly=True)
            return model

    tuner = search(tmp_path, Shared(), oracle={"max_trials": 1})
    assert tuner.results()["val_auc"].notna().all()


@pytest.mark.slow
def test_the_users_precision_is_that_of_every_fold(tmp_path: Path) -> None:
    seen = []

    class Precise(TinyHyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            seen.append(keras.config.dtype_policy().name)
            return super().build(hp)

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        search(tmp_path, Precise(), objective="val_auroc", oracle={"max_trials": 1})
        assert keras.config.dtype_policy().name == "float64"
    finally:
        keras.config.set_dtype_policy(before)
    assert set(seen) == {"float64"}


class Stepped(TinyHyperModel):
    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        super().declare_hyperparameters(hp)
        hp.Float("rate", 0, 0.3, step=0.1)


@pytest.mark.slow
def test_a_grid_that_was_begun_with_keras_tuners_steps_goes_on_with_them(tmp_path: Path) -> None:
    """0.3 // 0.1 is 2, so KerasTuner leaves out the end."""
    options: dict[str, Any] = {"objective": "val_auroc", "oracle": {"max_trials": 1}}
    search(tmp_path / "new", Stepped(), **options)
    path = tmp_path / "new" / "search" / "search.json"
    run = read_json(path)
    assert run.pop("steps") == "exact"
    assert run["num_trials"] == 1
    # As an earlier version began it.
    old = tmp_path / "old" / "search"
    old.mkdir(parents=True)
    write_json(old / "search.json", run)
    notes = Notes()
    tuner = search(tmp_path / "old", Stepped(), progress=notes, **options)
    assert "steps" not in read_json(old / "search.json")
    (line,) = [note for note in notes.said if "KerasTuner's steps" in note]
    assert "rate takes 0.0, 0.1, 0.2; in a new folder it takes 0.0, 0.1, 0.2, 0.3" in line
    assert not_none(tuner.oracle.values_of(3))["rate"] == 0.0
    again = make_tuner(tmp_path / "elsewhere", "grid", hypermodel=Stepped())
    assert not_none(again.oracle.values_of(3))["rate"] == 0.3


def test_a_batch_size_that_is_no_integer_ends_the_search_by_its_value(tmp_path: Path) -> None:
    class Wrong(TinyHyperModel):
        def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
            super().declare_hyperparameters(hp)
            hp.Choice("batch_size", [16.5, 32.0])

    with pytest.raises(SpaceError, match=r"batch_size=16\.5; a hyperparameter of that name"):
        search(tmp_path, Wrong(), objective="val_auroc")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_forty_trials_open_no_more_files_or_threads_than_ten(tmp_path: Path) -> None:
    class Continuous(TinyHyperModel):
        def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
            hp.Fixed("units", 2)
            hp.Float("dropout", 0, 0.5)

    counted = {}

    class Counting(Silent):
        def recorded(self, folder: Path, trial: str | None = None) -> None:
            if trial is not None:
                counted[int(trial)] = (open_files(), threading.active_count())

    search(
        tmp_path,
        Continuous(),
        objective="val_auroc",
        kind=RandomSearchOracle,
        oracle={"max_trials": 40},
        progress=Counting(),
    )
    assert max(counted) == 39
    early = np.max([counted[trial] for trial in range(5, 11)], axis=0)
    late = np.max([counted[trial] for trial in range(30, 40)], axis=0)
    assert (late <= early).all(), (early, late)
