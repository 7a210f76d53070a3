"""A HyperModel.fit of the user is called for each fold, and what it returns counts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
from fault_injection import Snapshots
from hand_written import assert_equal, by_hand, classifier, curves, iris, outcome_of, searched
from sklearn.model_selection import KFold

from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.search.own_tuner import metrics_of
from rust_tuner.search.tuner import CrossValidationTuner

FOLDS = KFold(3)


class Plain(keras_tuner.HyperModel):  # type: ignore[misc]
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        hp.Choice("shuffled", [True, False])
        return classifier()

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        return model.fit(*args, shuffle=hp.get("shuffled"), **kwargs)


class Unshuffled(Plain):
    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        x: npt.NDArray[np.float32],
        y: npt.NDArray[np.int64],
        validation_data: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        self.seen = (len(x), len(y), len(validation_data[0]), sorted(kwargs))
        return model.fit(
            x, y, shuffle=False, validation_data=validation_data, callbacks=callbacks, **kwargs
        )


@pytest.mark.slow
def test_a_history_is_that_of_a_loop_by_hand(tmp_path: Path) -> None:
    x, y = iris(60)
    hypermodel = Unshuffled()
    tuner = searched(tmp_path, hypermodel, x, y, cv=FOLDS)
    assert hypermodel.seen == (40, 40, 20, ["batch_size", "epochs"])
    expected = by_hand(
        classifier, x, y, list(FOLDS.split(x)), epochs=3, batch_size=16, seed=7, shuffle=False
    )
    assert_equal(tuner, expected)
    assert tuner.out_of_fold().shape == (60, 3)


class OwnLoop(keras_tuner.HyperModel):  # type: ignore[misc]
    """As in KerasTuner's guide "Custom training"."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        return classifier()

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        x: npt.NDArray[np.float32],
        y: npt.NDArray[np.int64],
        validation_data: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        **kwargs: object,
    ) -> Any:
        for callback in callbacks or ():
            callback.set_model(model)
        losses = []
        for epoch in range(2):
            for callback in callbacks or ():
                callback.on_epoch_begin(epoch)
            model.train_on_batch(x, y)
            losses.append(model.test_on_batch(*validation_data, return_dict=True)["loss"])
            for callback in callbacks or ():
                callback.on_epoch_end(epoch, logs={"val_loss": losses[-1]})
        return self.returned(losses)

    def returned(self, losses: list[float]) -> Any:
        return min(losses)


class ReturnsDict(OwnLoop):
    def returned(self, losses: list[float]) -> Any:
        return {"val_loss": losses[0], "val_other": 2.0, "time": 1.0}


class ReturnsNothing(OwnLoop):
    def returned(self, losses: list[float]) -> Any:
        return None


class ReturnsOthers(OwnLoop):
    def returned(self, losses: list[float]) -> Any:
        return {"val_other": 1.0}


@pytest.mark.slow
def test_a_number_and_a_dict_count_as_one_epoch(tmp_path: Path) -> None:
    x, y = iris(60)
    number = searched(tmp_path / "number", OwnLoop(), x, y, cv=FOLDS)
    assert curves(number)["loss"].shape == (3, 1)
    assert number.out_of_fold().shape == (60, 3)
    values = searched(tmp_path / "dict", ReturnsDict(), x, y, cv=FOLDS)
    assert set(curves(values)) == {"loss", "other"}
    assert (values.results()["score"] > number.results()["score"]).all()


class ReturnsTensor(OwnLoop):
    def returned(self, losses: list[float]) -> Any:
        return keras.ops.mean(keras.ops.convert_to_tensor(losses))


class ReturnsText(OwnLoop):
    def returned(self, losses: list[float]) -> Any:
        return {"val_loss": losses[0], "val_other": "low"}


@pytest.mark.parametrize(
    "returned",
    [
        {"val_loss": []},
        {"val_loss": [1.0, 2.0], "loss": [1.0]},
        {"val_loss": [[1.0], [1.0, 2.0]]},
        {"val_loss": [1.0, None]},
    ],
)
def test_a_dict_of_anything_but_numbers_and_curves_is_refused_by_name(returned: Any) -> None:
    with pytest.raises(SearchError, match=r"fit returned a dict in which val_loss is \w+;"):
        metrics_of(returned, keras_tuner.Objective("val_loss", "min"), what="fit")


def test_a_tensor_is_a_number_and_a_text_is_none(tmp_path: Path) -> None:
    x, y = iris(60)
    tuner = searched(tmp_path / "tensor", ReturnsTensor(), x, y, cv=FOLDS)
    assert curves(tuner)["loss"].shape == (3, 1)
    with pytest.raises(SearchError, match=r"fit returned a dict in which val_other is str"):
        searched(tmp_path / "text", ReturnsText(), x, y, cv=FOLDS)


@pytest.mark.slow
def test_a_return_without_the_objective_ends_the_search_by_name(tmp_path: Path) -> None:
    x, y = iris(60)
    with pytest.raises(SearchError, match=r"HyperModel\.fit returned NoneType; return the value"):
        searched(tmp_path / "nothing", ReturnsNothing(), x, y, cv=FOLDS)
    with pytest.raises(SearchError, match=r"HyperModel\.fit returned no val_loss"):
        searched(tmp_path / "other", ReturnsOthers(), x, y, cv=FOLDS)


