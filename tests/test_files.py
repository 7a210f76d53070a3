"""Files: whole or not there, and a folder has one holder at a time, whatever becomes of it."""

import errno
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.errors import LockedError, RustTunerError, StorageError
from rust_tuner.files import (
    atomic_write,
    default_cache,
    hold_lock,
    read_json,
    sha256_of_file,
    sha256_of_json,
    take_turns,
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

HOLDER = """
import sys, time
from pathlib import Path
from rust_tuner.files import hold_lock
with hold_lock(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""

WRITER = """
import os, signal, sys
from pathlib import Path
from rust_tuner.files import atomic_write
with atomic_write(Path(sys.argv[1])) as stream:
    stream.write(b"half of the new")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def other_holder(folder: Path, purpose: str = "searching") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), purpose], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


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
    told = rf"^{re.escape(str(path))} cannot be written \(No space left on device\); .* Make room"
    with pytest.raises(StorageError, match=told):
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
    with pytest.raises(RustTunerError, match=r"x\.json is no valid JSON .*restore or remove it"):
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
    assert default_cache() == tmp_path / "elsewhere"
    monkeypatch.setenv("RUST_TUNER_CACHE", "~/mine")
    assert default_cache() == tmp_path / "mine"
    for unset in ("", None):
        monkeypatch.delenv("RUST_TUNER_CACHE")
        if unset is not None:
            monkeypatch.setenv("RUST_TUNER_CACHE", unset)
        assert default_cache() == tmp_path / ".cache" / "rust_tuner"


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    with other_holder(folder, "searching regime_1") as holder:
        started = time.monotonic()
        with pytest.raises(LockedError) as caught, hold_lock(folder, "reporting"):
            raise AssertionError("two holders")
        assert time.monotonic() - started < 1
        message = str(caught.value)
        assert message.startswith(f"{folder} is in use by process {holder.pid} on ")
        assert "searching regime_1, since 20" in message
        assert message.endswith("; wait for it, or stop it, and start again")


def test_the_lock_ends_with_its_holder_even_when_killed(tmp_path: Path) -> None:
    with other_holder(tmp_path) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with hold_lock(tmp_path, "going on"):
            who = json.loads((tmp_path / ".lock-holder.json").read_text())
            assert (who["process"], who["purpose"]) == (os.getpid(), "going on")


def test_the_refused_process_leaves_the_holder_its_lock(tmp_path: Path) -> None:
    with other_holder(tmp_path) as holder:
        for _ in range(2):
            with (
                pytest.raises(LockedError, match=f"in use by process {holder.pid} "),
                hold_lock(tmp_path, "reporting"),
            ):
                raise AssertionError("two holders")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"\xff"])
def test_a_holder_whose_name_cannot_be_read_is_another_process(
    tmp_path: Path, content: bytes | None
) -> None:
    with other_holder(tmp_path):
        holder = tmp_path / ".lock-holder.json"
        holder.unlink()
        if content is not None:
            holder.write_bytes(content)
        with (
            pytest.raises(LockedError, match="in use by another process; wait for it"),
            hold_lock(tmp_path, "reporting"),
        ):
            raise AssertionError("two holders")


def refused(folder: Path) -> bool:
    """Whether another thread is kept out of a folder."""

    def enter() -> bool:
        try:
            with hold_lock(folder, "trying"):
                return False
        except LockedError:
            return True

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(enter).result()


def test_who_is_waited_for_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    with other_holder(tmp_path, "extracting features") as holder:

        def say(text: str) -> None:
            told.append(text)
            holder.kill()

        with hold_lock(tmp_path, "going on", say=say):
            who = json.loads((tmp_path / ".lock-holder.json").read_text())
            assert who["purpose"] == "going on"
            assert refused(tmp_path)
    (text,) = told
    assert text.startswith(f"{tmp_path} is in use by process {holder.pid} on ")
    assert "extracting features, since 20" in text
    assert text.endswith("; waiting until it leaves the folder")
    with hold_lock(tmp_path, "again", say=told.append):
        pass
    assert len(told) == 1


def test_who_fills_a_shared_folder_keeps_others_out_and_tidies_up(tmp_path: Path) -> None:
    below = tmp_path / "ab"
    below.mkdir()
    mine = [tmp_path / ".12-0123abcd.part", below / ".features.12-0123abcd.part.npz"]
    young = tmp_path / ".13-0123abcd.part"
    others = [tmp_path / ".notes.partial.txt", tmp_path / ".big.iso.part", below / "12.part"]
    folder = tmp_path / ".old.parts"
    folder.mkdir()
    for path in (*mine, young, *others):
        path.write_bytes(b"half")
    for path in (*mine, *others, folder):
        os.utime(path, (0, 0))
    told: list[str] = []
    with take_turns(tmp_path, "filling", "??", say=told.append):
        assert refused(tmp_path)
        assert not any(path.exists() for path in mine)
        # One of a machine that no lock reaches may still be written to.
        assert all(path.exists() for path in (young, *others, folder))
    assert not refused(tmp_path)
    assert told == []


def test_without_locks_a_shared_folder_is_filled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    leftover = tmp_path / ".12-0123abcd.part"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    with take_turns(tmp_path, "filling", say=lambda text: None):
        write_text(tmp_path / "entry", "whole")
    assert (tmp_path / "entry").read_text() == "whole"
    assert leftover.exists()
    with (
        pytest.raises(StorageError, match="inside"),
        take_turns(tmp_path, "filling", say=lambda text: None),
    ):
        raise StorageError("inside")


def test_the_lock_is_free_after_use_and_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), hold_lock(tmp_path, "failing"):
        raise ValueError("inside")
    assert not (tmp_path / ".lock-holder.json").exists()
    with hold_lock(tmp_path, "again"):
        pass
    with other_holder(tmp_path):
        pass


def test_the_folder_is_made_where_it_is_missing(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "a" / "b", "starting"):
        assert (tmp_path / "a" / "b").is_dir()


def test_two_folders_have_a_lock_each(tmp_path: Path) -> None:
    with other_holder(tmp_path / "a"), hold_lock(tmp_path / "b", "searching"):
        pass
