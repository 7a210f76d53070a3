"""Extracts features with a frozen backbone, once per image and flip variant, and caches them.

The cache is content-addressed: an entry's path depends on the image's bytes, its preprocessing, the
weights and the variants, so a stale entry cannot be mistaken for a current one. Entries are written
atomically, one image at a time, so an extraction can be resumed. One process at a time extracts
with a recipe; others wait and use its entries. A cache that cannot be written or read costs only
time.
"""

import collections
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.data.content import hash_images
from rust_tuner.data.images import load_image
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.reading import Reading, framed
from rust_tuner.errors import StorageError
from rust_tuner.files import atomic_write, cache_folder, cache_note, sha256_of_json
from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.locks import take_turns
from rust_tuner.models.architectures import feature_extractor
from rust_tuner.models.backbones import build_backbone
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.feature_cache import note_use
from rust_tuner.models.feature_recipe import FeatureRecipe as FeatureRecipe
from rust_tuner.models.onnx_extractor import OnnxExtractor
from rust_tuner.models.precision_check import TIMED_IMAGES, WORTH_TIMING, note_if_slower
from rust_tuner.models.runtime import empty_aligned, onednn_enabled
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Extractor, Flips

# (flip left-right, flip up-down) of each variant; the unflipped one is first.
FLIP_VARIANTS: dict[Flips, tuple[tuple[bool, bool], ...]] = {
    "none": ((False, False),),
    "horizontal": ((False, False), (True, False)),
    "horizontal_and_vertical": ((False, False), (True, False), (False, True), (True, True)),
}

_DECODED_AHEAD = 16
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


def extract_features(
    images: Sequence[Path],
    recipe: FeatureRecipe,
    *,
    cache: str | Path | None = None,
    rows: Sequence[int] | None = None,
    readings: Sequence[Reading] | None = None,
    progress: Progress | None = None,
) -> FrozenFeatures:
    """Read the features of images from the cache, and compute the missing ones.

    The memory for decoded images does not grow with their number. After an interruption, a second
    call computes only what is missing. The bits of an image's features depend only on the image and
    the recipe, not on the other images or on what was cached. Features that cannot be cached are
    still used; the progress reports it once, with the path and what to do.

    Args:
        images: n image files.
        recipe: the backbone and the preprocessing.
        cache: folder that studies share; `files.cache_folder(None)` where None.
        rows: the images' rows in their manifest, for error messages.
        readings: how each image is read, as `Radiographs.readings`; as stored if None.
        progress: where to report; nowhere by default.

    Returns:
        The features of all n images, in order.

    Raises:
        ImageError: naming the first file that cannot be decoded.
    """
    report = progress or Silent()
    base = cache_folder(cache)
    folder = base / _folder_name(recipe)
    hashes, held = hash_images(images, rows, readings)
    entries = [folder / digest[:2] / f"{digest}.f32" for digest in hashes]
    shape = (len(images), len(FLIP_VARIANTS[recipe.flips]), NUM_FEATURES)
    values = empty_aligned(shape)
    missing = _load(entries, values)
    if missing:
        with take_turns(folder, "extracting features", "??", say=report.say):
            # Another process may have done some of them while this one waited for the lock.
            missing = _load(entries, values)
            if missing:
                _extract(images, missing, values, recipe, rows=rows, readings=held, report=report)
    note_use(folder, {**recipe.described, **_kernels(recipe)})
    return FrozenFeatures(values, _identity(recipe, hashes))


def forward_pass(
    backbone: keras.Model, extractor: Extractor = "keras"
) -> Callable[[FloatArray], npt.ArrayLike]:
    """What maps images (n, size, size, 3) to the pooled features (n, features) of a backbone.

    Raises:
        ExtraError: if the extractor is not installed.
        ProtocolError: for a backbone that it cannot compute.
    """
    if extractor == "onnxruntime":
        return OnnxExtractor(backbone)
    forward: Callable[[FloatArray], npt.ArrayLike] = feature_extractor(backbone).predict_on_batch
    return forward


