"""The tuner: a trial is a cross-validation, a search resumes, and what changed is refused."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from search_problems import (
    TinyHyperModel,
    arrays,
    make_tuner,
    run_search,
    run_search_of_folds_together,
)
from sklearn.model_selection import GroupKFold

from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import (
    LockedError,
    MetricError,
    ResumeError,
    SearchError,
    SpaceError,
    SplitError,
    TrialError,
)
from rust_tuner.locks import hold_lock
from rust_tuner.progress import Silent
from rust_tuner.records.project import read_project
from rust_tuner.records.slurm_jobs import SlurmJobs, write_jobs
from rust_tuner.search.executors.slurm_left import name_of_jobs
from rust_tuner.search.tuner import CrossValidationTuner


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    return run_search(tmp_path_factory.mktemp("finished"), "random", max_trials=2, cv=3, epochs=3)


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


def test_the_score_is_the_best_epoch_of_the_mean_over_folds(finished: CrossValidationTuner) -> None:
    history = finished.history()
    curves = history.query("split == 'validation' and metric == 'auroc'")
    means = curves.groupby(["trial", "epoch"])["value"].mean().groupby("trial").max()
    results = finished.results().set_index("trial")
    np.testing.assert_allclose(results["score"], means, rtol=1e-15)
    per_fold_best = curves.groupby(["trial", "fold"])["value"].max().groupby("trial").mean()
    assert (results["score"] <= per_fold_best).all()
    assert (results["score"] < per_fold_best).any()


def test_the_history_is_tidy(finished: CrossValidationTuner) -> None:
    history = finished.history()
    assert list(history) == ["trial", "fold", "epoch", "split", "metric", "value"]
    assert set(history["split"]) == {"training", "validation"}
    assert not history["metric"].str.startswith("val_").any()
    assert sorted(history["fold"].unique()) == [0, 1, 2]
    assert sorted(history["epoch"].unique()) == [0, 1, 2]
    assert not history.duplicated(["trial", "fold", "epoch", "split", "metric"]).any()


def test_results_hold_the_spread_over_folds_at_the_epoch_of_the_score(
    finished: CrossValidationTuner,
) -> None:
    row = finished.results().iloc[1]
    at_epoch = finished.history().query(
        f"trial == '{row.trial}' and split == 'validation' and metric == 'auroc' "
        f"and epoch == {row.epoch}"
    )
    assert row["score_std"] == pytest.approx(at_epoch["value"].std(ddof=1), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "epoch"), [("last", 1), (0, 0)])
def test_the_score_epoch_is_the_one_asked_for(rule: str | int, epoch: int, tmp_path: Path) -> None:
    tuner = run_search(tmp_path, "grid", max_trials=1, score_epoch=rule)
    row = tuner.results().iloc[0]
    curve = tuner.history().query("split == 'validation' and metric == 'auroc'")
    expected = curve[curve["epoch"] == epoch]["value"].mean()
    assert (row["epoch"], row["score"]) == (epoch, pytest.approx(expected, rel=1e-15))


@pytest.mark.slow
@pytest.mark.numerical
def test_the_same_seed_gives_the_same_search_bitwise_and_another_does_not(tmp_path: Path) -> None:
    one, same, other = (
        run_search(tmp_path / name, "random", max_trials=1, seed=seed).history()
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert not np.array_equal(one["value"], other["value"])


@pytest.mark.slow
def test_the_global_random_state_neither_matters_nor_moves(
    tmp_path: Path, finished: CrossValidationTuner
) -> None:
    np.random.seed(123)
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    again = run_search(tmp_path, "random", max_trials=1, cv=3, epochs=3)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]
    first = finished.history().query("trial == '0000'")
    pd.testing.assert_frame_equal(again.history(), first, check_exact=True)


def test_a_finished_search_started_again_adds_and_changes_nothing(
    finished: CrossValidationTuner,
) -> None:
    folder = finished.project_folder.parent
    before = {p: p.read_bytes() for p in folder.rglob("trial_*/*")}
    again = run_search(folder, "random", max_trials=2, cv=3, epochs=3)
    assert {p: p.read_bytes() for p in folder.rglob("trial_*/*")} == before
    assert len(before) > 4
    pd.testing.assert_frame_equal(finished.results(), again.results())


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


def test_folds_that_cannot_be_scored_stop_an_auroc_search_alone(tmp_path: Path) -> None:
    from sklearn.model_selection import LeaveOneOut

    from rust_tuner import CrossValidationTuner, GridSearchOracle

    x, y, _ = (part[:3] for part in arrays())
    for name, kind in (("val_auroc", "max"), ("val_loss", "min")):
        oracle = GridSearchOracle(keras_tuner.Objective(name, kind), max_trials=1)
        tuner = CrossValidationTuner(
            TinyHyperModel(), oracle, cv=LeaveOneOut(), directory=tmp_path, project_name=name
        )
        if name == "val_auroc":
            with pytest.raises(MetricError, match="fold 0"):
                tuner.search(x, y, epochs=1)
        else:
            tuner.search(x, y, epochs=1)
            assert list(tuner.results()["status"]) == ["COMPLETED"]


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


class FailingHyperModel(TinyHyperModel):
    """Fails by its number of units."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        if hp.get("units") == 3:
            raise self.error
        return super().build(hp)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        pytest.param(TrialError("broken batch"), marks=pytest.mark.slow),
        pytest.param(keras_tuner.errors.FailedTrialError("x"), marks=pytest.mark.slow),
    ],
)
def test_a_failed_trial_is_recorded_and_the_search_goes_on(
    error: MemoryError | TrialError, tmp_path: Path
) -> None:
    tuner = make_tuner(tmp_path, "grid", None, hypermodel=FailingHyperModel(error))
    tuner.search(*arrays(), epochs=1, batch_size=16)
    results = tuner.results().set_index("trial")
    assert list(results["status"]) == ["COMPLETED", "COMPLETED", "FAILED", "FAILED"]
    assert str(results.loc["0002", "message"]).startswith(type(error).__name__)
    assert results.loc[["0002", "0003"], "score"].isna().all()
    assert [t.trial_id for t in tuner.oracle.get_best_trials(4)] == sorted(
        ["0000", "0001"],
        key=lambda t: -results.loc[t, "score"],  # type: ignore[arg-type,operator,return-value]
    )
    # A failure is data: it is not tried again when the search is started again.
    again = make_tuner(tmp_path, "grid", None, hypermodel=FailingHyperModel(RuntimeError("no")))
    again.search(*arrays(), epochs=1, batch_size=16)
    assert list(again.results()["status"]) == list(results["status"])


