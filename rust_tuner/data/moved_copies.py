"""Finds copies that were cropped, framed, turned by a few degrees or slanted.

It takes thumbnails and returns pairs with their similarity. Copies with unchanged geometry belong
to `little_changed`, and what a pair means to `checks`.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from rust_tuner.data.coarse_search import COARSE_SIDE, correlations, starts_of
from rust_tuner.data.contrast import FLIPS, flipped, local_contrast, pooled, ratio
from rust_tuner.data.homography import (
    AFFINE,
    PROJECTIVE,
    fit,
    keeping_shape,
    movement,
    project,
    sample,
    square_grid,
    without_stretch,
)
from rust_tuner.progress import Progress

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

# Set on phantoms and changed copies of them; `experiments/near_duplicates.py` measures both errors.
DETAIL_THRESHOLD = 0.965
# With two more parameters, different legs fit each other better, so a slanted copy must be more
# alike.
_SLANTED_THRESHOLD, _LEAST_SLANT = 0.985, 0.015
_LEAST_COARSE, _LEAST_ALIGNED = 0.70, 0.75
_CANDIDATES_AN_IMAGE = 5

_MIDDLE_SIDE = 64
_MIDDLE_POINTS, _FINE_POINTS = 44, 90
_EXTENT = 0.88
_PAIRS_AT_ONCE = 32

# A frame: rows and columns of one tone, without content, on all four sides.
_FRAME_TONES, _LEAST_FRAME = 0.012, 2
# Detail of these widths in pixels is compared in windows; if a picture has less of it than this
# share of its range, compression has removed it.
_DETAIL, _WINDOW, _LEAST_DETAIL = (0.8, 2.2), 4.0, 0.008
# The grain, finer than a pixel of a thumbnail, differs in every exposure.
_GRAIN, _GRAIN_WINDOW, _GRAIN_THRESHOLD = 1.0, 2.0, 0.94
_LEAST_DETAILED = 0.15
_QUANTILE = 0.1


@dataclass(frozen=True)
class MovedPair:
    """Two pictures, one of which is a changed copy of the other.

    Attributes:
        first: position of the one that comes first.
        second: position of the other.
        similarity: from `DETAIL_THRESHOLD` to 1.
        same_grain: whether the grain is the same too; it is not in a second exposure of a leg, nor
            after strong compression.
        flip: number of the flip between them, in `contrast.FLIPS`.
        change: what else was done, in words.
    """

    first: int
    second: int
    similarity: float
    same_grain: bool
    flip: int
    change: str


def moved_pairs(
    thumbnails: npt.NDArray[np.float16], aspects: FloatArray, *, progress: Progress
) -> list[MovedPair]:
    """Pairs of copies that differ by a crop, a frame, a turn or a slant, and a flip.

    Each picture is compared with all others at 20 points a side, under 175 crops and turns and four
    flips. The five that correlate most with it are aligned more finely: a homography is fitted at
    64 pixels a side and again at 128. It must be one that the changes of a copy explain, without
    stretching. Then the fine detail is correlated in small windows, and the lowest tenth of them
    decides.

    Time grows with the square of the number of pictures, memory in proportion to it.

    Args:
        thumbnails: (n, 128, 128) from 0 to 1.
        aspects: (n,) width over height of the pictures.
        progress: where to report.
    """
    pictures, aspects = without_frames(thumbnails, aspects)
    small = local_contrast(pooled(pictures, COARSE_SIDE))
    candidates = _candidates(small, aspects, progress)
    pairs: list[MovedPair] = []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress.task("aligning similar pictures", len(candidates)) as task,
    ):
        parts = [candidates.only(span) for span in _spans(len(candidates))]
        for part, verified in zip(
            parts, pool.map(lambda part: _verified(pictures, aspects, part), parts), strict=True
        ):
            pairs += verified
            task.advance(len(part))
    best: dict[tuple[int, int], MovedPair] = {}
    for pair in pairs:
        previous = best.get((pair.first, pair.second))
        if previous is None or pair.similarity > previous.similarity:
            best[pair.first, pair.second] = pair
    return [best[key] for key in sorted(best)]


def without_frames(
    thumbnails: npt.NDArray[np.float16], aspects: FloatArray
) -> tuple[npt.NDArray[np.float16], FloatArray]:
    """Thumbnails and aspect ratios of what is inside each picture's frame, if it has one."""
    pictures, ratios = thumbnails, aspects
    side = thumbnails.shape[1]
    for position, picture in enumerate(thumbnails):
        top, bottom = _flat_edges(picture.astype(np.float32))
        left, right = _flat_edges(picture.T.astype(np.float32))
        if min(top, bottom, left, right) < _LEAST_FRAME:
            continue
        if max(top + bottom, left + right) > side // 2:
            continue
        if pictures is thumbnails:
            pictures, ratios = thumbnails.copy(), aspects.copy()
        # The last pixels of a frame are mixed with the picture.
        top, bottom, left, right = (width + 1 for width in (top, bottom, left, right))
        height, width = side - top - bottom, side - left - right
        inner = np.array(
            [
                [width / side, 0, (left - right) / side],
                [0, height / side, (top - bottom) / side],
                [0, 0, 1],
            ],
            dtype=np.float32,
        )
        across, down, _ = project(inner[None], *square_grid(side, 1 - 1 / side))
        inside = sample(picture[None, :, :, None].astype(np.float32), across, down)
        inside -= inside.min()
        pictures[position] = (inside / max(float(inside.max()), 1e-6)).reshape(side, side)
        ratios[position] = aspects[position] * width / height
    return pictures, ratios


