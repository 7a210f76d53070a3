"""Feeds radiographs to TensorFlow: images decoded once, and batches as a dataset.

Images are decoded in Python before any dataset is made, so that a damaged file is an `ImageError`
that names it, never an error of the graph during training. Which rows are trained on belongs to
`splits`, their order to `models.fold_training`; random flips belong to the model.
"""

import hashlib
import itertools
import math
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rust_tuner.data.content import hash_images
from rust_tuner.data.images import load_image
from rust_tuner.data.pictures import DECODING_THREADS
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.reading import WHOLE, Framing, Reading, framed
from rust_tuner.errors import SplitError, StorageError
from rust_tuner.files import atomic_write, cache_note, sha256_of_json
from rust_tuner.locks import take_turns
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Resize

if TYPE_CHECKING:
    import tensorflow as tf

FloatArray = npt.NDArray[np.float32]

_FORMAT_VERSION = 1
IMAGES_AHEAD = 64
_DIGEST_BYTES = hashlib.sha256().digest_size


def decode_images(
    radiographs: Radiographs,
    *,
    image_size: int = 299,
    resize: Resize = "squash",
    framing: Framing = WHOLE,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> FloatArray:
    """Decode every radiograph once, in parallel; the result serves all folds and epochs.

    An image of 299 pixels takes 1.07 MB, the study's 2,936 take 3.1 GB: in memory without a cache,
    otherwise in a file that the system reads as needed. An entry's name depends on the content of
    the images, their order and the preprocessing, so it cannot be stale. It is written atomically,
    and made again if it does not match its own hash. If the cache cannot store it, the progress
    reports this, and the images stay in memory.

    Args:
        radiographs: n radiographs.
        image_size: side of the square model input in pixels.
        resize: how a radiograph becomes square; see `images.load_image`.
        framing: which part of a radiograph is used.
        cache: a folder that may be shared; None keeps the images in memory.
        progress: where to report; nowhere by default.

    Returns:
        (n, size, size, 3) float32 in [-1, 1], read-only; in memory, or mapped from a file of the
        cache.

    Raises:
        ImageError: naming file and row of the first radiograph that cannot be decoded.
    """
    report = progress or Silent()
    if cache is None:
        return _in_memory(radiographs, image_size, resize, framing, report)
    shape = (len(radiographs), image_size, image_size, 3)
    keys, held = hash_images(radiographs.images, radiographs.rows, radiographs.readings)
    path = cache / f"{_identity(keys, image_size, resize, framing)[:32]}.images"
    entry = read_entry(path, shape)
    if entry is None:
        with take_turns(cache, "decoding images", say=report.say):
            # Another process may have written them while this one waited.
            entry = read_entry(path, shape)
            if entry is None:
                try:
                    made = _decoded(radiographs, held, image_size, resize, framing, report)
                    _write_entry(path, made)
                    entry = read_entry(path, shape)
                    if entry is None:
                        raise StorageError("the written entry cannot be read back; check the disk")
                except StorageError as error:
                    report.say(cache_note(error, path, "decoded images"))
    if entry is None:
        return _in_memory(radiographs, image_size, resize, framing, report)
    return entry


class Batches(Protocol):
    """Batches by their index, each a tuple as Keras `fit` takes it; sizes may differ."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """One of them, arrays or nested tuples of arrays with rows first."""


class _Kept:
    """Batches that a dataset keeps."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches


def as_dataset(batches: Batches) -> "tf.data.Dataset":
    """Batches as a dataset that prepares one batch ahead in a separate thread.

    By default Keras uses tf.data's autotuning, whose thread sleeps for longer and longer: after
    some minutes of training, closing the iterator may take minutes more.
    """
    import tensorflow as tf

    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), batches[0]
    )
    specs = tf.nest.flatten(signature)
    # TensorFlow keeps the function below for as long as the graph around it, and the dataset keeps
    # the batches.
    kept = _Kept(batches)
    reference = weakref.ref(kept)

    def read(index: np.int64) -> list[npt.NDArray[Any]]:
        source = reference()
        assert source is not None
        arrays = tf.nest.flatten(source.batches[int(index)])
        return [_native(array, spec.dtype) for array, spec in zip(arrays, specs, strict=True)]

    def batch_at(index: Any) -> Any:
        arrays = tf.numpy_function(read, [index], [spec.dtype for spec in specs])
        for array, spec in zip(arrays, specs, strict=True):
            array.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(signature, arrays)

    unconverted = tf.autograph.experimental.do_not_convert(batch_at)
    dataset = tf.data.Dataset.range(len(batches)).map(unconverted)
    dataset.kept = kept
    return dataset.prefetch(1).with_options(_untuned())


def rows_as_dataset(rows: tuple[Any, ...], batch_size: int) -> "tf.data.Dataset":
    """Arrays as a dataset of batches, whose iterators are made faster than those of `as_dataset`.

    Args:
        rows: arrays or nested tuples or dicts of arrays, rows first. They are copied.
        batch_size: rows of a batch; the last one may have fewer.
    """
    import tensorflow as tf

    native = tf.nest.map_structure(lambda array: _native(array, tf.as_dtype(array.dtype)), rows)
    return tf.data.Dataset.from_tensor_slices(native).batch(batch_size).with_options(_untuned())


