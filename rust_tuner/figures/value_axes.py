"""Axes of hyperparameters: their names, and logarithmic scales with plainly written ticks."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, NullLocator

from rust_tuner.errors import RustTunerError
from rust_tuner.models.space import SearchSpace, is_logarithmic
from rust_tuner.words import power_number, words

FloatArray = npt.NDArray[np.float64]


def axis_name(name: str) -> str:
    """The axis label of a hyperparameter."""
    named = {item.name: item.axis for item in SearchSpace.hyperparameters().values()}
    label = named.get(name, words(name))
    return f"{label} (log)" if is_logarithmic(name) else label


def label_logarithmic(axes: Axes, which: Literal["x", "y"], values: FloatArray, count: int) -> None:
    """Make an axis logarithmic, with plainly written ticks at no more than `count` values."""
    if not (values > 0).all():
        raise RustTunerError(
            f"{float(values.min()):g} on a logarithmic axis; learning rates and epsilons are "
            "positive, so a record is damaged"
        )
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    ticks = values[:: -(-len(values) // count)]
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_ticks(ticks, [power_number(float(value)) for value in ticks])
