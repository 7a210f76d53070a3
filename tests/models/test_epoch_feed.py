"""All epochs of a fold are one pass over a dataset, with the batches of a pass for each epoch."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from fault_injection import Killed
from fold_problem import PLACE, SIZES, TRAINING, VALIDATION, problem

from rust_tuner.models import fold_batches
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.fold_training import train_all, train_fold
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.records.folds import FoldStore

EPOCHS = 3
VALIDATION_BATCHES = 2


class OwnFit(keras.Sequential):  # type: ignore[misc]
    """A model whose `fit` is the user's, which may loop over what it gets."""

    def fit(
        self,
        batches: tf.data.Dataset,
        *,
        initial_epoch: int,
        epochs: int,
        shuffle: bool,
        verbose: int,
        callbacks: list[keras.callbacks.Callback],
        validation_data: tf.data.Dataset,
    ) -> keras.callbacks.History:
        """Train as Keras does, with the arguments that this method had in every version."""
        assert len(batches) == len(SIZES)
        options = {"epochs": epochs, "callbacks": callbacks, "validation_data": validation_data}
        return super().fit(batches, shuffle=shuffle, verbose=verbose, **options)


def built(kind: type[keras.Model] = keras.Sequential, **options: Any) -> keras.Model:
    with seeded_weights(PLACE):
        dense = keras.layers.Dense(2, activation="sigmoid")
        model = kind([keras.Input((5,)), keras.layers.Dropout(0.3), dense])
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, "binary_crossentropy", metrics=["mae"], **options)
    return model


def trained(model: keras.Model, data: TrainingData) -> tuple[FoldCurves, list[Any]]:
    options: dict[str, Any] = {"sizes": SIZES, "epochs": EPOCHS, "place": PLACE}
    curves = train_fold(model, data, TRAINING, VALIDATION, **options)
    return curves, [as_numpy(variable) for variable in model.variables]


