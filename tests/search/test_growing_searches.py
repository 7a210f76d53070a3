"""Searches whose models ask as they go: trained, killed, resumed, and shown wherever trials are."""

import json
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from search_problems import LoopHyperModel, grow, run_search

from rust_tuner.analysis.export import best_hyperparameters
from rust_tuner.analysis.tables import fold_scores, searched_values
from rust_tuner.errors import SpaceError
from rust_tuner.files import read_json
from rust_tuner.progress import Silent
from rust_tuner.records.project import read_project
from rust_tuner.search.tuner import CrossValidationTuner
from rust_tuner.tensorboard.logs import TensorBoardLogs
from rust_tuner.words import four_digits, short_number

pytestmark = pytest.mark.slow

KINDS = ("random", "grid")


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    return grow(tmp_path_factory.mktemp("grown"))


def test_a_loop_of_layers_is_searched_to_its_end(grown: CrossValidationTuner) -> None:
    results = grown.results()
    assert results["status"].tolist() == ["COMPLETED"] * 6
    shown = results[["num_layers", "units_0", "units_1"]].astype("object")
    assert shown.where(shown.notna(), None).to_numpy().tolist() == [
        [1, 2, None],
        [1, 3, None],
        [2, 2, 2],
        [2, 2, 3],
        [2, 3, 2],
        [2, 3, 3],
    ]
    assert str(results["units_1"].dtype) == "Int64"
    run = read_json(grown.project_folder / "search.json")
    assert run["num_trials"] == 6
    assert sorted(run["space"]) == ["num_layers", "units_0"]


def test_a_value_that_a_trial_lacks_is_empty_wherever_trials_are_shown(
    grown: CrossValidationTuner, tmp_path: Path
) -> None:
    project = grown.project
    assert searched_values(project) == ["num_layers", "units_0", "units_1"]
    scores = fold_scores(project, "loss")
    assert scores["units_1"].isna().sum() == 2 * 2
    assert best_hyperparameters(project).hyperparameters == not_none(project.best).values
    assert [show(value) for show in (short_number, four_digits) for value in (None, pd.NA)] == [
        ""
    ] * 4
    assert (short_number(float("nan")), four_digits(2.0)) == ("", "2")
    pytest.importorskip("tensorboard")
    TensorBoardLogs(tmp_path).recorded(project.folder)
    logs = {
        trial: b"".join(path.read_bytes() for path in tmp_path.rglob(f"trial_{trial}/events*"))
        for trial in ("0000", "0002")
    }
    assert b"units_0" in logs["0000"] and b"units_1" not in logs["0000"]
    assert b"units_1" in logs["0002"]


def test_a_finished_search_is_left_as_it_is(grown: CrossValidationTuner) -> None:
    files = {p: p.read_bytes() for p in sorted(grown.project_folder.rglob("*.json"))}
    before = grown.results()
    again = grow(grown.project_folder.parent)
    pd.testing.assert_frame_equal(again.results(), before)
    assert {p: p.read_bytes() for p in sorted(grown.project_folder.rglob("*.json"))} == files


def test_the_identity_of_a_search_does_not_depend_on_what_was_discovered(
    grown: CrossValidationTuner, tmp_path: Path
) -> None:
    short = grow(tmp_path, max_trials=1)
    assert short._run.key == grow(tmp_path, max_trials=3)._run.key
    longer = grow(tmp_path).results()
    pd.testing.assert_frame_equal(
        longer.drop(columns="seconds"), grown.results().drop(columns="seconds")
    )


def test_a_trial_whose_file_is_damaged_gets_its_values_again(
    grown: CrossValidationTuner, tmp_path: Path
) -> None:
    tuner = grow(tmp_path, "random", max_trials=5)
    before = tuner.results().drop(columns="seconds")
    path = tuner.project_folder / "trial_0002" / "trial.json"
    path.write_text("{")
    again = grow(tmp_path, "random", max_trials=5).results().drop(columns="seconds")
    pd.testing.assert_frame_equal(again, before)


