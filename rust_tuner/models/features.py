"""Features of a frozen backbone: each image once per flip variant, kept in a cache.

The cache is content-addressed: an entry's place is made from the image's bytes, its
preprocessing, the weights and the variants, so a stale entry cannot be taken for a new one.
Entries are written atomically one image at a time, which makes an extraction resumable; one process
at a time extracts by one recipe, and others wait for what it makes.
"""

import collections
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rust_tuner.data.images import load_image
from rust_tuner.errors import FeatureCacheError, ImageError
from rust_tuner.files import (
    atomic_write,
    default_cache,
    sha256_of_file,
    sha256_of_json,
    take_turns,
)
from rust_tuner.models.architectures import feature_extractor
from rust_tuner.models.backbones import NUM_FEATURES, build_backbone
from rust_tuner.models.runtime import empty_aligned
from rust_tuner.models.weights import BackboneWeights
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Flips, Precision, Resize

# (flip left-right, flip up-down) of each variant; the unflipped one stands first.
FLIP_VARIANTS: dict[Flips, tuple[tuple[bool, bool], ...]] = {
    "none": ((False, False),),
    "horizontal": ((False, False), (True, False)),
    "horizontal_and_vertical": ((False, False), (True, False), (False, True), (True, True)),
}

_FORMAT_VERSION = 1
_FORWARD_BATCH = 32
_DECODERS = 2

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FrozenFeatures:
    """Features of n images under each flip variant.

    Attributes:
        values: (n, variants, 2048) float32; variant 0 is unflipped.
        sha256: of the images' content, preprocessing, weights and variants, in order.
    """

    values: FloatArray
    sha256: str

    def __len__(self) -> int:
        """The number of images."""
        return len(self.values)

    @property
    def num_variants(self) -> int:
        """How many flip variants each image has."""
        return int(self.values.shape[1])


@dataclass(frozen=True)
class FeatureRecipe:
    """Everything but the image that decides a feature vector.

    Attributes:
        weights: the backbone's weights.
        image_size: side of the square input in pixels.
        resize: how a radiograph becomes square.
        flips: which variants are kept.
        precision: of the backbone's convolutions; features are float32.
    """

    weights: BackboneWeights
    image_size: int
    resize: Resize
    flips: Flips
    precision: Precision = "float32"

    @property
    def sha256(self) -> str:
        """The recipe's identity; names its folder in the cache."""
        return sha256_of_json(
            {
                "format": _FORMAT_VERSION,
                "backbone": "InceptionV3, global maximum pooling",
                "weights": self.weights.sha256,
                "image_size": self.image_size,
                "resize": self.resize,
                "flips": self.flips,
                "precision": self.precision,
            }
        )


