"""The models of KerasTuner's guides, written as its users write them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from guide_models import eager, getting_started, search
from keras_tuner.engine.trial import Trial
from notes import Notes
from search_problems import arrays
from sklearn.model_selection import RepeatedKFold

from rust_tuner import CrossValidationTuner, RandomSearchOracle, cross_validate
from rust_tuner.errors import SearchError
from rust_tuner.progress import Silent
from rust_tuner.records.project import read_out_of_fold, read_out_of_fold_repeats, read_project
from rust_tuner.search.mean_curves import CrossValidation

FOLDS = ((np.arange(24), np.arange(24, 48)), (np.arange(24, 48), np.arange(24)))


@pytest.mark.slow
def test_getting_started_is_searched_and_resumed(tmp_path: Path) -> None:
    first = search(tmp_path, getting_started, objective="val_accuracy", max_trials=2).results()
    assert list(first["status"]) == ["COMPLETED"] * 2
    again = search(tmp_path, getting_started, objective="val_accuracy", max_trials=2)
    assert again.results().equals(first)


class CustomStep(keras.Model):  # type: ignore[misc]
    """The subclass of "Custom training": its own layers, `train_step` and loss tracker."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(units, "relu")
        self.last = keras.layers.Dense(2, "sigmoid")
        self.own_loss = keras.metrics.Mean(name="loss")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.last(self.hidden(x))

    def train_step(self, data: tuple[keras.KerasTensor, ...]) -> dict[str, Any]:
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.own_loss.update_state(loss)
        return {"loss": self.own_loss.result()}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.own_loss]

    def test_step(self, data: tuple[keras.KerasTensor, ...]) -> dict[str, Any]:
        x, y = data
        self.own_loss.update_state(self.compute_loss(y=y, y_pred=self(x, training=False)))
        return {"loss": self.own_loss.result()}


def custom_step(hp: keras_tuner.HyperParameters) -> CustomStep:
    model = CustomStep(hp.Int("units", 2, 3))
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", run_eagerly=True)
    return model


@pytest.mark.slow
def test_an_own_train_step_is_searched(tmp_path: Path) -> None:
    tuner = search(tmp_path, custom_step)
    assert list(tuner.results()["status"]) == ["COMPLETED"]
    curve = tuner.history().query("split == 'training' and metric == 'loss' and fold == 0")
    assert curve["value"].is_monotonic_decreasing


def dense(
    optimizer: Any, *, cls: type[keras.Sequential] = keras.Sequential, metrics: Sequence[Any] = ()
) -> keras.Sequential:
    model = cls([keras.Input((4,)), keras.layers.Dense(2, "sigmoid")])
    model.compile(optimizer, "binary_crossentropy", metrics=list(metrics), run_eagerly=True)
    return model


def run(build: Callable[[], keras.Model], epochs: int = 4) -> CrossValidation:
    x, y, _ = arrays()
    return cross_validate(build, x, y, FOLDS, epochs=epochs, batch_size=12)


@pytest.mark.slow
def test_averaged_weights_are_used_once_fit_is_over_and_not_after_every_epoch() -> None:
    """As in one call of `fit`, training goes on from the weights that are not averaged."""

    def with_average(use_ema: bool) -> CrossValidation:
        return run(lambda: dense(keras.optimizers.SGD(0.5, use_ema=use_ema, ema_momentum=0.9)))

    averaged, plain = with_average(True), with_average(False)
    assert averaged.mean == plain.mean


class StopsEarly(keras.Sequential):  # type: ignore[misc]
    """A model whose own `fit` stops early, and counts how often training begins."""

    begun = 0

    def fit(
        self, *args: Any, callbacks: Sequence[keras.callbacks.Callback] = (), **options: Any
    ) -> keras.callbacks.History:
        stop = keras.callbacks.EarlyStopping(
            "val_loss", patience=0, min_delta=1e9, restore_best_weights=True
        )

        def count(logs: dict[str, float] | None = None) -> None:
            type(self).begun += 1

        begin = keras.callbacks.LambdaCallback(on_train_begin=count)
        return super().fit(*args, callbacks=[*callbacks, stop, begin], **options)


@pytest.mark.slow
def test_early_stopping_within_fit_stops_and_the_rest_is_the_model_that_it_left(
    tmp_path: Path,
) -> None:
    StopsEarly.begun = 0
    tuner = search(
        tmp_path, lambda hp: dense(keras.optimizers.SGD(0.1), cls=StopsEarly), search={"epochs": 5}
    )
    assert StopsEarly.begun == 2
    (trial,) = tuner.project.trials
    for fold in trial.folds:
        assert fold.epochs_trained == 2
        losses = fold.validation["loss"]
        assert len(losses) == 5
        # The weights of the best epoch, which was the first, were restored.
        assert losses[2:] == pytest.approx([losses[0]] * 3, rel=1e-6)
        assert losses[1] != losses[0]


