"""Chunks of steps hold every step once and train as single steps do."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from rust_tuner.models import fold_steps
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_arrays import ArraysTogether
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.fold_rows import FoldRows
from rust_tuner.models.schedules import batch_sizes
from rust_tuner.models.seeding import seeded_weights

ROWS, FEATURES, FOLDS, EPOCHS = 60, 6, 3, 3


@pytest.mark.parametrize("rows", [1, 2, 31, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("batch_size", [1, 16, 1000, 2048])
def test_chunks_hold_every_step_once_in_order(rows: int, batch_size: int) -> None:
    starts = [*range(0, rows, batch_size), rows]
    chunks = fold_steps.chunks_of(starts)
    assert [step for chunk in chunks for step in chunk] == list(range(len(starts) - 1))
    # Ctrl-C is not kept waiting: a chunk of several steps has few rows.
    longest = max(starts[chunk.stop] - starts[chunk.start] for chunk in chunks)
    assert longest <= max(batch_size, 2 * fold_steps._CHUNK_ROWS)


@pytest.mark.parametrize(("is_gpu", "most"), [(False, 1.125), (True, 2.0)])
def test_a_step_has_room_for_its_rows_in_one_of_few_sizes(
    is_gpu: bool, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_steps, "_rooms", lambda: 1 if is_gpu else 8)
    rooms = [fold_steps.room_of_step(rows) for rows in range(1, 4097)]
    assert all(rows <= room < most * rows + 1 for rows, room in enumerate(rooms, start=1))
    assert rooms == sorted(rooms)
    # A room has room for itself, so that no size is compiled for another's sake.
    assert all(fold_steps.room_of_step(room) == room for room in rooms)
    assert len(set(rooms)) == (13 if is_gpu else 80)


@pytest.mark.parametrize("is_gpu", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 64, 1000, 2075])
def test_epochs_of_all_batch_sizes_have_room_for_their_outputs_in_one_graph(
    rows: int, is_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(fold_steps, "_rooms", lambda: 1 if is_gpu else 8)
    most = set()
    for batch_size in range(1, rows + 1):
        sizes = batch_sizes(rows, batch_size)
        starts = [0, *np.cumsum(sizes).tolist()]
        most.add(1 << (fold_steps.most_outputs(starts) - 1).bit_length())
        ends = [
            start + fold_steps.room_of_step(batch_size)
            for start in fold_steps.output_starts(starts)[:-1]
        ]
        assert max(ends) <= max(most)
    assert len(most) == 1


@pytest.mark.parametrize("rows", [1, 7, 64, 1000, 2075])
def test_padding_is_at_most_a_quarter_of_an_epoch_or_a_few_hundred_rows(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(fold_steps, "_rooms", lambda: 8)
    for batch_size in range(1, rows + 1):
        sizes = batch_sizes(rows, batch_size)
        starts = [0, *np.cumsum(sizes).tolist()]
        chunks = fold_steps.chunks_of(starts)
        assert [step for chunk in chunks for step in chunk] == list(range(len(sizes)))
        # An eighth in the rooms of all steps, and what the last one may have more.
        outputs = fold_steps.output_starts(starts)
        assert rows <= outputs[-1] <= 1.125 * rows + max(rows / 8, 256)
        room = 0
        for chunk in chunks:
            batches = [(np.zeros((sizes[step], 1), np.int32),) * 3 for step in chunk]
            (inputs, num_steps), _, _ = fold_steps.as_chunk(batches, chunk, starts)
            assert num_steps == len(chunk) <= len(inputs)
            # The outputs of its steps lie where they are looked for.
            assert [room + inputs.shape[1] * step for step in range(len(chunk))] == [
                outputs[step] for step in chunk
            ]
            room += inputs.shape[1] * len(chunk)
        assert room == outputs[-1]


def head() -> keras.Model:
    layers = [
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(4, activation="sigmoid"),
    ]
    model = keras.Sequential([keras.Input((FEATURES,)), *layers])
    model.compile("adam", "binary_crossentropy")
    return model


def problem(kind: str, batch_size: int) -> tuple[Any, list[FoldRows]]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    targets = (rng.random((ROWS, 4)) < 0.5).astype(np.float32)

    def metrics(answers: Any, rows: Any, where: Any) -> list[dict[str, float]]:
        return [{"mean": float(own.mean())} for own in answers]

    folds = []
    for fold in range(FOLDS):
        held = np.arange(ROWS) % FOLDS == fold
        training = np.flatnonzero(~held)
        sizes = batch_sizes(len(training), batch_size)
        folds.append(FoldRows(training, np.flatnonzero(held), sizes, FoldPlace(0, 3, fold)))
    if kind == "features":
        data = TrainingData(FrozenFeatures(values[:, None], "x"), targets, metrics)
        return FoldParallelTrainer(data), folds
    return ArraysTogether(TrainingData(values, targets, metrics)), folds


def trained(kind: str, batch_size: int = 7) -> list[FoldCurves]:
    trainer, folds = problem(kind, batch_size)

    def model(fold: int) -> keras.Model:
        with seeded_weights(folds[fold].place):
            return head()

    train: Callable[..., list[FoldCurves]] = trainer.train
    return train(model, folds, epochs=EPOCHS)


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.parametrize("kind", ["features", "arrays"])
def test_chunks_of_any_size_give_bitwise_the_numbers_of_single_steps(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    # Single steps; two chunks of unequal length; all of an epoch.
    for rows in (1, 30, 1024):
        monkeypatch.setattr(fold_steps, "_CHUNK_ROWS", rows)
        results.append(trained(kind))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert np.array_equal(np.asarray(one.predictions), np.asarray(two.predictions))
            assert one.training == two.training
            assert one.validation == two.validation


@pytest.mark.numerical
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX pads steps")
@pytest.mark.parametrize("kind", ["features", "arrays"])
def test_a_last_step_in_a_room_of_its_own_trains_as_in_that_of_the_others(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_size = 30  # Of 40 rows of a fold; 10 are left.
    monkeypatch.setattr(fold_steps, "_MOST_PADDED_ROWS", 5)
    assert fold_steps.output_starts([0, 30, 40]) == [0, 30, 40]
    apart = trained(kind, batch_size)
    monkeypatch.undo()
    assert fold_steps.output_starts([0, 30, 40]) == [0, 30, 60]
    for one, two in zip(apart, trained(kind, batch_size), strict=True):
        predictions = np.asarray(one.predictions), np.asarray(two.predictions)
        np.testing.assert_allclose(*predictions, rtol=0, atol=1e-6)
        for split in ("training", "validation"):
            figures, others = getattr(one, split), getattr(two, split)
            assert figures
            for name, values in figures.items():
                np.testing.assert_allclose(values, others[name], rtol=0, atol=1e-6)


@pytest.mark.numerical
def test_an_epoch_of_few_rows_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fit = keras.Model.fit

    def counted(model: keras.Model, batches: Any, **options: Any) -> Any:
        calls.append(len(batches))
        return fit(model, batches, **options)

    monkeypatch.setattr(keras.Model, "fit", counted)
    trained("features")
    assert calls == [EPOCHS]
