"""Trials that an executor trains: the search is that of one process, file for file."""

import concurrent.futures
import functools
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import keras
import keras_tuner
import pytest
from fake_executors import SameProcess
from fault_injection import MOMENTS, Snapshots
from keras_tuner.engine.trial import Trial
from notes import Notes
from search_problems import (
    AdamHyperModel,
    Outcome,
    TinyHyperModel,
    assert_same,
    grow,
    make_tuner,
    outcome,
    remembering,
    run_search,
    run_search_of_folds_together,
)
from search_problems import arrays as problem

from rust_tuner import CrossValidationTuner
from rust_tuner.errors import SearchError
from rust_tuner.search.executors.given import GivenExecutor
from rust_tuner.search.executors.lost import WorkerLost


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Outcome]:
    """What a search of one process leaves, by its kind and number of trials; one epoch each."""

    @functools.cache
    def of(kind: str, max_trials: int) -> Outcome:
        folder = tmp_path_factory.mktemp("alone")
        return outcome(run_search(folder, kind, max_trials=max_trials, epochs=1))

    return of


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", pytest.param("grid", marks=pytest.mark.slow)])
def test_a_search_in_an_executor_is_that_of_one_process(
    kind: str, alone: Callable[[str, int], Outcome], tmp_path: Path
) -> None:
    executor = SameProcess()
    tuner = make_tuner(tmp_path, kind, max_trials=3)
    tuner.search(*problem(), epochs=1, batch_size=16, executor=executor)
    assert executor.calls == 3
    assert_same(outcome(tuner), alone(kind, 3))


@pytest.mark.slow
def test_a_growing_search_in_an_executor_is_that_of_one_process(tmp_path: Path) -> None:
    expected = outcome(grow(tmp_path / "alone", "grid", max_trials=4))
    sent = grow(tmp_path / "sent", "grid", max_trials=4, search={"executor": SameProcess()})
    assert_same(outcome(sent), expected)


@pytest.mark.slow
def test_callbacks_and_their_state_are_sent_along(tmp_path: Path) -> None:
    both = []
    for name, options in (("alone", {}), ("sent", {"executor": SameProcess()})):
        tuner = make_tuner(tmp_path / name, "random")
        callbacks = remembering()
        tuner.search(*problem(), epochs=4, batch_size=16, callbacks=callbacks, **options)  # type: ignore[arg-type]
        both.append(outcome(tuner))
    assert_same(*both)


class Failing(TinyHyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        if hp.get("units") == 2:
            raise ValueError(f"units={hp.get('units')} do not fit")
        return model


@pytest.mark.slow
def test_failed_trials_are_those_of_one_process(tmp_path: Path) -> None:
    both = []
    for name, options in (("alone", {}), ("sent", {"executor": SameProcess()})):
        tuner = make_tuner(tmp_path / name, "grid", max_trials=4, hypermodel=Failing())
        tuner.search(*problem(), epochs=1, batch_size=16, **options)  # type: ignore[arg-type]
        both.append(tuner.results().drop(columns="seconds"))
    assert set(both[0]["status"]) == {"FAILED", "COMPLETED"}
    assert both[0].equals(both[1])


class NeverFits(TinyHyperModel):
    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: object, **kwargs: object
    ) -> NoReturn:
        raise ValueError("nothing fits")


def test_a_mistake_in_the_code_ends_the_search_though_others_are_sent(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, "random", max_trials=9, hypermodel=NeverFits())
    with pytest.raises(ValueError, match="nothing fits"):
        tuner.search(*problem(), epochs=1, executor=SameProcess())
    assert {trial.status for trial in tuner.project.trials} == {"RUNNING"}


class FailsLater(TinyHyperModel):
    """Trains each trial's first fold wrongly, and fails in the second."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        self.calls += 1
        if self.calls % 2 == 0:
            raise ValueError("a mistake")
        model.optimizer.learning_rate.assign(0.0)
        return model.fit(*args, **kwargs)


class Mended(TinyHyperModel):
    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        return model.fit(*args, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("executor", [SameProcess, None])
def test_folds_of_a_mistake_are_not_kept_though_others_were_sent(
    executor: Callable[[], SameProcess] | None, tmp_path: Path
) -> None:
    def run(folder: Path, hypermodel: TinyHyperModel) -> CrossValidationTuner:
        tuner = make_tuner(folder, "random", max_trials=5, hypermodel=hypermodel)
        tuner.search(*problem(), epochs=1, executor=executor and executor())
        return tuner

    with pytest.raises(ValueError, match="a mistake"):
        run(tmp_path / "mended", FailsLater())
    assert len(list((tmp_path / "mended").rglob("trial.json"))) >= 3
    assert not list((tmp_path / "mended").rglob("fold_*"))
    mended = run(tmp_path / "mended", Mended())
    assert_same(outcome(mended), outcome(run(tmp_path / "clean", Mended())))


class Exiting(SameProcess):
    """Its processes are ended by what they run."""

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_exception(SystemExit("I give up"))
        return future


def test_code_that_ends_its_process_ends_the_search_with_an_error(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, "random", max_trials=2)
    with pytest.raises(SearchError, match=r"trial 0000 ended .* sys\.exit\('I give up'\)"):
        tuner.search(*problem(), epochs=1, executor=Exiting())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_an_executor_of_forks_is_refused(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, "random")
    forks = multiprocessing.get_context("fork")
    with (
        concurrent.futures.ProcessPoolExecutor(1, mp_context=forks) as executor,
        pytest.raises(SearchError, match=r'mp_context=multiprocessing\.get_context\("spawn"\)'),
    ):
        tuner.search(*problem(), epochs=1, executor=executor)
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawned) as executor:
        assert GivenExecutor(executor).num_workers == 1


def test_an_executor_of_threads_is_refused(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, "random")
    with (
        concurrent.futures.ThreadPoolExecutor(1) as executor,
        pytest.raises(SearchError, match="share Keras's random state"),
    ):
        tuner.search(*problem(), epochs=1, executor=executor)


class OwnTrial(CrossValidationTuner):
    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        return super().run_trial(trial, *args, **kwargs)


@pytest.mark.slow
def test_an_own_run_trial_runs_in_this_process_and_says_so(tmp_path: Path) -> None:
    notes = Notes()
    tuner = make_tuner(tmp_path, "random", max_trials=1, progress=notes)
    tuner.__class__ = OwnTrial
    tuner.search(*problem(), epochs=1, executor=SameProcess())
    assert any("run_trial of the tuner is called in this process" in said for said in notes.said)


class AsksInFit(AdamHyperModel):
    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        hp.Choice("late", [1, 2])
        return model.fit(*args, **kwargs)


@pytest.mark.slow
def test_what_is_first_asked_for_in_training_is_refused_by_name(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, "random", hypermodel=AsksInFit())
    with pytest.raises(SearchError, match="late is first asked for while the model is trained"):
        tuner.search(*problem(), epochs=1, executor=SameProcess())


class Dying(SameProcess):
    """Breaks at one call, as a pool does whose process was killed."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        if self.calls == self.at:
            self.calls += 1
            future: concurrent.futures.Future[Any] = concurrent.futures.Future()
            future.set_exception(concurrent.futures.BrokenExecutor("killed"))
            return future
        return super().submit(function, *arguments)


