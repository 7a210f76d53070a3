"""Correlates small pictures with each other under many crops and turns.

It defines which crops and turns are tried; `moved_copies` and `likeness` choose the pairs.
"""

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from rust_tuner.data.contrast import flipped, ratio
from rust_tuner.data.homography import project, sample, square_grid

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

COARSE_SIDE = 32
_POINTS, _EXTENT = 20, 0.88
_TURNS = (-5.0, -2.5, 0.0, 2.5, 5.0)
# Scale and middle of the tried part of a picture along an axis. Legs run along the picture, so the
# position across it is tried in finer steps.
_PARTS_DOWN = ((1.0, 0.0), (0.9, -0.1), (0.9, 0.0), (0.9, 0.1), (0.8, 0.0))
_PARTS_ACROSS = (*_PARTS_DOWN, (0.95, -0.05), (0.95, 0.05))
_PRODUCTS_AT_ONCE = 2**24


def correlations(
    small: FloatArray, aspects: FloatArray, *, flips: tuple[tuple[int, int], ...]
) -> Iterator[tuple[IntArray, FloatArray]]:
    """The absolute correlations of parts and turns of each picture with all whole ones.

    Args:
        small: (n, 32, 32) local contrast.
        aspects: (n,) width over height of the pictures.
        flips: flips of the whole pictures, as in `contrast.FLIPS`.

    Yields:
        Positions (m,) of some pictures, and correlations (m, 175 * flips, n), with the flips of one
        start next to each other.
    """
    count = len(small)
    if not count:
        return
    across, down = square_grid(_POINTS, _EXTENT)
    whole = [np.broadcast_to(axis, (count, len(axis))) for axis in (across, down)]
    fixed = np.concatenate(
        [sample(flipped(small, flip)[..., None], *whole)[..., 0] for flip in flips]
    )
    fixed = np.ascontiguousarray(_of_norm_1(fixed).T)
    shapes = _half_octaves(aspects)
    for shape in np.unique(shapes):
        starts = _starts(int(shape))
        x, y, _ = project(starts, across, down)
        at_once = max(1, _PRODUCTS_AT_ONCE // (len(starts) * fixed.shape[1]))
        members = np.flatnonzero(shapes == shape)
        for begin in range(0, len(members), at_once):
            some = members[begin : begin + at_once]
            moved = sample(
                small[some, ..., None],
                np.broadcast_to(x.ravel(), (len(some), x.size)),
                np.broadcast_to(y.ravel(), (len(some), y.size)),
            ).reshape(-1, len(across))
            alike = _of_norm_1(moved) @ fixed
            yield some, np.abs(alike, out=alike).reshape(len(some), -1, count)


def starts_of(aspect: float) -> FloatArray:
    """The parts and turns tried on a picture of this aspect ratio, (175, 3, 3)."""
    return _starts(int(_half_octaves(np.array([aspect], dtype=np.float32))[0]))


@cache
def _starts(half_octaves: int) -> FloatArray:
    aspect = 2.0 ** (half_octaves / 2)
    starts = []
    for degrees in _TURNS:
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        for (wide, across), (high, down) in itertools.product(_PARTS_ACROSS, _PARTS_DOWN):
            starts.append(
                [
                    [wide * cosine, -wide * sine / aspect, across],
                    [high * sine * aspect, high * cosine, down],
                    [0, 0, 1],
                ]
            )
    return np.array(starts, dtype=np.float32)


def _half_octaves(aspects: FloatArray) -> IntArray:
    """Aspect ratios in steps of half an octave; a turn looks much the same within one."""
    return np.round(2 * np.log2(aspects)).astype(np.int64)


def _of_norm_1(rows: FloatArray) -> FloatArray:
    return ratio(rows, np.sqrt((rows**2).sum(axis=1, keepdims=True)))
