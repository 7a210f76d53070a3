"""Learns from a development set how unlike it an image may be; the check belongs to its record."""

import numpy as np
import numpy.typing as npt

from rust_tuner.data.picture_statistics import NEGLIGIBLE
from rust_tuner.records.novelty import FloatArray, Novelty, nearest

# Both limits are measured from the median, which the few unusual images of a small set do not move.
# About 1 % of phantoms of other patients lie above either limit (experiments/novelty.py).
_PICTURE_MEDIANS = 3.0
_FEATURE_DEVIATIONS = 3.0
# Few patients determine the deviation poorly: with this many, twice as many deviations are needed.
_MORE_FOR_FEW = 5
_SMALLEST_DEVIATION = 0.1
# Of a normal distribution, the standard deviation as a multiple of the median absolute deviation.
_NORMAL_DEVIATION = 1.4826
# A share of the identity in the correlations of the picture statistics (a shrinkage estimate):
# few patients cannot determine them.
_SHRINKAGE = 0.1
# With more images than this, the features of some represent all.
_MOST_REFERENCES = 512


def fit_novelty(
    features: npt.NDArray[np.floating],
    statistics: npt.NDArray[np.floating],
    patient_ids: npt.NDArray[np.str_] | npt.NDArray[np.object_],
    *,
    seed: int = 0,
) -> Novelty | None:
    """Thresholds from the distance of each development image to the images of other patients.

    In picture statistics the threshold is three times the median distance; in features it is three
    robust standard deviations of the logarithm above the median, since their distances vary little
    for large images and much for small ones.

    Args:
        features: (n, features) of the frozen backbone, of n development images.
        statistics: (n, statistics) from `picture_statistics`.
        patient_ids: (n,) patients.
        seed: chooses the references if there are more than 512 images.

    Returns:
        None for fewer than two patients, or images whose features are all the same.
    """
    patients = np.unique(patient_ids.astype(str), return_inverse=True)[1]
    if patients.max(initial=0) < 1:
        return None
    chosen = _references(patients, seed)
    reference = features[chosen].astype(np.float16)
    by_features = nearest(features, reference)
    by_features[patients[:, None] == patients[chosen]] = np.inf
    by_features = by_features.min(axis=1)
    by_picture = np.empty(len(statistics))
    for patient in range(patients.max() + 1):
        is_out = patients == patient
        by_picture[is_out] = _picture_distances(statistics[~is_out], statistics[is_out])
    feature_limit = _feature_limit(by_features, int(patients.max()) + 1)
    picture_limit = _PICTURE_MEDIANS * float(np.median(by_picture))
    limits = feature_limit, picture_limit
    if not all(np.isfinite(limits)) or min(limits) <= 0:
        return None
    mean, whitening = _whitening(statistics)
    false_alarms = (by_features > feature_limit) | (by_picture > picture_limit)
    return Novelty(
        reference=reference,
        feature_threshold=feature_limit,
        mean=mean,
        whitening=whitening,
        picture_threshold=picture_limit,
        patients=int(patients.max()) + 1,
        radiographs=len(patients),
        false_alarms=int(false_alarms.sum()),
    )


def _feature_limit(distances: FloatArray, num_patients: int) -> float:
    if np.median(distances) <= 0:
        return 0.0
    # A copy of an image under another patient has no distance.
    logarithms = np.log(np.maximum(distances, np.finfo(np.float32).tiny))
    middle = np.median(logarithms)
    deviation = max(_NORMAL_DEVIATION * np.median(np.abs(logarithms - middle)), _SMALLEST_DEVIATION)
    reach = _FEATURE_DEVIATIONS * (1 + _MORE_FOR_FEW / num_patients)
    return float(np.exp(middle + reach * deviation))


def _references(patients: npt.NDArray[np.intp], seed: int) -> npt.NDArray[np.intp]:
    """At most 512 rows, as many patients as possible."""
    order = np.random.default_rng(seed).permutation(len(patients))
    # How many rows of the same patient come before a row.
    seen: dict[int, int] = {}
    rank = []
    for row in order:
        rank.append(seen.get(int(patients[row]), 0))
        seen[int(patients[row])] = rank[-1] + 1
    chosen = order[np.argsort(rank, kind="stable")][:_MOST_REFERENCES]
    return np.sort(chosen)


def _picture_distances(
    fitted: npt.NDArray[np.floating], others: npt.NDArray[np.floating]
) -> FloatArray:
    mean, whitening = _whitening(fitted)
    distances: FloatArray = np.linalg.norm((others - mean) @ whitening.T, axis=1)
    return distances


def _whitening(statistics: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """The mean of statistics, and the matrix that makes deviations from it uncorrelated."""
    mean = statistics.mean(axis=0).astype(np.float64)
    scale = np.sqrt(statistics.var(axis=0) + NEGLIGIBLE**2)
    scaled = (statistics - mean) / scale
    correlations = scaled.T @ scaled / len(scaled)
    shrunk = (1 - _SHRINKAGE) * correlations + _SHRINKAGE * np.eye(len(correlations))
    return mean, np.linalg.inv(np.linalg.cholesky(shrunk)) / scale
