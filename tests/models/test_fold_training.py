"""Training one fold: every draw has its place, and faults are named."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from fold_problem import PLACE, SIZES, TRAINING, VALIDATION, RecordingModel, built, problem
from narrowing import is_a
from scipy.stats import chisquare
from search_problems import each_fold

from rust_tuner.errors import TrialError
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.fold_training import RunningPredictions, train_fold
from rust_tuner.models.schedules import batch_sizes
from rust_tuner.models.seeding import seeded_weights

NUM_VARIANTS = 4


def record(
    model: RecordingModel | None = None,
    *,
    epochs: int = 2,
    place: FoldPlace = PLACE,
    frozen: bool = True,
    figures: Callable[[npt.NDArray[np.float32], npt.NDArray[np.int64], str], dict[str, float]]
    | None = None,
    running: RunningPredictions | None = None,
) -> RecordingModel:
    """Train on inputs that say which row and which flip variant they are."""
    rows, variants = np.indices((40, NUM_VARIANTS))
    values = np.stack([rows, variants], axis=-1).astype(np.float32)
    inputs = FrozenFeatures(values, "x") if frozen else values[:, 0]
    data = TrainingData(inputs, np.arange(40.0)[:, None], each_fold(figures or (lambda *fold: {})))
    model = model or RecordingModel()
    train_fold(
        model, data, TRAINING, VALIDATION, sizes=SIZES, epochs=epochs, place=place, running=running
    )
    return model


def joined(epoch: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> tuple[npt.NDArray[Any], ...]:
    return tuple(np.concatenate(parts) for parts in zip(*epoch, strict=True))


@pytest.mark.parametrize("frozen", [True, False])
def test_an_epoch_holds_each_training_row_once_with_its_target_in_batches_of_the_sizes(
    frozen: bool,
) -> None:
    model = record(frozen=frozen)
    orders = []
    for epoch in model.epochs:
        assert [len(inputs) for inputs, _ in epoch] == [len(t) for _, t in epoch] == SIZES
        inputs, targets = joined(epoch)
        np.testing.assert_array_equal(inputs[:, 0], targets[:, 0])
        assert sorted(targets[:, 0]) == TRAINING.tolist()
        orders.append(targets[:, 0].tolist())
    assert orders[0] != orders[1]
    assert TRAINING.tolist() not in orders


def test_validation_sees_its_rows_in_order_and_unflipped() -> None:
    for frozen in (True, False):
        for inputs in record(frozen=frozen).validated:
            np.testing.assert_array_equal(inputs, np.stack([VALIDATION, 0 * VALIDATION], axis=1))


@pytest.mark.slow
def test_each_flip_variant_is_drawn_equally_often_for_every_row() -> None:
    model = record(epochs=80)
    drawn = np.zeros((len(TRAINING), NUM_VARIANTS))
    for epoch in model.epochs:
        inputs, _ = joined(epoch)
        np.add.at(drawn, tuple(inputs.astype(int).T), 1)
    assert (drawn.sum(axis=1) == 80).all()
    assert chisquare(drawn.sum(axis=0)).pvalue > 0.01
    # 20 are expected of each row and variant, with a standard deviation of 3.9.
    assert np.abs(drawn - 20).max() < 4.5 * 3.9


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.parametrize("column", [0, 1], ids=["order", "flips"])
def test_order_and_flips_are_a_function_of_the_place_and_the_epoch(column: int) -> None:
    def epochs(**changes: Any) -> list[bytes]:
        place = dataclasses.replace(PLACE, **changes)
        model = record(place=place, epochs=3)
        return [joined(epoch)[0][:, column].tobytes() for epoch in model.epochs]

    first = epochs()
    np.random.seed(7)
    assert epochs() == first
    others = [epochs(seed=1), epochs(trial=4), epochs(fold=1)]
    assert len({*first, *itertools.chain(*others)}) == 4 * 3


def test_random_layers_get_the_seed_of_their_place_epoch_and_position() -> None:
    def seeds(*initial: Any, **changes: Any) -> list[tuple[int, ...]]:
        """What two random layers start each epoch from."""
        seen: list[Any]
        model, seen = RecordingModel(), []
        model.variables = [keras.random.SeedGenerator(seed).state for seed in initial]  # type: ignore[assignment]
        predict = model.predict

        def watching_predict(batches: tf.data.Dataset, **options: Any) -> npt.NDArray[np.float64]:
            seen.extend(tuple(as_numpy(state)) for state in model.variables)  # type: ignore[var-annotated]
            return predict(batches, **options)

        model.predict = watching_predict  # type: ignore[method-assign]
        record(model, place=dataclasses.replace(PLACE, **changes))
        return seen

    first = seeds(5, 6)
    assert seeds(7, 8) == first
    others = [seeds(5, 6, seed=1), seeds(5, 6, trial=4), seeds(5, 6, fold=1)]
    assert len({*first, *itertools.chain(*others)}) == 4 * 2 * 2


@pytest.mark.parametrize("shape", [(7, 2), (7,), (7, 2, 3)])
def test_running_predictions_are_the_answers_in_the_order_of_training(
    shape: tuple[int, ...],
) -> None:
    answers = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    running = RunningPredictions(shape)
    for _ in range(2):
        for span in (slice(0, 4), slice(4, 6), slice(6, 7)):
            running.update_state(None, keras.ops.convert_to_tensor(answers[span]))
        np.testing.assert_array_equal(as_numpy(running.answers), answers)
        assert float(running.result()) == 7
        running.reset_state()


def test_running_predictions_are_what_the_model_answered_in_training() -> None:
    data = problem()
    running = RunningPredictions((len(TRAINING), 2))
    seen = []

    def metrics(
        answers: Sequence[npt.NDArray[np.float32]],
        rows: Sequence[npt.NDArray[np.int64]],
        where: Sequence[str],
    ) -> Sequence[Mapping[str, float]]:
        seen.append((np.array(answers[0]), rows[0], where[0]))
        return data.metrics(answers, rows, where)

    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2, activation="sigmoid")])
    # Without a step the model answers in training what it answers afterwards.
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy", metrics=[running])
    curves = train_fold(
        model,
        dataclasses.replace(data, metrics=metrics),
        TRAINING,
        VALIDATION,
        sizes=SIZES,
        epochs=2,
        place=PLACE,
        running=running,
    )
    training = [entry for entry in seen if entry[2].endswith("training")]
    assert [where for _, _, where in training] == [
        f"trial 0003, fold 2, epoch {epoch}, training" for epoch in range(2)
    ]
    for answers, rows, _ in training:
        assert sorted(rows) == TRAINING.tolist()
        expected = model.predict(is_a(np.ndarray, data.inputs)[rows], verbose=0)
        np.testing.assert_allclose(answers, expected, rtol=1e-5)
    expected = [data.metrics([answers], [rows], [""])[0]["auroc"] for answers, rows, _ in training]
    assert curves.training == {"auroc": expected}


def test_each_place_has_initial_weights_of_its_own() -> None:
    def weights(place: FoldPlace) -> bytes:
        with seeded_weights(place):
            layer = keras.layers.Dense(6)
            layer.build((None, 5))
        return as_numpy(layer.kernel).tobytes()

    replace = dataclasses.replace
    places = [PLACE, replace(PLACE, seed=7), replace(PLACE, trial=7), replace(PLACE, fold=7)]
    first = [weights(place) for place in places]
    assert len(set(first)) == 4
    assert [weights(place) for place in reversed(places)] == first[::-1]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"loss": [0.7, NAN]}, "epoch 1, training: loss is nan"),
        ({"loss": [INF, 0.7]}, "epoch 0, training: loss is inf"),
        ({"answers": [0.5, NAN]}, "epoch 1: predictions on the validation rows are not finite"),
        ({"evaluated": [0.7, -INF]}, "epoch 1, validation: loss is -inf"),
    ],
)
def test_a_model_that_diverges_is_named_with_trial_fold_epoch_and_figure(
    behaviour: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(TrialError, match=f"^trial 0003, fold 2, {message}$"):
        record(RecordingModel(**behaviour))


@pytest.mark.parametrize("side", ["training", "validation"])
def test_a_figure_that_is_not_finite_is_named_on_either_side(side: str) -> None:
    def figures(
        answers: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], where: str
    ) -> dict[str, float]:
        return {"auroc": 0.5, "kappa": NAN if f"epoch 1, {side}" in where else 0.1}

    running = RunningPredictions((len(TRAINING), 1))
    with pytest.raises(
        TrialError,
        match=f"^trial 0003, fold 2, epoch 1, {side}: kappa is nan; .* a number, such as 0$",
    ):
        record(figures=figures, running=running)


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "steps"), [(5, 6), (13, 2), (100, 1)])
def test_the_number_of_optimizer_steps_follows_the_batch_size(batch_size: int, steps: int) -> None:
    model = built()
    sizes = batch_sizes(len(TRAINING), batch_size)
    train_fold(model, problem(), TRAINING, VALIDATION, sizes=sizes, epochs=1, place=PLACE)
    assert int(model.optimizer.iterations) == steps
