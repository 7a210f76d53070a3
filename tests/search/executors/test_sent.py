"""Executors that break, refuse, cancel or lose trials: the search says so, or goes on."""

import concurrent.futures
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from fake_executors import SameProcess
from search_problems import (
    TinyHyperModel,
    arrays,
    assert_same,
    make_tuner,
    outcome,
    run_search_of_folds_together,
)
from waiting import wait_for

from rust_tuner import CrossValidationTuner
from rust_tuner.errors import SearchError
from rust_tuner.search.executors.given import GivenExecutor


class Restarted(GivenExecutor):
    """Its pool breaks at the submission of a trial, as if a worker had died just before."""

    def __init__(self, broken: str) -> None:
        super().__init__(SameProcess(2))
        self.broken: str | None = broken
        self.restarts = 0

    def submit(self, function: Any, *arguments: Any) -> Any:
        if arguments[3] == self.broken:
            raise concurrent.futures.BrokenExecutor("a worker was killed")
        return super().submit(function, *arguments)

    def restart(self) -> bool:
        self.broken = None
        self.restarts += 1
        return True


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    """The search without an executor; not to be written to."""
    return run_search_of_folds_together(tmp_path_factory.mktemp("alone"), "grid", max_trials=4)


@pytest.mark.slow
@pytest.mark.parametrize("trial", ["0000", "0003"])
def test_a_pool_that_breaks_between_two_trials_is_started_anew(
    trial: str, alone: CrossValidationTuner, tmp_path: Path
) -> None:
    engine = Restarted(trial)
    sent = run_search_of_folds_together(tmp_path / "sent", "grid", max_trials=4, engine=engine)
    assert engine.restarts == 1
    assert_same(outcome(sent), outcome(alone))


class Odd(SameProcess):
    """Does something else with its second call."""

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        if self.calls == 1:
            self.calls += 1
            return self.instead()
        return super().submit(function, *arguments)

    def instead(self) -> Any:
        raise RuntimeError("cannot schedule new futures after shutdown")


class Cancels(Odd):
    def instead(self) -> Any:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.cancel()
        return future


class LosesResults(Odd):
    def instead(self) -> Any:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_result(None)
        return future


class Fails(Odd):
    def instead(self) -> Any:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_exception(ValueError("the queue is full"))
        return future


class NoFuture(Odd):
    def instead(self) -> Any:
        return "task 7"


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        pytest.param(
            Odd, r"trial 0001 to its end \(RuntimeError: cannot schedule", marks=pytest.mark.slow
        ),
        pytest.param(Cancels, r"trial 0001 to its end \(CancelledError", marks=pytest.mark.slow),
        (LosesResults, r"trial 0001 to its end \(its result is None\)"),
        # An error of a trial of this kind would only fail the trial.
        pytest.param(
            Fails,
            r"trial 0001 to its end \(ValueError: the queue is full\)",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            NoFuture,
            r"submit of the executor returned a str; .*client.get_executor",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_an_executor_does_not_run_ends_the_search_which_is_resumed(
    executor: type[SameProcess], message: str, tmp_path: Path
) -> None:
    tuner = make_tuner(tmp_path, "grid", max_trials=3)
    with pytest.raises(SearchError, match=message):
        tuner.search(*arrays(), epochs=1, batch_size=24, executor=executor(2))
    assert [trial.status for trial in tuner.project.trials][:2] == ["COMPLETED", "RUNNING"]


class Waits(TinyHyperModel):
    def __init__(self, gate: Path) -> None:
        super().__init__()
        self._gate = gate

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        wait_for(self._gate.exists)
        return model.fit(*args, **kwargs)


class TwoThreads(SameProcess):
    """As a worker of Dask with two threads: the first trial runs until the second has ended."""

    def __init__(self, gate: Path) -> None:
        super().__init__(2)
        self._gate = gate
        self._threads = concurrent.futures.ThreadPoolExecutor(2)

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        self.calls += 1
        number = self.calls

        def run() -> Any:
            # It is another process than that of the search.
            outcome = function(*arguments[:6], ("elsewhere", 1, 1), *arguments[7:])
            if number > 1:
                self._gate.touch()
            return outcome

        future = self._threads.submit(run)
        if number > 1:
            concurrent.futures.wait([future])
        return future


@pytest.mark.slow
def test_a_process_that_trains_a_trial_refuses_a_second_one(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    tuner = make_tuner(tmp_path, "grid", max_trials=2, hypermodel=Waits(gate))
    with pytest.raises(SearchError, match="give each of its processes one thread"):
        tuner.search(*arrays(), epochs=1, batch_size=24, executor=TwoThreads(gate))
    assert [trial.status for trial in tuner.project.trials] == ["COMPLETED", "RUNNING"]


class Mistaken(TinyHyperModel):
    """A mistake that shows at some values alone."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        if (hp.get("units"), hp.get("dropout")) == (3, 0.0):
            raise KeyError("no layer of 3 units without dropout")
        return model


@pytest.mark.slow
def test_a_mistake_at_some_values_ends_the_search_after_the_trials_before_it(
    tmp_path: Path,
) -> None:
    left = []
    for name, executor in (("alone", None), ("sent", SameProcess(3))):
        tuner = make_tuner(tmp_path / name, "grid", max_trials=4, hypermodel=Mistaken())
        with pytest.raises(KeyError, match="no layer of 3 units"):
            tuner.search(*arrays(), epochs=1, batch_size=24, executor=executor)
        left.append(tuner.results().drop(columns="seconds"))
    assert set(left[0]["status"]) == {"COMPLETED"}
    assert left[0].equals(left[1])


class FailsOnce(TinyHyperModel):
    failed = False

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        if not FailsOnce.failed:
            FailsOnce.failed = True
            raise ValueError("this time")
        return model.fit(*args, **kwargs)


class Shrinking(GivenExecutor):
    """A cluster whose nodes leave once it has the first trials."""

    def submit(self, function: Any, *arguments: Any) -> Any:
        self.num_workers = 1
        return super().submit(function, *arguments)


@pytest.mark.slow
def test_a_trial_that_runs_again_comes_first_though_the_cluster_has_shrunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailsOnce, "failed", False)
    monkeypatch.setattr(
        "rust_tuner.search.tuner.engine_of", lambda executor, workers: Shrinking(executor)
    )
    tuner = make_tuner(tmp_path, "grid", max_trials=4, hypermodel=FailsOnce())
    tuner.oracle.max_retries_per_trial = 1
    tuner.search(*arrays(), epochs=1, batch_size=24, executor=SameProcess(2))
    assert tuner.oracle.end_order == ["0000", "0001", "0002", "0003"]
