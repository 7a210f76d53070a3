"""Finds copies with other tones, another size, a flip, or a crop of up to 2 %.

It takes thumbnails and returns pairs with their similarity. Copies that were cropped more, or
turned, belong to `moved_copies`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from rust_tuner.data.contrast import FLIPS, flipped, local_contrast, pooled, ratio, unit
from rust_tuner.progress import Progress

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_SIDE, _MIDDLE_SIDE, _COARSE_SIDE = 128, 64, 32
# Set on phantoms and changed copies of them; `experiments/near_duplicates.py` measures both errors.
_COARSE_THRESHOLD, _MIDDLE_THRESHOLD = 0.75, 0.87
_LARGEST_CROP = 0.02
_BLOCKS_A_SIDE = 7
_QUANTILE_OF_BLOCKS = 0.1
# A block with less than this share of the mean energy is flat, and its noise is not compared.
_LEAST_ENERGY = 0.5
_ROWS_AT_ONCE, _PAIRS_AT_ONCE = 512, 128


@dataclass(frozen=True)
class LittleChangedPair:
    """Two pictures that are the same except for small changes.

    Attributes:
        first: position of the one that comes first.
        second: position of the other.
        similarity: from the requested minimum to 1.
        flip: number of the flip between them, in `contrast.FLIPS`.
    """

    first: int
    second: int
    similarity: float
    flip: int


def little_changed_pairs(
    thumbnails: npt.NDArray[np.float16], *, least: float, progress: Progress
) -> list[LittleChangedPair]:
    """Pairs of copies that differ only in tones, size, a flip and crops of up to 2 %.

    At 32 pixels a side local contrast is correlated under the four flips, all pairs at once; at 64
    again, with rows and columns aligned to undo a crop. At 128 they are aligned more finely, and
    the tones of one picture are matched to the other's, which takes out brightness and gamma; then
    it is correlated block by block. Another leg is similar in most places, a copy everywhere, so
    the lowest tenth of the blocks decides.

    Args:
        thumbnails: (n, 128, 128) from 0 to 1.
        least: the similarity from which two pictures count as one.
        progress: where to report.
    """
    middle = pooled(thumbnails, _MIDDLE_SIDE)
    pairs = _coarse_pairs(local_contrast(pooled(middle, _COARSE_SIDE)))
    pairs = pairs.only(_similarity_when_aligned(local_contrast(middle), pairs) >= _MIDDLE_THRESHOLD)
    similarity = np.zeros(len(pairs))
    with progress.task("comparing similar pictures", len(pairs)) as task:
        for span in _spans(len(pairs)):
            some = pairs.only(span)
            one, other = (thumbnails[side].astype(np.float32) for side in (some.first, some.second))
            similarity[span] = _similarity_of_blocks(one, some.flipped(other))
            task.advance(len(some))
    return [
        LittleChangedPair(int(first), int(second), float(value), int(flip))
        for first, second, flip, value in zip(
            pairs.first, pairs.second, pairs.flip, similarity, strict=True
        )
        if value >= least
    ]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs that passed a filter: positions, and the flip of the second that fits best."""

    first: IntArray
    second: IntArray
    flip: IntArray

    def __len__(self) -> int:
        return len(self.first)

    def only(self, which: slice | npt.NDArray[np.bool_]) -> "_Pairs":
        return _Pairs(self.first[which], self.second[which], self.flip[which])

    def flipped(self, seconds: FloatArray) -> FloatArray:
        """The pictures of the second side, each flipped as its pair needs it."""
        turned = seconds.copy()
        for number, flip in enumerate(FLIPS):
            turned[self.flip == number] = flipped(seconds[self.flip == number], flip)
        return turned


