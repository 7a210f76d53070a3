"""The trial that all ways of training are timed on, in NumPy alone, for any engine."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.labels import NUM_LABELS
from rust_tuner.metrics import macro_auroc
from rust_tuner.models.description import HEAD_UNITS, NUM_FEATURES

IMAGES = 2490
NUM_FOLDS = 6
EPOCHS = 20
DROPOUT_RATE = 0.2
NUM_VARIANTS = 4
LEARNING_RATE, EPSILON = 1e-3, 1e-7

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Problem:
    """Frozen features, labels and folds.

    Attributes:
        table: (images * variants, features), the flip variants of an image one after another.
        num_variants: flip variants of an image; the first is unflipped.
        targets: (images, labels), 0 or 1.
        folds: training and validation images of each fold; all folds have as many.
        units: of the hidden layers.
        dropout_rate: after each hidden layer.
    """

    table: FloatArray
    num_variants: int
    targets: FloatArray
    folds: list[tuple[IntArray, IntArray]]
    units: tuple[int, ...]
    dropout_rate: float = DROPOUT_RATE

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Inputs and units of each dense layer."""
        layers = [self.table.shape[1], *self.units, self.targets.shape[1]]
        return list(itertools.pairwise(layers))

    def initial_weights(self, seed: int) -> list[FloatArray]:
        """Glorot-uniform kernels and zero biases, alternating."""
        rng = np.random.default_rng(seed)
        weights = []
        for first, second in self.sizes:
            limit = np.sqrt(6 / (first + second))
            weights.append(rng.uniform(-limit, limit, (first, second)).astype(np.float32))
            weights.append(np.zeros(second, np.float32))
        return weights

    def score(self, fold: int, answers: npt.NDArray[np.float32]) -> float:
        """The macro AUROC of a fold's validation side, as a user computes it after each epoch."""
        return macro_auroc(self.targets[self.folds[fold][1]], answers)


def folds_of(
    num_images: int = IMAGES, num_folds: int = NUM_FOLDS
) -> list[tuple[IntArray, IntArray]]:
    """Folds by row; the benchmark's images have no patients."""
    assignment = np.arange(num_images) % num_folds
    return [
        (np.flatnonzero(assignment != fold), np.flatnonzero(assignment == fold))
        for fold in range(num_folds)
    ]


def study_problem(
    num_images: int = IMAGES,
    *,
    num_folds: int = NUM_FOLDS,
    num_features: int = NUM_FEATURES,
    units: tuple[int, ...] = tuple(HEAD_UNITS),
) -> Problem:
    """Random features and labels of the study's shape; smaller for tests."""
    rng = np.random.default_rng(0)
    table = rng.random((num_images * NUM_VARIANTS, num_features), dtype=np.float32)
    targets = (np.random.default_rng(1).random((num_images, NUM_LABELS)) < 0.3).astype(np.float32)
    return Problem(table, NUM_VARIANTS, targets, folds_of(num_images, num_folds), units)
