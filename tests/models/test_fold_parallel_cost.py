"""Folds side by side share one graph and one copy of the features, and give their memory back."""

from collections.abc import Iterable
from dataclasses import replace

import keras
import keras_tuner
import numpy as np
import pytest
from folds_together import (
    NUM_FEATURES,
    assert_same_curves,
    dense_head,
    fold_rows,
    layers_traced,
    one_by_one,
    problem,
    together,
)
from narrowing import is_a
from search_problems import each_fold

from rust_tuner.models import fold_steps
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel
from rust_tuner.models.runtime import empty_aligned


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[keras.Layer]:
    return layers_traced(monkeypatch)


@pytest.mark.slow
def test_trials_that_differ_in_numbers_only_share_a_graph(traced: list[keras.Layer]) -> None:
    targets = np.zeros((66, 18), dtype=np.float32)
    data = replace(problem(), targets=targets, metrics=each_fold(lambda *fold: {}))
    trainer = FoldParallelTrainer(data)
    hypermodels = [
        TransferLearningHyperModel(SearchSpace(batch, rate, (lr,), (epsilon,)))
        for batch, rate, lr, epsilon in ((16, 0.1, 1e-3, 1e-7), (16, 0.4, 1e-2, 1e-3))
    ]
    counts = []
    # A batch size is one of the numbers.
    for hypermodel, batch_size in zip(hypermodels, (16, 5), strict=True):
        hp = keras_tuner.HyperParameters()
        hypermodel.declare_hyperparameters(hp)
        together(
            data,
            lambda hm=hypermodel, hp=hp: hm.build_head(hp, NUM_FEATURES),
            fold_rows(batch_size),
            epochs=1,
            trainer=trainer,
        )
        # JAX traces each shape of a batch anew, on the same layers.
        is_one_graph = keras.backend.backend() == "tensorflow"
        counts.append(len(traced) if is_one_graph else len({id(layer) for layer in traced}))
    assert counts[0] == counts[1] > 0


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="others take any size of a batch")
@pytest.mark.parametrize(
    ("is_gpu", "batch_sizes"), [(False, (17, 18)), (True, (17, 25))], ids=["processor", "gpu"]
)
def test_batches_of_one_room_share_a_compiled_step(
    is_gpu: bool,
    batch_sizes: tuple[int, int],
    traced: list[keras.Layer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if is_gpu:
        monkeypatch.setattr(fold_steps, "_rooms", lambda: 1)
    data, build = problem(), dense_head(dropout=0.3)
    trainer = FoldParallelTrainer(data)
    counts = []
    for batch_size in batch_sizes:
        rows = fold_rows(batch_size)
        curves = together(data, build, rows, epochs=1, trainer=trainer)
        assert_same_curves(curves, one_by_one(data, build, rows, epochs=1))
        counts.append(len(traced))
    assert counts[0] == counts[1] > 0
    # The next size is compiled, so that the count above could differ.
    together(data, build, fold_rows(5), epochs=1, trainer=trainer)
    assert len(traced) > counts[1]


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others take a copy")
def test_the_features_are_held_once() -> None:
    data = problem()
    values = empty_aligned(is_a(FrozenFeatures, data.inputs).values.shape)
    values[:] = is_a(FrozenFeatures, data.inputs).values
    trainer = FoldParallelTrainer(replace(data, inputs=FrozenFeatures(values, "x")))
    # A copy would not see it.
    values[3, 1] = 7
    changed = replace(data, inputs=FrozenFeatures(values.copy(), "x"))
    found = together(changed, dense_head(), fold_rows(16), epochs=1, trainer=trainer)
    assert_same_curves(found, together(changed, dense_head(), fold_rows(16), epochs=1), rtol=0)


def held_bytes(variables: Iterable[keras.Variable]) -> int:
    return sum(np.asarray(variable.value).nbytes for variable in variables)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow alone keeps them")
def test_a_trainer_keeps_the_memory_of_one_head_and_after_its_release_of_none() -> None:
    data, build = problem(), dense_head()
    trainer = FoldParallelTrainer(data)
    first = together(data, build, fold_rows(5), trainer=trainer)
    (old,) = trainer._twins.values()
    owned = [v for v in (*old.model.variables, *old.model.optimizer.variables)]
    before = held_bytes(owned)
    # A head of another shape is traced anew.
    together(data, dense_head(units=5), fold_rows(5), trainer=trainer)
    (new,) = trainer._twins.values()
    assert new is not old
    features = is_a(FrozenFeatures, data.inputs).values.nbytes
    assert before > features
    assert held_bytes(owned) == features
    again = together(data, build, fold_rows(5), trainer=trainer)
    assert_same_curves(first, again, rtol=0)
    (last,) = trainer._twins.values()
    owned += [*last.model.variables, *last.model.optimizer.variables]
    trainer.release()
    assert held_bytes(owned) == 0
