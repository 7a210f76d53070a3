"""`novelty.npz` beside a saved model: how unlike its development images an image may be.

Two distances are compared with thresholds of the development images themselves. That in the space
of the frozen backbone's features, to the nearest reference image, notices other subjects, such as
photographs. That in the space of a few picture statistics, to their mean (Mahalanobis), notices
noise and blank images, for which the backbone has hardly any features if images are small.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rust_tuner.data.picture_statistics import NUM_STATISTICS
from rust_tuner.records.arrays import read_arrays, write_arrays
from rust_tuner.records.model_card import ModelCard

NOVELTY_FILE = "novelty.npz"

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Novelty:
    """What new images are compared with.

    Attributes:
        reference: (m, features) float16, features of development images.
        feature_threshold: distance in features above which an image is unlike them.
        mean: (statistics,) of the picture statistics.
        whitening: (statistics, statistics), turns deviations from the mean into uncorrelated ones
            of variance 1.
        picture_threshold: distance in picture statistics above which an image is unlike them.
        patients: how many the development set has.
        radiographs: how many the development set has.
        false_alarms: how many of these are unlike the radiographs of the other patients.
    """

    reference: npt.NDArray[np.float16]
    feature_threshold: float
    mean: FloatArray
    whitening: FloatArray
    picture_threshold: float
    patients: int
    radiographs: int
    false_alarms: int

    def distances(
        self, features: npt.NDArray[np.floating], statistics: npt.NDArray[np.floating]
    ) -> FloatArray:
        """The larger of both distances of n images, as a multiple of its threshold.

        Args:
            features: (n, features) of the frozen backbone.
            statistics: (n, statistics) from `picture_statistics`.

        Returns:
            (n,): above 1 the image is unlike the development images.
        """
        by_features = nearest(features, self.reference).min(axis=1) / self.feature_threshold
        whitened = (statistics - self.mean) @ self.whitening.T
        by_picture = np.linalg.norm(whitened, axis=1) / self.picture_threshold
        larger: FloatArray = np.maximum(by_features, by_picture)
        return larger


def nearest(features: npt.NDArray[np.floating], reference: npt.NDArray[np.floating]) -> FloatArray:
    """Euclidean distances (n, m) between n and m feature vectors."""
    ours, theirs = features.astype(np.float64), reference.astype(np.float64)
    squares = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * ours @ theirs.T
    distances: FloatArray = np.sqrt(np.maximum(squares, 0))
    return distances


def write_novelty(folder: Path, novelty: Novelty, *, model_sha256: str) -> None:
    """Write `novelty.npz` next to a model, atomically."""
    write_arrays(folder / NOVELTY_FILE, model_sha256, **vars(novelty))


def read_novelty(model: Path, card: ModelCard) -> Novelty | None:
    """What belongs to a model; None if there is none, or it is damaged or of another model."""
    arrays = read_arrays(model.with_name(NOVELTY_FILE), card.model_sha256)
    if arrays is None or set(arrays) != set(Novelty.__annotations__):
        return None
    reference, mean, whitening = (arrays.pop(name) for name in ("reference", "mean", "whitening"))
    shapes = mean.shape, whitening.shape, {array.size for array in arrays.values()}
    if shapes != ((NUM_STATISTICS,), (NUM_STATISTICS, NUM_STATISTICS), {1}):
        return None
    if reference.ndim != 2 or not len(reference):
        return None
    numbers = {name: array.item() for name, array in arrays.items()}
    all_finite = all(np.isfinite(array).all() for array in (reference, mean, whitening))
    if not all_finite or not all(np.isfinite(value) for value in numbers.values()):
        return None
    if min(numbers["feature_threshold"], numbers["picture_threshold"]) <= 0:
        return None
    return Novelty(reference=reference, mean=mean, whitening=whitening, **numbers)
