"""A folder has one holder at a time, who is named, and whose lock ends with the process."""

import errno
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
from lock_holders import other_holder

from rust_tuner.errors import LockedError, StorageError
from rust_tuner.files import write_text
from rust_tuner.locks import hold_lock, take_turns


def test_a_second_process_is_told_who_holds_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    waits: list[float] = []
    sleep = time.sleep

    def counted_sleep(seconds: float) -> None:
        waits.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", counted_sleep)
    with other_holder(folder, "searching regime_1") as holder:
        with pytest.raises(LockedError) as caught, hold_lock(folder, "reporting"):
            raise AssertionError("two holders")
        assert sum(waits) < 1
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


def test_a_link_or_a_folder_in_the_claims_place_is_no_endless_wait(tmp_path: Path) -> None:
    claim = tmp_path / ".lock-holder.json"
    claim.symlink_to("nowhere")
    with hold_lock(tmp_path, "going on"):
        assert json.loads(claim.read_text())["purpose"] == "going on"
        assert not claim.is_symlink()
    claim.mkdir()
    with (
        pytest.raises(StorageError, match=r"lock-holder\.json is a folder; remove it"),
        hold_lock(tmp_path, "going on"),
    ):
        raise AssertionError("held")
    claim.rmdir()
    claim.symlink_to(claim.name)
    with (
        pytest.raises(StorageError, match=r"lock-holder\.json cannot be read"),
        hold_lock(tmp_path, "going on"),
    ):
        raise AssertionError("held")
    assert not list(tmp_path.glob(".*.part"))


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
    notes: list[str] = []
    with other_holder(tmp_path, "extracting features") as holder:

        def say(text: str) -> None:
            notes.append(text)
            holder.kill()

        with hold_lock(tmp_path, "going on", say=say):
            who = json.loads((tmp_path / ".lock-holder.json").read_text())
            assert who["purpose"] == "going on"
            assert refused(tmp_path)
    (text,) = notes
    assert text.startswith(f"{tmp_path} is in use by process {holder.pid} on ")
    assert "extracting features, since 20" in text
    assert text.endswith("; waiting for it to finish")
    with hold_lock(tmp_path, "again", say=notes.append):
        pass
    assert len(notes) == 1


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
    notes: list[str] = []
    with take_turns(tmp_path, "filling", "??", say=notes.append):
        assert refused(tmp_path)
        assert not any(path.exists() for path in mine)
        # One of a machine that no lock reaches may still be written to.
        assert all(path.exists() for path in (young, *others, folder))
    assert not refused(tmp_path)
    assert notes == []


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


@pytest.mark.parametrize(
    "refusal",
    [
        OSError(errno.ENOLCK, "No locks available"),
        OSError(errno.EOPNOTSUPP, "Operation not supported"),
        NotImplementedError("FileSystem does not appear to support flock"),
    ],
)
def test_a_file_system_without_locks_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise refusal

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    expected = r"on a file system without locks \(.*\), .* use a folder on a local disk, or turn on"
    with pytest.raises(StorageError, match=expected), hold_lock(tmp_path, "searching"):
        raise AssertionError("no lock")


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
    with other_holder(tmp_path / "a") as other, hold_lock(tmp_path / "b", "searching"):
        assert other.poll() is None
