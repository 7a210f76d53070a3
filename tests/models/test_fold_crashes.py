"""A fold that crashed goes on after its last whole epoch, and ends as if untouched."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from fold_problem import PLACE, SIZES, TRAINING, VALIDATION, RecordingModel, built, problem
from narrowing import is_a

from rust_tuner.models import epoch_file
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_curves import FoldCurves
from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.fold_training import train_fold
from rust_tuner.records.folds import EpochCheckpoint, FoldStore

EPOCHS = 3


class Killed(BaseException):
    """Stands for kill -9."""


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


@pytest.mark.slow
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
        train(built(), checkpoint=at_every_epoch(tmp_path), on_epoch=killing, predictions_file=file)
    lost = shutil.copytree(tmp_path, tmp_path / "lost", ignore=shutil.ignore_patterns("*.bin"))
    for folder, epochs in ((tmp_path, [2]), (lost, [0, 1, 2])):
        model = built()
        curves, trained = train(
            model, checkpoint=at_every_epoch(folder), predictions_file=folder / "predictions.bin"
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
