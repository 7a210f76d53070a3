"""Folds of a user's model side by side give the numbers of one fold after another."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from narrowing import is_a
from search_problems import each_fold

from rust_tuner.models.compiled_once import CompiledOnce
from rust_tuner.models.fold_arrays import ArraysTogether
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_plan import MixedFolds
from rust_tuner.models.fold_rows import FoldRows
from rust_tuner.models.fold_training import train_fold
from rust_tuner.models.keras_state import number_names_from_scratch
from rust_tuner.models.schedules import batch_sizes
from rust_tuner.models.seeding import seeded_weights

pytestmark = pytest.mark.numerical

EPOCHS, SEED, CLASSES = 3, 0, 3
# Training sides of 34, 33 and 35 rows: three steps of 16 each, the last of unequal sizes.
ASSIGNMENT = np.repeat([0, 1, 2], [17, 18, 16])
NUM_ROWS = len(ASSIGNMENT)
layers = keras.layers


def numbers(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def classes() -> npt.NDArray[np.int64]:
    return np.random.default_rng(2).integers(CLASSES, size=NUM_ROWS)


def data_of(
    inputs: npt.NDArray[np.float32] | npt.NDArray[np.int64],
    targets: npt.NDArray[np.int64] | npt.NDArray[np.float64] | npt.NDArray[np.float32],
) -> TrainingData:
    return TrainingData(inputs, targets, each_fold(lambda answers, rows, where: {}))


def folds(batch_size: int = 16) -> list[FoldRows]:
    sides = [(np.flatnonzero(fold != ASSIGNMENT), fold) for fold in range(3)]
    return [
        FoldRows(
            training,
            np.flatnonzero(fold == ASSIGNMENT),
            batch_sizes(len(training), batch_size),
            FoldPlace(SEED, 2, fold),
        )
        for training, fold in sides
    ]


def seeded(build: Callable[[], keras.Model], place: FoldPlace) -> keras.Model:
    number_names_from_scratch()
    with seeded_weights(place):
        return build()


def together(
    data: TrainingData,
    build: Callable[[], keras.Model],
    rows: list[FoldRows],
    trainer: ArraysTogether | None = None,
    epochs: int = EPOCHS,
) -> list[FoldCurves]:
    trainer = trainer or ArraysTogether(data)
    return trainer.train(lambda fold: seeded(build, rows[fold].place), rows, epochs=epochs)


def one_by_one(
    data: TrainingData, build: Callable[[], keras.Model], rows: list[FoldRows]
) -> list[FoldCurves]:
    compiled, curves = CompiledOnce(), []
    for row in rows:
        model = compiled.model_of(lambda row=row: seeded(build, row.place))  # type: ignore[misc]
        curves.append(
            train_fold(
                model,
                data,
                row.training,
                row.validation,
                sizes=row.sizes,
                epochs=EPOCHS,
                place=row.place,
            )
        )
        compiled.trained(model)
    return curves


def assert_same(
    first: list[FoldCurves], second: list[FoldCurves], rtol: float = 2e-5, atol: float = 1e-6
) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(
            np.asarray(one.predictions), np.asarray(other.predictions), rtol=rtol, atol=atol
        )
        for split in ("training", "validation"):
            ours, theirs = getattr(one, split), getattr(other, split)
            assert list(ours) == list(theirs)
            for name, curve in theirs.items():
                np.testing.assert_allclose(ours[name], curve, rtol=rtol, atol=atol, err_msg=name)


def compiled(
    model: keras.Model,
    optimizer: Any = "adam",
    loss: Any = "binary_crossentropy",
    metrics: Sequence[Any] = ("accuracy",),
    **more: Any,
) -> keras.Model:
    model.compile(optimizer, loss, metrics=list(metrics), **more)
    return model


def chain(
    *parts: keras.Layer, shape: tuple[int, ...] = (6,), dtype: str | None = None
) -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts])


def binary() -> keras.Model:
    return compiled(
        chain(
            layers.Dense(8, activation="relu"),
            layers.Dropout(0.0),
            layers.Dense(8),
            layers.LayerNormalization(),
            layers.LeakyReLU(),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ),
        keras.optimizers.Adam(0.01),
        metrics=["accuracy", keras.metrics.AUC(name="area")],
    )


def binary_data() -> TrainingData:
    inputs = numbers(NUM_ROWS, 6)
    # In float64 and without a second axis, as users have it.
    return data_of(inputs, (inputs[:, 0] + numbers(NUM_ROWS, seed=1) > 0).astype(float))


@pytest.mark.slow
def test_a_chain_trains_together_as_one_fold_after_another() -> None:
    # JAX pads a step of 19 rows to 20.
    data, rows = binary_data(), folds(batch_size=19)
    expected = one_by_one(data, binary, rows)
    assert_same(together(data, binary, rows), expected)
    assert set(expected[0].validation) == {"accuracy", "area", "loss"}


def words() -> keras.Model:
    inputs = keras.Input((7,), dtype="int32")
    values = layers.Embedding(11, 4)(inputs)
    values = layers.Dense(5, activation="tanh")(values)
    pooled = [layers.GlobalAveragePooling1D()(values), layers.Flatten()(values)]
    values = layers.Concatenate()(pooled)
    side = layers.Dense(40, activation="relu")(values)
    values = layers.Add()([values, side])
    outputs = layers.Dense(CLASSES, activation="softmax")(values)
    return compiled(
        keras.Model(inputs, outputs),
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        ["accuracy", "sparse_top_k_categorical_accuracy"],
    )


def words_data() -> TrainingData:
    return data_of(np.random.default_rng(1).integers(-1, 11, size=(NUM_ROWS, 7)), classes())


def adapted() -> keras.Model:
    normalization = layers.Normalization()
    normalization.adapt(3 * numbers(NUM_ROWS, 2, 3) + 1)
    return compiled(
        chain(
            normalization,
            layers.Reshape((3, 2)),
            layers.Permute((2, 1)),
            layers.Flatten(),
            layers.BatchNormalization(trainable=False),
            layers.Rescaling(0.5, offset=0.1),
            layers.Dense(6, activation="elu", trainable=False),
            layers.Dense(CLASSES),
            layers.Softmax(),
            shape=(2, 3),
        ),
        keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 4, 0.8), 0.9),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        ["accuracy", keras.metrics.F1Score("macro", name="f1")],
    )


def adapted_data() -> TrainingData:
    return data_of(numbers(NUM_ROWS, 2, 3), np.eye(CLASSES)[classes()])


def regression(
    loss: Any, optimizer: Any = "adamw", metrics: Sequence[Any] = ("mae",)
) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        model = chain(layers.Dense(7, "gelu", use_bias=False), layers.Dense(1))
        return compiled(model, optimizer, loss, metrics)

    return build


def regression_data() -> TrainingData:
    return data_of(numbers(NUM_ROWS, 6).astype(float), 3 * numbers(NUM_ROWS, 1, seed=1))


def sequence() -> keras.Model:
    model = chain(layers.Dense(4, "relu"), layers.Dense(1, "sigmoid"), shape=(5, 6))
    return compiled(model, keras.optimizers.Adam(0.01, clipvalue=0.1))


def sequence_data() -> TrainingData:
    return data_of(numbers(NUM_ROWS, 5, 6), (numbers(NUM_ROWS, 5, 1, seed=3) > 0).astype(np.int64))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "data"),
    [
        pytest.param(words, words_data, id="words"),
        pytest.param(adapted, adapted_data, id="adapted"),
        pytest.param(regression("mse"), regression_data, id="mse"),
        pytest.param(regression(keras.losses.Huber(0.5), "rmsprop"), regression_data, id="huber"),
        pytest.param(regression("mae", "adamax", ["r2_score"]), regression_data, id="mae"),
        pytest.param(sequence, sequence_data, id="sequence"),
    ],
)
def test_other_models_losses_and_optimizers_give_the_same_numbers(
    build: Callable[[], keras.Model], data: Callable[[], TrainingData]
) -> None:
    if build is words and keras.backend.backend() != "tensorflow":
        pytest.skip("others fill in numbers for unknown words")
    rows = folds()
    assert_same(together(data(), build, rows), one_by_one(data(), build, rows), rtol=1e-4)


@pytest.mark.slow
def test_losses_of_saturated_predictions_are_those_of_keras() -> None:
    def build() -> keras.Model:
        model = chain(layers.Dense(1, "sigmoid", kernel_initializer=keras.initializers.Constant(9)))
        return compiled(model, keras.optimizers.SGD(1.0))

    data, rows = binary_data(), folds()
    expected = one_by_one(data, build, rows)
    assert max(expected[0].validation["loss"]) > 3
    assert_same(together(data, build, rows), expected, rtol=1e-4)


@pytest.mark.slow
def test_a_trial_is_bitwise_the_same_on_a_used_trainer() -> None:
    data, rows = binary_data(), folds()
    trainer = ArraysTogether(data)
    first = together(data, binary, rows, trainer)

    def other() -> keras.Model:
        model = binary()
        model.optimizer.learning_rate = 0.3
        model.layers[5].rate = 0.5
        return model

    between = together(data, other, rows, trainer)
    again = together(data, binary, rows, trainer)
    for one, two, third in zip(first, again, between, strict=True):
        assert (
            is_a(np.ndarray, one.predictions).tobytes()
            == is_a(np.ndarray, two.predictions).tobytes()
        )
        assert (one.training, one.validation) == (two.training, two.validation)
        assert (
            is_a(np.ndarray, one.predictions).tobytes()
            != is_a(np.ndarray, third.predictions).tobytes()
        )
    trainer.release()


@pytest.mark.slow
def test_a_word_beyond_a_fold_is_not_one_of_another_fold() -> None:
    data = words_data()
    is_a(np.ndarray, data.inputs)[3, 2] = 11
    if keras.backend.backend() != "tensorflow":
        pytest.skip("others fill in numbers for unknown words")
    with pytest.raises(Exception, match="not in"):
        together(data, words, folds(), epochs=1)


def test_folds_of_unequal_numbers_of_steps_train_one_after_another() -> None:
    with pytest.raises(MixedFolds, match="the folds take 2 to 3 steps in each epoch"):
        together(binary_data(), binary, folds(batch_size=17))


@pytest.mark.parametrize(
    ("metric", "shape", "name"),
    [
        # Their value for a batch is none of its rows alone.
        (keras.losses.dice, (-1, 1), "dice"),
        (keras.losses.tversky, (-1, 1), "tversky"),
        # Keras subtracts (n, 1) predictions from (n,) targets, which gives (n, n).
        (keras.metrics.Hinge(), (-1,), "hinge"),
    ],
)
def test_metrics_of_whole_batches_are_computed_as_keras_does(
    metric: Any, shape: tuple[int, ...], name: str
) -> None:
    def build() -> keras.Model:
        model = binary()
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy", metric])
        return model

    data = binary_data()
    # One positive row alone, which is none of 32 at equal distances.
    targets = np.zeros(NUM_ROWS)
    targets[2] = 1
    data = data_of(is_a(np.ndarray, data.inputs), targets.reshape(shape))
    with pytest.raises(MixedFolds, match=f"metric {name} depends on which rows are computed"):
        ArraysTogether(data).plan(seeded(build, FoldPlace(0, 0, 0)), folds())


def test_a_metric_is_judged_by_random_predictions_and_not_by_those_of_the_first_weights() -> None:
    def build() -> keras.Model:
        zeros = layers.Dense(1, kernel_initializer="zeros", activation="sigmoid")
        return compiled(chain(zeros), "sgd", metrics=[keras.metrics.Hinge()])

    with pytest.raises(MixedFolds, match="metric hinge depends on which rows"):
        ArraysTogether(binary_data()).plan(seeded(build, FoldPlace(0, 0, 0)), folds())


def test_metrics_of_rows_train_together() -> None:
    metrics = [
        *("accuracy", "mse", "cosine_similarity", keras.metrics.R2Score(), keras.metrics.AUC()),
        *(keras.metrics.Precision(), keras.metrics.F1Score(threshold=0.5)),
        *(keras.metrics.RootMeanSquaredError(), keras.metrics.RecallAtPrecision(0.5)),
    ]

    def build() -> keras.Model:
        model = binary()
        model.compile("sgd", "binary_crossentropy", metrics=metrics)
        return model

    data = binary_data()
    targets = np.asarray(data.targets, np.float32).reshape(-1, 1)
    data = data_of(is_a(np.ndarray, data.inputs), targets)
    ArraysTogether(data).plan(seeded(build, FoldPlace(0, 0, 0)), folds())
