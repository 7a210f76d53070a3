"""Folds trained side by side give the numbers of plain Keras `fit`, one fold after another."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from cleared_caches import clearings
from folds_together import (
    EPOCHS,
    assert_same_curves,
    compiled,
    dense_head,
    fold_rows,
    layers_traced,
    one_by_one,
    problem,
    together,
)
from instructions import needs_all_instructions
from narrowing import is_a

from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_layers import FoldDense, FoldDropout
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.fold_rows import FoldRows
from rust_tuner.models.schedules import batch_sizes
from rust_tuner.models.seeding import seeded_weights


# In many steps, in one, and in schedules of unequal length; and with a kernel of many columns.
@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.parametrize(("batch_size", "units"), [(5, 8), (16, 8), (45, 8), (64, 8), (16, 512)])
def test_without_dropout_the_numbers_are_those_of_one_fold_after_another(
    batch_size: int, units: int
) -> None:
    data, rows, build = problem(), fold_rows(batch_size), dense_head(units=units)
    assert_same_curves(together(data, build, rows), one_by_one(data, build, rows))


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.parametrize("batch_size", [16, 23])
def test_rows_that_no_fold_uses_may_hold_anything(batch_size: int) -> None:
    data, build = problem(), dense_head()
    values = is_a(FrozenFeatures, data.inputs).values.copy()
    values[0] = np.nan
    data = replace(data, inputs=FrozenFeatures(values, "x"))
    rows = []
    for row in fold_rows(batch_size):
        training = row.training[row.training != 0]
        sizes = batch_sizes(len(training), batch_size, len(row.sizes))
        rows.append(FoldRows(training, row.validation[row.validation != 0], sizes, row.place))
    # Some steps are padded.
    assert len({tuple(row.sizes) for row in rows}) > 1
    assert_same_curves(together(data, build, rows), one_by_one(data, build, rows))


@pytest.mark.slow
@pytest.mark.numerical
def test_each_fold_trains_as_plain_keras_fit_does() -> None:
    # No schedule or loop of the package on this side: arrays, `fit`, `batch_size`.
    data, build = problem(num_variants=1), dense_head()
    rows = fold_rows(batch_size=23)
    assert {len(row.sizes) for row in rows} == {2}
    curves = together(data, build, rows)
    for fold in (0, 1):
        place, training = rows[fold].place, rows[fold].training
        with seeded_weights(place):
            model = build()
        for epoch in range(EPOCHS):
            order = training[place.generator(epoch, "order").permutation(len(training))]
            model.fit(
                is_a(FrozenFeatures, data.inputs).values[order, 0],
                data.targets[order],
                batch_size=23,
                shuffle=False,
                verbose=0,
            )
            answers = model.predict(
                is_a(FrozenFeatures, data.inputs).values[rows[fold].validation, 0], verbose=0
            )
            np.testing.assert_allclose(
                curves[fold].predictions[epoch], answers, rtol=2e-5, atol=1e-6
            )


@pytest.mark.slow
@pytest.mark.numerical
def test_with_dropout_the_folds_draw_the_masks_that_they_would_draw_alone() -> None:
    data, rows, build = problem(), fold_rows(16), dense_head(dropout=0.4)
    curves = together(data, build, rows)
    assert_same_curves(curves, one_by_one(data, build, rows))
    without = together(data, dense_head(), rows)
    assert not np.allclose(np.asarray(without[0].predictions), np.asarray(curves[0].predictions))


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", {"learning_rate": 0.05, "epsilon": 0.1}])
def test_other_optimizers_and_settings_give_the_same_numbers(
    optimizer: str | dict[str, float],
) -> None:
    data, rows, build = problem(), fold_rows(16), dense_head(optimizer=optimizer)
    assert_same_curves(together(data, build, rows), one_by_one(data, build, rows), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.numerical
def test_a_fold_does_not_depend_on_the_folds_beside_it() -> None:
    data, build = problem(), dense_head(dropout=0.3)
    rows = fold_rows(16)
    steps = len(rows[0].sizes)
    assert all(len(row.sizes) == steps for row in rows)
    alone = together(data, build, rows[:2])
    beside = together(data, build, rows)
    assert_same_curves(alone, beside[:2])


@pytest.mark.slow
@pytest.mark.numerical
def test_the_same_trial_twice_is_bitwise_the_same_also_on_a_used_trainer() -> None:
    data, rows = problem(), fold_rows(16)
    trainer = FoldParallelTrainer(data)
    first = together(data, dense_head(dropout=0.2), rows, trainer=trainer)
    other = dense_head(dropout=0.4, optimizer={"learning_rate": 0.1, "epsilon": 1e-2})
    between = together(data, other, rows, trainer=trainer)
    again = together(data, dense_head(dropout=0.2), rows, trainer=trainer)
    fresh = together(data, other, rows)
    for one, two in zip(first, again, strict=True):
        assert (
            is_a(np.ndarray, one.predictions).tobytes()
            == is_a(np.ndarray, two.predictions).tobytes()
        )
    for one, two in zip(between, fresh, strict=True):
        assert (
            is_a(np.ndarray, one.predictions).tobytes()
            == is_a(np.ndarray, two.predictions).tobytes()
        )


@pytest.mark.slow
def test_no_trial_has_the_epsilon_of_the_one_before() -> None:
    data, rows = problem(), fold_rows(16)
    trainer = FoldParallelTrainer(data)
    for amsgrad in (False, True):
        curves = []
        for epsilon in (1e-7, 1.0):
            build = dense_head(optimizer={"epsilon": epsilon, "amsgrad": amsgrad})
            curves.append(together(data, build, rows, trainer=trainer))
            assert_same_curves(curves[-1], one_by_one(data, build, rows))
        first, second = (np.asarray(each[0].predictions) for each in curves)
        assert not np.allclose(first, second)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[keras.Layer]:
    return layers_traced(monkeypatch)


@needs_all_instructions
@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.parametrize(("last", "atol"), [("float32", 0.006), ("mixed_bfloat16", 0.02)])
def test_in_bfloat16_the_numbers_are_those_of_one_fold_after_another(
    last: str, atol: float, traced: list[keras.Layer]
) -> None:
    rate = 0.3

    def build(metrics: list[Any] | None = None) -> keras.Model:
        layers = [
            keras.layers.Dense(8, activation="relu", dtype="mixed_bfloat16"),
            keras.layers.Dropout(rate, dtype="mixed_bfloat16"),
            keras.layers.Dense(4, activation="sigmoid", dtype=last),
        ]
        return compiled(layers, {"learning_rate": 0.01}, metrics=metrics)

    data, rows = problem(), fold_rows(16)
    trainer = FoldParallelTrainer(data)
    curves = together(data, build, rows, trainer=trainer)
    alone = one_by_one(data, build, rows)
    for one, other in zip(curves, alone, strict=True):
        # Of the last bits alone; what is learned in the later epochs is more.
        np.testing.assert_allclose(
            np.asarray(one.predictions), np.asarray(other.predictions), atol=atol
        )
        assert np.abs(other.predictions[-1] - is_a(np.ndarray, other.predictions)[0]).max() > 0.06
    kernels = {layer.kernel.dtype for layer in traced if isinstance(layer, FoldDense)}
    assert kernels == {"float32"}
    assert "bfloat16" in {layer.compute_dtype for layer in traced}
    (dropout,) = {layer for layer in traced if isinstance(layer, FoldDropout)}
    assert np.asarray(dropout.rate) == np.float32(rate)


@pytest.mark.slow
def test_masked_labels_do_not_train() -> None:
    data, rows = problem(), fold_rows(16)
    from rust_tuner.models.architectures import masked_binary_crossentropy

    def build(metrics: list[Any] | None = None) -> keras.Model:
        return compiled(
            [keras.layers.Dense(4, activation="sigmoid")],
            loss=masked_binary_crossentropy,
            metrics=metrics,
        )

    targets = data.targets.copy()
    targets[:, 2] = -1
    masked = TrainingData(data.inputs, targets, data.metrics)
    curves = together(masked, build, rows)
    assert_same_curves(curves, one_by_one(masked, build, rows))
    flipped = targets.copy()
    flipped[:, 0] = 1 - flipped[:, 0]
    other = together(TrainingData(data.inputs, flipped, data.metrics), build, rows)
    # Label 2 is trained by no row, so what is learned of label 0 leaves it where it was.
    np.testing.assert_array_equal(
        is_a(np.ndarray, curves[0].predictions)[..., 2],
        is_a(np.ndarray, other[0].predictions)[..., 2],
    )
    assert not np.allclose(
        is_a(np.ndarray, curves[0].predictions)[..., 0],
        is_a(np.ndarray, other[0].predictions)[..., 0],
    )


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the caches are TensorFlow's")
def test_the_functions_of_a_trainer_that_is_not_used_any_more_are_freed() -> None:
    data = problem()
    unused, used = FoldParallelTrainer(data), FoldParallelTrainer(data)
    together(data, dense_head(), fold_rows(45), epochs=1, trainer=used)
    with clearings() as counted:
        unused.release()
        assert not counted
        used.release()
        assert len(counted) == 1
