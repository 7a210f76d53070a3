"""Files: whole or not there, and a folder has one holder at a time, whatever becomes of it."""

import errno
import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.errors import RustTunerError, StorageError
from rust_tuner.files import (
    atomic_write,
    cache_folder,
    read_json,
    sha256_of_file,
    sha256_of_json,
    write_json,
    write_text,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # What is no text cannot be encoded as UTF-8.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


WRITER = """
import os, signal, sys
from pathlib import Path
from rust_tuner.files import atomic_write
with atomic_write(Path(sys.argv[1])) as stream:
    stream.write(b"half of the new")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_written_file_holds_the_new_content_and_nothing_else_is_left(
    tmp_path: Path, old: bytes | None
) -> None:
    path = tmp_path / "deep" / "folder" / "x.bin"
    if old is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(old)
    with atomic_write(path) as stream:
        stream.write(b"new")
        stream.write(b"er")
    assert path.read_bytes() == b"newer"
    assert list(path.parent.iterdir()) == [path]


def test_what_goes_by_parts_of_names_does_not_take_a_part_for_the_file(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "events.out.tfevents.0") as stream:
        stream.write(b"half")
        assert [path.name for path in tmp_path.glob("*.part")]
        assert not list(tmp_path.glob("*tfevents*"))


@pytest.mark.parametrize("error", [ValueError("disk"), KeyboardInterrupt(), SystemExit(1)])
def test_an_error_while_writing_leaves_the_old_content_and_no_part(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), atomic_write(path) as stream:
        stream.write(b"half of the new")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="disk"), atomic_write(tmp_path / "x") as stream:
        stream.write(b"half")
        raise ValueError("disk")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_is_a_storage_error_that_leaves_the_old_content_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "x"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, refuse)
    expected = (
        rf"^{re.escape(str(path))} cannot be written \(No space left on device\); .* Free disk"
    )
    with pytest.raises(StorageError, match=expected):
        write_text(path, "new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(StorageError, match=r"x\.json cannot be written \("):
        write_json(tmp_path / "file" / "x.json", 1)


def test_a_kill_while_writing_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"old")
    killed = subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_text(path, "new")
    assert path.read_bytes() == b"new"


def test_bytes_are_on_disk_before_the_file_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        calls.append("sync folder" if is_folder else "sync file")
        fsync(handle)

    def traced_replace(source: str, target: Path) -> None:
        calls.append("rename")
        assert Path(source).parent == target.parent
        assert Path(source).read_bytes() == b"new"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    write_text(tmp_path / "x", "new")
    assert calls == ["sync file", "rename", "sync folder"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    contents = [bytes([letter]) * 300_000 for letter in b"ab"]
    path.write_bytes(contents[0])
    done = threading.Event()
    seen = set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(40):
            with atomic_write(path) as stream:
                for start in range(0, 300_000, 10_000):
                    stream.write(contents[number % 2][start : start + 10_000])
    finally:
        done.set()
        reader.join()
    assert seen == set(contents)


def test_two_writers_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with atomic_write(path) as first:
        first.write(b"first")
        with atomic_write(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@settings(deadline=None)
@given(json_values)
def test_json_survives_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_is_indented_text_with_a_last_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [1]})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_is_no_json_number_is_refused_and_the_old_file_stays(
    tmp_path: Path, value: object
) -> None:
    path = tmp_path / "x.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, value)
    assert read_json(path) == 1


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe", b"{'a': 1}"])
def test_a_file_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(RustTunerError, match=r"x\.json is not valid JSON .*restore or remove it"):
        read_json(tmp_path / "x.json")


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "Größe\n")
    assert (tmp_path / "x.txt").read_bytes() == "Größe\n".encode()


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_the_hash_of_a_file_is_that_of_its_content(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    (tmp_path / "x").write_bytes(content[:size])
    assert sha256_of_file(tmp_path / "x") == hashlib.sha256(content[:size]).hexdigest()


def test_the_hash_of_json_does_not_depend_on_the_order_of_keys() -> None:
    assert sha256_of_json({"a": 1, "b": [1, 2]}) == sha256_of_json({"b": [1, 2], "a": 1})
    assert sha256_of_json([1, 2]) != sha256_of_json([2, 1])
    assert sha256_of_json({"a": 1}) != sha256_of_json({"a": "1"})
    assert sha256_of_json(None) == hashlib.sha256(b"null").hexdigest()
    with pytest.raises(ValueError, match="JSON compliant"):
        sha256_of_json(float("nan"))


def test_the_cache_is_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUST_TUNER_CACHE", str(tmp_path / "elsewhere"))
    assert cache_folder(None) == tmp_path / "elsewhere"
    monkeypatch.setenv("RUST_TUNER_CACHE", "~/mine")
    assert cache_folder(None) == tmp_path / "mine"
    for unset in ("", None):
        monkeypatch.delenv("RUST_TUNER_CACHE")
        if unset is not None:
            monkeypatch.setenv("RUST_TUNER_CACHE", unset)
        assert cache_folder(None) == tmp_path / ".cache" / "rust_tuner"
