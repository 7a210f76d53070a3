"""What the training of a fold gives, and where its state is stored between epochs."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rust_tuner.data.outputs import Outputs
from rust_tuner.models.epoch_file import EpochFile


@dataclass(frozen=True, eq=False)
class FoldCurves:
    """The results of training one fold.

    Attributes:
        training: metric -> value per epoch, on the batches as they were trained.
        validation: metric -> value per epoch.
        predictions: (epochs, n_validation, ...) float32, in a file where they are large.
        seconds: how long it took.
        epochs_trained: how many epochs `fit` trained; the rest repeats its last model.
        left_at: the epoch, from 0, whose model is left after the last one; None where it is that.
        outputs: which columns of the predictions belong to which output; None where there is one.
        steps_per_epoch: optimiser steps of each epoch, where they are not those that were asked.
    """

    training: dict[str, list[float]]
    validation: dict[str, list[float]]
    predictions: npt.NDArray[np.float32] | EpochFile
    seconds: float
    epochs_trained: int | None = None
    left_at: int | None = None
    outputs: Outputs | None = None
    steps_per_epoch: int | None = None


class Checkpoint(Protocol):
    """Stores the state of a fold between epochs."""

    seconds_between: float

    def load(self) -> dict[str, npt.NDArray[Any]] | None:
        """The stored state, or None if there is none for exactly this fold."""

    def save(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Store a state in place of the previous one."""
