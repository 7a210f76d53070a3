"""Keeps processes out of each other's folders, with locks that end with their process."""

import contextlib
import datetime
import errno
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from rust_tuner.errors import LockedError, RustTunerError, StorageError
from rust_tuner.files import read_json, remove_leftovers, write_json

# Error codes of a file system without locks, such as a network share whose lock service is off.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


_HOUR = 3600.0


@contextlib.contextmanager
def hold_lock(
    folder: Path, purpose: str, *, wait: float = 0.0, say: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Keep other processes out of a folder; the lock is released when the process ends in any way.

    Args:
        folder: created if missing.
        purpose: what this process does, for the message that other processes show.
        wait: seconds to wait for another process to leave the folder.
        say: called once with the name of the holder after that, and the wait is then unlimited;
            None raises an error instead.

    Raises:
        LockedError: if another process still uses the folder; the message names it.
        StorageError: if the folder is not writable, or its file system has no locks.
    """
    holder = folder / ".lock-holder.json"
    lock = filelock.FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=wait)
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
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        write_json(
            holder,
            {
                "process": os.getpid(),
                "host": platform.node(),
                "purpose": purpose,
                "since": f"since {since}",
            },
        )
        yield
    finally:
        # The folder may have been removed, or replaced by something else, in the meantime.
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


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
