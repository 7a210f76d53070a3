"""Finds radiographs that show the same picture: equal, or copied with small changes.

It compares all pairs of a set; whose radiographs they are and what that means belongs to `checks`.

It is long because the three sieves share one way of aligning and normalising pictures.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from rust_tuner.data.faults import Faults
from rust_tuner.data.pictures import DECODING_THREADS, open_picture
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ImageError
from rust_tuner.progress import Progress, Silent

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

# Steps through rows and columns of the four flips, and how a message names them.
_FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
_FLIP_NAMES = ("", "mirrored left to right", "upside down", "turned by 180 degrees")

_SIDE, _MIDDLE_SIDE, _COARSE_SIDE = 128, 64, 32
# See `similar_pairs` for what these were measured on.
_COARSE_THRESHOLD, _MIDDLE_THRESHOLD, SIMILARITY_THRESHOLD = 0.75, 0.87, 0.94
_LARGEST_CROP = 0.02
_BLOCKS_A_SIDE = 7
_QUANTILE_OF_BLOCKS = 0.1
# A block with less than this share of the mean energy is flat, and its noise compares to nothing.
_LEAST_ENERGY = 0.5
_ROWS_AT_ONCE, _PAIRS_AT_ONCE = 512, 128


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """What pictures are compared by.

    Attributes:
        thumbnails: (n, 128, 128) float16 grey, each from its darkest 0 to its brightest 1.
        content_sha256: of each picture's pixels at full size.
        file_sha256: of each file's bytes.
    """

    thumbnails: npt.NDArray[np.float16]
    content_sha256: tuple[str, ...]
    file_sha256: tuple[str, ...]

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.thumbnails)


@dataclass(frozen=True)
class SimilarPair:
    """Two radiographs that show the same picture.

    Attributes:
        first: position of the one that comes first in the set.
        second: position of the other.
        similarity: 1 where the pixels are equal, else from `SIMILARITY_THRESHOLD` to 1.
        equal: whether all pixels are equal at full size.
        flip: how the second has to be flipped to be like the first; empty where it need not be.
    """

    first: int
    second: int
    similarity: float
    equal: bool
    flip: str


def fingerprint(radiographs: Radiographs, *, progress: Progress | None = None) -> Fingerprints:
    """Decode every radiograph once and keep what similar ones are found by, 32 KiB each.

    Args:
        radiographs: n radiographs.
        progress: where to report; nowhere by default.

    Raises:
        ManifestError: listing every image that cannot be decoded.
    """
    report = progress or Silent()
    faults = Faults(radiographs.source)
    thumbnails = np.zeros((len(radiographs), _SIDE, _SIDE), dtype=np.float16)
    contents, files = [], []
    with (
        ThreadPoolExecutor(DECODING_THREADS) as pool,
        report.task("fingerprints", len(radiographs)) as task,
    ):
        for position, result in enumerate(pool.map(_fingerprint_file, radiographs.images)):
            if isinstance(result, ImageError):
                faults.add(f"image={result}", row=radiographs.rows[position])
            else:
                thumbnails[position], content, file = result
                contents.append(content)
                files.append(file)
            task.advance()
    faults.raise_any()
    return Fingerprints(thumbnails, tuple(contents), tuple(files))


def similar_pairs(
    fingerprints: Fingerprints, *, progress: Progress | None = None
) -> tuple[SimilarPair, ...]:
    """All pairs that show the same picture.

    A copy is found after any of these, also together: JPEG compression, another size, bit depth,
    brightness, contrast or gamma, inversion, a flip, crops of up to 2 % of each side. Rotations
    and larger crops are not.

    A perceptual hash of 64 bits cannot tell radiographs of one bone apart, so pairs pass three
    sieves, each finer and slower than the one before. At 32 pixels a side local contrast is
    correlated under the four flips, all pairs at once; at 64 again, with rows and columns aligned
    to undo a crop. At 128 they are aligned more finely, and the tones of one picture are matched
    to the other's, which takes out brightness and gamma; then it is correlated block by block.
    Another leg is alike in most places, a copy everywhere, so the lowest tenth of the blocks
    decides.

    Of 758 phantom radiographs of 300 patients no two are taken for one picture, and of 150 copies
    of each of 13 kinds all are found (`experiments/near_duplicates.py`). Among 2,972 of 1,200
    patients 20 pairs are, of 4.4 million. The thresholds were set on phantoms and copies of
    them; of real radiographs, look at each pair that is named.

    Args:
        fingerprints: of n pictures.
        progress: where to report; nowhere by default.

    Returns:
        The pairs in the order of their positions. Of pictures with equal pixels, each is paired
        with the first of them, and only the first with those that are similar.
    """
    report = progress or Silent()
    firsts: dict[str, int] = {}
    equal = []
    for position, content in enumerate(fingerprints.content_sha256):
        first = firsts.setdefault(content, position)
        if first != position:
            equal.append(SimilarPair(first, position, 1.0, equal=True, flip=""))
    kept = np.fromiter(firsts.values(), dtype=np.int64)
    middle = _pooled(fingerprints.thumbnails[kept], _MIDDLE_SIDE)
    pairs = _coarse_pairs(_local_contrast(_pooled(middle, _COARSE_SIDE)))
    pairs = pairs.only(
        _similarity_when_aligned(_local_contrast(middle), pairs) >= _MIDDLE_THRESHOLD
    )
    similarity = np.zeros(len(pairs))
    with report.task("comparing similar pictures", len(pairs)) as task:
        for span in _spans(len(pairs)):
            some = pairs.only(span)
            one, other = (
                fingerprints.thumbnails[kept[side]].astype(np.float32)
                for side in (some.first, some.second)
            )
            similarity[span] = _similarity_of_blocks(one, some.flipped(other))
            task.advance(len(some))
    found = [
        SimilarPair(int(kept[i]), int(kept[j]), float(value), equal=False, flip=_FLIP_NAMES[flip])
        for i, j, flip, value in zip(pairs.first, pairs.second, pairs.flip, similarity, strict=True)
        if value >= SIMILARITY_THRESHOLD
    ]
    return tuple(sorted([*equal, *found], key=lambda pair: (pair.first, pair.second)))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs that passed a sieve: positions, and the flip of the second that fits best."""

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
        for number, flip in enumerate(_FLIPS):
            turned[self.flip == number] = _flip(seconds[self.flip == number], flip)
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
    """Crops between -2 and 2 % of each end in `steps` steps a per cent; the identity is midmost."""
    cuts = np.linspace(-_LARGEST_CROP, _LARGEST_CROP, 2 * round(100 * _LARGEST_CROP) * steps + 1)
    margin = side // 16
    centres = (np.arange(side) + 0.5) / side
    matrices = []
    for low in cuts:
        for high in cuts:
            places = np.clip((low + centres * (1 - low - high)) * side - 0.5, 0, side - 1)
            left = np.minimum(places.astype(np.int64), side - 2)
            matrix = np.zeros((side, side), dtype=np.float32)
            matrix[np.arange(side), left] = 1 - (places - left)
            matrix[np.arange(side), left + 1] = places - left
            matrices.append(matrix[margin : side - margin])
    return _Windows(margin, np.stack(matrices))


