"""A trial that fails is recorded with its reason, costs no other trial, and is not waited for."""

import warnings
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from search_problems import TinyHyperModel, arrays, make_tuner, run_search

from rust_tuner.errors import TrialError
from rust_tuner.progress import Silent


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


@pytest.mark.slow
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
