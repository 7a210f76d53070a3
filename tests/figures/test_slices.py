"""Where scores are high in a search space, for hyperparameters of every kind."""

import numpy as np
import pandas as pd

from rust_tuner.figures.slices import draw_slices
from rust_tuner.figures.style import new_figure


def test_slices_take_text_booleans_logarithms_and_missing_values() -> None:
    trials = pd.DataFrame(
        {
            "activation": ["relu", "tanh", "relu", "tanh"],
            "bias": [True, False, True, False],
            "rate": [1e-4, 1e-3, 1e-2, 1e-1],
            "units": [4.0, None, 8.0, 16.0],
            "score": [0.9, 0.4, 0.6, None],
        }
    )
    figure = new_figure()
    names = ("activation", "bias", "rate", "units")
    draw_slices(
        trials,
        figure=figure,
        names=names,
        metric="loss",
        logarithmic={"rate"},
        lower_is_better=True,
    )
    activation, bias, rate, units = figure.axes
    assert [text.get_text() for text in activation.get_xticklabels()] == ["relu", "tanh"]
    assert [text.get_text() for text in bias.get_xticklabels()] == ["False", "True"]
    assert rate.get_xscale() == "log"
    assert sorted(np.asarray(units.lines[0].get_xdata())) == [4, 8]
    assert any(line.get_label() == "best: 0.400" for line in rate.lines)