def _fingerprint_file(
    path: os.PathLike[str],
) -> tuple[npt.NDArray[np.float16], str, str] | ImageError:
    """Thumbnail and hashes of a file; an error is returned, to be told with others."""
    try:
        with open_picture(os.fspath(path)) as picture:
            small, content = picture.thumbnail(_SIDE), picture.content_sha256()
    except ImageError as error:
        return error
    # Each takes its own range, or float16 would be too coarse for a dark 16-bit picture.
    span = float(np.ptp(small))
    scaled = (small - small.min()) / (span or 1.0)
    return scaled.astype(np.float16), content, picture.file_sha256


def _pooled(pictures: npt.NDArray[np.floating], side: int) -> FloatArray:
    """Pictures (n, s, s) as means of squares, (n, side, side)."""
    count, factor = len(pictures), pictures.shape[1] // side
    squares = pictures.reshape(count, side, factor, side, factor)
    means: FloatArray = squares.mean(axis=(2, 4), dtype=np.float32)
    return means


def _local_contrast(pictures: FloatArray, *, blur: float = 0.0, spread: float = 3.0) -> FloatArray:
    """Pictures less their surroundings, in units of the contrast there; each of norm 1, or 0."""
    smooth = gaussian_filter(pictures, (0, blur, blur), mode="nearest") if blur else pictures
    detail = smooth - gaussian_filter(smooth, (0, spread, spread), mode="nearest")
    contrast = np.sqrt(gaussian_filter(detail**2, (0, spread, spread), mode="nearest"))
    # Where a picture is flat, its noise is not blown up to what edges are elsewhere.
    floor = 0.5 * np.sqrt((detail**2).mean(axis=(1, 2), keepdims=True))
    return _unit(_ratio(detail, contrast + floor))


