"""The figures of one epoch and of all: numbers only, finite, by metric."""

import math
from collections.abc import Mapping
from typing import Any

from rust_tuner.errors import TrialError
from rust_tuner.models.metric_elements import by_element


def merged_figures(ours: Mapping[str, float], of_model: Mapping[str, float]) -> dict[str, float]:
    """Our figures, then the model's own; a metric that the user gave one of our names keeps it."""
    figures = {(f"exact_{name}" if name in of_model else name): ours[name] for name in ours}
    return figures | dict(of_model)


def scalars(logs: Mapping[str, Any], *, validation: bool) -> dict[str, float]:
    """The model's own metrics of one side, without the `val_` of the other."""
    return by_element(
        {
            name.removeprefix("val_"): value
            for name, value in logs.items()
            if name.startswith("val_") == validation
        }
    )


def require_finite(figures: Mapping[str, float], where: str) -> None:
    """Fail the trial where a figure is infinite or NaN.

    Raises:
        TrialError: with its name, and `where` it is.
    """
    for name, value in figures.items():
        if not math.isfinite(value):
            hint = ""
            if math.isnan(value) and not name.endswith("loss"):
                hint = "; if the metric is not defined there, let it return a number, such as 0"
            raise TrialError(f"{where}: {name} is {value}{hint}")


def curves_by_metric(epochs: list[Mapping[str, float]]) -> dict[str, list[float]]:
    """Turn the metrics of each epoch into a curve for each metric."""
    return {name: [float(figures[name]) for figures in epochs] for name in epochs[0]}