class Stopping(Unshuffled):
    """Folds stop after different numbers of epochs, set by the code itself."""

    def fit(  # type: ignore[override]
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        x: npt.NDArray[np.float32],
        y: npt.NDArray[np.int64],
        validation_data: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
    ) -> keras.callbacks.History:
        self.calls = getattr(self, "calls", 0) + 1
        return model.fit(
            x,
            y,
            epochs=5 - self.calls,
            shuffle=False,
            validation_data=validation_data,
            callbacks=callbacks,
        )


@pytest.mark.slow
def test_folds_of_different_lengths_keep_their_last_figures(tmp_path: Path) -> None:
    x, y = iris(60)
    tuner = searched(tmp_path, Stopping(), x, y, cv=FOLDS)
    folds = tuner.project.trials[0].folds
    lengths = [fold.epochs_trained or len(fold.validation["loss"]) for fold in folds]
    assert len(set(lengths)) > 1
    found = curves(tuner)["loss"]
    assert found.shape == (3, max(lengths))
    for curve, length in zip(found, lengths, strict=True):
        assert (curve[length:] == curve[length - 1]).all()


def early_stopping() -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)


class BestWeights(Unshuffled):
    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        callbacks = [*kwargs.pop("callbacks"), early_stopping()]
        return self.returned(model.fit(*args, callbacks=callbacks, shuffle=False, **kwargs))

    def returned(self, history: keras.callbacks.History) -> Any:
        return history


class BestWeightsAsDict(BestWeights):
    def returned(self, history: keras.callbacks.History) -> Any:
        return history.history


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BestWeights, BestWeightsAsDict])
def test_epochs_after_the_best_weights_have_the_figures_of_the_model_that_fit_leaves(
    kind: type[BestWeights], tmp_path: Path
) -> None:
    x, y = iris(60)
    # Labels that cannot be learned: each fold overfits from another epoch on.
    y = np.random.default_rng(3).permutation(y)
    tuner = searched(tmp_path, kind(), x, y, cv=FOLDS, epochs=9)
    folds = tuner.project.trials[0].folds
    lengths = [fold.epochs_trained or len(fold.validation["loss"]) for fold in folds]
    assert min(lengths) < max(lengths)
    for loss, length in zip(curves(tuner)["loss"], lengths, strict=True):
        assert loss[:length].min() < loss[length - 1] or length == max(lengths)
        assert (loss[length:] == loss[:length].min()).all()


@pytest.mark.slow
def test_a_changed_fit_is_refused_at_resume(tmp_path: Path) -> None:
    x, y = iris(60)
    searched(tmp_path, OwnLoop(), x, y, cv=FOLDS)

    class OwnLoop2(OwnLoop):
        def fit(
            self,
            hp: keras_tuner.HyperParameters,
            model: keras.Model,
            *args: object,
            **kwargs: object,
        ) -> float:
            return 1.0

    with pytest.raises(ResumeError, match=r"subject\.fit"):
        searched(tmp_path, OwnLoop2(), x, y, cv=FOLDS)


@pytest.mark.slow
def test_a_search_with_its_own_fit_killed_at_any_write_ends_as_if_untouched(tmp_path: Path) -> None:
    x, y = iris(60)

    def run(folder: Path) -> CrossValidationTuner:
        return searched(folder, Plain(), x, y, cv=2, trials=2, epochs=2)

    (tmp_path / "whole").mkdir()
    snapshots = Snapshots(tmp_path / "whole", tmp_path / "snapshots")
    with snapshots.taken():
        expected = outcome_of(run(tmp_path / "whole"))
    for strike, moment in snapshots.one_moment_each():
        place = snapshots.restore(strike, moment, tmp_path / str(strike))
        assert outcome_of(run(place)) == expected


class TwoStages(Plain):
    """Trains twice, and returns the history of the second time."""

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        x: npt.NDArray[np.float32],
        y: npt.NDArray[np.int64],
        **kwargs: Any,
    ) -> keras.callbacks.History:
        model.fit(x, y, **(kwargs | {"epochs": 2}))
        # What follows is worse from epoch to epoch.
        return model.fit(x, (y + 1) % 3, **(kwargs | {"epochs": 3}))


@pytest.mark.slow
def test_the_predictions_of_a_fit_in_two_stages_are_those_of_the_scored_epoch(
    tmp_path: Path,
) -> None:
    x, y = iris(60)
    tuner = searched(tmp_path, TwoStages(), x, y, cv=FOLDS)
    row = tuner.results().iloc[0]
    assert row["epoch"] < 2
    likely = tuner.out_of_fold()[np.arange(60), y.astype(int)]
    means = [-np.log(likely[rows]).mean() for _, rows in FOLDS.split(x)]
    assert np.mean(means) == pytest.approx(row["val_loss"], rel=1e-5)
