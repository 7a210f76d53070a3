"""What is sent to workers: functions with what they close over, and arrays as files."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rust_tuner.errors import SearchError, StorageError
from rust_tuner.models.runtime import onednn_enabled
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn
from rust_tuner.search.executors.shipping import as_call, bring, called, packed, unpacked


@pytest.fixture(autouse=True)
def nothing_brought() -> Iterator[None]:
    yield
    bring({})


def test_large_arrays_are_files_of_their_hash_and_come_back_equal(tmp_path: Path) -> None:
    large = np.arange(40_000.0).reshape(200, 200)
    value = {
        "a": large,
        "b": [large, large.T],
        "small": np.arange(3),
        "text": np.array(["x", None]),
    }
    data = packed(value, tmp_path)
    assert len(data) < 5_000
    # The array and its transpose; the array itself once.
    assert len(list(tmp_path.iterdir())) == 2
    back = unpacked(data, tmp_path)
    np.testing.assert_array_equal(back["a"], large)
    np.testing.assert_array_equal(back["b"][1], large.T)
    assert back["a"] is back["b"][0]
    assert isinstance(back["a"], np.memmap)
    assert not back["a"].flags.writeable
    assert back["text"].tolist() == ["x", None]


def test_functions_take_along_what_they_close_over(tmp_path: Path) -> None:
    table = np.ones(20_000)

    def total(factor: int) -> int:
        return factor * int(table.sum())

    assert unpacked(packed(total, tmp_path), tmp_path)(2) == 40_000


def test_an_array_is_written_once_for_all_calls(tmp_path: Path) -> None:
    large = np.arange(40_000.0)
    packed(large, tmp_path)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    packed({"again": large.copy()}, tmp_path)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == [before]


@pytest.mark.parametrize("dtype", ["float16", ">f4", "complex64", "bool", "U7", "M8[s]"])
def test_every_plain_type_comes_back(dtype: str, tmp_path: Path) -> None:
    array = np.zeros(200_000).astype(dtype)
    back = unpacked(packed(array, tmp_path), tmp_path)
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("damage", ["changed", "cut", "absent"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    data = packed(np.arange(40_000.0), tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "absent":
        file.unlink()
    else:
        content[-1] ^= 1
        file.write_bytes(content[:-9] if damage == "cut" else content)
    with pytest.raises(StorageError, match=file.name):
        unpacked(data, tmp_path)


def test_what_cannot_be_sent_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with open(tmp_path / "open", "w") as stream, pytest.raises(SearchError, match="inside build"):
        packed({"stream": stream}, tmp_path)


def test_an_engine_keeps_large_arrays_and_brings_them_without_a_copy(tmp_path: Path) -> None:
    large = np.arange(40_000.0)
    kept: dict[str, np.ndarray] = {}
    data = packed({"a": large, "b": [large]}, tmp_path, keep=kept.__setitem__)
    assert list(tmp_path.iterdir()) == []
    assert [array is large for array in kept.values()] == [True]
    bring(kept)
    back = unpacked(data, tmp_path)
    assert back["a"] is large
    assert back["b"][0] is large


def test_a_damaged_array_of_an_engine_is_refused(tmp_path: Path) -> None:
    kept: dict[str, np.ndarray] = {}
    data = packed(np.arange(40_000.0), tmp_path, keep=kept.__setitem__)
    bring({digest: array + 1 for digest, array in kept.items()})
    with pytest.raises(StorageError, match="damaged in the engine's store"):
        unpacked(data, tmp_path)


def test_a_call_goes_as_bytes_with_functions_of_scripts() -> None:
    offset = 3
    assert called(as_call(lambda value: value + offset, (4,))) == 7


@pytest.mark.slow
@pytest.mark.parametrize("enabled", [True, False])
def test_a_worker_computes_with_the_kernels_of_who_sends_the_call(
    enabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A script that imports TensorFlow first has other kernels than the package chooses.
    monkeypatch.setattr("rust_tuner.models.runtime.onednn_enabled", lambda: enabled)
    monkeypatch.delenv(ONEDNN_VARIABLE, raising=False)
    (tmp_path / "call").write_bytes(as_call(importlib.import_module, ("keras",)))
    code = """
import sys
from pathlib import Path
from rust_tuner.search.executors.shipping import called
called(Path(sys.argv[1]).read_bytes())
from rust_tuner.models.runtime import onednn_enabled
print(onednn_enabled())
"""
    made = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "call")],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = enabled if can_switch_onednn() else onednn_enabled()
    assert made.stdout.split() == [str(expected)]
