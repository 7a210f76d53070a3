"""Aligns a picture with another that was cropped, turned, framed or slanted.

It covers the geometry: sampling a picture under homographies, fitting them, and describing them.
Coordinates are -1 to 1 from left to right and from top to bottom of a picture; a homography maps a
point of the first picture to the same point of the second.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_DAMPING = 1e-3
# A larger step leaves the region in which the pictures' gradients are informative.
_LARGEST_STEP = 0.15
# With a smaller share of overlap, pictures are not compared.
_LEAST_OVERLAP = 0.7
# The limits within which a homography may be that of a copy: a crop of 10 % of each side is a scale
# of 0.8, and a slanted picture also gets a little narrower.
_LARGEST_SCALING, _LARGEST_TURN, _LARGEST_SLANT, _STRETCH = 0.33, 7.0, 0.15, 0.03


@cache
def square_grid(points: int, extent: float) -> tuple[FloatArray, FloatArray]:
    """The coordinates of `points` times `points` from -extent to extent, row by row."""
    line = np.linspace(-extent, extent, points, dtype=np.float32)
    down, across = np.meshgrid(line, line, indexing="ij")
    return across.ravel(), down.ravel()


def project(
    homographies: FloatArray, across: FloatArray, down: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Map points (p,) by homographies (k, 3, 3) to two (k, p) coordinates, and their divisor."""
    lines = (
        homographies[:, :, 0, None] * across
        + homographies[:, :, 1, None] * down
        + homographies[:, :, 2, None]
    )
    divisor = lines[:, 2]
    return lines[:, 0] / divisor, lines[:, 1] / divisor, divisor


def sample(maps: FloatArray, across: FloatArray, down: FloatArray) -> FloatArray:
    """Interpolate linearly between pixels; outside a picture its edge is repeated.

    Args:
        maps: (k, side, side, channels).
        across: (k, p) from -1 to 1.
        down: (k, p).

    Returns:
        (k, p, channels) float32.
    """
    count, side = maps.shape[:2]
    x = np.clip((across + 1) * (side / 2) - 0.5, 0, side - 1.001)
    y = np.clip((down + 1) * (side / 2) - 0.5, 0, side - 1.001)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right_share, low_share = (
        (part - whole).astype(np.float32)[..., None] for part, whole in ((x, left), (y, top))
    )
    flat = maps.reshape(count * side * side, maps.shape[3])
    corner = np.arange(count)[:, None] * (side * side) + top * side + left
    # `take` is several times faster than indexing.
    here, right, below, across_below = (
        flat.take(corner + ahead, axis=0) for ahead in (0, 1, side, side + 1)
    )
    upper = here + (right - here) * right_share
    lower = below + (across_below - below) * right_share
    between: FloatArray = upper + (lower - upper) * low_share
    return between


def fit(
    first: FloatArray,
    second: FloatArray,
    start: FloatArray,
    *,
    points: int,
    steps: int,
    directions: FloatArray | None = None,
    extent: float = 0.88,
) -> tuple[FloatArray, FloatArray]:
    """Homographies under which second pictures correlate most with first ones.

    Gauss-Newton steps on the difference of the two, after the second is scaled to the first; the
    scale may be negative, for an inverted copy.

    Args:
        first: (k, side, side) local contrast.
        second: (k, side, side) likewise.
        start: (k, 3, 3) homographies near the solution.
        points: how many rows and columns of points are compared.
        steps: how many steps are made.
        directions: (1 or k, 9, d) in which the entries of a homography may move, such as
            `keeping_shape` gives; all but the last entry by default.
        extent: the part of the first picture that is compared.

    Returns:
        (k, 3, 3) the best of all steps, and (k,) its absolute correlation.
    """
    across, down = square_grid(points, extent)
    count, half = len(first), first.shape[1] / 2
    coordinates = [np.broadcast_to(axis, (count, len(axis))) for axis in (across, down)]
    fixed = sample(first[..., None], coordinates[0], coordinates[1])[..., 0]
    slope_down, slope_across = np.gradient(second, axis=(1, 2))
    maps = np.stack([second, slope_across * half, slope_down * half], axis=-1).astype(np.float32)
    along = PROJECTIVE if directions is None else directions
    current = start.astype(np.float32)
    best, best_alike = current.copy(), np.full(count, -1, dtype=np.float32)
    for step in range(steps + 1):
        x, y, divisor = project(current, across, down)
        inside = ((np.abs(x) <= 1) & (np.abs(y) <= 1) & (divisor > 0)).astype(np.float32)
        values = sample(maps, x, y) * inside[..., None]
        ours, theirs = fixed * inside, values[..., 0]
        product, square = (ours * theirs).sum(axis=1), (theirs**2).sum(axis=1)
        alike = np.abs(product) / np.sqrt(np.maximum(square * (ours**2).sum(axis=1), 1e-12))
        alike[inside.mean(axis=1) < _LEAST_OVERLAP] = 0
        better = alike > best_alike
        best_alike[better], best[better] = alike[better], current[better]
        if step < steps:
            scale = (product / np.maximum(square, 1e-12))[:, None]
            slopes = values[..., 1:] * (scale / divisor)[..., None]
            current = current + _step(slopes, ours - scale * theirs, (across, down), (x, y), along)
    return best, best_alike


