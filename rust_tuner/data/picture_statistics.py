"""A few numbers that describe a picture without a model: brightness, colour and detail."""

import numpy as np
import numpy.typing as npt

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_SCALES = 5
# Added before a logarithm is taken; far below a visible difference.
_FAINT_COLOUR = 1e-2
_FAINT_DETAIL = 1e-3

NUM_STATISTICS = len(_QUANTILES) + 1 + 2 * _SCALES
# Differences that have no meaning: 3 % of the range of brightness, and a quarter more or less of
# colour or detail, as between two formats or two scanners.
NEGLIGIBLE = np.array([0.03] * len(_QUANTILES) + [0.25] * (1 + 2 * _SCALES))


def picture_statistics(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Describe an image as a model receives it.

    Args:
        image: (size, size, 3) in [-1, 1].

    Returns:
        (18,): seven quantiles of brightness; the logarithm of the mean deviation of the colours
        from grey; the logarithms of the mean absolute difference of neighbouring pixels, down and
        across, at five scales, each half as fine as the one before.
    """
    colours = (image.astype(np.float64) + 1) / 2
    grey = colours.mean(axis=2)
    numbers = [*np.quantile(grey, _QUANTILES)]
    numbers.append(np.log(np.abs(colours - grey[..., None]).mean() + _FAINT_COLOUR))
    for _ in range(_SCALES):
        for axis in (0, 1):
            detail = np.abs(np.diff(grey, axis=axis))
            numbers.append(np.log((detail.mean() if detail.size else 0.0) + _FAINT_DETAIL))
        grey = _halved(grey)
    return np.array(numbers)


def _halved(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    side = len(grey) // 2
    blocks = grey[: 2 * side, : 2 * side].reshape(side, 2, side, 2)
    halved: npt.NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return halved
