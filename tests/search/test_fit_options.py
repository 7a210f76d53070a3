"""Weights, callbacks and the other arguments of `fit`: used as Keras uses them, or refused."""

import json
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from fault_injection import Killed
from hand_written import SPLITTER, assert_equal, by_hand, classifier, iris, searched
from narrowing import not_none
from search_problems import TinyHyperModel, arrays, make_tuner
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold
from sklearn.utils.class_weight import compute_class_weight

from rust_tuner.errors import ResumeError, SearchError, UnknownArgumentError
from rust_tuner.models.fold_batches import EpochFeed
from rust_tuner.progress import Silent
from rust_tuner.records.folds import EpochCheckpoint, FoldStore


@pytest.mark.slow
def test_sample_weights_are_those_of_a_loop_by_hand_on_both_sides(tmp_path: Path) -> None:
    x, y = iris(60)
    weights = np.random.default_rng(1).uniform(0.1, 4, len(x))
    shared: dict[str, Any] = {"epochs": 2, "batch_size": 20}
    tuner = searched(tmp_path, lambda hp: classifier(), x, y, sample_weight=weights, **shared)
    folds = list(SPLITTER.split(x, y))
    shared["seed"] = 7
    expected = by_hand(classifier, x, y, folds, sample_weight=weights, **shared)
    assert set(expected) == {"loss", "accuracy", "weighted"}
    assert_equal(tuner, expected)
    unweighted = by_hand(classifier, x, y, folds[:1], **shared)
    assert np.abs(unweighted["loss"] - expected["loss"][:1]).min() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("given", ["balanced", {0: 5.0, 2: 0.5}])
def test_class_weights_are_those_of_a_loop_by_hand_and_of_the_training_rows(
    given: str | dict[int, float], tmp_path: Path
) -> None:
    x, y = iris(60)
    # Few rows of a class, so that it is not equally frequent in all folds.
    kept = np.r_[np.flatnonzero(y < 2), np.flatnonzero(y == 2)[:5]]
    x, y = x[kept], y[kept]
    tuner = searched(tmp_path, lambda hp: classifier(), x, y, cv=KFold(3), class_weight=given)

    def of_fold(targets: npt.NDArray[np.int64]) -> dict[int, float]:
        if given != "balanced":
            return {0: 5.0, 1: 1.0, 2: 0.5}
        weights = compute_class_weight("balanced", classes=np.unique(targets), y=targets)
        return {label: 1.0 for label in range(3)} | dict(
            zip(np.unique(targets).tolist(), weights, strict=True)
        )

    folds = list(KFold(3).split(x))
    shared: dict[str, Any] = {"epochs": 3, "batch_size": 16, "seed": 7}
    assert_equal(tuner, by_hand(classifier, x, y, folds, class_weight=of_fold, **shared))
    with pytest.raises(ResumeError, match=r"subject\.class_weight"):
        searched(tmp_path, lambda hp: classifier(), x, y, cv=KFold(3), class_weight={0: 2.0})