class FailsAtItsDefaults(LoopHyperModel):
    """One layer is refused after it has asked; two layers are not."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        if hp.get("num_layers") == 1:
            raise keras_tuner.errors.FailedTrialError("one layer is too few")
        return model


@pytest.mark.parametrize("kind", ["grid", "random"])
def test_the_default_values_may_be_the_failing_ones(kind: str, tmp_path: Path) -> None:
    results = grow(tmp_path, kind, max_trials=10, hypermodel=FailsAtItsDefaults()).results()
    # Where the defaults fail, what other values ask for is declared as well.
    assert sorted(results["status"]) == ["COMPLETED"] * 4 + ["FAILED"] * 4
    failed = results[results["status"] == "FAILED"]
    assert set(failed["num_layers"]) == {1}
    assert set(failed["message"]) == {"FailedTrialError: one layer is too few"}
    again = grow(tmp_path, kind, max_trials=10, hypermodel=FailsAtItsDefaults()).results()
    assert again.equals(results)


class OutOfMemoryOnce(LoopHyperModel):
    """Lacks memory in the first training of a trial, as on a machine that others use too."""

    built = 0

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        self.built += 1
        if self.built == 4:
            raise MemoryError("others use it")
        return model


def test_a_trial_that_failed_once_runs_again_where_asked(tmp_path: Path) -> None:
    class Counts(Silent):
        def __init__(self) -> None:
            self.said: list[str] = []

        def say(self, text: str) -> None:
            self.said.append(text)

    progress = Counts()
    tuner = grow(
        tmp_path,
        max_trials=2,
        hypermodel=OutOfMemoryOnce(),
        oracle={"max_retries_per_trial": 1},
        progress=progress,
    )
    assert tuner.results()["status"].tolist() == ["COMPLETED"] * 2
    assert any("others use it" in text and "again" in text for text in progress.said)
    once = grow(tmp_path / "once", max_trials=2, hypermodel=OutOfMemoryOnce())
    assert "FAILED" in once.results()["status"].tolist()


def test_entries_that_are_not_allowed_end_the_search_before_training(tmp_path: Path) -> None:
    space = keras_tuner.HyperParameters()
    space.Int("num_layers", 1, 2)
    space.Int("units_0", 2, 3)
    with pytest.raises(SpaceError, match="asks for the hyperparameter units_1"):
        grow(tmp_path, oracle={"hyperparameters": space, "allow_new_entries": False})
    assert len(read_project(tmp_path / "search").trials) == 2


def test_entries_that_are_not_tuned_have_their_defaults(tmp_path: Path) -> None:
    space = keras_tuner.HyperParameters()
    space.Int("num_layers", 1, 2)
    options = {"hyperparameters": space, "tune_new_entries": False}
    results = grow(tmp_path, oracle=options).results()
    assert results["num_layers"].tolist() == [1, 2]
    assert results["units_0"].tolist() == [2, 2]
    assert grow(tmp_path, oracle=options).results().equals(results)


def test_a_search_that_an_earlier_version_refused_in_mid_search_goes_on(
    grown: CrossValidationTuner, tmp_path: Path
) -> None:
    """It stopped where the first trial asked for more, and left that trial as running."""
    tuner = grow(tmp_path, max_trials=3)
    folder = tuner.project_folder
    state = read_json(folder / "trial_0002" / "trial.json")
    state |= {"status": "RUNNING", "score": None, "best_step": 0, "metrics": {"metrics": {}}}
    state["hyperparameters"]["values"].pop("units_1")
    state["hyperparameters"]["space"] = state["hyperparameters"]["space"][:2]
    for path in (folder / "trial_0002").iterdir():
        path.unlink()
    (folder / "trial_0002" / "trial.json").write_text(json.dumps(state))
    pd.testing.assert_frame_equal(
        grow(tmp_path).results().drop(columns="seconds"), grown.results().drop(columns="seconds")
    )


def test_the_total_is_revised_while_a_search_runs(tmp_path: Path) -> None:
    totals = []

    class Shown(Silent):
        def expect(self, total: int) -> None:
            totals.append(total)

    grow(tmp_path, progress=Shown())
    # Two folds of one epoch; four declared points, of which two have two points each.
    assert totals[-1] == 12
    assert read_json(tmp_path / "search" / "search.json")["num_trials"] == 6


def test_a_declared_space_is_not_revised(tmp_path: Path) -> None:
    class Shown(Silent):
        def expect(self, total: int) -> None:
            raise AssertionError(total)

    assert run_search(tmp_path, "grid", progress=Shown()).results()["rank"].notna().all()


def test_scores_of_a_growing_search_are_those_of_the_models_alone(
    grown: CrossValidationTuner,
) -> None:
    best = grown.get_best_hyperparameters()[0]
    model = grown.hypermodel.build(best)
    layers = best.get("num_layers")
    assert sum(isinstance(layer, keras.layers.Dense) for layer in model.layers) == layers + 1
    assert np.isfinite(grown.results()["score"]).all()


class AsksInFit(keras_tuner.HyperModel):  # type: ignore[misc]
    """As KerasTuner's guide tunes how a model is trained."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "sigmoid")])
        model.compile("sgd", "binary_crossentropy", run_eagerly=True)
        return model

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        return model.fit(*args, shuffle=hp.Boolean("shuffle"), **kwargs)


def test_what_is_asked_for_in_fit_is_searched_and_resumed(tmp_path: Path) -> None:
    results = grow(tmp_path, hypermodel=AsksInFit()).results()
    assert results["status"].tolist() == ["COMPLETED"] * 2
    assert results["shuffle"].tolist() == [False, True]
    assert grow(tmp_path, hypermodel=AsksInFit()).results().equals(results)
