"""What users set in Keras stays, in every thread."""

import threading

import keras
import numpy as np
from keras.src.saving.serialization_lib import SafeModeScope, in_safe_mode

from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.keras_state import build_at, clear_session, users_layers_kept


def test_settings_of_other_threads_and_scopes_stay() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with SafeModeScope(False), keras.name_scope("outer"):
            thread = threading.Thread(target=clear_session)
            thread.start()
            thread.join()
            clear_session()
            assert not in_safe_mode()
            assert keras.Variable(0.0, name="inner").path == "outer/inner"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)


def test_random_numbers_of_keras_go_on_after_a_search() -> None:
    def drawn(*, searches: bool) -> np.ndarray:
        keras.utils.set_random_seed(3)
        keras.random.normal((2,))
        if searches:
            with users_layers_kept():
                build_at(FoldPlace(0, 0, 0), lambda: keras.Sequential([keras.layers.Dense(1)]))
                clear_session()
        return np.array(keras.random.normal((2,)))

    np.testing.assert_array_equal(drawn(searches=True), drawn(searches=False))


def test_a_scope_that_an_error_leaves_open_is_closed() -> None:
    name = keras.Variable(0.0, name="inner").path
    try:
        with users_layers_kept():
            keras.name_scope("left").__enter__()
            raise KeyError
    except KeyError:
        assert keras.Variable(0.0, name="inner").path == name


class MadeAtFirstUse(keras.metrics.Metric):  # type: ignore[misc]
    def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> None:
        if not self.variables:
            self.total = self.add_variable((), "zeros")
        self.total.assign_add(1.0)

    def result(self) -> keras.KerasTensor:
        return self.total

    def reset_state(self) -> None:
        self.total.assign(0.0)


def test_a_metric_that_makes_its_variables_at_its_first_use_is_left_alone() -> None:
    def build() -> keras.Model:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=[MadeAtFirstUse()])
        return model

    with users_layers_kept():
        assert build_at(FoldPlace(0, 0, 0), build).built


def test_a_metric_that_models_share_starts_each_of_them_anew() -> None:
    metric = keras.metrics.MeanSquaredError(name="error")

    def build() -> keras.Model:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=[metric])
        return model

    metric.update_state(np.ones((4, 1)), np.zeros((4, 1)))
    with users_layers_kept():
        build_at(FoldPlace(0, 0, 0), build)
        assert float(metric.result()) == 0