@dataclass(frozen=True, eq=False)
class _Windows:
    """The ways to cut and stretch one axis, as matrices that resample it.

    Only the central part of an axis is compared, since a crop leaves nothing to compare at its
    edges.

    Attributes:
        margin: how many pixels of each edge are left out.
        matrices: (windows, side - 2 * margin, side) linear interpolation.
        flat: the same, (windows, -1).
        grams: (windows, side * side): each matrix's transpose times itself.
    """

    margin: int
    matrices: FloatArray
    flat: FloatArray = field(init=False)
    grams: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.matrices)
        grams = self.matrices.transpose(0, 2, 1) @ self.matrices
        object.__setattr__(self, "flat", self.matrices.reshape(count, -1))
        object.__setattr__(self, "grams", grams.reshape(count, -1))

    def central(self, pictures: FloatArray) -> FloatArray:
        """The part of pictures (k, side, side) that is compared."""
        inner = slice(self.margin, pictures.shape[1] - self.margin)
        return pictures[:, inner, inner]


@cache
def _windows(side: int, steps: int) -> _Windows:
    """Crops between -2 and 2 % of each end in `steps` steps per 1 %, the identity in the middle."""
    cuts = np.linspace(-_LARGEST_CROP, _LARGEST_CROP, 2 * round(100 * _LARGEST_CROP) * steps + 1)
    margin = side // 16
    centres = (np.arange(side) + 0.5) / side
    matrices = []
    for low in cuts:
        for high in cuts:
            positions = np.clip((low + centres * (1 - low - high)) * side - 0.5, 0, side - 1)
            left = np.minimum(positions.astype(np.int64), side - 2)
            matrix = np.zeros((side, side), dtype=np.float32)
            matrix[np.arange(side), left] = 1 - (positions - left)
            matrix[np.arange(side), left + 1] = positions - left
            matrices.append(matrix[margin : side - margin])
    return _Windows(margin, np.stack(matrices))


def _coarse_pairs(pictures: FloatArray) -> _Pairs:
    """All pairs of pictures (n, 32, 32) that are alike under one of the flips."""
    margin = _COARSE_SIDE // 16
    inner = unit(pictures[:, margin:-margin, margin:-margin])
    count = len(inner)
    turned = [flipped(inner, flip).reshape(count, inner[0].size if count else 0) for flip in FLIPS]
    parts = []
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = turned[0][start : start + _ROWS_AT_ONCE]
        # An inverted copy has the correlation -1.
        alike = np.abs(np.stack([rows @ other[start:].T for other in turned]))
        best = alike.argmax(axis=0)
        first, second = np.nonzero(np.triu(alike.max(axis=0) >= _COARSE_THRESHOLD, k=1))
        parts.append(np.stack([first + start, second + start, best[first, second]]))
    pairs = np.concatenate(parts, axis=1) if parts else np.empty((3, 0), dtype=np.int64)
    return _Pairs(*pairs.astype(np.int64))


def _spans(count: int) -> Iterator[slice]:
    for start in range(0, count, _PAIRS_AT_ONCE):
        yield slice(start, min(start + _PAIRS_AT_ONCE, count))


def _similarity_when_aligned(pictures: FloatArray, pairs: _Pairs) -> npt.NDArray[np.float64]:
    windows = _windows(_MIDDLE_SIDE, 1)
    similarity = np.zeros(len(pairs))
    for span in _spans(len(pairs)):
        some = pairs.only(span)
        *_, best = _align(pictures[some.first], some.flipped(pictures[some.second]), windows)
        similarity[span] = best
    return similarity


