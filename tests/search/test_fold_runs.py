"""Each fold has the model of its own place, whatever was built or drawn before it."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from drawing_layer import search_with_drawing_layer
from fault_injection import Killed
from search_problems import TinyHyperModel, arrays, assert_same, each_fold, outcome

from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.search.fold_runs import run_folds

TESTS = Path(__file__).parents[1]


def build(running: object = None) -> keras.Model:
    hp = keras_tuner.HyperParameters()
    hp.Fixed("units", 2)
    hp.Fixed("dropout", 0.0)
    return TinyHyperModel().build(hp)


def constant(value: float) -> keras.Model:
    """A model that no seed gives."""
    model = build()
    model.set_weights([np.full_like(weight, value) for weight in model.get_weights()])
    return model


@pytest.mark.slow
def test_a_model_that_was_built_before_is_that_of_fold_0_alone(tmp_path: Path) -> None:
    x, y, _ = arrays()
    rows = np.arange(len(x))
    folds = [(rows[rows % 2 != fold], rows[rows % 2 == fold]) for fold in range(2)]
    data = TrainingData(x, y, each_fold(lambda answers, rows, where: {"mean": answers.mean()}))

    def predictions(store: FoldStore | None, spare: list[keras.Model]) -> list[Any]:
        result = run_folds(
            build, data, folds, epochs=1, batch_size=48, seed=1, store=store, spare=spare
        )
        return [np.asarray(fold.predictions).tobytes() for fold in result.folds]

    store = FoldStore(tmp_path, {})
    expected = predictions(store, [])
    first = predictions(None, [constant(0.1)])
    assert first[0] != expected[0]
    assert first[1] == expected[1]
    # Fold 0 has its record.
    for path in tmp_path.glob("fold_1.*"):
        path.unlink()
    assert predictions(store, [constant(0.1)]) == expected


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the operations are TensorFlow's"
)
def test_a_layer_that_draws_without_a_seed_draws_the_same_in_a_resumed_search(
    tmp_path: Path,
) -> None:
    whole = outcome(search_with_drawing_layer(tmp_path / "whole"))
    save = FoldStore.save

    def save_and_die(store: FoldStore, record: FoldRecord) -> None:
        save(store, record)
        raise Killed

    killed = tmp_path / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FoldStore, "save", save_and_die)
        with contextlib.suppress(Killed):
            search_with_drawing_layer(killed)
    # In a process that has drawn nothing.
    resume = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import drawing_layer; "
        "drawing_layer.search_with_drawing_layer(pathlib.Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", resume, str(TESTS), str(killed)], check=True)
    assert len(list(killed.glob("search/trial_0000/out_of_fold.npz"))) == 1
    assert_same(outcome(search_with_drawing_layer(killed)), whole)
