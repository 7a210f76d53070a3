"""Classes given as text: as numbers for Keras, with their names kept."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.structures import AnyRows, Rows, leaves, map_leaves, tree_of

# Name of an output, such as `digit`, or "" where there is one -> the names of its classes.
Classes = dict[str, list[str]]


def encoded(targets: AnyRows) -> tuple[AnyRows, Classes]:
    """Targets with text replaced by the positions of its sorted values.

    Returns:
        The targets, int64 where they were text; and the classes of each target that was text.

    Examples:
        >>> codes, classes = encoded(np.array(["yes", "no", "yes"]))
        >>> codes.tolist(), classes
        ([1, 0, 1], {'': ['no', 'yes']})
    """
    classes: Classes = {}
    codes: dict[int, npt.NDArray[np.int64]] = {}
    for name, array in leaves(tree_of(targets)):
        if array.dtype.kind in "OUS":
            text = array.astype(str)
            names, positions = np.unique(text, return_inverse=True)
            classes[name] = [str(value) for value in names]
            codes[id(array)] = positions.reshape(array.shape).astype(np.int64)
    if not classes:
        return targets, {}

    def replaced(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return codes.get(id(array), array)

    tree = map_leaves(replaced, tree_of(targets))
    return (Rows(tree) if isinstance(targets, Rows) else tree), classes
