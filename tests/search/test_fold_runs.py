"""Each fold has the model of its own place, whatever was built or drawn before it."""

import contextlib
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from fault_injection import Killed
from search_problems import (
    TinyHyperModel,
    arrays,
    assert_same,
    each_fold,
    outcome,
    run_search,
)

from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.search.fold_runs import run_folds


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


@keras.saving.register_keras_serializable("tests")
class Drawing(keras.layers.Layer):  # type: ignore[misc]
    """Adds what TensorFlow draws without its global seed, and goes on drawing in each call."""

    def call(self, values: Any, training: bool = False) -> Any:
        import tensorflow as tf

        drawn = tf.raw_ops.RandomStandardNormal(
            shape=tf.shape(values), dtype=tf.float32, seed=3, seed2=4
        )
        # In evaluation, too, but without an effect.
        return values + drawn * (1.0 if training else 0.0)


class DrawingHyperModel(TinyHyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        drawing = keras.Sequential([keras.Input((4,)), Drawing(), *model.layers])
        drawing.compile(self.make_optimizer(), "binary_crossentropy", run_eagerly=True)
        return drawing


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the operations are TensorFlow's"
)
def test_a_layer_that_draws_without_a_seed_draws_the_same_in_a_resumed_search(
    tmp_path: Path,
) -> None:
    def search(name: str) -> Any:
        hypermodel = DrawingHyperModel()
        return run_search(tmp_path / name, "grid", hypermodel=hypermodel, max_trials=1, epochs=1)

    whole = outcome(search("whole"))
    save = FoldStore.save

    def save_and_die(store: FoldStore, record: FoldRecord) -> None:
        save(store, record)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FoldStore, "save", save_and_die)
        with contextlib.suppress(Killed):
            search("killed")
    assert_same(outcome(search("killed")), whole)
