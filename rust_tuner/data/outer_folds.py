"""The outer folds of a nested cross-validation: the data that a fold's searches may see.

The validation patients of a fold have a separate type, which no search or training accepts.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.data.folds import Folds
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import SplitError, private


@dataclass(frozen=True, eq=False)
class OuterValidation:
    """The radiographs that an outer fold is scored on once, and that nothing inside it sees."""

    radiographs: Radiographs

    def __len__(self) -> int:
        """The number of radiographs."""
        return len(self.radiographs)


@dataclass(frozen=True, eq=False)
class OuterFold:
    """One outer fold.

    Attributes:
        number: from 0.
        training: the data for searches and training inside the fold.
        validation: the data that the result is scored on.
        training_rows: (n,) int64 rows of the whole development set, ascending.
        validation_rows: (m,) int64 rows of the whole development set, ascending.
    """

    number: int
    training: Development
    validation: OuterValidation
    training_rows: npt.NDArray[np.int64]
    validation_rows: npt.NDArray[np.int64]


def outer_folds(development: Development, folds: Folds) -> tuple[OuterFold, ...]:
    """Divide a development set into outer folds.

    Args:
        development: the development set.
        folds: folds of it.

    Raises:
        SplitError: for anything but a development set, for folds of other data, or if a
            patient would be on both sides.
    """
    radiographs = require_development(development).radiographs
    if len(folds.assignment) != len(radiographs):
        raise SplitError(
            f"outer folds of {len(folds.assignment)} rows for {len(radiographs)} radiographs; make "
            "folds of this development set"
        )
    cut = []
    for number, (training, validation) in enumerate(folds):
        patients = radiographs.written_patients
        shared = set(patients[training]) & set(patients[validation])
        if shared:
            raise SplitError(
                f"outer fold {number}: patient {private(min(shared))} is on both sides; use "
                "make_folds, "
                "which keeps patients together"
            )
        cut.append(
            OuterFold(
                number=number,
                training=Development(radiographs.subset(training)),
                validation=OuterValidation(radiographs.subset(validation)),
                training_rows=training,
                validation_rows=validation,
            )
        )
    return tuple(cut)