@pytest.mark.slow
def test_weights_of_rows_and_of_classes_are_multiplied(tmp_path: Path) -> None:
    x, y = iris(60)
    weights = np.random.default_rng(1).uniform(0.1, 4, len(x))
    both = searched(
        tmp_path / "both", lambda hp: classifier(), x, y, sample_weight=weights,
        class_weight={0: 3.0},
    )  # fmt: skip
    product = searched(
        tmp_path / "product", lambda hp: classifier(), x, y,
        sample_weight=weights * np.where(y == 0, 3, 1),
    )  # fmt: skip
    training = "split == 'training' and metric == 'loss'"
    np.testing.assert_allclose(
        both.history().query(training)["value"],
        product.history().query(training)["value"],
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weight": np.ones(9)}, "sample_weight has 9 rows"),
        ({"sample_weight": np.full(60, np.nan)}, "sample_weight has values that are not numbers"),
        ({"sample_weight": -np.ones(60)}, "not numbers from 0"),
        (
            {"sample_weight": np.arange(60) >= 30, "cv": KFold(2)},
            "fold 0: sample_weight is 0 in all 30 validation rows",
        ),
        (
            {"sample_weight": np.arange(60) < 30, "cv": KFold(2)},
            "fold 0: sample_weight is 0 in all 30 training rows",
        ),
        ({"class_weight": {3: 1.0}}, r"class_weight has the class 3; the targets have 0 to 2"),
        ({"class_weight": {"setosa": 1.0}}, "class 'setosa'"),
        ({"class_weight": "balance"}, "'balance'; give a dict"),
        ({"class_weight": {0: -1}}, r"class_weight\[0\] is -1"),
        ({"class_weight": {0: "x"}}, r"class_weight\[0\] is x"),
        ({"class_weight": {0: None}}, r"class_weight\[0\] is None"),
        (
            {"class_weight": {0: 0, 1: 0, 2: 0}},
            r"fold 0: class_weight, .* is 0 in all \d+ training",
        ),
        ({"callbacks": ["early"]}, "callbacks is a list with 'early'"),
        ({"callbacks": [keras.callbacks.BackupAndRestore("x")]}, "resumes by itself"),
        ({"validation_batch_size": 0}, "validation_batch_size=0"),
        ({"shuffle": "batch"}, "shuffle='batch'"),
        ({"verbose": 3}, "verbose=3"),
        ({"timeout": 0}, "timeout=0"),
        ({"validation_data": 1}, "no argument validation_data: each fold validates"),
        ({"sample_weights": 1}, "no argument sample_weights; did you mean sample_weight"),
        ({"zzz": 1}, "no argument zzz; it has x, y, groups"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_before_work(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    x, y = iris(60)
    with pytest.raises(SearchError, match=message):
        searched(tmp_path, lambda hp: classifier(), x, y, **options)
    assert not list(tmp_path.rglob("trial_*"))


def test_an_unknown_argument_is_a_type_error_as_in_python(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="did you mean shuffle"):
        make_tuner(tmp_path, "grid").search(*arrays(), shufle=True)
    assert issubclass(UnknownArgumentError, SearchError)


def test_class_weights_of_targets_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    for targets in (y + 0.5, np.eye(3)[[0, 1, 2] * 20] + np.eye(3)[[1, 2, 0] * 20]):
        with pytest.raises(SearchError, match="class_weight needs"):
            searched(
                tmp_path, lambda hp: classifier(), x[: len(targets)], targets,
                class_weight="balanced", cv=2,
            )  # fmt: skip


class Counting(keras.callbacks.Callback):  # type: ignore[misc]
    made = 0

    def __init__(self) -> None:
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epochs += 1
        assert self.epochs == epoch + 1
        assert logs is not None and "val_loss" in logs


@pytest.mark.slow
def test_each_fold_gets_callbacks_that_have_seen_no_other(tmp_path: Path) -> None:
    x, y = iris(60)
    given = Counting()
    searched(tmp_path / "copied", lambda hp: classifier(), x, y, callbacks=[given])
    assert given.epochs == 0
    made = []

    def factory() -> list[Counting]:
        made.append(Counting())
        return [made[-1]]

    searched(tmp_path / "made", lambda hp: classifier(), x, y, callbacks=factory)
    assert sorted(callback.epochs for callback in made if callback.epochs) == [3, 3, 3]


@pytest.mark.slow
def test_early_stopping_and_plateaus_are_those_of_keras(tmp_path: Path) -> None:
    x, y = iris()

    def callbacks() -> list[keras.callbacks.Callback]:
        return [
            keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=0.05),
            keras.callbacks.ReduceLROnPlateau("val_loss", patience=0, min_delta=0.2),
        ]

    tuner = searched(
        tmp_path, lambda hp: classifier(), x, y, epochs=12, callbacks=callbacks(), cv=2
    )
    trained = [fold.epochs_trained for fold in tuner.project.trials[0].folds]
    assert all(epochs is not None and 1 < epochs < 12 for epochs in trained)
    with pytest.raises(ResumeError, match=r"callbacks.EarlyStopping.values.patience: was 1, is 5"):
        changed = [keras.callbacks.EarlyStopping("val_loss", patience=5, min_delta=0.05)]
        searched(tmp_path, lambda hp: classifier(), x, y, epochs=12, callbacks=changed, cv=2)


@pytest.mark.slow
def test_checkpoints_and_logs_are_written_for_each_trial_and_fold(tmp_path: Path) -> None:
    x, y = iris(60)
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(tmp_path / "kept" / "best.keras")),
        keras.callbacks.CSVLogger(str(tmp_path / "kept" / "log.csv")),
        keras.callbacks.TensorBoard(str(tmp_path / "board"), write_graph=False),
    ]
    searched(tmp_path, lambda hp: classifier(), x, y, epochs=1, callbacks=callbacks)
    for fold in range(3):
        place = f"trial_0000/fold_{fold}"
        assert (tmp_path / "kept" / place / "best.keras").is_file()
        assert (tmp_path / "kept" / place / "log.csv").is_file()
        assert list((tmp_path / "board" / place).rglob("events*"))