def _flat_edges(picture: FloatArray) -> tuple[int, int]:
    """How many rows from the top and the bottom are of one tone."""
    counts = []
    for rows in (picture, picture[::-1]):
        tones = np.ptp(rows, axis=1) <= _FRAME_TONES
        alike = np.abs(rows.mean(axis=1) - rows[0].mean()) <= _FRAME_TONES
        counts.append(int(np.argmin(np.append(tones & alike, False))))
    return counts[0], counts[1]


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Candidate pairs: a turned part of the second is like the flipped first."""

    first: IntArray
    second: IntArray
    flip: IntArray
    start: FloatArray

    def __len__(self) -> int:
        return len(self.first)

    def only(self, which: slice | npt.NDArray[np.bool_]) -> "_Candidates":
        return _Candidates(
            self.first[which], self.second[which], self.flip[which], self.start[which]
        )


def _spans(count: int) -> Iterator[slice]:
    for start in range(0, count, _PAIRS_AT_ONCE):
        yield slice(start, min(start + _PAIRS_AT_ONCE, count))


def _candidates(small: FloatArray, aspects: FloatArray, progress: Progress) -> _Candidates:
    """For each picture the few others that are most like one of its parts and turns."""
    parts = []
    with progress.task("comparing crops and turns", len(small)) as task:
        for some, alike in correlations(small, aspects, flips=FLIPS):
            which = alike.argmax(axis=1)
            parts.append(_best(np.take_along_axis(alike, which[:, None], 1)[:, 0], which, some))
            task.advance(len(some))
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return _Candidates(nothing, nothing, nothing, np.empty((0, 3, 3), dtype=np.float32))
    first, second, which, alike_ = (np.concatenate(column) for column in zip(*parts, strict=True))
    # A pair that was found in both directions is aligned in the better one.
    order = np.lexsort((-alike_, np.maximum(first, second), np.minimum(first, second)))
    low, high = np.minimum(first, second)[order], np.maximum(first, second)[order]
    new = np.append(True, (np.diff(low) != 0) | (np.diff(high) != 0))[: len(order)]
    chosen = order[new]
    starts = np.empty((len(chosen), 3, 3), dtype=np.float32)
    for position, at in enumerate(chosen):
        starts[position] = starts_of(float(aspects[second[at]]))[which[at] // len(FLIPS)]
    return _Candidates(first[chosen], second[chosen], which[chosen] % len(FLIPS), starts)


def _best(
    alike: FloatArray, which: IntArray, some: IntArray
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """First, second, number of the start and flip, and correlation of the best of each row."""
    alike[np.arange(len(some)), some] = -1
    most = min(_CANDIDATES_AN_IMAGE, alike.shape[1] - 1)
    top = np.argsort(-alike, axis=1, kind="stable")[:, :most]
    rows = np.repeat(np.arange(len(some)), most)
    columns = top.ravel()
    kept = alike[rows, columns] >= _LEAST_COARSE
    rows, columns = rows[kept], columns[kept]
    return columns, some[rows], which[rows, columns], alike[rows, columns]


def _verified(
    pictures: npt.NDArray[np.float16], aspects: FloatArray, pairs: _Candidates
) -> list[MovedPair]:
    """The candidates that are copies."""
    first = pictures[pairs.first].astype(np.float32)
    for number, flip in enumerate(FLIPS):
        first[pairs.flip == number] = flipped(first[pairs.flip == number], flip)
    second = pictures[pairs.second].astype(np.float32)
    shapes = aspects[pairs.first], aspects[pairs.second]
    homographies, kept = _aligned(first, second, pairs.start, shapes)
    first, second, homographies, pairs = (
        first[kept],
        second[kept],
        homographies[kept],
        pairs.only(kept),
    )
    ours, theirs = (local_contrast(side, blur=1.0, spread=4.0) for side in (first, second))
    homographies, _ = fit(ours, theirs, homographies, points=_FINE_POINTS, steps=4)
    moved = movement(homographies, aspects[pairs.first], aspects[pairs.second])
    similarity, grain = _similarity(first, second, homographies)
    least = np.where(moved.slant >= _LEAST_SLANT, _SLANTED_THRESHOLD, DETAIL_THRESHOLD)
    is_one = moved.is_a_copys & (similarity >= least)
    return [
        MovedPair(
            min(one, other),
            max(one, other),
            float(similarity[at]),
            bool(grain[at] >= _GRAIN_THRESHOLD),
            int(flip),
            moved.in_words(at),
        )
        for at, (one, other, flip) in enumerate(
            zip(pairs.first.tolist(), pairs.second.tolist(), pairs.flip, strict=True)
        )
        if is_one[at]
    ]


def _aligned(
    first: FloatArray, second: FloatArray, start: FloatArray, shapes: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Homographies at 64 pixels a side, and which of them may be a copy's.

    From a stretched start the fit may end in a local maximum that is not the copy's, so a start of
    the same shape is tried too.
    """
    ours, theirs = (local_contrast(pooled(side, _MIDDLE_SIDE)) for side in (first, second))
    best, best_alike = start, np.full(len(start), -1, dtype=np.float32)
    for begin, directions in (
        (start, AFFINE),
        (without_stretch(start, *shapes), keeping_shape(*shapes)),
    ):
        fitted = begin
        for along in (directions, PROJECTIVE):
            fitted, alike = fit(
                ours, theirs, fitted, points=_MIDDLE_POINTS, steps=4, directions=along
            )
        # Where neither may be a copy's, it does not matter which is kept.
        alike = np.where(movement(fitted, *shapes).may_be_a_copys, alike, 0)
        better = alike > best_alike
        best = np.where(better[:, None, None], fitted, best)
        best_alike = np.maximum(alike, best_alike)
    return best, best_alike >= _LEAST_ALIGNED


