"""How a user names where trials run."""

import concurrent.futures
from typing import Any

import pytest
from fake_executors import SameProcess

from rust_tuner.errors import SearchError
from rust_tuner.search.executors.engines import engine_of
from rust_tuner.search.executors.given import GivenExecutor
from rust_tuner.search.executors.local import LocalEngine


@pytest.mark.parametrize("workers", [None, 1, "1", "local:1"])
def test_one_process_is_this_one(workers: int | str | None) -> None:
    assert engine_of(None, workers) is None


@pytest.mark.parametrize("workers", [3, "3", "local:3"])
def test_a_number_is_processes_of_this_machine_which_share_its_cores(
    workers: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of those of the machine, a job or a container may use some.
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    engine = engine_of(None, workers)
    assert isinstance(engine, LocalEngine)
    assert (engine.num_workers, engine.threads) == (3, 2)
    assert engine.note() == "trials run in 3 processes of 2 threads each"
    engine.close()


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "local:0", "local:", "", object()])
def test_anything_else_is_refused(workers: Any) -> None:
    with pytest.raises(SearchError, match="expected a number of processes of this machine"):
        engine_of(None, workers)


def test_an_executor_is_used_and_never_ended() -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        engine = engine_of(executor, None)
        assert isinstance(engine, GivenExecutor)
        assert engine.num_workers == 3
        engine.close()
        assert not engine.restart()
        assert engine.submit(int, "7").result() == 7


def test_an_executor_that_does_not_know_its_workers_gets_one_for_each_usable_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert GivenExecutor(SameProcess()).num_workers == 8


def test_an_executor_must_submit_and_has_no_number_beside_it() -> None:
    with pytest.raises(SearchError, match="a method submit"):
        engine_of("ray", None)
    with pytest.raises(SearchError, match="give one of them"):
        engine_of(concurrent.futures.ThreadPoolExecutor(1), 2)
