"""Training one fold: a crash loses no epoch, every draw has its place, and faults are named."""

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from narrowing import is_a
from scipy.stats import chisquare
from search_problems import each_fold

from rust_tuner.errors import TrialError
from rust_tuner.metrics import macro_auroc
from rust_tuner.models import epoch_file
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.fold_training import RunningPredictions, train_fold
from rust_tuner.models.schedules import batch_sizes
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.records.folds import EpochCheckpoint, FoldStore

EPOCHS = 3
PLACE = FoldPlace(seed=0, trial=3, fold=2)
TRAINING, VALIDATION = np.arange(26), np.arange(26, 40)
SIZES = batch_sizes(len(TRAINING), 12)


class Killed(BaseException):
    """Stands for kill -9."""


def problem() -> TrainingData:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 5)).astype(np.float32)
    y = (x[:, :2] + rng.normal(size=(40, 2)) > 0).astype(np.float32)

    def metrics(
        answers: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], where: str
    ) -> dict[str, float]:
        return {"auroc": macro_auroc(y[rows], answers, where=where)}

    return TrainingData(x, y, each_fold(metrics))


def built(place: FoldPlace = PLACE) -> keras.Model:
    """A model with every kind of state: weights, moving statistics, moments, dropout seeds."""
    with seeded_weights(place):
        model = keras.Sequential(
            [
                keras.Input((5,)),
                keras.layers.Dense(6, activation="relu"),
                keras.layers.BatchNormalization(momentum=0.8),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(2, activation="sigmoid"),
            ]
        )
        # Eager, since tracing would cost more than training.
        model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", run_eagerly=True)
    return model


class Counting(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the epochs that are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[int] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.trained.append(epoch)


def train(
    model: Any,
    *,
    checkpoint: EpochCheckpoint | None = None,
    data: TrainingData | None = None,
    **told: Any,
) -> tuple[FoldCurves, list[int]]:
    """The curves, and which epochs were trained for them."""
    counting = Counting()
    curves = train_fold(
        model,
        data or problem(),
        TRAINING,
        VALIDATION,
        sizes=SIZES,
        epochs=EPOCHS,
        place=PLACE,
        checkpoint=checkpoint,
        callbacks=[counting],
        **told,
    )
    return curves, counting.trained


def at_every_epoch(folder: Path, key: dict[str, Any] | None = None) -> EpochCheckpoint:
    checkpoint = FoldStore(folder, key or {"trial": 3}).checkpoint(PLACE.fold)
    checkpoint.seconds_between = 0
    return checkpoint


def crash_after(epoch: int, folder: Path, model: "RecordingModel | None" = None) -> None:
    """Train until the given epoch is finished, and no further."""
    finished: list[int] = []

    def on_epoch() -> None:
        finished.append(len(finished))
        if finished[-1] == epoch:
            raise Killed

    with pytest.raises(Killed):
        train(model or built(), checkpoint=at_every_epoch(folder), on_epoch=on_epoch)


def end_state(model: keras.Model) -> list[bytes]:
    return [
        as_numpy(variable).tobytes() for variable in (*model.variables, *model.optimizer.variables)
    ]


@pytest.fixture(scope="module")
def whole() -> tuple[FoldCurves, list[bytes]]:
    """A training that nothing interrupted: its curves and the model's state at its end."""
    model = built()
    curves, trained = train(model)
    assert trained == list(range(EPOCHS))
    return curves, end_state(model)


def assert_same_training(
    curves: FoldCurves, model: keras.Model, whole: tuple[FoldCurves, list[bytes]]
) -> None:
    expected, state = whole
    assert curves.training == expected.training
    assert curves.validation == expected.validation
    assert (
        is_a(np.ndarray, curves.predictions).tobytes()
        == is_a(np.ndarray, expected.predictions).tobytes()
    )
    assert end_state(model) == state


@pytest.mark.slow
@pytest.mark.parametrize(
    "epoch", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)]
)
@pytest.mark.numerical
def test_a_fold_goes_on_after_its_last_epoch_bitwise_as_if_untouched(
    epoch: int, whole: tuple[FoldCurves, list[bytes]], tmp_path: Path
) -> None:
    crash_after(epoch, tmp_path)
    # Other initial weights, so that every value must come from the checkpoint.
    model = built(dataclasses.replace(PLACE, fold=9))
    restored: list[Any]
    text, restored = [], []
    curves, trained = train(
        model,
        checkpoint=at_every_epoch(tmp_path),
        on_epoch=lambda: text.append(1),
        on_restored=restored.append,
    )
    # The last epoch ends the fold, whose record then takes the checkpoint's place.
    first = min(epoch + 1, EPOCHS - 1)
    assert trained == list(range(first, EPOCHS))
    assert (restored, len(text)) == ([first], EPOCHS - first)
    assert_same_training(curves, model, whole)


