"""The memory of a search: models are freed after each fold, and large predictions are on disk."""

import gc
import os
import weakref
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from search_problems import TracedHyperModel, run_search

from rust_tuner import CrossValidationTuner, RandomSearchOracle, cross_validate
from rust_tuner.environment import objects_are_frozen
from rust_tuner.models import epoch_file, fold_batches
from rust_tuner.models.runtime import (
    MemoryOf,
    collect_all_garbage,
    new_garbage_collected,
    variables_of,
)
from rust_tuner.records.project import read_out_of_fold


def wide(shared: keras.Layer | None = None) -> keras.Model:
    first = shared or keras.layers.Dense(1500, "relu")
    model = keras.Sequential([keras.Input((500,)), first, keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model


def resident() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_the_memory_of_a_users_models_is_flat_after_the_second_fold() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((48, 500), dtype=np.float32), np.tile([0.0, 1.0], 24)[:, None]
    folds = [(np.flatnonzero(np.arange(48) % 8 != f), np.arange(f, 48, 8)) for f in range(8)]
    sizes = []

    def build() -> keras.Model:
        gc.collect()
        sizes.append(resident())
        return wide(keras.layers.Dense(4000, "relu"))

    cross_validate(build, x, y, folds, epochs=1, batch_size=48)
    # A model takes 8 MB, and its optimizer twice as much.
    assert sizes[-1] - sizes[2] < 24e6, [size / 1e6 for size in sizes]


def test_memory_is_freed_of_variables_alone_that_nothing_refers_to() -> None:
    kept = wide()
    with new_garbage_collected():
        model = wide()
        gone = weakref.ref(model)
        memory, others = MemoryOf(variables_of(model)), MemoryOf(variables_of(kept))
        del model
    assert gone() is None
    memory.release_unused()
    others.release_unused()
    assert np.isfinite(kept.predict(np.zeros((2, 500)), verbose=0)).all()


@pytest.mark.slow
def test_what_existed_before_a_block_is_frozen_within_it_alone() -> None:
    for _ in range(2):
        # After a collection, Python 3.12 counts objects of its own as frozen.
        gc.collect()
        with pytest.raises(KeyboardInterrupt), new_garbage_collected():
            assert objects_are_frozen()
            with new_garbage_collected():
                pass
            collect_all_garbage()
            assert objects_are_frozen()
            raise KeyboardInterrupt
        assert not objects_are_frozen()
    # What the user has frozen stays so.
    gc.freeze()
    try:
        with new_garbage_collected():
            pass
        collect_all_garbage()
        assert objects_are_frozen()
    finally:
        gc.unfreeze()


@pytest.mark.slow
def test_what_python_itself_counts_as_frozen_does_not_keep_a_block_from_freezing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Python 3.12 counts its immortal objects, here after the imports of a whole study.
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 375)
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    monkeypatch.setattr(gc, "unfreeze", lambda: frozen.append(False))
    with new_garbage_collected():
        assert frozen == [True]
    assert frozen == [True, False]


@pytest.mark.slow
@pytest.mark.parametrize("run_eagerly", [True, False], ids=["eager", "compiled"])
def test_models_of_earlier_trials_are_gone(run_eagerly: bool, tmp_path: Path) -> None:
    models: list[weakref.ref[keras.Model]] = []
    alive = []

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        alive.append(sum(model() is not None for model in models))
        units = keras.layers.Dense(hp.Int("units", 2, 60))
        # Trains one fold after another.
        layers = [keras.Input((5,)), units, keras.layers.BatchNormalization()]
        model = keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"], run_eagerly=run_eagerly)
        models.append(weakref.ref(model))
        return model

    oracle = RandomSearchOracle("val_accuracy", max_trials=6, seed=0)
    tuner = CrossValidationTuner(build, oracle, cv=2, directory=tmp_path, project_name="models")
    x, y = np.random.default_rng(0).random((12, 5), dtype=np.float32), np.tile([0.0, 1.0], 6)
    tuner.search(x, y, epochs=1, verbose=0)
    assert len(alive) >= 12
    # The one with compiled functions, and the one that was asked for its hyperparameters.
    assert max(alive) <= 2, alive


@pytest.mark.slow
def test_a_layer_that_the_user_shares_between_folds_stays(tmp_path: Path) -> None:
    shared = keras.layers.Dense(1500, "relu")
    x, y = np.random.default_rng(0).random((12, 500), dtype=np.float32), np.tile([0.0, 1.0], 6)
    folds = [(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]
    outcome = cross_validate(lambda: wide(shared), x, y[:, None], folds, epochs=1)
    assert len(outcome.folds) == 2
    assert shared.kernel.shape == (500, 1500)
    assert np.isfinite(shared(x).numpy()).all()


@pytest.mark.slow
def test_a_search_with_predictions_on_disk_is_that_with_predictions_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_search(tmp_path / "memory", "grid", max_trials=1)
    monkeypatch.setattr(epoch_file, "LARGEST_IN_MEMORY", 0)
    made = []
    create = epoch_file.EpochFile.append
    monkeypatch.setattr(
        epoch_file.EpochFile,
        "append",
        lambda *args: (made.append(1), create(*args))[1],  # type: ignore[func-returns-value]
    )
    on_disk = run_search(tmp_path / "disk", "grid", max_trials=1)
    assert len(made) == 4
    columns = ["trial", "score", "epoch"]
    assert on_disk.results()[columns].equals(whole.results()[columns])
    assert not list(tmp_path.rglob("*.bin"))
    one, other = (read_out_of_fold(t.project_folder, "0000") for t in (whole, on_disk))
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_batches_of_earlier_folds_are_gone_though_their_functions_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = []
    feeds: weakref.WeakSet[fold_batches.EpochFeed] = weakref.WeakSet()
    begin = fold_batches.EpochFeed.begin

    def counted(feed: fold_batches.EpochFeed, epoch: int) -> Any:
        if feed not in feeds:
            gc.collect()
            alive.append(len(feeds))
            feeds.add(feed)
        return begin(feed, epoch)

    monkeypatch.setattr(fold_batches.EpochFeed, "begin", counted)
    hypermodel = TracedHyperModel()
    hypermodel.trains_statistics = True
    run_search(tmp_path, "random", hypermodel=hypermodel, max_trials=2, epochs=1, cv=3)
    assert len(alive) == 6
    assert max(alive) <= 1