def extract_features(
    images: Sequence[Path],
    recipe: FeatureRecipe,
    *,
    cache: str | Path | None = None,
    rows: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> FrozenFeatures:
    """Features of images, from the cache where they are there and computed where not.

    Memory during extraction does not grow with the number of images. Interrupted at any moment,
    it goes on where it stopped.

    Args:
        images: n image files.
        recipe: the backbone and the preprocessing.
        cache: folder that studies share; `files.default_cache()` where None.
        rows: the images' rows in their manifest, for error messages.
        progress: where to report; nowhere by default.

    Returns:
        The features of all n images, in order.

    Raises:
        ImageError: naming the first file that cannot be decoded.
        FeatureCacheError: where what was written cannot be read back.
    """
    report = progress or Silent()
    place = default_cache() if cache is None else Path(cache).expanduser()
    folder = place / recipe.sha256[:32]
    hashes = _hashes_of_images(images, rows)
    entries = [folder / digest[:2] / f"{digest}.f32" for digest in hashes]
    shape = (len(images), len(FLIP_VARIANTS[recipe.flips]), NUM_FEATURES)
    values = empty_aligned(shape)
    missing = _load(entries, values)
    if missing:
        with take_turns(folder, "extracting features", "??", say=report.say):
            # Another process may have done some of them while this one waited for the lock.
            missing = _load(entries, values)
            if missing:
                _extract(images, entries, missing, recipe, rows=rows, report=report)
        damaged = _load(entries, values)
        if damaged:
            raise FeatureCacheError(
                f"{len(damaged)} features written to {folder} cannot be read back, the first is "
                f"{entries[damaged[0]].name}; check the disk, or name another cache folder"
            )
    return FrozenFeatures(values, _identity(recipe, hashes))


def features_sha256(
    images: Sequence[Path], recipe: FeatureRecipe, *, rows: Sequence[int] | None = None
) -> str:
    """What `FrozenFeatures.sha256` of these images is, without their features.

    Args:
        images: n image files.
        recipe: the backbone and the preprocessing.
        rows: the images' rows in their manifest, for error messages.

    Raises:
        ImageError: naming the first file that cannot be read.
    """
    return _identity(recipe, _hashes_of_images(images, rows))


def _load(entries: Sequence[Path], values: FloatArray) -> list[int]:
    """Fill `values` from the cache; the indices that are not there, each content once."""
    missing: dict[Path, int] = {}
    for index, entry in enumerate(entries):
        feature = _read_entry(entry, values.shape[1:])
        if feature is None:
            missing.setdefault(entry, index)
        else:
            values[index] = feature
    return list(missing.values())


def _extract(
    images: Sequence[Path],
    entries: Sequence[Path],
    missing: Sequence[int],
    recipe: FeatureRecipe,
    *,
    rows: Sequence[int] | None,
    report: Progress,
) -> None:
    """Compute the missing entries with one fixed batch shape, decoding ahead in threads."""
    variants = FLIP_VARIANTS[recipe.flips]
    side = recipe.image_size
    images_per_batch = _FORWARD_BATCH // len(variants)
    batch = np.zeros((images_per_batch, len(variants), side, side, 3), dtype=np.float32)
    backbone = build_backbone(recipe.weights, image_size=side, precision=recipe.precision)
    extractor = feature_extractor(backbone)

    def decode(index: int) -> FloatArray:
        return load_image(images[index], size=side, resize=recipe.resize, row=_row(rows, index))

    with (
        ThreadPoolExecutor(_DECODERS) as pool,
        report.task("features", len(images), done=len(images) - len(missing)) as task,
    ):
        decoded = _ahead(pool, decode, missing, 2 * images_per_batch)
        for start in range(0, len(missing), images_per_batch):
            indices = missing[start : start + images_per_batch]
            for place, picture in enumerate(itertools.islice(decoded, len(indices))):
                for variant, (left_right, up_down) in enumerate(variants):
                    batch[place, variant] = _flip(picture, left_right, up_down)
            # A last batch of another shape would be traced anew, so it keeps what was in it.
            features = extractor.predict_on_batch(batch.reshape(-1, side, side, 3))
            features = np.asarray(features).reshape(images_per_batch, len(variants), -1)
            for index, feature in zip(indices, features, strict=False):
                _write_entry(entries[index], feature)
            task.advance(len(indices))


def _ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[int], FloatArray],
    indices: Sequence[int],
    depth: int,
) -> Iterator[FloatArray]:
    """Map in order, never more than `depth` results ahead of the reader."""
    pending: collections.deque[Future[FloatArray]] = collections.deque()
    remaining = iter(indices)
    try:
        for index in itertools.islice(remaining, depth):
            pending.append(pool.submit(function, index))
        while pending:
            yield pending.popleft().result()
            for index in itertools.islice(remaining, 1):
                pending.append(pool.submit(function, index))
    finally:
        for future in pending:
            future.cancel()


def _flip(picture: FloatArray, left_right: bool, up_down: bool) -> FloatArray:
    flipped: FloatArray = picture[:: -1 if up_down else 1, :: -1 if left_right else 1]
    return flipped


def _row(rows: Sequence[int] | None, index: int) -> int | None:
    return None if rows is None else rows[index]


def _identity(recipe: FeatureRecipe, hashes: list[str]) -> str:
    return sha256_of_json([recipe.sha256, hashes])


def _hashes_of_images(images: Sequence[Path], rows: Sequence[int] | None) -> list[str]:
    return [_hash_of_image(path, _row(rows, index)) for index, path in enumerate(images)]


def _hash_of_image(path: Path, row: int | None) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        place = f"row {row}: " if row is not None else ""
        raise ImageError(f"{place}{path} cannot be read ({error.strerror})") from error


def _write_entry(path: Path, feature: FloatArray) -> None:
    content = np.ascontiguousarray(feature, dtype="<f4").tobytes()
    with atomic_write(path) as stream:
        stream.write(hashlib.sha256(content).digest())
        stream.write(content)


def _read_entry(path: Path, shape: tuple[int, ...]) -> FloatArray | None:
    """A cached entry, or None where it is absent or does not match its own hash."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = raw[:32], raw[32:]
    if hashlib.sha256(content).digest() != digest or len(content) != 4 * math.prod(shape):
        return None
    return np.frombuffer(content, dtype="<f4").reshape(shape)
