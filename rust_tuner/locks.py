"""Keeps processes out of each other's folders, with locks that end with their process."""

import contextlib
import datetime
import errno
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from rust_tuner.claims import claimed
from rust_tuner.errors import LockedError, RustTunerError, StorageError, TimeBudgetError
from rust_tuner.files import read_json, remove_leftovers
from rust_tuner.interrupts import Terminated
from rust_tuner.last_run import HOLDER_FILE, LOCK_FILE, note_begin, note_end
from rust_tuner.redacted import message_for_files

# Error codes of a file system without locks, such as a network share whose lock service is off.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


_HOUR = 3600.0
# Who only looks whether a folder is in use takes its lock for an instant.
_A_MOMENT = 0.2


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
        StorageError: if the folder is not writable, or its file system has no locks.
    """
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
        "host": platform.node(),
        "purpose": purpose,
        "since": f"since {since}",
    }
    return claimed(holder, about)


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
        note_end(folder, "failed", lines[0] if is_ours else f"{type(error).__name__}: {lines[0]}")
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
