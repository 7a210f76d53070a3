"""Keeps processes out of each other's folders, with locks that end with their process.

Claims keep out those of other machines, where locks do not reach them.
"""

import contextlib
import datetime
import errno
import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from rust_tuner.errors import LockedError, RustTunerError, StorageError, TimeBudgetError
from rust_tuner.files import json_text, read_json, remove_leftovers, require_utf8, storage_cure
from rust_tuner.interrupts import Terminated
from rust_tuner.last_run import (
    HOLDER_FILE,
    LOCK_FILE,
    note_begin,
    note_end,
    process_space,
    process_start,
)
from rust_tuner.redacted import message_for_files

# Error codes of a file system without locks, such as a network share whose lock service is off.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

_HOUR = 3600.0
# Who only looks whether a folder is in use takes its lock for an instant.
_A_MOMENT = 0.2
# In seconds, of a claim: between two touches, and how long after the last it counts as left.
_BEAT = 5.0
_LEASE = 30.0
# Between two looks at a claim that may be one of a process that was killed.
_BETWEEN_LOOKS = 0.5


@contextlib.contextmanager
def hold_lock(
    folder: Path,
    purpose: str,
    *,
    wait: float = 0.0,
    say: Callable[[str], None] | None = None,
    noted: bool = False,
) -> Iterator[None]:
    """Keep other processes out of a folder; the lock is released when the process ends in any way.

    Args:
        folder: created if missing.
        purpose: what this process does, for the message that other processes show.
        wait: seconds to wait for another process to leave the folder.
        say: called once with the name of the holder after that, and the wait is then unlimited;
            None raises an error instead.
        noted: whether `last_run` keeps what was done here, by whom, and how it ended.

    Raises:
        LockedError: if another process still uses the folder; the message names it.
        StorageError: if the folder is not writable, its name is not UTF-8, or its file system has
            no locks.
    """
    require_utf8(folder)
    holder = folder / HOLDER_FILE
    lock = filelock.FileLock(folder / LOCK_FILE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=max(wait, _A_MOMENT))
        except filelock.Timeout as error:
            in_use = f"{folder} is in use by {_describe_holder(holder)}"
            if say is None:
                raise LockedError(f"{in_use}; wait for it, or stop it, and start again") from error
            say(f"{in_use}; waiting for it to finish")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        # Some versions of filelock turn ENOSYS into the latter.
        if isinstance(error, NotImplementedError) or error.errno in _NO_LOCKS:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(
                f"{folder} is on a file system without locks ({reason}), so two processes could "
                "corrupt each other's files; use a folder on a local disk, or turn on the locks "
                "of the network file system (for NFS: mount without `nolock`, lockd running)"
            ) from error
        raise StorageError(
            f"{folder} cannot be used ({error.strerror or error}); choose a writable folder, or "
            "fix its permissions"
        ) from error
    try:
        with contextlib.ExitStack() as stack:
            while not stack.enter_context(_claimed(holder, purpose)):
                in_use = f"{folder} is in use by {_describe_holder(holder)}"
                if say is None:
                    raise LockedError(f"{in_use}; wait for it, or stop it, and start again")
                say(f"{in_use}; waiting for it to finish")
                say = _say_nothing
            if noted:
                stack.enter_context(_noting(folder, purpose))
            yield
    finally:
        lock.release()


def _claimed(holder: Path, purpose: str) -> contextlib.AbstractContextManager[bool]:
    """Claim a folder for this machine, where its lock does not reach others."""
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {
        "process": os.getpid(),
        "started": process_start(os.getpid()),
        "processes": process_space(),
        "host": platform.node(),
        "purpose": purpose,
        "since": f"since {since}",
    }
    return _claimed_by(holder, about)


def _say_nothing(text: str) -> None:
    """Say nothing."""


@contextlib.contextmanager
def _noting(folder: Path, purpose: str) -> Iterator[None]:
    """Note what this process does in a folder, and how it ends."""
    note_begin(folder, purpose)
    try:
        yield
    except Terminated:
        note_end(folder, "terminated")
        raise
    except KeyboardInterrupt:
        note_end(folder, "interrupted")
        raise
    except TimeBudgetError:
        note_end(folder, "out of time")
        raise
    except BaseException as error:
        # The note stays in the folder, and may be shared with it.
        lines = message_for_files(error, folder).strip().splitlines() or [type(error).__name__]
        is_ours = isinstance(error, RustTunerError)
        # A colon announces further lines.
        first = lines[0].removesuffix(":")
        note_end(folder, "failed", first if is_ours else f"{type(error).__name__}: {first}")
        raise
    note_end(folder, "finished")


@contextlib.contextmanager
def take_turns(
    folder: Path, purpose: str, *below: str, say: Callable[[str], None]
) -> Iterator[None]:
    """Let processes fill a shared folder one at a time, if its file system has locks.

    Temporary files that killed processes left an hour ago or more are removed.

    Args:
        folder: created if missing.
        purpose: what this process does, for the message that other processes show.
        below: patterns of subfolders that are written to as well.
        say: called once with the name of the process that is waited for.
    """
    with contextlib.ExitStack() as stack:
        # Files are written atomically, so the lock only saves double work; the result is the same
        # without it.
        with contextlib.suppress(StorageError):
            stack.enter_context(hold_lock(folder, purpose, say=say))
            # Locks may not reach other machines, so recent files may still be being written.
            remove_leftovers(folder, *below, older_than=_HOUR)
        yield