def _similarity(
    first: FloatArray, second: FloatArray, homographies: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How alike aligned pictures are: fine detail in the lowest tenth of windows, grain on average.

    Returns:
        Two (k,) correlations.
    """
    count, side = first.shape[:2]
    points = round(_EXTENT * side)
    across, down = square_grid(points, _EXTENT)
    x, y, _ = project(homographies, across, down)
    one, other = (
        sample(picture[..., None], np.broadcast_to(u, x.shape), np.broadcast_to(v, y.shape))[
            ..., 0
        ].reshape(count, points, points)
        for picture, u, v in ((first, across, down), (second, x, y))
    )
    fine, coarse = _DETAIL
    alike, energy = _windowed(
        *(_band(picture, fine) - _band(picture, coarse) for picture in (one, other)), window=_WINDOW
    )
    grain, _ = _windowed(
        *(picture - _band(picture, _GRAIN) for picture in (one, other)), window=_GRAIN_WINDOW
    )
    similarity = np.zeros(count, dtype=np.float32)
    for at in range(count):
        detailed = energy[at] >= _LEAST_DETAIL**2
        if detailed.mean() >= _LEAST_DETAILED:
            similarity[at] = np.quantile(alike[at][detailed], _QUANTILE)
    return similarity, grain.mean(axis=(1, 2))


def _band(pictures: FloatArray, width: float) -> FloatArray:
    smooth: FloatArray = gaussian_filter(pictures, (0, width, width))
    return smooth


def _windowed(
    one: FloatArray, other: FloatArray, *, window: float
) -> tuple[FloatArray, FloatArray]:
    """Correlation in windows around each pixel, less an edge, and the lower of both energies.

    An inverted copy correlates negatively everywhere, so the sign of the whole is taken out.
    """
    edge = round(2 * _DETAIL[1])
    sign = np.sign((one * other).sum(axis=(1, 2), keepdims=True)).astype(np.float32)
    product, ours, theirs = (
        _band(part, window)[:, edge:-edge, edge:-edge]
        for part in (sign * one * other, one**2, other**2)
    )
    return ratio(product, np.sqrt(ours * theirs)), np.minimum(ours, theirs)
