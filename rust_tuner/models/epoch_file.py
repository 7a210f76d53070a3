"""Validation predictions of a fold, epoch by epoch: in memory, or in a file where they are large.

Which epoch is scored is known only once every fold is trained, so each epoch's predictions are kept
until then. For 1,000 masks of 256 x 256 pixels, 50 epochs take 13 GB.
"""

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

# Predictions of one fold that are larger than this, in bytes, go to a file.
LARGEST_IN_MEMORY = 1 << 24
_CHUNK = 1 << 22


class EpochFile:
    """Predictions of a fold in a file, one epoch after another; of them, none is kept in memory."""

    def __init__(self, path: Path, epoch_shape: Sequence[int], count: int = 0) -> None:
        """Use a file that has `count` epochs; what follows them is cut off.

        Args:
            path: the file, made where it is missing.
            epoch_shape: (n_validation, ...) of one epoch.
            count: how many epochs of the file are valid.
        """
        self.path = path
        self._epoch_shape = tuple(int(side) for side in epoch_shape)
        self._bytes = 4 * int(np.prod(self._epoch_shape))
        self._count = count
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.truncate(count * self._bytes)

    @classmethod
    def of(cls, path: Path, epoch_shape: Sequence[int], count: int) -> Self | None:
        """The file with so many epochs, or None where it is missing or shorter."""
        needed = 4 * int(np.prod([int(side) for side in epoch_shape])) * count
        if not path.is_file() or path.stat().st_size < needed:
            return None
        return cls(path, epoch_shape, count)

    @property
    def shape(self) -> tuple[int, ...]:
        """(epochs, n_validation, ...)."""
        return (self._count, *self._epoch_shape)

    def __len__(self) -> int:
        """How many epochs it has."""
        return self._count

    def __getitem__(self, epoch: int) -> Float32:
        """The predictions (n_validation, ...) of one epoch, from 0 or from the end."""
        number = epoch + self._count if epoch < 0 else epoch
        if not 0 <= number < self._count:
            raise IndexError(f"epoch {epoch} of {self._count}")
        with self.path.open("rb") as stream:
            stream.seek(number * self._bytes)
            values = np.fromfile(stream, np.float32, self._bytes // 4)
        return values.reshape(self._epoch_shape)

    def append(self, predictions: Float32) -> None:
        """Add an epoch."""
        with self.path.open("ab") as stream:
            np.ascontiguousarray(predictions, np.float32).tofile(stream)
        self._count += 1

    def keep_last(self, count: int) -> None:
        """Keep the last epochs only, which become the first."""
        first = self._count - count
        with self.path.open("r+b") as stream:
            for number in range(count):
                stream.seek((first + number) * self._bytes)
                values = stream.read(self._bytes)
                stream.seek(number * self._bytes)
                stream.write(values)
            stream.truncate(count * self._bytes)
        self._count = count

    def sync(self) -> None:
        """Make what was added durable."""
        with self.path.open("ab") as stream:
            os.fsync(stream.fileno())

    def checksum(self) -> int:
        """The CRC-32 of the file."""
        value = 0
        with self.path.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                value = zlib.crc32(piece, value)
        return value


class EpochLog:
    """Predictions as they are made: kept in memory while small, else in a file where one is named.

    Attributes:
        on_disk: the file, or None while they are in memory.
    """

    def __init__(self, epochs: int, path: Path | None) -> None:
        """Expect so many epochs; `path` is None where nothing may be written."""
        self._epochs = epochs
        self._path = path
        self._kept: list[Float32] = []
        self.on_disk: EpochFile | None = None

    def restore(self, predictions: Float32) -> None:
        """Begin with epochs (epochs, n_validation, ...) that an earlier run made."""
        self._kept = list(predictions)

    def keep_last(self, count: int) -> None:
        """Keep the last epochs only, which become the first."""
        if self.on_disk is None:
            self._kept = self._kept[len(self._kept) - count :]
        else:
            self.on_disk.keep_last(count)

    def reopen(self, epoch_shape: Sequence[int], count: int) -> bool:
        """Begin with epochs that an earlier run wrote; False where they are not there."""
        if self._path is not None:
            self.on_disk = EpochFile.of(self._path, epoch_shape, count)
        return self.on_disk is not None

    def __len__(self) -> int:
        """How many epochs there are."""
        return len(self._kept if self.on_disk is None else self.on_disk)

    def append(self, predictions: Float32) -> None:
        """Add an epoch."""
        if not self and self._path is not None:
            if predictions.nbytes * self._epochs > LARGEST_IN_MEMORY:
                self.on_disk = EpochFile(self._path, predictions.shape)
        if self.on_disk is None:
            self._kept.append(predictions)
        else:
            self.on_disk.append(predictions)

    def result(self) -> Float32 | EpochFile:
        """All epochs, (epochs, n_validation, ...)."""
        return np.stack(self._kept) if self.on_disk is None else self.on_disk