def with_own_auroc(hp: keras_tuner.HyperParameters) -> keras.Model:
    return dense("sgd", metrics=[keras.metrics.AUC(name="auroc", num_thresholds=3)])


@pytest.mark.slow
def test_a_metric_of_the_users_named_auroc_keeps_its_name_beside_the_exact_one(
    tmp_path: Path,
) -> None:
    notes = Notes()
    tuner = search(tmp_path, with_own_auroc, objective="val_auroc", progress=notes)
    history = tuner.history().query("split == 'validation'")
    by_metric = history.pivot_table(index=["fold", "epoch"], columns="metric", values="value")
    assert (by_metric["auroc"] != by_metric["exact_auroc"]).any()
    assert sum("val_exact_auroc" in text for text in notes.said) == 1


def test_a_missing_objective_is_refused_before_training_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"val_acc is not among the metrics: .*val_accuracy"):
        search(tmp_path, getting_started, objective="val_acc")
    assert not list(tmp_path.rglob("trial_*"))


@pytest.mark.slow
def test_repeated_folds_keep_every_prediction_of_a_row_and_their_mean(tmp_path: Path) -> None:
    tuner = search(
        tmp_path,
        lambda hp: dense(keras.optimizers.SGD(0.1)),
        cv=RepeatedKFold(n_splits=2, n_repeats=3, random_state=0),
        search={"groups": None},
    )
    repeats = read_out_of_fold_repeats(tuner.project_folder, "0000")
    assert repeats.shape == (3, 48, 2)
    assert np.isfinite(repeats).all()
    assert (repeats[0] != repeats[1]).any()
    mean = read_out_of_fold(tuner.project_folder, "0000")
    np.testing.assert_allclose(mean, repeats.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(tuner.out_of_fold(), mean)
    np.testing.assert_array_equal(tuner.out_of_fold("0000", each=True), repeats)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["epochs", pytest.param("tuner/epochs", marks=pytest.mark.slow)])
def test_a_hyperparameter_sets_the_number_of_epochs(name: str, tmp_path: Path) -> None:
    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        hp.Choice(name, [1, 3])
        return dense(keras.optimizers.SGD(0.1))

    class Counting(Silent):
        total = done = 0

        def task(self, name: str, total: int, *, done: int = 0) -> Any:
            self.total = total
            return super().task(name, total, done=done)

        def advance(self, steps: int = 1, *, note: str | None = None) -> None:
            self.done += steps

        skip = advance

    progress = Counting()
    tuner = search(tmp_path, build, max_trials=2, progress=progress)
    epochs = tuner.history().groupby("trial")["epoch"].nunique()
    assert epochs.tolist() == [1, 3]
    assert progress.done == progress.total


@pytest.mark.slow
def test_a_seed_of_none_is_drawn_once_and_the_search_resumes(tmp_path: Path) -> None:
    def oracle(trials: int) -> RandomSearchOracle:
        return RandomSearchOracle(keras_tuner.Objective("val_loss", "min"), trials, seed=None)

    first = search(tmp_path, eager, oracle=oracle(2), seed=None)
    columns = ["trial", "units", "activation", "score"]
    recorded = first.results()[columns]
    longer = search(tmp_path, eager, oracle=oracle(3), seed=None)
    assert longer.results()[columns][:2].equals(recorded)
    other = search(tmp_path / "other", eager, oracle=oracle(1), seed=None)
    assert other.seed != first.seed
    run = read_project(first.project_folder).run
    assert (run.seed, run.oracle_seed) == (first.seed, first.oracle.seed)


@pytest.mark.parametrize("name", ["KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP"])
def test_a_worker_of_keras_tuners_distribution_is_refused_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "127.0.0.1")
    with pytest.raises(SearchError, match=rf"{name} set in .* use search\(workers="):
        search(tmp_path, getting_started)


class WithHooks(CrossValidationTuner):
    def on_search_begin(self) -> None:
        self.called: list[Any] = []

    def on_epoch_begin(
        self, trial: Trial, model: keras.Model, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        self.called.append(("begin", epoch))

    def on_epoch_end(
        self, trial: Trial, model: keras.Model, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        assert logs is not None and "val_auroc" in logs
        assert isinstance(model, keras.Model)
        self.called.append((trial.trial_id, epoch))

    def on_batch_end(
        self, trial: Trial, model: keras.Model, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        self.called.append("batch")


def test_the_hooks_of_a_subclass_are_called_for_each_epoch_and_batch(tmp_path: Path) -> None:
    tuner = search(tmp_path, lambda hp: dense("sgd"), tuner=WithHooks)
    one = [("begin", 0), "batch", ("0000", 0), ("begin", 1), "batch", ("0000", 1)]
    assert tuner.called == one * 2