def _step(
    slopes: FloatArray,
    rest: FloatArray,
    at: tuple[FloatArray, FloatArray],
    lands: tuple[FloatArray, FloatArray],
    directions: FloatArray,
) -> FloatArray:
    """The damped least-squares step of homographies along some directions, (k, 3, 3)."""
    (across, down), (x, y) = at, lands
    by_x, by_y = slopes[..., 0], slopes[..., 1]
    inward = -(x * by_x + y * by_y)
    jacobian = np.stack(
        [part * axis for part in (by_x, by_y, inward) for axis in (across, down, np.float32(1))],
        axis=1,
    )
    jacobian = directions.transpose(0, 2, 1) @ jacobian
    size = jacobian.shape[1]
    normal = jacobian @ jacobian.transpose(0, 2, 1)
    damping = _DAMPING * np.trace(normal, axis1=1, axis2=2) / size + 1e-9
    normal += damping[:, None, None] * np.eye(size, dtype=np.float32)
    solved = np.linalg.solve(normal, jacobian @ rest[..., None])
    step = np.clip(directions @ solved, -_LARGEST_STEP, _LARGEST_STEP)
    return step.astype(np.float32).reshape(-1, 3, 3)


# The last entry of a homography is always 1.
PROJECTIVE = np.eye(9, 8, dtype=np.float32)[None]
AFFINE = np.eye(9, 6, dtype=np.float32)[None]


def keeping_shape(first_aspects: FloatArray, second_aspects: FloatArray) -> FloatArray:
    """The directions, (k, 9, 4), that scale, turn and shift a picture without stretching it.

    Args:
        first_aspects: (k,) width over height of the first pictures.
        second_aspects: (k,) of the second ones.
    """
    directions = np.zeros((len(first_aspects), 9, 4), dtype=np.float32)
    directions[:, 0, 0], directions[:, 4, 0] = first_aspects / second_aspects, 1
    directions[:, 1, 1], directions[:, 3, 1] = -1 / second_aspects, first_aspects
    directions[:, 2, 2] = directions[:, 5, 3] = 1
    return directions


def without_stretch(
    homographies: FloatArray, first_aspects: FloatArray, second_aspects: FloatArray
) -> FloatArray:
    """Affine homographies (k, 3, 3) with the mean of their scales in all directions."""
    local = _in_pixels(homographies[:, :2, :2], first_aspects, second_aspects)
    scale = (local[:, 0, 0] + local[:, 1, 1]) / 2
    turn = (local[:, 1, 0] - local[:, 0, 1]) / 2
    kept = homographies.copy()
    kept[:, 0, 0], kept[:, 0, 1] = scale * first_aspects / second_aspects, -turn / second_aspects
    kept[:, 1, 0], kept[:, 1, 1] = turn * first_aspects, scale
    return kept


def _in_pixels(
    local: FloatArray, first_aspects: FloatArray, second_aspects: FloatArray
) -> FloatArray:
    """Linear maps (k, 2, 2) between squashed pictures as maps between the pictures themselves."""
    pixels = local.copy()
    pixels[:, 0] *= second_aspects[:, None]
    pixels[:, :, 0] /= first_aspects[:, None]
    return pixels


@dataclass(frozen=True, eq=False)
class Movement:
    """The effect of homographies on pictures, at the middle and in pixels of equal size.

    Attributes:
        degrees: (k,) by how much the picture is turned.
        scale: (k,) below 1 where the first shows a part of the second.
        stretch: (k,) the longest over the shortest scale of any direction, from 1.
        slant: (k,) how much narrower the picture gets from its middle to an edge, as a share.
    """

    degrees: FloatArray
    scale: FloatArray
    stretch: FloatArray
    slant: FloatArray

    @property
    def is_a_copys(self) -> npt.NDArray[np.bool_]:
        """Whether a crop, a frame, a turn and a slant explain it.

        Aligning one leg with another needs stretching; a copy keeps its shape.
        """
        return self._within(1.0)

    @property
    def may_be_a_copys(self) -> npt.NDArray[np.bool_]:
        """The same, with tolerance for the errors of a coarse fit."""
        return self._within(2.0)

    def _within(self, room: float) -> npt.NDArray[np.bool_]:
        within: npt.NDArray[np.bool_] = (
            (self.stretch <= 1 + room * (_STRETCH + self.slant))
            & (np.abs(self.degrees) <= room * _LARGEST_TURN)
            & (np.abs(np.log(self.scale)) <= room * _LARGEST_SCALING)
            & (self.slant <= room * _LARGEST_SLANT)
        )
        return within

    def in_words(self, position: int) -> str:
        """Describe what was done to one picture."""
        parts = []
        if abs(self.scale[position] - 1) >= 0.015:
            parts.append("cropped or framed")
        if abs(self.degrees[position]) >= 0.25:
            parts.append(f"turned by {abs(self.degrees[position]):.1f} degrees")
        if self.slant[position] >= 0.015:
            parts.append("in perspective")
        return ", ".join(parts) or "shifted"


def movement(
    homographies: FloatArray, first_aspects: FloatArray, second_aspects: FloatArray
) -> Movement:
    """The effect of homographies on pictures of these widths over heights.

    Args:
        homographies: (k, 3, 3).
        first_aspects: (k,) of the first pictures.
        second_aspects: (k,) of the second ones.
    """
    slant = homographies[:, 2, :2]
    local = homographies[:, :2, :2] - homographies[:, :2, 2, None] * slant[:, None, :]
    local = _in_pixels(local, first_aspects, second_aspects)
    lengths = np.linalg.svd(local, compute_uv=False)
    turn = np.arctan2(local[:, 1, 0] - local[:, 0, 1], local[:, 0, 0] + local[:, 1, 1])
    return Movement(
        np.degrees(turn).astype(np.float32),
        np.sqrt(lengths.prod(axis=1)).astype(np.float32),
        (lengths[:, 0] / np.maximum(lengths[:, 1], 1e-9)).astype(np.float32),
        np.abs(slant).max(axis=1),
    )
