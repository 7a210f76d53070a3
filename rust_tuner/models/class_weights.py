"""Weights of classes, given or balanced: each fold's are those of its own training rows."""

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rust_tuner.data.structures import AnyRows
from rust_tuner.errors import SearchError

_GIVE = "give a dict of class -> weight, or 'balanced'"


@dataclass(frozen=True, eq=False)
class ClassWeights:
    """How much the training rows of each class count.

    Attributes:
        codes: (n,) int64, the class of each row, from 0.
        given: class -> weight, 1 for classes that it does not have, as in Keras; None balances.

    Examples:
        >>> weights = ClassWeights(np.array([0, 0, 0, 1]), None)
        >>> weights.of_rows(np.array([0, 1, 3])).tolist()
        [0.75, 0.75, 0.75, 1.5]
    """

    codes: npt.NDArray[np.int64]
    given: Mapping[int, float] | None = None

    @classmethod
    def of(cls, given: Any, targets: AnyRows | None, names: list[str] | None = None) -> Self:
        """What a user gave as `class_weight`.

        Args:
            given: class -> weight, from 0, or `balanced`.
            targets: (n,) or (n, 1) classes, or (n, classes) one-hot.
            names: of the classes, where the targets were text; `given` may use them.

        Raises:
            SearchError: for anything else, such as several outputs, labels that are not exclusive,
                or targets that are not classes.
        """
        codes = _codes(targets)
        if isinstance(given, str) and given == "balanced":
            return cls(codes)
        if not isinstance(given, Mapping) or not given:
            raise SearchError(f"class_weight={given!r}; {_GIVE}")
        named = {name: code for code, name in enumerate(names or [])}
        weights: dict[int, float] = {}
        for key, weight in given.items():
            code = named.get(key, key) if isinstance(key, str) else key
            if not isinstance(code, int | np.integer) or not 0 <= code <= codes.max():
                classes = ", ".join(named) if named else f"0 to {codes.max()}"
                raise SearchError(f"class_weight has the class {key!r}; the targets have {classes}")
            is_number = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
            if not is_number or not 0 <= float(weight) < math.inf:
                raise SearchError(f"class_weight[{key!r}] is {weight}; expected a number from 0")
            weights[int(code)] = float(weight)
        return cls(codes, weights)

    def identity(self) -> Any:
        """JSON values that name the weights."""
        if self.given is None:
            return "balanced"
        return {str(code): weight for code, weight in sorted(self.given.items())}

    def of_rows(self, training: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The weight of every row in a fold that trains on the rows `training`.

        Balanced, a class weighs `rows / (classes * rows of the class)` as in scikit-learn's
        `compute_class_weight`, counted in the training rows alone.

        Returns:
            (n,) float32; those of rows outside `training` have no meaning.
        """
        weights = np.ones(int(self.codes.max()) + 1)
        if self.given is None:
            present, counts = np.unique(self.codes[training], return_counts=True)
            weights[present] = len(training) / (len(present) * counts)
        else:
            for code, weight in self.given.items():
                weights[code] = weight
        return np.asarray(weights[self.codes], dtype=np.float32)


def _codes(targets: AnyRows | None) -> npt.NDArray[np.int64]:
    """The class of each row."""
    if not isinstance(targets, np.ndarray):
        raise SearchError(
            "class_weight needs one target of classes; with several outputs or none, give each row "
            "its weight: sample_weight"
        )
    if targets.ndim > 1 and targets.shape[-1] == 1:
        targets = targets[..., 0]
    if targets.ndim == 2:
        if not (np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all()):
            raise SearchError(
                "class_weight needs one class per row, but y has rows with several labels or none; "
                "give each row its weight: sample_weight"
            )
        return np.asarray(np.argmax(targets, axis=1), dtype=np.int64)
    if targets.ndim != 1:
        raise SearchError(
            f"class_weight needs one class per row, but y has the shape {targets.shape}; use "
            "sample_weight"
        )
    codes = np.asarray(targets, dtype=np.float64)
    if not (np.isfinite(codes).all() and (codes == np.round(codes)).all() and codes.min() >= 0):
        raise SearchError(
            "class_weight needs classes as integers from 0, one-hot or text, but y has other "
            "numbers; use sample_weight"
        )
    return codes.astype(np.int64)
