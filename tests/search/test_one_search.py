"""Two threads of a process do not search at once."""

import threading
from pathlib import Path

import pytest
from search_problems import run_search

from rust_tuner.errors import SearchError
from rust_tuner.search.one_search import alone_in_process


@pytest.fixture
def searching_thread() -> object:
    """Another thread that searches until the test ends."""
    begun, end = threading.Event(), threading.Event()

    def search() -> None:
        with alone_in_process():
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=search)
    thread.start()
    assert begun.wait(60)
    yield thread
    end.set()
    thread.join()


def test_a_search_beside_that_of_another_thread_is_refused(
    searching_thread: threading.Thread, tmp_path: Path
) -> None:
    assert searching_thread.is_alive()
    with pytest.raises(SearchError, match="another thread of this process is searching"):
        run_search(tmp_path, "grid", max_trials=1, epochs=1)
    assert not list(tmp_path.rglob("trial.json"))


def test_searches_within_a_search_and_after_one_in_another_thread_run() -> None:
    with alone_in_process(), alone_in_process():
        pass
    failures: list[Exception] = []

    def search() -> None:
        try:
            with alone_in_process():
                raise KeyError
        except KeyError:
            pass
        except SearchError as error:
            failures.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert not failures
    with alone_in_process():
        pass
