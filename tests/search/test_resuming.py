"""A search resumes what it is, and whatever has changed in it is refused by name."""

import json
import shutil
from pathlib import Path

import keras
import keras_tuner
import pandas as pd
import pytest
from search_problems import (
    TinyHyperModel,
    arrays,
    make_tuner,
    run_search,
    run_search_of_folds_together,
)

from rust_tuner.errors import LockedError, ResumeError, SearchError
from rust_tuner.locks import hold_lock
from rust_tuner.records.project import read_project
from rust_tuner.records.slurm_jobs import SlurmJobs, write_jobs
from rust_tuner.search.executors.slurm_left import name_of_jobs


@pytest.fixture(scope="module")
def searched_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of one trial of one epoch; not to be written to."""
    folder = tmp_path_factory.mktemp("one")
    run_search(folder, "grid", max_trials=1, epochs=1)
    return folder


@pytest.fixture
def one_trial(searched_once: Path, tmp_path: Path) -> Path:
    """That search elsewhere; may be written to."""
    return shutil.copytree(searched_once, tmp_path / "copy")


@pytest.mark.slow
@pytest.mark.numerical
def test_extending_keeps_what_is_there_and_the_width_of_ids(
    one_trial: Path, tmp_path: Path
) -> None:
    short = run_search(one_trial, "grid", max_trials=1, epochs=1).results()
    extended = run_search(one_trial, "grid", max_trials=2, epochs=1).results()
    whole = run_search(tmp_path / "whole", "grid", max_trials=2, epochs=1).results()
    columns = ["trial", "units", "dropout", "score"]
    pd.testing.assert_frame_equal(extended[columns], whole[columns], check_exact=True)
    pd.testing.assert_frame_equal(extended[columns][:1], short[columns], check_exact=True)
    assert list(extended["trial"]) == ["0000", "0001"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 6}, "seed: was 5, is 6"),
        ({"epochs": 3}, "epochs: was 1, is 3"),
        ({"cv": 3}, "subject.num_folds: was 2, is 3"),
        ({"score_epoch": "last"}, "score_epoch: was best_mean, is last"),
    ],
)
def test_a_changed_search_is_refused_with_what_differs(
    changes: dict[str, int | str], named: str, one_trial: Path
) -> None:
    with pytest.raises(ResumeError, match=named):
        run_search(one_trial, "grid", max_trials=1, **({"epochs": 1} | changes))


def test_another_epsilon_of_keras_is_refused(one_trial: Path) -> None:
    """A mean absolute percentage error is divided by it where the truth is 0."""
    before = keras.config.epsilon()
    keras.config.set_epsilon(0.1)
    try:
        with pytest.raises(ResumeError, match=r"keras_epsilon: was 1e-07, is 0\.1"):
            run_search(one_trial, "grid", max_trials=1, epochs=1)
    finally:
        keras.config.set_epsilon(before)
    run_search(one_trial, "grid", max_trials=1, epochs=1)


def test_the_number_of_trials_never_shrinks(one_trial: Path) -> None:
    run_search(one_trial, "grid", max_trials=2, epochs=1)
    with pytest.raises(ResumeError, match=r"of 2 trials, but 1 are requested; .* may only grow"):
        run_search(one_trial, "grid", max_trials=1, epochs=1)


def test_another_model_on_the_same_space_is_refused(one_trial: Path) -> None:
    class Wider(TinyHyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            super().build(hp)
            wide = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
            wide.compile("adam", "binary_crossentropy", run_eagerly=True)
            return wide

    with pytest.raises(
        ResumeError, match=r"(?s)other code; .* layers\.dense\.activation: was relu"
    ):
        run_search(one_trial, "grid", max_trials=1, epochs=1, hypermodel=Wider())


def test_records_of_another_search_are_never_written_over(one_trial: Path) -> None:
    (one_trial / "search" / "search.json").unlink()
    before = (one_trial / "search" / "trial_0000" / "fold_0.json").read_bytes()
    with pytest.raises(ResumeError, match="trial 0000 belong to another search"):
        run_search(one_trial, "grid", max_trials=1, epochs=2)
    assert (one_trial / "search" / "trial_0000" / "fold_0.json").read_bytes() == before


def test_a_damaged_manifest_and_a_mistyped_start_do_not_lock_the_search_out(
    one_trial: Path, searched_once: Path
) -> None:
    (one_trial / "search" / "search.json").write_text("{")
    with pytest.raises(ResumeError, match="trial 0000 belong to another search"):
        run_search(one_trial, "grid", max_trials=1, epochs=2)
    again = run_search(one_trial, "grid", max_trials=1, epochs=1).results()
    expected = run_search(searched_once, "grid", max_trials=1, epochs=1).results()
    pd.testing.assert_frame_equal(again, expected, check_exact=True)


@pytest.mark.numerical
def test_a_score_that_the_fold_records_do_not_give_is_put_right(one_trial: Path) -> None:
    expected = run_search(one_trial, "grid", max_trials=1, epochs=1).results()
    path = one_trial / "search" / "trial_0000" / "trial.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"score": 0.9999}))
    assert readable_scores(one_trial) == [0.9999]
    again = run_search(one_trial, "grid", max_trials=1, epochs=1).results()
    pd.testing.assert_frame_equal(again, expected, check_exact=True)


def readable_scores(folder: Path) -> list[float | None]:
    return [trial.score for trial in read_project(folder / "search").trials]


@pytest.mark.slow
def test_trials_whose_folds_cannot_train_together_do_not_decide_for_those_that_can(
    tmp_path: Path,
) -> None:
    class Clipped(TinyHyperModel):
        def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
            hp.Choice("clip", [1.0, 0.0])

        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            self.declare_hyperparameters(hp)
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "sigmoid")])
            clip = hp.get("clip") or None
            model.compile(keras.optimizers.Adam(global_clipnorm=clip), "binary_crossentropy")
            return model

    def histories(folder: Path) -> pd.DataFrame:
        tuner = run_search_of_folds_together(folder, "grid", hypermodel=Clipped())
        return tuner.history()

    whole = histories(tmp_path / "whole")
    histories(tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "search" / "trial_0001")
    pd.testing.assert_frame_equal(histories(tmp_path / "resumed"), whole, check_exact=True)


def test_overwriting_asks_the_lock_first(one_trial: Path) -> None:
    with (
        hold_lock(one_trial / "search", "searching"),
        pytest.raises(LockedError, match="searching"),
    ):
        make_tuner(one_trial, "grid", overwrite=True)
    assert len(make_tuner(one_trial, "grid").oracle.get_best_trials(3)) == 1
    assert make_tuner(one_trial, "grid", overwrite=True).oracle.get_best_trials(3) == []


def test_overwriting_ends_jobs_first_that_may_still_write(
    one_trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(one_trial / "search", tmp_path / "search")
    jobs = {"name": name_of_jobs(folder), "key": "k", "options": {}, "jobs": {}}
    write_jobs(folder, SlurmJobs.of(jobs))
    # Nothing here can ask SLURM.
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SearchError, match="jobs of SLURM may still train trials"):
        make_tuner(tmp_path, "grid", overwrite=True)
    assert len(make_tuner(tmp_path, "grid").oracle.get_best_trials(3)) == 1


def test_changed_data_are_refused(one_trial: Path) -> None:
    x, y, groups = arrays()
    x[0, 0] += 1
    with pytest.raises(ResumeError, match=r"subject\.inputs: was"):
        make_tuner(one_trial, "grid", 1).search(x, y, groups, epochs=1, batch_size=16)


def test_a_folder_of_another_program_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "search" / "trial_0000"
    folder.mkdir(parents=True)
    (folder / "trial.json").write_text("{}")
    with pytest.raises(ResumeError, match="so another program made them"):
        run_search(tmp_path, "grid")


def test_a_trial_with_values_of_another_search_is_refused(one_trial: Path) -> None:
    path = one_trial / "search" / "trial_0000" / "trial.json"
    state = json.loads(path.read_text())
    state["hyperparameters"]["values"]["units"] = 3
    path.write_text(json.dumps(state))
    with pytest.raises(ResumeError, match=r"trial 0000 has the values .*'units': 3"):
        run_search(one_trial, "grid", max_trials=1, epochs=1)


def test_a_second_process_in_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    with (
        hold_lock(tmp_path / "search", "searching hyperparameters"),
        pytest.raises(LockedError, match="searching hyperparameters"),
    ):
        run_search(tmp_path, "grid")
