"""Layers that a user makes once and puts into the model of every fold: each fold starts alike."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner import CrossValidationTuner, RandomSearchOracle, cross_validate
from rust_tuner.errors import SearchError
from rust_tuner.search.mean_curves import CrossValidation

Numbers = npt.NDArray[np.float32]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(36, 5)).astype("float32")
Y = (X[:, :1] + 0.5 * RNG.normal(size=(36, 1)) > 0).astype("float32")
FOLDS = [(np.flatnonzero(np.arange(36) % 2 != f), np.arange(f, 36, 2)) for f in range(2)]
START = RNG.normal(size=(5, 4)).astype("float32")


def backbone(**options: object) -> keras.Layer:
    # An initializer without a seed, so that those of other layers do not depend on it.
    layer = keras.layers.Dense(4, "tanh", kernel_initializer="zeros", **options)
    layer.build((None, 5))
    layer.set_weights([START, np.zeros(4, "float32")])
    return layer


def model_on(layer: keras.Layer, *, functional: bool = False) -> keras.Model:
    if functional:
        inputs = keras.Input((5,))
        model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(layer(inputs)))
    else:
        model = keras.Sequential([keras.Input((5,)), layer, keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy")
    return model


def validated(build: Callable[[], keras.Model]) -> CrossValidation:
    return cross_validate(build, X, Y, FOLDS, epochs=3, batch_size=8)


@pytest.mark.slow
@pytest.mark.parametrize("functional", [False, True])
def test_a_trained_layer_starts_each_fold_with_its_own_weights(functional: bool) -> None:
    shared = backbone()
    of_shared = validated(lambda: model_on(shared, functional=functional))
    # A layer of another name, as its name may be that of the last layer.
    apart = validated(lambda: model_on(backbone(name="own"), functional=functional))
    for fold, expected in zip(of_shared.folds, apart.folds, strict=True):
        np.testing.assert_array_equal(fold.predictions, expected.predictions)
    np.testing.assert_array_equal(shared.kernel, START)


def search_on(layer: keras.Layer, folder: Path, *, one_by_one: bool = False) -> list[float]:
    def build(hp: keras.Model) -> keras.Model:
        hp.Float("unused", 0, 1)
        model = model_on(layer)
        model.run_eagerly = one_by_one
        return model

    tuner = CrossValidationTuner(
        build,
        RandomSearchOracle("val_auroc", max_trials=2, seed=0),
        directory=folder,
        project_name="search",
        cv=2,
    )
    tuner.search(X, Y, epochs=2, batch_size=8, verbose=0)
    return [trial.score for trial in tuner.oracle.trials.values()]


@pytest.mark.slow
@pytest.mark.parametrize("one_by_one", [False, True])
def test_trials_of_a_search_start_with_the_users_own_weights(
    tmp_path: Path, one_by_one: bool
) -> None:
    shared = backbone()
    first = search_on(shared, tmp_path / "a", one_by_one=one_by_one)
    np.testing.assert_array_equal(shared.kernel, START)
    assert search_on(shared, tmp_path / "b", one_by_one=one_by_one) == first
    assert search_on(backbone(), tmp_path / "c", one_by_one=one_by_one) == first


@pytest.mark.slow
def test_one_compiled_model_for_all_folds_is_refused() -> None:
    model = model_on(backbone())
    with pytest.raises(SearchError, match="make and compile a new model in build"):
        validated(lambda: model)
    np.testing.assert_array_equal(model.layers[0].kernel, START)


@pytest.mark.slow
def test_one_model_that_build_compiles_again_starts_each_fold_alike() -> None:
    model = model_on(backbone())
    last = model.layers[-1].get_weights()

    def again() -> keras.Model:
        model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy")
        return model

    def anew() -> keras.Model:
        other = model_on(backbone())
        other.layers[-1].set_weights(last)
        return other

    for fold, expected in zip(validated(again).folds, validated(anew).folds, strict=True):
        np.testing.assert_array_equal(fold.predictions, expected.predictions)


@pytest.mark.slow
def test_weights_that_build_sets_in_a_shared_layer_count() -> None:
    shared = backbone()

    def build() -> keras.Model:
        shared.set_weights([2 * START, np.ones(4, "float32")])
        return model_on(shared)

    def anew() -> keras.Model:
        layer = backbone(name="own")
        layer.set_weights([2 * START, np.ones(4, "float32")])
        return model_on(layer)

    for fold, expected in zip(validated(build).folds, validated(anew).folds, strict=True):
        np.testing.assert_array_equal(fold.predictions, expected.predictions)


@pytest.mark.slow
def test_a_layer_made_after_a_search_has_a_name_of_its_own() -> None:
    before = keras.layers.Dense(1)
    validated(lambda: model_on(backbone()))
    after = keras.layers.Dense(1)
    assert after.name != before.name
    keras.Sequential([keras.Input((5,)), before, after])


def test_a_name_that_the_user_gives_twice_is_the_users_error() -> None:
    calls = []

    def build() -> keras.Model:
        calls.append(1)
        return keras.Sequential([keras.layers.Dense(1, name="own") for _ in range(2)])

    with pytest.raises(ValueError, match="should have unique names"):
        validated(build)
    assert len(calls) == 2


@pytest.mark.slow
def test_what_the_user_has_set_in_keras_stays() -> None:
    class Own(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Numbers) -> Numbers:
            return inputs

    def build() -> keras.Model:
        keras.layers.deserialize({"class_name": "Own", "config": {}})
        return model_on(backbone())

    keras.config.disable_interactive_logging()
    try:
        with keras.saving.custom_object_scope({"Own": Own}):
            validated(build)
        assert not keras.config.is_interactive_logging_enabled()
    finally:
        keras.config.enable_interactive_logging()


def searched(
    build: Callable[[], keras.Model],
    folder: Path,
    *,
    searching: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> Any:
    def build_at(hp: keras_tuner.HyperParameters) -> keras.Model:
        hp.Float("unused", 0, 1)
        return build()

    tuner = CrossValidationTuner(
        build_at,
        RandomSearchOracle("val_auroc", max_trials=2, seed=0),
        directory=folder,
        project_name="search",
        cv=2,
        seed=1,
        **options,
    )
    tuner.search(X, Y, epochs=2, batch_size=8, verbose=0, **searching)
    return tuner


@pytest.mark.slow
def test_a_metric_made_outside_build_counts_the_rows_of_its_own_fold_alone(tmp_path: Path) -> None:
    metrics = [keras.metrics.MeanSquaredError(name="error")]

    def build() -> keras.Model:
        dense = keras.layers.Dense(1, activation="sigmoid")
        model = keras.Sequential([keras.Input(X.shape[1:]), dense])
        model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[metrics, "auc"])
        return model

    ways = []
    for name, options in (("together", {}), ("alone", {"callbacks": [keras.callbacks.Callback()]})):
        tuner = searched(build, tmp_path / name, searching=options)
        ways.append(tuner.results()["folds_trained"][0])
        history = tuner.history().pivot_table(
            index=["trial", "fold", "split", "epoch"], columns="metric", values="value"
        )
        # Nothing is learned, so both are the same in each epoch.
        np.testing.assert_allclose(history["error"], history["loss"], rtol=1e-5)
    assert len(set(ways)) == 2


def weights(model: keras.Model | keras.Layer) -> list[Numbers]:
    return [values.copy() for values in model.get_weights()]


@pytest.mark.slow
def test_models_after_a_search_have_what_they_learned_and_the_layer_has_not(tmp_path: Path) -> None:
    shared = backbone(name="own")
    tuner = searched(lambda: model_on(shared), tmp_path / "a")
    apart = searched(lambda: model_on(backbone(name="own")), tmp_path / "b")
    ours, theirs = (
        [each.refit(), each.refit("0001"), *each.fold_models()] for each in (tuner, apart)
    )
    for model, expected in zip(ours, theirs, strict=True):
        for one, other in zip(weights(model), weights(expected), strict=True):
            np.testing.assert_array_equal(one, other)
        assert model.optimizer.iterations == expected.optimizer.iterations > 0
    # Each may be trained on.
    ours[0].fit(X, Y, verbose=0)
    np.testing.assert_array_equal(shared.kernel, START)
    np.testing.assert_array_equal(ours[2].get_weights()[0], theirs[2].get_weights()[0])


@pytest.mark.slow
def test_kept_models_with_a_shared_layer_predict_what_was_scored(tmp_path: Path) -> None:
    shared = backbone(name="own")
    tuner = searched(lambda: model_on(shared), tmp_path, keep_models="best")
    predictions = tuner.out_of_fold()
    for model, (_, rows) in zip(tuner.fold_models(), tuner._run.subject.folds, strict=True):
        np.testing.assert_allclose(model.predict(X[rows], verbose=0), predictions[rows], atol=1e-5)
    np.testing.assert_array_equal(shared.kernel, START)


class OwnModel(keras.Model):  # type: ignore[misc]
    """A class that Keras cannot make again from its configuration."""

    def __init__(self, layer: keras.Layer, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layer, self.function = layer, function
        self.last = keras.layers.Dense(1, "sigmoid")

    def call(self, inputs: Any) -> Any:
        return self.last(self.function(self.layer(inputs)))


@pytest.mark.slow
def test_a_model_that_cannot_be_copied_is_refused_where_it_trains_a_shared_layer(
    tmp_path: Path,
) -> None:
    shared = backbone(name="own")

    def build() -> keras.Model:
        model = OwnModel(shared, lambda values: values)
        model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy")
        return model

    tuner = searched(build, tmp_path / "a")
    with pytest.raises(SearchError, match="layer own was made outside build"):
        tuner.refit()
    np.testing.assert_array_equal(shared.kernel, START)
    shared.trainable = False
    assert searched(build, tmp_path / "b").refit().layer is shared


@pytest.mark.slow
def test_a_model_that_someone_keeps_stays_trained() -> None:
    kept: list[keras.Model] = []

    def build() -> keras.Model:
        kept.append(model_on(backbone(name="own")))
        return kept[-1]

    validated(build)
    for model in kept:
        assert not np.array_equal(model.layers[0].kernel, START)


@pytest.mark.slow
def test_a_layer_that_build_makes_once_depends_on_the_seed(tmp_path: Path) -> None:
    def scores(folder: Path) -> list[float]:
        made: list[keras.Layer] = []

        def build() -> keras.Model:
            if not made:
                made.append(keras.layers.Dense(4, "tanh"))
            return model_on(made[0])

        trials = searched(build, folder).oracle.trials
        return [trial.score for trial in trials.values()]

    random.seed(1)
    first = scores(tmp_path / "a")
    random.seed(2)
    assert scores(tmp_path / "b") == first


def test_a_layer_is_as_before_where_the_first_fold_is_interrupted() -> None:
    class Interrupt(keras.optimizers.SGD):  # type: ignore[misc]
        def apply(self, *args: Any, **kwargs: Any) -> Any:
            if len(calls) == 2:
                raise KeyboardInterrupt
            calls.append(1)
            return super().apply(*args, **kwargs)

    calls: list[int] = []
    shared = backbone()

    def build() -> keras.Model:
        model = model_on(shared)
        model.compile(Interrupt(0.1), "binary_crossentropy", run_eagerly=True)
        return model

    with pytest.raises(KeyboardInterrupt):
        validated(build)
    assert len(calls) == 2
    np.testing.assert_array_equal(shared.kernel, START)


@pytest.mark.slow
def test_a_layer_that_a_callback_unfreezes_is_frozen_again(tmp_path: Path) -> None:
    class Unfreeze(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            # The compiled step of the first epoch does not change.
            self.model.layers[0].trainable = epoch > 0

    flags = []
    shared = backbone(trainable=False)

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        flags.append(shared.trainable)
        return model_on(shared)

    tuner = CrossValidationTuner(
        build, RandomSearchOracle("val_auroc", max_trials=1), directory=tmp_path, cv=2
    )
    tuner.search(X, Y, epochs=2, verbose=0, callbacks=[Unfreeze()])
    assert not any(flags)
    assert not shared.trainable


@pytest.mark.slow
def test_a_search_within_build_leaves_layers_as_they_were() -> None:
    shared = backbone(name="own")

    def build() -> keras.Model:
        validated(lambda: model_on(shared))
        np.testing.assert_array_equal(shared.kernel, START)
        return model_on(shared)

    apart = validated(lambda: model_on(backbone(name="own")))
    for fold, expected in zip(validated(build).folds, apart.folds, strict=True):
        np.testing.assert_array_equal(fold.predictions, expected.predictions)
