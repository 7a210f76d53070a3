"""Measures how alike radiographs of one view are, by their pictures or features of a backbone.

Two films of one leg are more alike than films of two legs. How much more depends on the data;
`checks.same_person` measures it and draws conclusions.
"""

import numpy as np
import numpy.typing as npt

from rust_tuner.data.coarse_search import COARSE_SIDE, correlations
from rust_tuner.data.contrast import FLIPS, local_contrast, pooled
from rust_tuner.data.moved_copies import without_frames
from rust_tuner.data.near_duplicates import Fingerprints
from rust_tuner.progress import Progress, Silent

FloatArray = npt.NDArray[np.float32]

# So many principal components of standardised features distinguish legs best, as measured on
# phantoms with 16 to 256. With as many components as radiographs, all would be unlike each other.
_COMPONENTS, _RADIOGRAPHS_A_COMPONENT = 64, 4


def likeness_of_pictures(
    fingerprints: Fingerprints, views: npt.NDArray[np.str_], *, progress: Progress | None = None
) -> FloatArray:
    """How alike pictures of one view are under the crop and turn that fit best.

    Args:
        fingerprints: of n pictures.
        views: (n,) of each picture; pictures of two views are not compared.
        progress: where to report; nowhere by default.

    Returns:
        (n, n) symmetric, z-scores among the pairs of a view; NaN for pairs of two views and on
        the diagonal. 4 n^2 bytes.
    """
    report = progress or Silent()
    pictures, aspects = without_frames(fingerprints.thumbnails, fingerprints.aspects)
    small = local_contrast(pooled(pictures, COARSE_SIDE))
    alike = np.full((len(small), len(small)), np.nan, dtype=np.float32)
    with report.task("comparing legs", len(small)) as task:
        for view in np.unique(views):
            members = np.flatnonzero(views == view)
            block = np.empty((len(members), len(members)), dtype=np.float32)
            for some, values in correlations(small[members], aspects[members], flips=FLIPS[:1]):
                block[some] = values.max(axis=1)
                task.advance(len(some))
            alike[np.ix_(members, members)] = _standardised(np.maximum(block, block.T))
    return alike


def likeness_of_features(features: FloatArray, views: npt.NDArray[np.str_]) -> FloatArray:
    """How alike radiographs of one view are by the features of a backbone.

    Args:
        features: (n, units) of the unflipped radiographs.
        views: (n,) of each.

    Returns:
        As `likeness_of_pictures`.
    """
    centred = features.astype(np.float64) - features.mean(axis=0)
    centred /= features.std(axis=0) + 1e-9
    kept = max(1, min(_COMPONENTS, len(centred) // _RADIOGRAPHS_A_COMPONENT))
    components = np.linalg.svd(centred, full_matrices=False)[0][:, :kept]
    components /= np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-12)
    alike = np.full((len(features), len(features)), np.nan, dtype=np.float32)
    for view in np.unique(views):
        members = np.flatnonzero(views == view)
        cosines = (components[members] @ components[members].T).astype(np.float32)
        alike[np.ix_(members, members)] = _standardised(cosines)
    return alike


def _standardised(correlation: FloatArray) -> FloatArray:
    """Z-scores of the pairs, after Fisher's transformation; NaN on the diagonal."""
    scores: FloatArray = np.arctanh(np.clip(correlation, -0.999, 0.999)).astype(np.float32)
    np.fill_diagonal(scores, np.nan)
    pairs = scores[np.isfinite(scores)]
    if not pairs.size or pairs.std() == 0:
        return np.where(np.isfinite(scores), np.float32(0), np.float32(np.nan))
    standardised: FloatArray = (scores - pairs.mean()) / pairs.std()
    return standardised