def _describe_holder(path: Path) -> str:
    try:
        holder = read_json(path)
        process, host = holder["process"], holder["host"]
        return f"process {process} on {host}, {holder['purpose']}, {holder['since']}"
    except (OSError, RustTunerError, KeyError, TypeError):
        return "another process"


# Locks of network file systems may end at the machine that takes them, silently, such as those of
# NFS that is mounted with `nolock` or `local_lock`, or of Lustre with `localflock`. So whoever
# holds a folder's lock also claims it by a file there, which a hard link makes exclusively, on NFS
# too, and which is touched every few seconds. A claim of this machine without a lock is left by a
# process that was killed, if that process would be seen here. Any other, such as one of another
# machine, or of another container, whose locks may be those of another mount, is left once it has
# not been touched for half a minute: by the clock of the file system, which all machines share, or
# as it was watched from here, since that clock may have been set back.


def this_machine() -> str:
    """What tells machines apart, whose locks reach as far: the running system, not its name."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return platform.node()


@contextlib.contextmanager
def _claimed_by(path: Path, about: Mapping[str, Any]) -> Iterator[bool]:
    """Claim a folder for the block, whose lock this process holds.

    Args:
        path: the file of the claim, in the folder.
        about: who claims it, as JSON values, with the `host`.

    Yields:
        Whether it was free; False where a process of another machine works there.

    Raises:
        StorageError: where the file cannot be written.
    """
    claim = {**about, "machine": this_machine(), "token": secrets.token_hex(8)}
    if not _take(path, claim):
        yield False
        return
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, claim, ended), daemon=True)
    beating.start()
    try:
        yield True
    finally:
        ended.set()
        beating.join()
        # The folder may have been removed, or replaced by something else, in the meantime.
        with contextlib.suppress(OSError):
            if _is(path, claim):
                path.unlink(missing_ok=True)


def _take(path: Path, claim: Mapping[str, Any]) -> bool:
    # Named as unfinished writes are, which are removed in time.
    aside = path.parent / f".{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        aside.write_text(json_text(dict(claim)))
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}). {storage_cure(path)}, then "
            "start again"
        ) from error
    seen: float | None = None
    began = time.monotonic()
    try:
        while not _linked(aside, path):
            try:
                touched = path.stat().st_mtime
            except FileNotFoundError:
                if path.is_symlink():
                    # A link that leads nowhere, such as a synchroniser leaves.
                    path.unlink(missing_ok=True)
                continue
            except OSError as error:
                raise StorageError(
                    f"{path} cannot be read ({error.strerror or error}); remove it and start again"
                ) from error
            if path.is_dir():
                raise StorageError(f"{path} is a folder; remove it, then start again")
            left = _read(path)
            if left is not None and _is_of_a_dead_process(left):
                os.replace(aside, path)
                return True
            if seen is not None and touched != seen:
                return False
            os.utime(aside)
            age = aside.stat().st_mtime - touched
            if max(age, time.monotonic() - began) > _LEASE:
                _remove(path, touched)
                continue
            seen = touched
            time.sleep(_BETWEEN_LOOKS)
        return True
    finally:
        aside.unlink(missing_ok=True)


def _linked(aside: Path, path: Path) -> bool:
    """Give a file a second name, if that is free."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError:
        # No hard links, as on some network shares; an exclusive open is atomic there.
        try:
            with path.open("x") as stream:
                stream.write(aside.read_text())
        except FileExistsError:
            return False
    return True


def _remove(path: Path, touched: float) -> None:
    """Remove a claim that was left, unless another machine has replaced it meanwhile."""
    away = path.parent / f".{os.getpid()}-{secrets.token_hex(4)}.part"
    with contextlib.suppress(FileNotFoundError):
        path.rename(away)
        if away.stat().st_mtime != touched:
            _linked(away, path)
        away.unlink()


def _beat(path: Path, claim: Mapping[str, Any], ended: threading.Event) -> None:
    while not ended.wait(_BEAT):
        # A folder that is gone, or cannot be reached now, is the work's to report.
        with contextlib.suppress(OSError):
            there = _read(path)
            if there is None:
                # Gone, or not to be read now: the next beat looks again.
                continue
            if there.get("token") == claim["token"]:
                os.utime(path)
            else:
                # This process was stopped for so long that another machine has taken over.
                os.kill(os.getpid(), signal.SIGTERM)
                return


def _is_of_this_machine(claim: Mapping[str, Any]) -> bool:
    # Earlier versions noted the name alone.
    if "machine" not in claim:
        return bool(claim.get("host") == platform.node())
    return bool(claim["machine"] == this_machine())


def _is_of_a_dead_process(claim: Mapping[str, Any]) -> bool:
    """Whether a claim is one of a process that would be seen from here, and is gone."""
    if not _is_of_this_machine(claim):
        return False
    # Earlier versions noted no more, and some systems show no processes.
    started, process = claim.get("started"), claim.get("process")
    if started is None or not isinstance(process, int):
        return True
    if claim.get("processes") != process_space():
        return False
    return process == os.getpid() or process_start(process) != started


def _is(path: Path, claim: Mapping[str, Any]) -> bool:
    there = _read(path)
    return there is not None and there.get("token") == claim["token"]


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        content = read_json(path)
    except (OSError, RustTunerError):
        return None
    return content if isinstance(content, dict) else None