class Counting(Silent):
    """Counts steps; may kill the process after some that were worked on."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.total = self.done = self.worked = self.skipped = 0
        self.dies_after = dies_after

    def task(self, name: str, total: int, *, done: int = 0) -> Any:
        self.name, self.total, self.done = name, total, done
        return super().task(name, total, done=done)

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self.worked += steps
        if self.worked == self.dies_after:
            raise Killed

    def skip(self, steps: int) -> None:
        self.skipped += steps


class Killed(BaseException):
    """What no code may catch, as a kill."""


@pytest.mark.slow
def test_progress_counts_epochs_of_folds_and_ends_at_its_total(tmp_path: Path) -> None:
    progress = Counting()
    run_search(tmp_path, "grid", max_trials=2, cv=3, epochs=2, progress=progress)
    assert (progress.total, progress.worked, progress.skipped) == (12, 12, 0)
    # By its name a search is known to who counts it as a part of something longer.
    assert progress.name == "search"
    # Started again it has nothing left to count.
    again = Counting()
    run_search(tmp_path, "grid", max_trials=2, cv=3, epochs=2, progress=again)
    assert (again.total, again.done, again.worked, again.skipped) == (12, 12, 0, 0)


@pytest.mark.slow
def test_what_a_failed_trial_leaves_out_is_done_without_work(tmp_path: Path) -> None:
    progress = Counting()
    error = TrialError("broken batch")
    model = FailingHyperModel(error)
    make_tuner(tmp_path, "grid", None, hypermodel=model, progress=progress).search(
        *arrays(), epochs=2, batch_size=16
    )
    assert (progress.total, progress.worked, progress.skipped) == (16, 8, 8)


@pytest.mark.slow
def test_folds_of_an_earlier_run_are_done_without_work(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        # In the second epoch of the second fold of the second trial.
        run_search(tmp_path, "grid", cv=3, epochs=2, progress=Counting(dies_after=10))
    progress = Counting()
    run_search(tmp_path, "grid", cv=3, epochs=2, progress=progress)
    assert (progress.total, progress.done) == (12, 6)
    assert (progress.skipped, progress.worked) == (2, 4)


@pytest.mark.slow
def test_an_exhausted_backend_fails_the_trial(tmp_path: Path) -> None:
    import tensorflow as tf

    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
    tuner = make_tuner(tmp_path, "grid", 3, hypermodel=FailingHyperModel(error))
    tuner.search(*arrays(), epochs=1, batch_size=16)
    assert tuner.results()["message"].iloc[2] == "ResourceExhaustedError: OOM when allocating"


def test_a_programming_error_stops_at_once_and_leaves_the_trial_to_be_run(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, "grid", None, hypermodel=FailingHyperModel(KeyError("typo")))
    with pytest.raises(KeyError, match="typo"):
        tuner.search(*arrays(), epochs=1, batch_size=16)
    # The third model failed before its trial was recorded, so that trial is the next.
    assert list(tuner.results()["status"]) == ["COMPLETED", "COMPLETED"]
    mended = make_tuner(tmp_path, "grid", None)
    mended.search(*arrays(), epochs=1, batch_size=16)
    assert list(mended.results()["status"]) == ["COMPLETED"] * 4


class DivergingHyperModel(TinyHyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        model.compile(keras.optimizers.SGD(float("inf")), "binary_crossentropy", run_eagerly=True)
        return model


def test_a_trial_that_diverges_fails_with_its_place(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, "grid", 1, hypermodel=DivergingHyperModel())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        tuner.search(*arrays(), epochs=1, batch_size=16)
    row = tuner.results().iloc[0]
    assert row["status"] == "FAILED"
    assert "trial 0000, fold 0, epoch 0" in row["message"]


@pytest.mark.slow
def test_any_scikit_learn_splitter_will_do(tmp_path: Path) -> None:
    x, y, groups = arrays()
    tuner = make_tuner(tmp_path, "grid", 1, cv=GroupKFold(4))
    tuner.search(x, y, groups, epochs=1, batch_size=16)
    assert sorted(tuner.history()["fold"].unique()) == [0, 1, 2, 3]


def test_no_group_straddles_a_fold_made_from_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, groups = arrays()
    tuner = make_tuner(tmp_path, "grid", 1, cv=3)
    seen = {}
    run_trials = type(tuner)._run_trials

    def spy(self: CrossValidationTuner) -> None:
        seen["folds"] = self._run.subject.folds
        run_trials(self)

    monkeypatch.setattr(type(tuner), "_run_trials", spy)
    tuner.search(x, y, groups, epochs=1, batch_size=16)
    for training, validation in seen["folds"]:
        assert not set(groups[training]) & set(groups[validation])


@pytest.mark.numerical
def test_out_of_fold_predictions_cover_every_row_once(finished: CrossValidationTuner) -> None:
    from rust_tuner.records.project import read_out_of_fold

    predictions = read_out_of_fold(finished.project_folder, "0001")
    assert predictions.shape == (48, 2)
    assert np.isfinite(predictions).all()


def test_arrays_that_do_not_fit_together_are_refused_before_work(tmp_path: Path) -> None:
    x, y, groups = arrays()
    with pytest.raises(SearchError, match="x has 48, y has 47, groups has 48 rows"):
        make_tuner(tmp_path, "grid").search(x, y[1:], groups)


@pytest.mark.parametrize("fault", [None, float("nan"), "7"])
def test_faulty_groups_are_refused_by_row_and_leave_no_file(
    tmp_path: Path, fault: float | str | None
) -> None:
    x, y, groups = arrays()
    tuner = make_tuner(tmp_path, "grid")
    before = sorted(tmp_path.rglob("*"))
    faulty = [fault if row == 5 else group for row, group in enumerate(groups.tolist())]
    with pytest.raises(SearchError, match=r"groups (is missing|are of several types).* in row 5"):
        tuner.search(x, y, faulty)  # type: ignore[arg-type]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_arrays_without_groups_are_said_to_be_split_by_row(tmp_path: Path) -> None:
    x, y, groups = arrays()
    for given, expected in ((None, 1), (groups, 0)):
        said: list[str] = []

        class Listening(Silent):
            def say(self, text: str, said: list[str] = said) -> None:
                said.append(text)

        tuner = make_tuner(tmp_path / str(expected), "grid", 1, progress=Listening())
        tuner.search(x, y, given, epochs=1, batch_size=16)
        assert sum("rows are split one by one" in text for text in said) == expected


def test_radiographs_that_are_no_development_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="expected Development"):
        make_tuner(tmp_path, "grid").search(Radiographs(phantom_table(patients=8, seed=0)))


def test_a_model_that_compares_with_targets_is_not_searched_without_them(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"y is missing.*pass the inputs as y as well"):
        make_tuner(tmp_path, "grid").search(arrays()[0])


def test_an_objective_that_is_not_reported_is_refused(tmp_path: Path) -> None:
    from rust_tuner import CrossValidationTuner, GridSearchOracle

    oracle = GridSearchOracle(keras_tuner.Objective("val_kappa", "max"))
    tuner = CrossValidationTuner(TinyHyperModel(), oracle, cv=2, directory=tmp_path)
    with pytest.raises(SearchError, match=r"val_kappa is not among the metrics: .*val_auroc"):
        tuner.search(*arrays(), epochs=1)


class GrowingHyperModel(TinyHyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        if hp.get("dropout") > 0 and hp.get("units") == 3:
            hp.Float("late", 0, 1)
        return model


def test_a_space_that_grows_in_mid_search_is_refused_by_name(tmp_path: Path) -> None:
    hypermodel = GrowingHyperModel()
    hypermodel.declares_everything = True
    tuner = make_tuner(tmp_path, "grid", None, hypermodel=hypermodel)
    with pytest.raises(SpaceError, match="late was first declared during the search"):
        tuner.search(*arrays(), epochs=1, batch_size=16)


@pytest.mark.filterwarnings("ignore:currentThread\\(\\) is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:getName\\(\\) is deprecated:DeprecationWarning")
def test_stock_keras_tuner_reloads_the_folder_and_reports_the_same_best_trial(
    finished: CrossValidationTuner,
) -> None:
    stock = keras_tuner.RandomSearch(
        TinyHyperModel(),
        objective=keras_tuner.Objective("val_auroc", "max"),
        max_trials=2,
        directory=finished.directory,
        project_name=finished.project_name,
    )
    best = stock.oracle.get_best_trials(1)[0]
    assert best.trial_id == not_none(finished.project.best).trial
    assert best.score == not_none(finished.project.best).score
    assert stock.get_best_hyperparameters()[0].values == not_none(finished.project.best).values