def assert_same(values: list[Any], expected: list[Any]) -> None:
    for one, other in zip(values, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of batches of each dataset that an iterator was made of, in order."""
    found: list[int] = []
    make = tf.data.Dataset.__iter__

    def noting(dataset: tf.data.Dataset) -> Any:
        found.append(int(dataset.cardinality()))
        return make(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", noting)
    return found


def flipped() -> TrainingData:
    """The rows as features with two variants, of which each epoch draws."""
    data = problem()
    rows = np.asarray(data.inputs)
    return dataclasses.replace(data, inputs=FrozenFeatures(np.stack([rows, -rows], axis=1), "x"))


@pytest.mark.numerical
@pytest.mark.parametrize("data", [problem, flipped])
def test_one_pass_has_the_batches_of_a_pass_for_each_epoch(
    data: Any, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    curves, weights = trained(built(), data())
    assert sum(length != VALIDATION_BATCHES for length in lengths) == 1
    lengths.clear()
    monkeypatch.setattr(fold_batches, "_counts_its_steps", lambda model, steps: False)
    monkeypatch.setattr(fold_batches, "_MOST_HELD", 0)
    expected, expected_weights = trained(built(), data())
    assert curves.training == expected.training
    assert curves.validation == expected.validation
    assert_same([curves.predictions], [expected.predictions])
    assert_same(weights, expected_weights)
    # After a pass Keras makes another iterator.
    assert lengths.count(len(SIZES)) == 2 * EPOCHS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [(OwnFit, {}), (keras.Sequential, {"steps_per_execution": 2})],
    ids=["a fit of the user's", "calls of more steps than are left"],
)
def test_where_fit_would_read_on_each_epoch_is_a_pass(
    kind: type[keras.Model], options: dict[str, Any], lengths: list[int]
) -> None:
    assert len(SIZES) == 3
    model = built(kind, **options)
    _, weights = trained(model, problem())
    assert int(model.optimizer.iterations) == EPOCHS * len(SIZES)
    # After a pass Keras makes another iterator.
    assert lengths.count(len(SIZES)) == 2 * EPOCHS
    assert_same(weights, trained(built(), problem())[1])


@pytest.mark.slow
def test_calls_of_several_steps_that_divide_an_epoch_are_one_pass(lengths: list[int]) -> None:
    model = built(steps_per_execution=3)
    _, weights = trained(model, problem())
    assert int(model.optimizer.iterations) == EPOCHS * len(SIZES)
    assert len(SIZES) not in lengths
    assert_same(weights, trained(built(), problem())[1])


@pytest.mark.parametrize(
    ("inputs", "is_held"),
    [
        (np.zeros((40, 5), np.float32), True),
        # 14 validation rows of 2 MB.
        (np.zeros((40, 1 << 19), np.float32), False),
        # Of objects only the pointers could be counted.
        (np.array(["text"] * 40, dtype=object), False),
        (np.array(["text"] * 40), True),
    ],
    ids=["small", "large", "objects", "text of one width"],
)
def test_a_dataset_holds_rows_that_are_known_to_be_small(
    inputs: Any, is_held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[Any] = []
    monkeypatch.setattr(fold_batches, "fed", fed.append)
    data = dataclasses.replace(problem(), inputs=inputs)
    fold_batches.ValidationSide(built(), data, VALIDATION, 12)
    assert bool(fed) != is_held


class Cutting(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends each epoch after its first batch."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.stop_training = False


class Twice(keras.Sequential):  # type: ignore[misc]
    """A model of which each call of the train function takes two batches."""

    def make_train_function(self, force: bool = False) -> None:
        """Let it train twice."""
        super().make_train_function(force)
        once: Any = vars(self)["train_function"]

        def twice(iterator: Any) -> Any:
            once(iterator)
            return once(iterator)

        self.train_function = twice


@pytest.mark.slow
# What Keras says where a call takes more batches than there are.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize(
    ("kind", "callbacks"), [(keras.Sequential, [Cutting()]), (Twice, [])], ids=["cut", "twice"]
)
def test_where_an_epoch_may_have_other_steps_the_next_begins_with_its_own_batches(
    kind: type[keras.Model], callbacks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights() -> list[Any]:
        model = built(kind)
        options: dict[str, Any] = {"sizes": SIZES, "epochs": EPOCHS, "place": PLACE}
        options["users_callbacks"] = callbacks
        train_fold(model, problem(), TRAINING, VALIDATION, **options)
        return [as_numpy(variable) for variable in model.variables]

    found = weights()
    monkeypatch.setattr(fold_batches, "_counts_its_steps", lambda model, steps: False)
    assert_same(found, weights())


@pytest.mark.slow
def test_a_fold_that_goes_on_from_a_checkpoint_reads_the_batches_of_its_epoch(
    tmp_path: Path, lengths: list[int]
) -> None:
    def weights(**options: Any) -> list[Any]:
        checkpoint = FoldStore(tmp_path, {"trial": 3}).checkpoint(PLACE.fold)
        checkpoint.seconds_between = 0
        options |= {"sizes": SIZES, "epochs": EPOCHS, "place": PLACE, "checkpoint": checkpoint}
        model = built()
        train_fold(model, problem(), TRAINING, VALIDATION, **options)
        return [as_numpy(variable) for variable in model.variables]

    def dying() -> None:
        raise Killed

    with pytest.raises(Killed):
        weights(on_epoch=dying)
    restored: list[int] = []
    resumed = weights(on_restored=restored.append)
    assert restored == [1]
    # All in one pass, so it is the position in it that is right.
    assert len(SIZES) not in lengths
    assert_same(resumed, trained(built(), problem())[1])


@pytest.mark.slow
def test_where_keras_goes_on_from_a_backup_the_batches_are_those_of_its_epochs(
    tmp_path: Path,
) -> None:
    """Keras begins with another epoch than it was asked for.

    A search refuses this callback, but a model's own code may do the same.
    """

    class Interrupting(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    def weights(*callbacks: keras.callbacks.Callback) -> list[Any]:
        model = built()
        data = problem()
        sizes = [12, 12, 12, 4]
        options: dict[str, Any] = {"sizes": sizes, "epochs": 4, "place": PLACE}
        train_all(model, data, users_callbacks=callbacks, **options)
        return [as_numpy(variable) for variable in model.trainable_variables]

    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        weights(keras.callbacks.BackupAndRestore(backup), Interrupting())
    assert_same(weights(keras.callbacks.BackupAndRestore(backup)), weights())