def features_of(
    radiographs: Radiographs,
    recipe: FeatureRecipe,
    *,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> FrozenFeatures:
    """The features of radiographs, each read as the study reads it; see `extract_features`."""
    return extract_features(
        radiographs.images,
        recipe,
        cache=cache,
        rows=radiographs.rows,
        readings=radiographs.readings,
        progress=progress,
    )


def features_sha256(
    images: Sequence[Path],
    recipe: FeatureRecipe,
    *,
    rows: Sequence[int] | None = None,
    readings: Sequence[Reading] | None = None,
) -> str:
    """The `FrozenFeatures.sha256` of these images, without computing their features.

    Args:
        images: n image files.
        recipe: the backbone and the preprocessing.
        rows: the images' rows in their manifest, for error messages.
        readings: how each image is read; as stored if None.

    Raises:
        ImageError: naming the first file that cannot be read.
    """
    return _identity(recipe, hash_images(images, rows, readings)[0])


def _folder_name(recipe: FeatureRecipe) -> str:
    """The folder of a recipe's entries; results of different kernels are kept apart.

    `recipe.sha256` describes what is computed, not by which kernels, so a study's identity is the
    same on all machines.
    """
    computed = {"recipe": recipe.sha256, "batch": "one image", **_kernels(recipe)}
    return sha256_of_json(computed)[:32]


def _kernels(recipe: FeatureRecipe) -> dict[str, str | bool | None]:
    """What the last digits of features depend on beside the recipe."""
    return dict(recipe.engine) or {"onednn": onednn_enabled()}


def _load(entries: Sequence[Path], values: FloatArray) -> dict[Path, list[int]]:
    """Fill `values` from the cache; return the missing entries with their rows."""
    missing: dict[Path, list[int]] = {}
    for index, entry in enumerate(entries):
        feature = None if entry in missing else _read_entry(entry, values.shape[1:])
        if feature is None:
            missing.setdefault(entry, []).append(index)
        else:
            values[index] = feature
    return missing


def _extract(
    images: Sequence[Path],
    missing: dict[Path, list[int]],
    values: FloatArray,
    recipe: FeatureRecipe,
    *,
    rows: Sequence[int] | None,
    readings: Sequence[Reading],
    report: Progress,
) -> None:
    """Compute the missing entries into `values` and the cache, decoding ahead in threads.

    Each forward pass takes one image, with all its variants in one batch. Matrix products treat the
    last rows of a batch differently from the first, and divide a batch among threads by its size,
    so in a larger batch the last bits of a feature would depend on the other images.
    """
    variants = FLIP_VARIANTS[recipe.flips]
    side = recipe.image_size
    backbone = build_backbone(recipe.weights, image_size=side, precision=recipe.precision)
    forward = forward_pass(backbone, recipe.extractor)
    keep = _Keeper(report)

    of_images = framed(readings, recipe.framing)

    def batch_of(picture: FloatArray) -> FloatArray:
        return np.stack([_flip(picture, *flips) for flips in variants])

    def decode(index: int) -> FloatArray:
        return load_image(
            images[index],
            size=side,
            resize=recipe.resize,
            row=_row(rows, index),
            reading=of_images[index],
        )

    done = len(images) - len(missing)
    with (
        ThreadPoolExecutor(_DECODERS) as pool,
        report.task("features", len(images), done=done) as task,
    ):
        firsts = [indices[0] for indices in missing.values()]
        decoded = _ahead(pool, decode, firsts, _DECODED_AHEAD)
        if recipe.precision == "bfloat16" and len(missing) >= WORTH_TIMING:
            few = list(itertools.islice(decoded, TIMED_IMAGES))
            decoded = itertools.chain(few, decoded)
            note = note_if_slower(recipe, forward, list(map(batch_of, few)), len(missing))
            if note is not None:
                report.say(note)
        for (entry, indices), picture in zip(missing.items(), decoded, strict=True):
            end_if_time_is_up()
            feature = np.asarray(forward(batch_of(picture)), dtype=np.float32)
            values[indices] = feature
            keep(entry, feature)
            note_recorded_work()
            task.advance()


class _Keeper:
    """Writes entries to the cache; if that fails, reports it once and lets the work continue."""

    def __init__(self, report: Progress) -> None:
        self._report = report
        self._has_said = False

    def __call__(self, entry: Path, feature: FloatArray) -> None:
        try:
            _write_entry(entry, feature)
            if _read_entry(entry, feature.shape) is None:
                raise StorageError("the written entry cannot be read back; check the disk")
        except StorageError as error:
            # Keep trying with the next images: a full disk may have space again.
            if not self._has_said:
                self._has_said = True
                self._report.say(cache_note(error, entry, "features"))


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


def _write_entry(path: Path, feature: FloatArray) -> None:
    content = np.ascontiguousarray(feature, dtype="<f4").tobytes()
    with atomic_write(path) as stream:
        stream.write(hashlib.sha256(content).digest())
        stream.write(content)


def _read_entry(path: Path, shape: tuple[int, ...]) -> FloatArray | None:
    """A cached entry, or None if it is absent, unreadable, or does not match its own hash."""
    size = 32 + 4 * math.prod(shape)
    try:
        # Check kind and size first: a pipe would block, and a huge file would be read.
        if not path.is_file() or path.stat().st_size != size:
            return None
        raw = path.read_bytes()
    except OSError:
        return None
    digest, content = raw[:32], raw[32:]
    if hashlib.sha256(content).digest() != digest or len(raw) != size:
        return None
    return np.frombuffer(content, dtype="<f4").reshape(shape)
