"""Makes small grey pictures comparable: their size, local contrast and flips.

Which pictures are compared, and what counts as alike, belongs to `near_duplicates` and
`moved_copies`.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

FloatArray = npt.NDArray[np.float32]

# The row and column steps of the four flips, and their names in messages.
FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
FLIP_NAMES = ("", "mirrored left to right", "upside down", "turned by 180 degrees")


def pooled(pictures: npt.NDArray[np.floating], side: int) -> FloatArray:
    """Pictures (n, s, s) as means of squares, (n, side, side)."""
    count, factor = len(pictures), pictures.shape[1] // side
    squares = pictures.reshape(count, side, factor, side, factor)
    means: FloatArray = squares.mean(axis=(2, 4), dtype=np.float32)
    return means


def local_contrast(pictures: FloatArray, *, blur: float = 0.0, spread: float = 3.0) -> FloatArray:
    """Pictures minus their surroundings, divided by the contrast there; each of norm 1, or 0."""
    smooth = gaussian_filter(pictures, (0, blur, blur), mode="nearest") if blur else pictures
    detail = smooth - gaussian_filter(smooth, (0, spread, spread), mode="nearest")
    contrast = np.sqrt(gaussian_filter(detail**2, (0, spread, spread), mode="nearest"))
    # In flat areas, noise must not be amplified to the strength of edges elsewhere.
    floor = 0.5 * np.sqrt((detail**2).mean(axis=(1, 2), keepdims=True))
    return unit(ratio(detail, contrast + floor))


def unit(pictures: FloatArray) -> FloatArray:
    """Pictures of norm 1, or 0."""
    return ratio(pictures, np.sqrt((pictures**2).sum(axis=(1, 2), keepdims=True)))


def ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Part divided by whole, 0 if whole is 0."""
    result = np.zeros(np.broadcast_shapes(part.shape, whole.shape), dtype=np.float32)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def flipped(pictures: FloatArray, flip: tuple[int, int]) -> FloatArray:
    """Pictures (k, side, side) flipped by these row and column steps."""
    return pictures[:, :: flip[0], :: flip[1]]