def _native(array: npt.NDArray[Any], dtype: "tf.DType") -> npt.NDArray[Any]:
    """The array as TensorFlow takes bytes: numbers in the machine's order, text as objects."""
    return np.asarray(array, dtype.as_numpy_dtype, order="C")


def _untuned() -> "tf.data.Options":
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    # There is nothing to optimise, and looking for it takes as long as the rest of an iterator.
    options.experimental_optimization.apply_default_optimizations = False
    return options


def k_fold_dataset(
    ds: "tf.data.Dataset", k: int = 10
) -> list[tuple["tf.data.Dataset", "tf.data.Dataset"]]:
    """Divide the rows of a dataset into k pairs of training and validation, as published.

    Fold i validates on every k-th row from row i on, and trains on the other folds one after
    another. It divides by row and ignores patients: radiographs of one patient are on both sides,
    and validation scores are too optimistic. It exists to repeat the published study; for anything
    else use `make_folds`, as `Study` does.

    Args:
        ds: a dataset of rows that comes in the same order each time; not batched, so that the
            caller chooses the batch size.
        k: number of folds, from 2.

    Returns:
        k pairs (training, validation), neither shuffled nor batched.

    Raises:
        SplitError: for fewer than 2 folds, for more folds than rows, or for an infinite dataset.

    Examples:
        >>> import tensorflow as tf
        >>> (training, validation), *others = k_fold_dataset(tf.data.Dataset.range(7), k=3)
        >>> [int(row) for row in validation], [int(row) for row in training]
        ([0, 3, 6], [1, 4, 2, 5])
    """
    if k < 2:
        raise SplitError(f"k={k}; a cross-validation has at least 2 folds")
    cardinality = int(ds.cardinality())
    # TensorFlow returns -1 for an infinite dataset, and -2 for an unknown size.
    if cardinality == -1:
        raise SplitError("the dataset is infinite; expected a finite number of rows, drop repeat()")
    if 0 <= cardinality < k:
        raise SplitError(f"k={k} folds of {cardinality} rows; expected at least one row for each")
    folds = [ds.shard(k, index) for index in range(k)]
    pairs = []
    for index, validation in enumerate(folds):
        first, *others = folds[:index] + folds[index + 1 :]
        training = first
        for other in others:
            training = training.concatenate(other)
        pairs.append((training, validation))
    return pairs


def _in_memory(
    radiographs: Radiographs, image_size: int, resize: Resize, framing: Framing, report: Progress
) -> FloatArray:
    values = np.empty((len(radiographs), image_size, image_size, 3), dtype=np.float32)
    decoded = _decoded(radiographs, radiographs.readings, image_size, resize, framing, report)
    for index, image in enumerate(decoded):
        values[index] = image
    values.flags.writeable = False
    return values


def _decoded(
    radiographs: Radiographs,
    readings: Sequence[Reading],
    image_size: int,
    resize: Resize,
    framing: Framing,
    report: Progress,
) -> Iterator[FloatArray]:
    """The images in order, decoded by threads, never more than a few ahead of the reader."""

    def decode(item: tuple[Path, int, Reading]) -> FloatArray:
        path, row, reading = item
        return load_image(path, size=image_size, resize=resize, row=row, reading=reading)

    of_images = framed(readings, framing)
    items = iter(list(zip(radiographs.images, radiographs.rows, of_images, strict=True)))
    with (
        ThreadPoolExecutor(DECODING_THREADS) as pool,
        report.task("images", len(radiographs)) as task,
    ):
        while chunk := list(itertools.islice(items, IMAGES_AHEAD)):
            for image in pool.map(decode, chunk):
                yield image
                task.advance()


def _identity(keys: list[str], image_size: int, resize: Resize, framing: Framing) -> str:
    """The SHA-256 of everything that decides the decoded images."""
    about = {"format": _FORMAT_VERSION, "image_size": image_size, "resize": resize}
    return sha256_of_json(about | {"images": keys} | framing.to_json())


def _write_entry(path: Path, images: Iterator[FloatArray]) -> None:
    """The images' float32 little-endian one after another, and the SHA-256 of it all."""
    digest = hashlib.sha256()
    with atomic_write(path) as stream:
        for image in images:
            content = np.ascontiguousarray(image, dtype="<f4").data.cast("B")
            digest.update(content)
            stream.write(content)
        stream.write(digest.digest())


def read_entry(path: Path, shape: Sequence[int]) -> FloatArray | None:
    """A mapped entry, or None if it is absent, unreadable, or does not match its own hash."""
    try:
        size = 4 * math.prod(shape) + _DIGEST_BYTES
        if not path.is_file() or path.stat().st_size != size:
            return None
        raw = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    # NumPy cannot map an empty file, which the file may have become since the check.
    except (OSError, ValueError):
        return None
    content, written = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
    if hashlib.sha256(content.data).digest() != written.tobytes():
        return None
    values: FloatArray = content.view("<f4").reshape(shape)
    return values