def test_a_crash_inside_an_epoch_costs_that_epoch_alone(
    whole: tuple[FoldCurves, list[bytes]], tmp_path: Path
) -> None:
    data = problem()

    def dying(
        answers: Sequence[npt.NDArray[np.float32]],
        rows: Sequence[npt.NDArray[np.int64]],
        where: Sequence[str],
    ) -> Sequence[Mapping[str, float]]:
        if "epoch 1, validation" in where[0]:
            raise Killed
        return data.metrics(answers, rows, where)

    with pytest.raises(Killed):
        train(
            built(),
            checkpoint=at_every_epoch(tmp_path),
            data=dataclasses.replace(data, metrics=dying),
        )
    model = built()
    curves, trained = train(model, checkpoint=at_every_epoch(tmp_path))
    assert trained == [1, 2]
    assert_same_training(curves, model, whole)


@pytest.mark.slow
def test_a_resumed_fold_depends_on_the_state_of_its_optimizer(
    whole: tuple[FoldCurves, list[bytes]], tmp_path: Path
) -> None:
    crash_after(1, tmp_path)
    checkpoint = at_every_epoch(tmp_path)
    state = checkpoint.load()
    fresh = built()
    fresh.optimizer.build(fresh.trainable_variables)
    dropped = {
        f"optimizer_{position}": as_numpy(variable)
        for position, variable in enumerate(fresh.optimizer.variables)
    }
    assert state is not None
    assert set(dropped) < set(state)
    checkpoint.save(state | dropped)
    curves, trained = train(built(), checkpoint=checkpoint)
    assert trained == [2]
    np.testing.assert_array_equal(
        is_a(np.ndarray, curves.predictions)[:2], is_a(np.ndarray, whole[0].predictions)[:2]
    )
    assert (
        np.abs(
            is_a(np.ndarray, curves.predictions)[2:] - is_a(np.ndarray, whole[0].predictions)[2:]
        ).max()
        > 1e-3
    )


