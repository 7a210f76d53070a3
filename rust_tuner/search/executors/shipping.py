"""Objects on their way to workers: as bytes, with large arrays as files that workers map.

An engine with a store of its own keeps the arrays there and brings them to its workers.

The bytes are those of `cloudpickle`, which takes functions of scripts and notebooks along. They are
sent by the engine and never read from a file.
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt

from rust_tuner.errors import SearchError, StorageError
from rust_tuner.files import atomic_write
from rust_tuner.onednn import choose_onednn

# In bytes; smaller arrays are sent.
_LARGE = 1 << 16
_CHUNK = 1 << 24

Array = npt.NDArray[Any]

# The arrays that an engine has brought to this process, by their SHA-256.
_brought: dict[str, Array] = {}


def packed(value: Any, folder: Path, *, keep: Callable[[str, Array], None] | None = None) -> bytes:
    """An object as bytes.

    Args:
        value: what workers need.
        folder: where large arrays are written, each once, named by its SHA-256.
        keep: takes each large array with its SHA-256, instead of the folder.

    Raises:
        SearchError: where something in it cannot be sent.
    """
    stream = io.BytesIO()
    try:
        _Packer(stream, folder, keep).dump(value)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise SearchError(
            f"the search cannot be sent to workers ({type(error).__name__}: {error}); make what "
            "cannot be sent inside build, or search without workers"
        ) from error
    return stream.getvalue()


def unpacked(data: bytes, folder: Path) -> Any:
    """The object that `packed` made; its large arrays are mapped into memory, read-only.

    Raises:
        StorageError: where an array's file is missing or damaged.
    """
    return _Unpacker(io.BytesIO(data), folder).load()


def bring(arrays: Mapping[str, Array]) -> None:
    """Let `unpacked` find arrays in the memory of this process, instead of files.

    Args:
        arrays: by their SHA-256; they replace those that were brought before.
    """
    _brought.clear()
    _brought.update(arrays)


def as_call(function: Any, arguments: tuple[Any, ...]) -> bytes:
    """A call as bytes, for engines that would otherwise import what it needs too early."""
    # Imported here, since a worker imports this module before it chooses TensorFlow's kernels.
    from rust_tuner.models.runtime import onednn_enabled

    call = cloudpickle.dumps((function, arguments))
    data: bytes = cloudpickle.dumps((onednn_enabled(), call))
    return data


def called(data: bytes) -> Any:
    """The result of the call that `as_call` made.

    TensorFlow's kernels are those of the process that made it, whose scripts may have imported
    TensorFlow first, unless this machine's user has chosen others.
    """
    onednn, call = cloudpickle.loads(data)
    if onednn is not None:
        choose_onednn(onednn)
    function, arguments = cloudpickle.loads(call)
    return function(*arguments)


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(
        self, stream: io.BytesIO, folder: Path, keep: Callable[[str, Array], None] | None
    ) -> None:
        super().__init__(stream)
        self._folder = folder
        self._keep = keep
        self._names: dict[int, tuple[str, Any]] = {}

    def persistent_id(self, value: Any) -> tuple[str, str] | None:
        is_array = type(value) in (np.ndarray, np.memmap)
        if not is_array or value.dtype.hasobject or value.nbytes < _LARGE:
            return None
        if id(value) not in self._names:
            # The array is kept as long as its id is.
            self._names[id(value)] = self._named(np.ascontiguousarray(value)), value
        return "array", self._names[id(value)][0]

    def _named(self, array: Array) -> str:
        digest = _sha256(array)
        if self._keep is None:
            _write(array, self._folder / f"{digest}.npy")
        else:
            self._keep(digest, array)
        return digest


class _Unpacker(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, folder: Path) -> None:
        super().__init__(stream)
        self._folder = folder
        self._arrays: dict[str, Array] = {}

    def persistent_load(self, name: tuple[str, str]) -> Array:
        digest = name[1]
        if digest not in self._arrays:
            self._arrays[digest] = self._found(digest)
        return self._arrays[digest]

    def _found(self, digest: str) -> Array:
        brought = _brought.get(digest)
        if brought is None:
            return _mapped(self._folder / f"{digest}.npy", digest)
        if _sha256(brought) != digest:
            raise StorageError("an array is damaged in the engine's store; run the search again")
        return brought


def _write(array: Array, path: Path) -> None:
    """Write an array into a file, if that is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        with atomic_write(path) as stream:
            np.save(stream, array, allow_pickle=False)


def _mapped(path: Path, expected: str) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path} cannot be read ({error}); a worker must see the project folder of the search"
        ) from error
    if _sha256(array) != expected:
        raise StorageError(f"{path} is damaged; run the search again")
    return array


def _sha256(array: Array) -> str:
    """The hash of a contiguous array with its type and shape."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    flat = array.reshape(-1).view(np.uint8)
    for start in range(0, len(flat), _CHUNK):
        digest.update(flat[start : start + _CHUNK].data)
    return digest.hexdigest()
