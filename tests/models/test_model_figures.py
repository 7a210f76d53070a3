"""Figures from a model's outputs alone are those that Keras's `evaluate` gives."""

import keras
import numpy as np
import pytest

from rust_tuner.models import model_figures
from rust_tuner.models.model_figures import ModelFigures

pytestmark = pytest.mark.numerical


@pytest.mark.slow
def test_figures_are_those_of_evaluate_also_in_several_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    x = (30 * rng.normal(size=(50, 3))).astype(np.float32)
    y = rng.integers(2, size=50)
    dense = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((3,)), dense])
    loss = keras.losses.BinaryCrossentropy()
    metrics = ["accuracy", keras.metrics.AUC(name="area"), keras.metrics.Precision(name="hits")]
    model.compile("sgd", loss, metrics=metrics)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    outputs = x @ np.asarray(dense.kernel)
    monkeypatch.setattr(model_figures, "_ROWS", 20)
    figures, answers = ModelFigures(model, loss, keras.activations.sigmoid).of(y, outputs)
    # Losses of saturated predictions: computed from what precedes the activation, as in Keras.
    assert expected["loss"] > 5
    assert set(figures) == set(expected)
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value, rel=1e-5), name
    np.testing.assert_allclose(answers, model.predict(x, verbose=0), rtol=1e-5, atol=1e-7)
