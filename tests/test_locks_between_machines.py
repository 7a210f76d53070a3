"""A folder is kept from other machines, also where its lock does not reach them."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rust_tuner import locks
from rust_tuner.errors import LockedError
from rust_tuner.last_run import process_space, process_start
from rust_tuner.locks import hold_lock

HOLDER = ".lock-holder.json"
# In seconds: after the last touch of a claim whose process is gone.
SOON = 0.2


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_BETWEEN_LOOKS", 0.1)


def claim_of_another_machine(folder: Path) -> Path:
    path = folder / HOLDER
    about = {"process": 7, "host": "node7", "purpose": "searching", "since": "since then"}
    path.write_text(json.dumps(about | {"machine": "another", "token": "0"}))
    return path


@contextlib.contextmanager
def touched(path: Path) -> Iterator[None]:
    """The other machine lives."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_machine_that_works_is_named_and_kept_its_claim(tmp_path: Path) -> None:
    path = claim_of_another_machine(tmp_path)
    before = path.read_text()
    refusal = "in use by process 7 on node7, searching, since then; wait for it"
    with touched(path), pytest.raises(LockedError, match=refusal), hold_lock(tmp_path, "trying"):
        raise AssertionError("two machines")
    assert path.read_text() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", HOLDER]


def test_a_claim_that_is_no_longer_touched_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = claim_of_another_machine(tmp_path)
    os.utime(path, (0, 0))
    with hold_lock(tmp_path, "going on"):
        assert json.loads(path.read_text())["process"] == os.getpid()
    assert not path.exists()
    # Touched a moment ago, and then no more.
    claim_of_another_machine(tmp_path)
    monkeypatch.setattr(locks, "_LEASE", SOON)
    with hold_lock(tmp_path, "going on"):
        assert json.loads(path.read_text())["process"] == os.getpid()


def test_a_claim_of_this_machine_without_a_lock_is_left_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_BETWEEN_LOOKS", 1e9)
    path = tmp_path / HOLDER
    path.write_text(json.dumps({"process": 7, "machine": locks.this_machine(), "token": "0"}))
    with hold_lock(tmp_path, "going on"):
        assert json.loads(path.read_text())["process"] == os.getpid()


def claim_of_this_machine(folder: Path, **changes: Any) -> Path:
    path = claim_of_another_machine(folder)
    about = json.loads(path.read_text()) | {
        "machine": locks.this_machine(),
        "processes": process_space(),
        "started": "when it was started",
    }
    path.write_text(json.dumps(about | changes))
    return path


def test_a_claim_of_a_process_that_is_gone_is_left_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_BETWEEN_LOOKS", 1e9)
    # Its number has been given to another process: this one's parent.
    for process in (os.getpid(), os.getppid()):
        claim_of_this_machine(tmp_path, process=process)
        with hold_lock(tmp_path, "going on"):
            assert json.loads((tmp_path / HOLDER).read_text())["process"] == os.getpid()


@pytest.mark.parametrize("where", ["this container", "another container"])
def test_a_process_of_this_machine_that_lives_is_kept_its_claim_though_its_lock_is_free(
    where: str, tmp_path: Path
) -> None:
    if process_start(os.getppid()) is None:
        pytest.skip("processes cannot be seen here")
    living = {"process": os.getppid(), "started": process_start(os.getppid())}
    other = {"process": 7, "processes": "pid:[7]"}
    path = claim_of_this_machine(tmp_path, **(living if where == "this container" else other))
    with touched(path), pytest.raises(LockedError, match="node7"), hold_lock(tmp_path, "trying"):
        raise AssertionError("two processes")


def test_a_claim_is_left_though_the_clock_was_set_back_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_LEASE", SOON)
    path = claim_of_another_machine(tmp_path)
    in_an_hour = time.time() + 3600
    os.utime(path, (in_an_hour, in_an_hour))
    held = threading.Event()

    def hold() -> None:
        with hold_lock(tmp_path, "going on"):
            held.set()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(60)
    thread.join()


def test_a_file_system_without_hard_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with hold_lock(tmp_path, "searching"):
        assert json.loads((tmp_path / HOLDER).read_text())["process"] == os.getpid()
    path = claim_of_another_machine(tmp_path)
    with touched(path), pytest.raises(LockedError, match="node7"), hold_lock(tmp_path, "trying"):
        raise AssertionError("two machines")


def test_a_holder_touches_its_claim_and_ends_where_it_has_lost_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_BEAT", 0.02)
    ended = threading.Event()
    monkeypatch.setattr(os, "kill", lambda process, number: ended.set())
    with hold_lock(tmp_path, "searching"):
        path = tmp_path / HOLDER
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            pass
        assert not ended.is_set()
        claim_of_another_machine(tmp_path)
        assert ended.wait(60)
    assert json.loads((tmp_path / HOLDER).read_text())["host"] == "node7"


_OTHER = """
import sys
from pathlib import Path
from rust_tuner import locks
from rust_tuner.locks import hold_lock
locks._BEAT = 0.1
with hold_lock(Path(sys.argv[1]), "searching"):
    print("held", flush=True)
    sys.stdin.read()
"""
# Another machine, as far as files go: other locks, and another running system, as on NFS that is
# mounted with `nolock`.
_MACHINE = """
mount --bind "$1/lock" "$2/.lock" && mount --bind "$1/id" /proc/sys/kernel/random/boot_id &&
exec "$3" -c "$4" "$2"
"""
# Another container of this machine, as far as files and processes go: other locks, as where each
# container mounts a network file system by itself.
_CONTAINER = """
mount --bind "$1/lock" "$2/.lock" && exec "$3" -c "$4" "$2"
"""
_OF_A_CONTAINER = ("--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.mark.parametrize(
    ("script", "spaces"),
    [(_MACHINE, ()), (_CONTAINER, _OF_A_CONTAINER)],
    ids=["machine", "container"],
)
def test_another_system_with_locks_of_its_own_is_kept_out(
    script: str, spaces: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, private = tmp_path / "study", tmp_path / "private"
    folder.mkdir()
    private.mkdir()
    (folder / ".lock").touch()
    (private / "lock").touch()
    (private / "id").write_text("another\n")
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    command = ["unshare", "--mount", *spaces, "sh", "-c", script, "sh", private, folder]
    with subprocess.Popen(
        [*map(str, command), sys.executable, _OTHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stderr is not None
        if other.stdout.readline() != "held\n":
            pytest.skip(f"no namespaces: {other.stderr.read().strip()}")
        try:
            with pytest.raises(LockedError, match="searching"), hold_lock(folder, "trying"):
                raise AssertionError("two systems")
        finally:
            other.send_signal(signal.SIGKILL)
        other.wait()
        monkeypatch.setattr(locks, "_LEASE", SOON)
        with hold_lock(folder, "going on"):
            assert json.loads((folder / HOLDER).read_text())["process"] == os.getpid()


def test_a_claim_that_cannot_be_read_for_a_while_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_BEAT", 0.01)
    looked = threading.Event()
    signals: list[int] = []

    def fails(path: Path) -> None:
        looked.set()
        raise OSError(errno.ESTALE, "Stale file handle")

    with hold_lock(tmp_path, "searching"):
        with monkeypatch.context() as patched:
            patched.setattr(locks, "read_json", fails)
            patched.setattr("os.kill", lambda process, number: signals.append(number))
            assert looked.wait(60)
            looked.clear()
            assert looked.wait(60)
    assert signals == []
