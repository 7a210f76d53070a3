"""Two threads of a process do not search at once."""

import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from narrowing import not_none
from search_problems import make_tuner, run_search

from rust_tuner import Protocol, cross_validate
from rust_tuner.errors import SearchError
from rust_tuner.models import keras_state
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.keras_state import users_layers_kept
from rust_tuner.steps.refit import fit_head, tuned_hypermodel


@pytest.fixture
def searching_thread() -> Iterator[threading.Thread]:
    """Another thread that searches until the test ends."""
    begun, end = threading.Event(), threading.Event()

    def search() -> None:
        with users_layers_kept():
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=search)
    thread.start()
    assert begun.wait(60)
    yield thread
    end.set()
    thread.join()


@pytest.mark.usefixtures("searching_thread")
def test_whatever_builds_models_beside_a_search_of_another_thread_is_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(SearchError, match="another thread of this process is searching"):
        run_search(tmp_path, "grid", max_trials=1, epochs=1)
    with pytest.raises(SearchError, match="another thread"):
        make_tuner(tmp_path, "grid")
    with pytest.raises(SearchError, match="another thread"):
        cross_validate(keras.Sequential, np.zeros((4, 1)), np.zeros(4), folds=[], epochs=1)
    with pytest.raises(SearchError, match="another thread"):
        fit_head_once()
    assert not list(tmp_path.rglob("trial.json"))


def fit_head_once() -> None:
    labels = np.zeros((8, 18), np.float32)
    features = FrozenFeatures(np.zeros((8, 2, 2048), np.float32), "abc")
    values = {"batch_size": 4, "dropout_rate": 0.0, "learning_rate": 1e-3, "epsilon": 1e-7}
    hypermodel = tuned_hypermodel(Protocol.study(weights="random"), values)
    fit_head(hypermodel, features, labels, epochs=1, place=FoldPlace(0, 0, 0))


@pytest.mark.usefixtures("searching_thread")
def test_a_forked_process_has_no_other_thread() -> None:
    child = os.fork()
    if not child:
        try:
            with users_layers_kept():
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_search_within_a_search_runs_and_one_that_failed_leaves_nothing() -> None:
    def search() -> None:
        with pytest.raises(KeyError), users_layers_kept(), users_layers_kept():
            raise KeyError

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    with users_layers_kept(), users_layers_kept(joins=True):
        pass


def test_where_no_process_can_fork_a_search_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    found = importlib.util.spec_from_file_location("keras_state_again", keras_state.__file__)
    again = importlib.util.module_from_spec(not_none(found))
    not_none(not_none(found).loader).exec_module(again)
    with again.users_layers_kept():
        pass
