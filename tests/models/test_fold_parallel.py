"""Folds trained side by side give the numbers of plain Keras `fit`, one fold after another."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
from narrowing import is_a
from search_problems import each_fold

from rust_tuner.metrics import macro_auroc
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_layers import FoldDense, FoldDropout
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.fold_rows import FoldRows
from rust_tuner.models.fold_training import RunningPredictions, train_fold
from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel
from rust_tuner.models.runtime import empty_aligned
from rust_tuner.models.schedules import batch_sizes, steps_per_epoch
from rust_tuner.models.seeding import seeded_weights

pytestmark = pytest.mark.numerical

NUM_FOLDS, NUM_FEATURES, EPOCHS, SEED = 3, 12, 3, 0
# Fold sizes 20, 21 and 25 give training sides of 46, 45 and 41 rows: schedules of unequal length.
ASSIGNMENT = np.repeat([0, 1, 2], [20, 21, 25])


def problem(num_variants: int = 2) -> TrainingData:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(66, num_variants, NUM_FEATURES)).astype(np.float32)
    labels = (values[:, 0, :4] + rng.normal(size=(66, 4)) > 0).astype(np.float32)

    def metrics(
        answers: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], where: str
    ) -> dict[str, float]:
        return {"auroc": macro_auroc(labels[rows], answers, where=where)}

    return TrainingData(FrozenFeatures(values, "x"), labels, each_fold(metrics))


def compiled(
    layers: Sequence[keras.Layer],
    optimizer: Any = "adam",
    loss: Any = "binary_crossentropy",
    metrics: list[Any] | None = None,
) -> keras.Model:
    model = keras.Sequential([keras.Input((NUM_FEATURES,)), *layers])
    if isinstance(optimizer, dict):
        optimizer = keras.optimizers.Adam(**optimizer)
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)
    return model


def dense_head(
    dropout: float = 0.0, optimizer: str | dict[str, float] = "adam", units: int = 8
) -> Callable[..., keras.Model]:
    def build(metrics: list[Any] | None = None) -> keras.Model:
        layers = [
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(4, activation="sigmoid"),
        ]
        return compiled(layers, optimizer, metrics=metrics)

    return build


def fold_rows(batch_size: int) -> list[FoldRows]:
    sides = [
        (np.flatnonzero(fold != ASSIGNMENT), np.flatnonzero(fold == ASSIGNMENT))
        for fold in range(NUM_FOLDS)
    ]
    steps = max(steps_per_epoch(len(training), batch_size) for training, _ in sides)
    return [
        FoldRows(
            training,
            validation,
            batch_sizes(len(training), batch_size, steps),
            FoldPlace(SEED, 7, fold),
        )
        for fold, (training, validation) in enumerate(sides)
    ]


def together(
    data: TrainingData,
    build: Callable[..., keras.Model],
    rows: list[FoldRows],
    epochs: int = EPOCHS,
    trainer: FoldParallelTrainer | None = None,
) -> list[FoldCurves]:
    def head(fold: int) -> keras.Model:
        with seeded_weights(rows[fold].place):
            return build()

    trainer = trainer or FoldParallelTrainer(data)
    return trainer.train(head, rows, epochs=epochs)


def one_by_one(
    data: TrainingData,
    build: Callable[..., keras.Model],
    rows: list[FoldRows],
    epochs: int = EPOCHS,
) -> list[FoldCurves]:
    curves = []
    for row in rows:
        running = RunningPredictions((len(row.training), data.targets.shape[1]))
        with seeded_weights(row.place):
            model = build([running])
        curves.append(
            train_fold(
                model,
                data,
                row.training,
                row.validation,
                sizes=row.sizes,
                epochs=epochs,
                place=row.place,
                running=running,
            )
        )
    return curves


def assert_same_curves(
    first: list[FoldCurves], second: list[FoldCurves], rtol: float = 2e-5
) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(
            np.asarray(one.predictions), np.asarray(other.predictions), rtol=rtol, atol=1e-6
        )
        for split in ("training", "validation"):
            for metric, curve in getattr(other, split).items():
                np.testing.assert_allclose(getattr(one, split)[metric], curve, atol=1e-6)


# In many steps, in one, and in schedules of unequal length.
@pytest.mark.slow
@pytest.mark.parametrize(
    "batch_size",
    [
        5,
        16,
        45,
        64,
    ],
)
def test_without_dropout_the_numbers_are_those_of_one_fold_after_another(batch_size: int) -> None:
    data, rows, build = problem(), fold_rows(batch_size), dense_head()
    assert_same_curves(together(data, build, rows), one_by_one(data, build, rows))


@pytest.mark.slow
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
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras draws its masks otherwise elsewhere"
)
def test_with_dropout_the_folds_draw_the_masks_that_they_would_draw_alone() -> None:
    data, rows, build = problem(), fold_rows(16), dense_head(dropout=0.4)
    curves = together(data, build, rows)
    assert_same_curves(curves, one_by_one(data, build, rows))
    without = together(data, dense_head(), rows)
    assert not np.allclose(np.asarray(without[0].predictions), np.asarray(curves[0].predictions))


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="the masks themselves are equal, as above"
)
def test_with_dropout_training_is_distributed_as_one_fold_after_another() -> None:
    data, rows, build = problem(), fold_rows(16), dense_head(dropout=0.4)
    curves = together(data, build, rows, epochs=8)
    alone = one_by_one(data, build, rows, epochs=8)
    losses = [
        [
            -np.mean(np.log(np.abs(c.predictions[-1] - 1 + data.targets[r.validation])))
            for c, r in zip(side, rows, strict=True)
        ]
        for side in (curves, alone)
    ]
    np.testing.assert_allclose(np.mean(losses[0]), np.mean(losses[1]), rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        "rmsprop",
        {"learning_rate": 0.05, "epsilon": 0.1},
    ],
)
def test_other_optimizers_and_settings_give_the_same_numbers(
    optimizer: str | dict[str, float],
) -> None:
    data, rows, build = problem(), fold_rows(16), dense_head(optimizer=optimizer)
    assert_same_curves(together(data, build, rows), one_by_one(data, build, rows), rtol=1e-4)


@pytest.mark.slow
def test_a_fold_does_not_depend_on_the_folds_beside_it() -> None:
    data, build = problem(), dense_head(dropout=0.3)
    rows = fold_rows(16)
    steps = len(rows[0].sizes)
    assert all(len(row.sizes) == steps for row in rows)
    alone = together(data, build, rows[:2])
    beside = together(data, build, rows)
    assert_same_curves(alone, beside[:2])


@pytest.mark.slow
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


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[keras.Layer]:
    """The layers of folds side by side, as often as a graph is made of them."""
    layers = []

    def note(kind: type[FoldDense] | type[FoldDropout]) -> None:
        call = kind.call

        # Keras reads the signature.
        @functools.wraps(call)
        def noted_call(layer: keras.Layer, *args: Any, **options: Any) -> Any:
            layers.append(layer)
            return call(layer, *args, **options)

        monkeypatch.setattr(kind, "call", noted_call)

    note(FoldDense)
    note(FoldDropout)
    return layers


@pytest.mark.slow
def test_trials_that_differ_in_numbers_only_share_a_graph(traced: list[keras.Layer]) -> None:
    targets = np.zeros((66, 18), dtype=np.float32)
    data = replace(problem(), targets=targets, metrics=each_fold(lambda *fold: {}))
    trainer = FoldParallelTrainer(data)
    # Only the fused update takes epsilon as a variable.
    other_epsilon = 1e-3 if keras.backend.backend() == "tensorflow" else 1e-7
    hypermodels = [
        TransferLearningHyperModel(SearchSpace(batch, rate, (lr,), (epsilon,)))
        for batch, rate, lr, epsilon in ((16, 0.1, 1e-3, 1e-7), (16, 0.4, 1e-2, other_epsilon))
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
@pytest.mark.parametrize(("last", "atol"), [("float32", 0.006), ("mixed_bfloat16", 0.02)])
def test_in_bfloat16_the_numbers_are_those_of_one_fold_after_another(
    last: str, atol: float, traced: list[keras.Layer]
) -> None:
    # Elsewhere Keras draws its masks otherwise.
    rate = 0.3 if keras.backend.backend() == "tensorflow" else 0.0

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
