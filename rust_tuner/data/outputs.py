"""Predictions of several outputs side by side in one table, which records and files can hold."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.structures import leaves

Table = npt.NDArray[Any]


@dataclass(frozen=True)
class Outputs:
    """Which columns of a table belong to which output of a model.

    Attributes:
        names: of the outputs, in order; their positions where the model lists them.
        shapes: the shape of one row of each output.
        by_name: whether the model returns a dict; else a list.

    Examples:
        >>> table, outputs = side_by_side({"kind": np.zeros((5, 3)), "age": np.ones((5, 1))})
        >>> table.shape, outputs.names, outputs.apart(table)["age"].shape
        ((5, 4), ('kind', 'age'), (5, 1))
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    by_name: bool

    def apart(self, table: Table) -> Any:
        """The predictions (..., n, columns) of a table by output: a dict or list of (..., n, ...).

        The leading axes, such as epochs or repeats, stay.
        """
        parts, start = [], 0
        for shape in self.shapes:
            width = math.prod(shape)
            part = table[..., start : start + width]
            parts.append(part.reshape(*table.shape[:-1], *shape))
            start += width
        return dict(zip(self.names, parts, strict=True)) if self.by_name else parts

    def to_array(self) -> npt.NDArray[np.uint8]:
        """The outputs as bytes, for a file of arrays."""
        content = [list(self.names), [list(shape) for shape in self.shapes], self.by_name]
        return np.frombuffer(json.dumps(content).encode(), np.uint8)

    @classmethod
    def from_array(cls, array: npt.NDArray[np.uint8] | None) -> "Outputs | None":
        """What `to_array` wrote; None where a model has one output."""
        if array is None:
            return None
        names, shapes, by_name = json.loads(array.tobytes())
        return cls(tuple(names), tuple(map(tuple, shapes)), by_name)


def side_by_side(predictions: Any) -> tuple[Table, Outputs | None]:
    """Predictions as one table.

    Args:
        predictions: (n, ...) of one output, or a dict or list of these.

    Returns:
        One output as it is, and None; else (n, columns) with the outputs that have these columns.
    """
    if not isinstance(predictions, Mapping | list | tuple):
        return np.asarray(predictions), None
    tree = tuple(predictions) if isinstance(predictions, list) else predictions
    parts = [(name, np.asarray(part)) for name, part in leaves(tree)]
    table = np.concatenate([part.reshape(len(part), -1) for _, part in parts], axis=1)
    outputs = Outputs(
        tuple(name for name, _ in parts),
        tuple(part.shape[1:] for _, part in parts),
        isinstance(predictions, Mapping),
    )
    return table, outputs
