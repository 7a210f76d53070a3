"""Files of arrays: what is damaged, or claims more than is there, is never read."""

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.records.arrays import read_arrays, write_arrays

KEY = "ab" * 32


def npy(header: str, data: bytes = b"") -> bytes:
    """An array file with any header."""
    text = header.encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def plain(array: npt.NDArray[np.uint8] | int | list[float]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


SIGNATURE = {"key": plain(np.frombuffer(bytes.fromhex(KEY), np.uint8)), "num_arrays": plain(1)}


def test_arrays_come_back_under_their_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_arrays(path, KEY, predictions=array, nothing=None)
    for key in (KEY, None):
        found = read_arrays(path, key)
        assert found is not None
        (name, back), *rest = found.items()
        assert (name, rest) == ("predictions", [])
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    assert read_arrays(path, "cd" * 32) is None


@pytest.mark.parametrize(
    "header",
    [
        # 36 TiB, which NumPy would make room for before it reads.
        "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 'x'), }",
        "{'descr': '<f4', 'shape': (3,), }",
        "{'descr': 7, 'fortran_order': False, 'shape': (3,), }",
        "[" * 5000,
        "",
    ],
)
def test_a_header_that_claims_what_is_not_there_is_refused(header: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(zipped(**SIGNATURE, predictions=npy(header, bytes(12))))
    assert read_arrays(path, KEY) is None


@pytest.mark.parametrize(
    "content",
    [b"", plain([1.0, 2.0]), b"PK", zipped(), zipped(key=plain(1), num_arrays=plain([1, 2]))],
)
def test_what_is_no_archive_of_ours_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    assert read_arrays(path, None) is None


def test_a_compressed_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("predictions.npy", bytes(1 << 26))
    path.write_bytes(buffer.getvalue())
    assert path.stat().st_size < 1 << 20
    assert read_arrays(path, None) is None


def test_what_stands_in_the_files_place_is_refused(tmp_path: Path) -> None:
    assert read_arrays(tmp_path / "absent.npz", None) is None
    assert read_arrays(tmp_path, None) is None