def _align(
    first: FloatArray, second: FloatArray, windows: _Windows
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The windows of rows and columns under which the second picture is most like the first.

    A crop acts on rows and columns separately, so each is searched while the other is fixed. This
    is done twice, because the first choice is made before the other axis is aligned. With rows
    resampled by R and columns by C the correlation is <first, R second C'> / |R second C'|;
    numerator and norm are linear in R and in R'R, so one matrix product gives them for all windows.

    Args:
        first: (k, side, side) of norm 1.
        second: (k, side, side).
        windows: what is tried.

    Returns:
        (k, inner, side) row and column matrices, and (k,) absolute correlations.
    """
    count = len(first)
    fixed = unit(windows.central(first))
    identity = len(windows.matrices) // 2
    columns = np.broadcast_to(windows.matrices[identity], (count, *windows.matrices.shape[1:]))
    for _ in range(2):
        held = second @ columns.transpose(0, 2, 1)
        rows, _ = _best_window(fixed, held, windows)
        held = (rows @ second).transpose(0, 2, 1)
        columns, best = _best_window(fixed.transpose(0, 2, 1), held, windows)
    return rows, columns, best


def _best_window(
    fixed: FloatArray, held: FloatArray, windows: _Windows
) -> tuple[FloatArray, FloatArray]:
    count = len(fixed)
    turned = held.transpose(0, 2, 1)
    products = (fixed @ turned).reshape(count, -1) @ windows.flat.T
    squares = (held @ turned).reshape(count, -1) @ windows.grams.T
    alike = ratio(np.abs(products), np.sqrt(np.maximum(squares, 0)))
    return windows.matrices[alike.argmax(axis=1)], alike.max(axis=1)


def _similarity_of_blocks(first: FloatArray, second: FloatArray) -> FloatArray:
    """How alike two pictures (k, 128, 128) are in the lowest tenth of their blocks, (k,)."""
    windows = _windows(_SIDE, 2)
    ours, theirs = (local_contrast(side, blur=1.0, spread=4.0) for side in (first, second))
    rows, columns, _ = _align(ours, theirs, windows)
    turned = columns.transpose(0, 2, 1)
    one = windows.central(first)
    other: FloatArray = (rows @ second @ turned).astype(np.float32)
    product = (windows.central(ours) * (rows @ theirs @ turned)).sum(axis=(1, 2))
    sign: FloatArray = np.ones((len(product), 1, 1), dtype=np.float32)
    sign[product < 0] = -1
    # Tones that one picture clips cannot be restored in the other, so the better direction counts.
    return np.maximum(
        _lowest_blocks(_with_tones(one * sign, of=other), other),
        _lowest_blocks(one, _with_tones(other * sign, of=one)),
    )


def _with_tones(pictures: FloatArray, *, of: FloatArray) -> FloatArray:
    """Pictures with the histogram of others, tones in the same order."""
    count = len(pictures)
    tones = np.sort(of.reshape(count, -1), axis=1)
    order = pictures.reshape(count, -1).argsort(axis=1, kind="stable")
    matched = np.empty_like(tones)
    np.put_along_axis(matched, order, tones, axis=1)
    return matched.reshape(of.shape)


def _lowest_blocks(one: FloatArray, other: FloatArray) -> FloatArray:
    first, second = (_blocks(local_contrast(side, blur=1.0, spread=4.0)) for side in (one, other))
    energies = [(side**2).sum(axis=2) for side in (first, second)]
    alike = ratio(np.abs((first * second).sum(axis=2)), np.sqrt(energies[0] * energies[1]))
    shares = [ratio(energy, energy.mean(axis=1, keepdims=True)) for energy in energies]
    counts = np.maximum(*shares) >= _LEAST_ENERGY
    # A picture without any detail is like no other.
    alike[~counts.any(axis=1)] = 0.0
    counts[~counts.any(axis=1)] = True
    lowest: FloatArray = np.nanquantile(
        np.where(counts, alike, np.nan), _QUANTILE_OF_BLOCKS, axis=1
    ).astype(np.float32)
    return lowest


def _blocks(pictures: FloatArray) -> FloatArray:
    """Pictures (k, s, s) cut into (k, 49, pixels)."""
    count, side = len(pictures), pictures.shape[1] // _BLOCKS_A_SIDE
    grid = pictures.reshape(count, _BLOCKS_A_SIDE, side, _BLOCKS_A_SIDE, side)
    return grid.transpose(0, 1, 3, 2, 4).reshape(count, _BLOCKS_A_SIDE**2, side * side)
