"""Files of arrays: NPZ without pickle, written atomically, with the key of what they depend on."""

import io
import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import RecordError
from rust_tuner.files import atomic_write, read_whole

# More than the predictions of every epoch of a large fold; a larger file is not one of ours.
_LARGEST = 1 << 36
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def write_arrays(path: Path, key: str, **arrays: Any) -> None:
    """Write arrays, atomically.

    Args:
        path: the file.
        key: SHA-256 in hexadecimal of everything that the arrays depend on.
        **arrays: arrays by name; those that are None are left out.
    """
    buffer = io.BytesIO()
    kept: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    signature = {
        "key": np.frombuffer(bytes.fromhex(key), np.uint8),
        "num_arrays": np.asarray(len(kept)),
    }
    np.savez(buffer, allow_pickle=False, **signature, **kept)
    with atomic_write(path) as stream:
        stream.write(buffer.getvalue())


def read_arrays(path: Path, key: str | None) -> dict[str, npt.NDArray[Any]] | None:
    """The arrays of a file, or None if it is missing, damaged, or has another key.

    Args:
        path: the file.
        key: the key that the file must have; any key if None.
    """
    try:
        content = read_whole(path, most=_LARGEST)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            arrays = {
                info.filename.removesuffix(".npy"): _read_one(archive, info, len(content))
                for info in archive.infolist()
            }
        written_key = arrays.pop("key").tobytes().hex()
        # A damaged zip directory may lack its last entries without raising an error.
        is_whole = int(arrays.pop("num_arrays")) == len(arrays)
    except (
        FileNotFoundError,
        RecordError,
        ValueError,
        TypeError,
        EOFError,
        KeyError,
        # Encrypted entries and unknown compressions.
        RuntimeError,
        zipfile.BadZipFile,
    ):
        return None
    return arrays if is_whole and key in (None, written_key) else None


def _read_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file_size: int) -> npt.NDArray[Any]:
    """One array, after its header was compared with the number of bytes in the file.

    NumPy allocates whatever a header claims before it reads the data.
    """
    if info.file_size > file_size:
        raise ValueError(f"{info.filename} claims {info.file_size} bytes")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        try:
            shape, _, dtype = _HEADER_READERS[version](stream)
        except (RecursionError, MemoryError, SyntaxError, tokenize.TokenError) as error:
            # Raised by Python's parser for a header that is nested too deeply.
            raise ValueError(f"{info.filename} has no header") from error
        claimed = dtype.itemsize
        for side in shape:
            claimed *= side
        if dtype.hasobject or claimed > file_size or any(side < 0 for side in shape):
            raise ValueError(f"{info.filename} claims {claimed} bytes")
    with archive.open(info) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
