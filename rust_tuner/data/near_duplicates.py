"""Finds radiographs that show the same picture: equal, or copied with small changes.

It compares all pairs of a set. Copies that were cropped or turned are found by `moved_copies`;
whose radiographs they are and what that means belongs to `checks`.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rust_tuner.data.contrast import FLIP_NAMES
from rust_tuner.data.faults import Faults
from rust_tuner.data.little_changed import LittleChangedPair, little_changed_pairs
from rust_tuner.data.moved_copies import MovedPair, moved_pairs
from rust_tuner.data.pictures import DECODING_THREADS, open_picture
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ImageError, marked
from rust_tuner.progress import Progress, Silent

FloatArray = npt.NDArray[np.float32]

# Set on phantoms and changed copies of them; `experiments/near_duplicates.py` measures both errors.
SIMILARITY_THRESHOLD = 0.94
_SIDE = 128

# The changes that the search was measured on, for readers of its verdict.
FOUND = (
    "recompressed, resized, changed in brightness, contrast or gamma, inverted, flipped, cropped "
    "by up to 10 % of a side, framed by up to 10 %, turned by up to 5 degrees, or slanted by up to "
    "10 % of the width"
)
FOUND_WITHIN_A_PATIENT = (
    "Within a patient it finds about half of the cropped, framed, turned or slanted copies, since "
    "two exposures of one leg look much like them"
)
NOT_FOUND = (
    "larger crops and turns, stretched or locally warped copies, or two exposures of one leg"
)


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The data by which pictures are compared.

    Attributes:
        thumbnails: (n, 128, 128) float16 grey, each scaled from 0 (its darkest) to 1 (its
            brightest).
        content_sha256: of each picture's pixels at full size.
        file_sha256: of each file's bytes.
        aspects: (n,) float32, each picture's width over its height; 1 if not given.
    """

    thumbnails: npt.NDArray[np.float16]
    content_sha256: tuple[str, ...]
    file_sha256: tuple[str, ...]
    aspects: FloatArray = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def __post_init__(self) -> None:
        """Assume square pictures if no aspects are given."""
        if not len(self.aspects):
            object.__setattr__(self, "aspects", np.ones(len(self.thumbnails), dtype=np.float32))

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.thumbnails)


@dataclass(frozen=True)
class SimilarPair:
    """Two radiographs that show the same picture.

    Attributes:
        first: position of the one that comes first in the set.
        second: position of the other.
        similarity: 1 if the pixels are equal, else from `SIMILARITY_THRESHOLD` to 1.
        equal: whether all pixels are equal at full size.
        flip: how the second must be flipped to be like the first; empty if not flipped.
        change: what else was done to one of the two, such as `turned by 2.0 degrees`; empty for
            changes of tones, of size, and crops of up to 2 % of each side.
    """

    first: int
    second: int
    similarity: float
    equal: bool
    flip: str
    change: str = ""


def fingerprint(radiographs: Radiographs, *, progress: Progress | None = None) -> Fingerprints:
    """Decode every radiograph once and compute the data to compare it by, 32 KiB each.

    Args:
        radiographs: n radiographs.
        progress: where to report; nowhere by default.

    Raises:
        ManifestError: listing every image that cannot be decoded.
    """
    report = progress or Silent()
    faults = Faults(radiographs.source)
    thumbnails = np.zeros((len(radiographs), _SIDE, _SIDE), dtype=np.float16)
    aspects = np.ones(len(radiographs), dtype=np.float32)
    contents, files = [], []
    with (
        ThreadPoolExecutor(DECODING_THREADS) as pool,
        report.task("fingerprints", len(radiographs)) as task,
    ):
        for position, result in enumerate(pool.map(_fingerprint_file, radiographs.images)):
            if isinstance(result, ImageError):
                faults.add(
                    f"image={marked(result)}", row=radiographs.rows[position], column="image"
                )
            else:
                thumbnails[position], aspects[position], content, file = result
                contents.append(content)
                files.append(file)
            task.advance()
    faults.raise_any()
    return Fingerprints(thumbnails, tuple(contents), tuple(files), aspects)


def similar_pairs(
    fingerprints: Fingerprints,
    *,
    owners: npt.NDArray[np.object_] | None = None,
    progress: Progress | None = None,
) -> tuple[SimilarPair, ...]:
    """All pairs that show the same picture.

    A copy is found after any of these changes and combinations of them: JPEG compression, another
    size, bit depth, brightness, contrast or gamma, inversion, a flip, and a crop, a frame, a turn
    or a slant of the sizes in `FOUND`. `NOT_FOUND` lists what was not tried or is not found.

    A perceptual hash of 64 bits cannot distinguish radiographs of one bone, so pairs pass a series
    of filters, each finer and slower than the one before: `little_changed` for copies with
    unchanged geometry, and `moved_copies.moved_pairs` for the others.

    Args:
        fingerprints: of n pictures.
        owners: (n,) the patient of each picture, if known. Two exposures of one leg may match after
            a turn and differ only in their grain. So if a crop, a frame, a turn or a slant leads
            from one picture to another of the same patient, the grain must be the same too, which
            finds fewer copies.
        progress: where to report; nowhere by default.

    Returns:
        The pairs in the order of their positions. Of pictures with equal pixels, each is paired
        with the first of them, and only the first with those that are similar.
    """
    report = progress or Silent()
    firsts: dict[str, int] = {}
    pairs = []
    for position, content in enumerate(fingerprints.content_sha256):
        first = firsts.setdefault(content, position)
        if first != position:
            pairs.append(SimilarPair(first, position, 1.0, equal=True, flip=""))
    kept = np.fromiter(firsts.values(), dtype=np.int64)
    thumbnails = fingerprints.thumbnails[kept]

    def similar(pair: LittleChangedPair | MovedPair, change: str = "") -> SimilarPair:
        first, second = (int(kept[position]) for position in (pair.first, pair.second))
        flip = FLIP_NAMES[pair.flip]
        return SimilarPair(first, second, pair.similarity, equal=False, flip=flip, change=change)

    little_changed = [
        similar(pair)
        for pair in little_changed_pairs(thumbnails, least=SIMILARITY_THRESHOLD, progress=report)
    ]
    paired = {(pair.first, pair.second) for pair in little_changed}
    moved = [
        similar(pair, change=pair.change)
        for pair in moved_pairs(thumbnails, fingerprints.aspects[kept], progress=report)
        if pair.same_grain
        or owners is None
        or owners[kept[pair.first]] != owners[kept[pair.second]]
    ]
    pairs += little_changed
    pairs += [pair for pair in moved if (pair.first, pair.second) not in paired]
    return tuple(sorted(pairs, key=lambda pair: (pair.first, pair.second)))


def _fingerprint_file(
    path: os.PathLike[str],
) -> tuple[npt.NDArray[np.float16], float, str, str] | ImageError:
    """Thumbnail, aspect ratio and hashes of a file; an error is returned, not raised."""
    try:
        with open_picture(os.fspath(path)) as picture:
            small, content = picture.thumbnail(_SIDE), picture.content_sha256()
            aspect = picture.width / picture.height
    except ImageError as error:
        return error
    # Each is scaled to its own range; otherwise float16 would be too coarse for a dark 16-bit
    # picture.
    span = float(np.ptp(small))
    scaled = (small - small.min()) / (span or 1.0)
    return scaled.astype(np.float16), aspect, content, picture.file_sha256
