"""Metrics with several values, such as the F1 score of each class: one metric for each element."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def by_element(logs: Mapping[str, Any]) -> dict[str, float]:
    """Each value of each metric, under its name, or its name and position.

    Args:
        logs: metric -> number, or array of numbers.

    Examples:
        >>> by_element({"loss": 0.5, "f1_score": np.array([0.25, 0.75])})
        {'loss': 0.5, 'f1_score[0]': 0.25, 'f1_score[1]': 0.75}
    """
    values: dict[str, float] = {}
    for name, value in logs.items():
        array = np.asarray(value)
        for index in np.ndindex(array.shape):
            position = f"[{','.join(map(str, index))}]" if index else ""
            values[f"{name}{position}"] = float(array[index])
    return values