def _unit(pictures: FloatArray) -> FloatArray:
    return _ratio(pictures, np.sqrt((pictures**2).sum(axis=(1, 2), keepdims=True)))


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Part through whole, 0 where whole is 0."""
    result = np.zeros(np.broadcast_shapes(part.shape, whole.shape), dtype=np.float32)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def _flip(pictures: FloatArray, flip: tuple[int, int]) -> FloatArray:
    return pictures[:, :: flip[0], :: flip[1]]


def _coarse_pairs(pictures: FloatArray) -> _Pairs:
    """All pairs of pictures (n, 32, 32) that are alike under one of the flips."""
    margin = _COARSE_SIDE // 16
    inner = _unit(pictures[:, margin:-margin, margin:-margin])
    count = len(inner)
    turned = [_flip(inner, flip).reshape(count, inner[0].size if count else 0) for flip in _FLIPS]
    parts = []
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = turned[0][start : start + _ROWS_AT_ONCE]
        # An inverted copy has the correlation -1.
        alike = np.abs(np.stack([rows @ other[start:].T for other in turned]))
        best = alike.argmax(axis=0)
        first, second = np.nonzero(np.triu(alike.max(axis=0) >= _COARSE_THRESHOLD, k=1))
        parts.append(np.stack([first + start, second + start, best[first, second]]))
    found = np.concatenate(parts, axis=1) if parts else np.empty((3, 0), dtype=np.int64)
    return _Pairs(*found.astype(np.int64))


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

    A crop acts on rows and columns apart, so each is searched while the other is held: twice, as
    the first choice was made with the other axis not yet aligned. With rows resampled by R and
    columns by C the correlation is <first, R second C'> / |R second C'|; numerator and norm are
    linear in R and in R'R, so one matrix product has them for all windows.

    Args:
        first: (k, side, side) of norm 1.
        second: (k, side, side).
        windows: what is tried.

    Returns:
        (k, inner, side) row and column matrices, and (k,) absolute correlations.
    """
    count = len(first)
    fixed = _unit(windows.central(first))
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
    alike = _ratio(np.abs(products), np.sqrt(np.maximum(squares, 0)))
    return windows.matrices[alike.argmax(axis=1)], alike.max(axis=1)


def _similarity_of_blocks(first: FloatArray, second: FloatArray) -> FloatArray:
    """How alike two pictures (k, 128, 128) are in the lowest tenth of their blocks, (k,)."""
    windows = _windows(_SIDE, 2)
    ours, theirs = (_local_contrast(side, blur=1.0, spread=4.0) for side in (first, second))
    rows, columns, _ = _align(ours, theirs, windows)
    turned = columns.transpose(0, 2, 1)
    one = windows.central(first)
    other: FloatArray = (rows @ second @ turned).astype(np.float32)
    product = (windows.central(ours) * (rows @ theirs @ turned)).sum(axis=(1, 2))
    sign: FloatArray = np.ones((len(product), 1, 1), dtype=np.float32)
    sign[product < 0] = -1
    # What one picture clips the other cannot be given back, so the better direction counts.
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
    first, second = (_blocks(_local_contrast(side, blur=1.0, spread=4.0)) for side in (one, other))
    energies = [(side**2).sum(axis=2) for side in (first, second)]
    alike = _ratio(np.abs((first * second).sum(axis=2)), np.sqrt(energies[0] * energies[1]))
    shares = [_ratio(energy, energy.mean(axis=1, keepdims=True)) for energy in energies]
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
