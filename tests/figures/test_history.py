"""Curves of one trial from the history of any search."""

import numpy as np
import pandas as pd
import pytest

from rust_tuner.errors import SearchError
from rust_tuner.figures.history import draw_history
from rust_tuner.figures.style import new_axes

HISTORY = pd.DataFrame(
    [
        (trial, fold, epoch, split, "mae", 1.0 - 0.1 * epoch + 0.01 * fold)
        for trial in ("0000", "0001")
        for fold in (0, 1)
        for epoch in (0, 1, 2)
        for split in ("training", "validation")
    ],
    columns=["trial", "fold", "epoch", "split", "metric", "value"],
)


def test_the_mean_over_folds_is_drawn_and_the_epoch_marked() -> None:
    axes = new_axes()
    draw_history(HISTORY, metric="mae", axes=axes, trial="0001", epoch=1)
    means = {line.get_label(): line for line in axes.lines}
    assert list(np.asarray(means["validation"].get_xdata())) == [1, 2, 3]
    assert list(np.asarray(means["validation"].get_ydata())) == pytest.approx([1.005, 0.905, 0.805])
    assert "epoch 2: 0.905" in means


def test_what_the_history_does_not_have_is_refused() -> None:
    axes = new_axes()
    with pytest.raises(SearchError, match="no metric 'loss'; it has mae"):
        draw_history(HISTORY, metric="loss", axes=axes, trial="0001")
    with pytest.raises(SearchError, match="has 2 trials; give one"):
        draw_history(HISTORY, metric="mae", axes=axes)
    with pytest.raises(SearchError, match="no trial '0007'"):
        draw_history(HISTORY, metric="mae", axes=axes, trial="0007")