@pytest.mark.slow
def test_a_broken_executor_of_the_user_ends_the_search_which_is_resumed(
    alone: Callable[[str, int], Outcome], tmp_path: Path
) -> None:
    tuner = make_tuner(tmp_path, "random", max_trials=3)
    with pytest.raises(SearchError, match=r"workers died while trials 0001 were trained"):
        tuner.search(*problem(), epochs=1, batch_size=16, executor=Dying(at=1))
    again = run_search(tmp_path, "random", max_trials=3, epochs=1)
    assert_same(outcome(again), alone("random", 3))


class DyingAgain(GivenExecutor):
    """Its workers die at every call, and are replaced."""

    def __init__(self) -> None:
        super().__init__(Dying(at=0))
        self.restarts = 0

    def submit(self, function: Any, *arguments: Any) -> Any:
        self._executor.calls = 0
        return super().submit(function, *arguments)

    def restart(self) -> bool:
        self.restarts += 1
        return True


class Losing(SameProcess):
    """The worker of one trial dies, so many times; the others train."""

    def __init__(self, times: int) -> None:
        super().__init__(2)
        self.times = times

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        if arguments[3] != "0001" or not self.times:
            return super().submit(function, *arguments)
        self.times -= 1
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_exception(WorkerLost("the node is gone"))
        return future


@pytest.mark.slow
def test_a_worker_that_dies_alone_costs_its_own_trial_a_second_run(tmp_path: Path) -> None:
    notes = Notes()
    sent = run_search_of_folds_together(
        tmp_path, "random", max_trials=3, engine=GivenExecutor(Losing(2)), progress=notes
    )
    assert [trial.status for trial in sent.project.trials] == ["COMPLETED"] * 3
    warnings = [line for line in notes.said if line.startswith("WARNING")]
    text = "WARNING: the worker of trial 0001 died (the node is gone); the trial runs again"
    assert warnings == [text] * 2
    with pytest.raises(SearchError, match=r"the worker of trial 0001 died 3 times"):
        run_search_of_folds_together(
            tmp_path / "b", "random", max_trials=3, engine=GivenExecutor(Losing(3))
        )


def test_workers_that_die_again_and_again_end_the_search(tmp_path: Path) -> None:
    engine = DyingAgain()
    with pytest.raises(SearchError, match="workers died while trials 0000"):
        run_search_of_folds_together(tmp_path, "random", max_trials=2, engine=engine)
    assert engine.restarts == 2


@pytest.mark.slow
def test_frozen_features_are_sent_as_files_and_the_search_is_that_of_one_process(
    tmp_path: Path,
) -> None:
    expected = outcome(run_search_of_folds_together(tmp_path / "alone", "random", max_trials=3))
    engine = GivenExecutor(SameProcess())
    sent = run_search_of_folds_together(tmp_path / "sent", "random", max_trials=3, engine=engine)
    assert_same(outcome(sent), expected)
    assert not (sent.project_folder / ".workers").exists()


@pytest.mark.slow
def test_a_search_in_an_executor_killed_at_any_write_ends_as_if_untouched(
    alone: Callable[[str, int], Outcome], tmp_path: Path
) -> None:
    """The coordinator and its workers die together; half of the searches go on without workers."""

    def run(folder: Path, executor: SameProcess | None) -> CrossValidationTuner:
        tuner = make_tuner(folder, "random", max_trials=2)
        tuner.search(*problem(), epochs=1, batch_size=16, executor=executor)
        return tuner

    (tmp_path / "whole").mkdir()
    snapshots = Snapshots(tmp_path / "whole", tmp_path / "snapshots")
    with snapshots.taken():
        expected = outcome(run(tmp_path / "whole", SameProcess()))
    assert_same(expected, alone("random", 2))
    writes = snapshots.writes
    # Where a worker takes the last trial; the trial before it has the same writes.
    last = max(number for number, name in enumerate(writes) if name == "worker.json")
    strikes = [*range(0, last, 3), *range(last, len(writes))]
    for number, strike in enumerate(strikes):
        folder = snapshots.restore(strike, MOMENTS[number % 3], tmp_path / str(strike))
        assert_same(outcome(run(folder, SameProcess() if number % 2 else None)), expected)