@pytest.mark.slow
@pytest.mark.numerical
def test_predictions_in_a_file_survive_a_crash_and_a_lost_file_starts_the_fold_again(
    whole: tuple[FoldCurves, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_file, "LARGEST_IN_MEMORY", 0)
    file = tmp_path / "predictions.bin"

    def killing() -> None:
        if file.stat().st_size == 2 * is_a(np.ndarray, whole[0].predictions)[0].nbytes:
            raise Killed

    with pytest.raises(Killed):
        train(
            built(),
            checkpoint=at_every_epoch(tmp_path),
            on_epoch=killing,
            predictions_file=file,
        )
    lost = shutil.copytree(tmp_path, tmp_path / "lost", ignore=shutil.ignore_patterns("*.bin"))
    for folder, epochs in ((tmp_path, [2]), (lost, [0, 1, 2])):
        model = built()
        curves, trained = train(
            model,
            checkpoint=at_every_epoch(folder),
            predictions_file=folder / "predictions.bin",
        )
        assert trained == epochs
        assert curves.validation == whole[0].validation
        for epoch in range(EPOCHS):
            np.testing.assert_array_equal(
                curves.predictions[epoch], is_a(np.ndarray, whole[0].predictions)[epoch]
            )
        assert end_state(model) == whole[1]


def test_a_model_with_state_that_keras_does_not_show_starts_its_fold_again(tmp_path: Path) -> None:
    class OwnFit(keras.Sequential):  # type: ignore[misc]
        def fit(self, *args: Any, **options: Any) -> keras.callbacks.History:
            return super().fit(*args, **options)

    def own_fit() -> keras.Model:
        model = OwnFit([keras.Input((5,)), keras.layers.Dense(2, activation="sigmoid")])
        model.compile("sgd", "binary_crossentropy", run_eagerly=True)
        return model

    _, trained = train(own_fit(), checkpoint=at_every_epoch(tmp_path))
    assert trained == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []


class RecordingModel:
    """Stands for a model: keeps the batches of each epoch, and answers what it is told to."""

    variables = trainable_variables = ()
    optimizer = SimpleNamespace(build=lambda variables: None, variables=())

    def __init__(
        self,
        *,
        loss: Sequence[float] = (),
        answers: Sequence[float] = (),
        evaluated: Sequence[float] = (),
    ) -> None:
        self.epochs: list[Any] = []
        self.validated: list[Any] = []
        self._loss, self._answers, self._evaluated = loss, answers, evaluated

    def fit(
        self,
        batches: tf.data.Dataset,
        *,
        initial_epoch: int,
        epochs: int,
        callbacks: list[keras.callbacks.Callback],
        validation_data: tf.data.Dataset | None = None,
        **options: object,
    ) -> None:
        for callback in callbacks:
            callback.set_model(self)
        for epoch in range(initial_epoch, epochs):
            for callback in callbacks:
                callback.on_epoch_begin(epoch)
            self.epochs.append(list(batches.as_numpy_iterator()))
            logs = {"loss": self._now(self._loss)}
            if validation_data is not None:
                logs["val_loss"] = self._now(self._evaluated)
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs)

    def predict(self, batches: tf.data.Dataset, **options: object) -> npt.NDArray[np.float64]:
        inputs = np.concatenate([inputs for inputs, _ in batches.as_numpy_iterator()])
        self.validated.append(inputs)
        return np.full((len(inputs), 2), self._now(self._answers))

    def _now(self, values: Sequence[float]) -> float:
        return values[len(self.epochs) - 1] if values else 0.5


def crash_and_resume(
    folder: Path,
    then: Callable[[Path], object] = lambda path: None,
    key: dict[str, Any] | None = None,
) -> list[int]:
    """The epochs that are trained after a crash that followed epoch 1."""
    crash_after(1, folder, RecordingModel())
    (path,) = folder.iterdir()
    then(path)
    return train(RecordingModel(), checkpoint=at_every_epoch(folder, key))[1]


def test_only_a_whole_checkpoint_of_the_same_key_is_used(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("same", "other", "damaged")]
    assert crash_and_resume(folders[0]) == [2]
    assert crash_and_resume(folders[1], key={"trial": 4}) == [0, 1, 2]

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-30])

    assert crash_and_resume(folders[2], cut) == [0, 1, 2]


def test_a_short_fold_writes_no_checkpoint(tmp_path: Path) -> None:
    _, trained = train(RecordingModel(), checkpoint=FoldStore(tmp_path, {}).checkpoint(0))
    assert trained == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []


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
        model,
        data,
        TRAINING,
        VALIDATION,
        sizes=SIZES,
        epochs=epochs,
        place=place,
        running=running,
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

    places = [PLACE] + [dataclasses.replace(PLACE, **{n: 7}) for n in ("seed", "trial", "fold")]
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
    with pytest.raises(TrialError, match=f"^trial 0003, fold 2, epoch 1, {side}: kappa is nan$"):
        record(figures=figures, running=running)


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "steps"), [(5, 6), (13, 2), (100, 1)])
def test_the_number_of_optimizer_steps_follows_the_batch_size(batch_size: int, steps: int) -> None:
    model = built()
    sizes = batch_sizes(len(TRAINING), batch_size)
    train_fold(model, problem(), TRAINING, VALIDATION, sizes=sizes, epochs=1, place=PLACE)
    assert int(model.optimizer.iterations) == steps
