"""Finds uniform borders of a radiograph: the frame outside the collimation, with its markers.

A heuristic: it looks at a small copy, row by row and column by column from the outside. Whether it
is used is a choice of the protocol; the contact sheet shows its effect.
"""

import numpy as np
import numpy.typing as npt

from rust_tuner.data.reading import Box

SIDE = 256
# A row belongs to the border if this share of it differs from the outermost row's median by less
# than the tolerance, in parts of black to white; a marker covers less than the rest.
_SHARE, _TOLERANCE = 0.9, 0.03
# Of a side of the picture: what is left at least. Otherwise nothing is removed there.
_LEAST_LEFT = 1 / 3


def inner_box(small: npt.NDArray[np.float32], *, width: int, height: int) -> Box:
    """The part of a picture within its uniform borders, in pixels of the whole picture.

    Args:
        small: (SIDE, SIDE) float32 in [0, 1], the picture squashed to a square.
        width: of the picture.
        height: of the picture.

    Returns:
        Left, top, right and bottom; the whole picture if it is uniform, or less than a third of a
        side would be left.

    Examples:
        >>> picture = np.zeros((SIDE, SIDE), np.float32)
        >>> picture[64:192, 32:] = np.random.default_rng(0).random((128, 224))
        >>> inner_box(picture, width=512, height=256)
        (64, 64, 512, 192)
    """
    # Of its own range, so that the bits of the file do not matter.
    small = (small - small.min()) / (float(np.ptp(small)) or 1.0)
    top, bottom = _inside(small)
    left, right = _inside(small[top:bottom].T)
    # The rows again, now without the columns of a frame of another level.
    top, bottom = _inside(small[:, left:right])
    return (
        left * width // SIDE,
        top * height // SIDE,
        -(-right * width // SIDE),
        -(-bottom * height // SIDE),
    )


def _inside(lines: npt.NDArray[np.float32]) -> tuple[int, int]:
    """The first line that is not border, and the one after the last."""
    count = len(lines)
    first, last = _border(lines), count - _border(lines[::-1])
    if last - first < _LEAST_LEFT * count:
        return 0, count
    return first, last


def _border(lines: npt.NDArray[np.float32]) -> int:
    """How many lines from the first on are border."""
    level = np.median(lines[0])
    is_border = (np.abs(lines - level) < _TOLERANCE).mean(axis=1) >= _SHARE
    return int(np.argmin(is_border)) if not is_border.all() else len(lines)