def momentum(hp: keras_tuner.HyperParameters) -> keras.Model:
    return classifier("adam")


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["of Keras", "of the user"])
def test_a_fold_that_is_cut_short_ends_with_its_callbacks_as_if_untouched(
    own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callbacks of Keras go on with what they remember; with others the fold begins again."""
    x, y = iris()
    callbacks = [
        keras.callbacks.EarlyStopping(
            "val_loss", patience=2, min_delta=0.03, restore_best_weights=True
        ),
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.06),
        *([Counting()] if own else []),
    ]
    options: dict[str, Any] = {"epochs": 12, "callbacks": callbacks, "cv": 2}
    monkeypatch.setattr(EpochCheckpoint, "seconds_between", 0.0)
    whole = searched(tmp_path / "whole", momentum, x, y, **options)
    assert not_none(whole.project.trials[0].folds[0].epochs_trained) < 12
    begin = EpochFeed.begin
    saved = {True: FoldStore.save, False: EpochCheckpoint.save}[own]
    # One that begins again does so wherever it was cut.
    for strike in (1,) if own else (1, 4):
        epochs: list[int]
        saves: list[Any]
        epochs, saves = [], []

        def killing_save(
            self: Any, state: Any, saves: list[Any] = saves, strike: int = strike
        ) -> None:
            saves.append(state)
            if own:
                # The fold is trained, but its record is lost.
                raise Killed
            saved(self, state)  # type: ignore[operator]
            if len(saves) == strike:
                raise Killed

        def noting(
            self: EpochFeed, epoch: int, epochs: list[int] = epochs
        ) -> npt.NDArray[np.int64]:
            epochs.append(epoch)
            return begin(self, epoch)

        folder = tmp_path / str(strike)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(FoldStore if own else EpochCheckpoint, "save", killing_save)
            searched(folder, momentum, x, y, **options)
        with monkeypatch.context() as patch:
            patch.setattr(EpochFeed, "begin", noting)
            again = searched(folder, momentum, x, y, **options)
        assert epochs[0] == (0 if own else strike)
        assert again.history().equals(whole.history())
        assert again.out_of_fold().tobytes() == whole.out_of_fold().tobytes()


@pytest.mark.slow
def test_that_a_fold_with_callbacks_of_the_user_begins_again_is_said(tmp_path: Path) -> None:
    x, y = iris(60)
    said = []

    class Listening(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    searched(tmp_path, lambda hp: classifier(), x, y, epochs=1, callbacks=[Counting()],
             progress=Listening())  # fmt: skip
    assert any("Counting" in text and "begins again" in text for text in said)


def test_without_shuffling_rows_come_in_their_order(tmp_path: Path) -> None:
    seen = []

    class Rows(keras.callbacks.Callback):  # type: ignore[misc]
        pass

    class Seeing(keras.Sequential):  # type: ignore[misc]
        def train_step(self, data: tuple[keras.KerasTensor, ...]) -> dict[str, Any]:
            seen.append(np.asarray(data[0])[:, 0])
            result: dict[str, Any] = super().train_step(data)
            return result

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        model = Seeing([keras.Input((4,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    x, y, _ = arrays()
    tuner = searched(tmp_path, build, x, y, cv=KFold(2), epochs=1, batch_size=24, shuffle=False)
    np.testing.assert_array_equal(np.stack(seen), [x[24:, 0], x[:24, 0]])
    manifest = json.loads((tuner.project_folder / "search.json").read_text())
    assert manifest["subject"]["shuffle"] is False


@pytest.mark.slow
def test_the_batches_of_validation_have_their_own_size(tmp_path: Path) -> None:
    sizes = set()

    class Seeing(keras.Sequential):  # type: ignore[misc]
        def test_step(self, data: tuple[keras.KerasTensor, ...]) -> dict[str, Any]:
            sizes.add(len(np.asarray(data[0])))
            result: dict[str, Any] = super().test_step(data)
            return result

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        model = Seeing([keras.Input((4,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    x, y, _ = arrays()
    searched(tmp_path, build, x, y, cv=2, epochs=1, validation_batch_size=6)
    # Two rows show which metrics there are.
    assert sizes == {2, 6}


@pytest.mark.slow
def test_a_search_reports_as_it_runs_unless_it_is_silenced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y, groups = arrays()
    for verbose in (1, 0):
        make_tuner(tmp_path / str(verbose), "grid", 1).search(
            x, y, groups, epochs=1, verbose=verbose
        )
        assert ("search: 2/2" in capsys.readouterr().err) == bool(verbose)


@pytest.mark.slow
def test_a_search_that_is_out_of_time_ends_between_trials_and_is_resumed(tmp_path: Path) -> None:
    x, y, groups = arrays()

    class Slow(TinyHyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            time.sleep(0.02)
            return super().build(hp)

    def run(**options: Any) -> pd.DataFrame:
        tuner = make_tuner(tmp_path, "grid", None, hypermodel=Slow())
        tuner.search(x, y, groups, epochs=1, batch_size=16, verbose=0, **options)
        return tuner.results()

    assert list(run(timeout=1e-3)["status"]) == ["COMPLETED"]
    assert list(run(timeout=1e-3)["status"]) == ["COMPLETED"] * 2
    assert list(run()["status"]) == ["COMPLETED"] * 4


@pytest.mark.slow
def test_nothing_new_leaves_no_trace_in_the_manifest(tmp_path: Path) -> None:
    """A search that uses nothing new has the key of earlier versions."""
    tuner = searched(tmp_path, lambda hp: classifier(), *iris(60), epochs=1)
    subject = json.loads((tuner.project_folder / "search.json").read_text())["subject"]
    assert set(subject) == {"inputs", "targets", "folds", "num_folds", "units", "description"}


class Timed(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback with a value that decides nothing, and is another one in each process."""

    def __init__(self, *, is_private: bool) -> None:
        super().__init__()
        setattr(self, "_started" if is_private else "started", time.monotonic())


@pytest.mark.slow
def test_a_value_of_a_callback_that_decides_nothing_can_be_left_out(tmp_path: Path) -> None:
    x, y = iris(60)
    for is_private in (True, False):
        options: dict[str, Any] = {"epochs": 1, "callbacks": [Timed(is_private=is_private)]}
        searched(tmp_path / str(is_private), lambda hp: classifier(), x, y, **options)
    searched(tmp_path / "True", lambda hp: classifier(), x, y, epochs=1,
             callbacks=[Timed(is_private=True)])  # fmt: skip
    with pytest.raises(ResumeError, match=r"Timed\.values\.started: .*\n.* with an underscore"):
        searched(tmp_path / "False", lambda hp: classifier(), x, y, epochs=1,
                 callbacks=[Timed(is_private=False)])  # fmt: skip
