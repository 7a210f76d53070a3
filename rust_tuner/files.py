"""Files that are either whole or not there: atomic writes, hashes, strict JSON.

It knows nothing of what is in them.
"""

import contextlib
import datetime
import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import filelock

from rust_tuner.errors import LockedError, RustTunerError, StorageError

# What a file system without locks answers, such as a network's whose lock service is off.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

CACHE_VARIABLE = "RUST_TUNER_CACHE"

_CHUNK_BYTES = 1 << 20
_HOUR = 3600.0
# The names that `atomic_write` and `atomic_path` write under.
_ASIDE = re.compile(r"\.(.*\.)?\d+-[0-9a-f]{8}\.part(\..*)?")


def empty_folder(folder: Path) -> None:
    """Remove everything in a folder but the lock that the caller holds on it."""
    for path in folder.iterdir():
        if path.name.startswith(".lock"):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def default_cache() -> Path:
    """The folder of features that studies share: `RUST_TUNER_CACHE`, or ~/.cache/rust_tuner."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/rust_tuner").expanduser()


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only once it is complete and on disk.

    The bytes are written aside in the same folder, synced and renamed, so that a reader sees
    the old content or the new one and a crash leaves the old one.

    Args:
        path: the file's final name; its folder is made where it is missing.

    Raises:
        StorageError: where it cannot be written, such as on a full disk.
    """
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not after the file: what watches a folder, as TensorBoard does, goes by parts of names.
        name = path.parent / f".{os.getpid()}-{secrets.token_hex(4)}.part"
        # With the permissions of any new file, since studies and caches are shared.
        handle = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
        )
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException as error:
        if name is not None:
            # Nothing was made where even this is refused, as on a file system that is read only.
            with contextlib.suppress(OSError):
                os.unlink(name)
        if isinstance(error, OSError) and not isinstance(error, RustTunerError):
            raise StorageError(
                f"{path} cannot be written ({error.strerror or error}); what was there before is "
                "whole. Make room or mend the permissions, then start again"
            ) from error
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path aside, with the same suffix, that takes its final name once it is complete.

    For libraries that write to a path and not to a stream; else as `atomic_write`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield aside
        with aside.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(aside, path)
    except OSError as error:
        if isinstance(error, RustTunerError):
            raise
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); make room or mend the "
            "permissions, then start again"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_leftovers(folder: Path, *below: str, older_than: float = 0.0) -> None:
    """Remove what killed writes left aside in a folder that the caller has locked.

    Args:
        folder: may be missing.
        below: patterns of subfolders to look into as well.
        older_than: seconds since a file was last written to.
    """
    places = [folder, *(place for pattern in below for place in folder.glob(pattern))]
    newest = time.time() - older_than
    for path in [path for place in places for path in place.glob(".*.part*")]:
        # Tidying ends no work; what stays takes room and nothing else.
        with contextlib.suppress(OSError):
            if _ASIDE.fullmatch(path.name) and path.is_file() and path.stat().st_mtime <= newest:
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        RustTunerError: where the file is no JSON; the message names it.
    """
    try:
        return json.loads(path.read_bytes().decode())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RustTunerError(f"{path} is no valid JSON ({error}); restore or remove it") from error


@contextlib.contextmanager
def hold_lock(
    folder: Path, purpose: str, *, wait: float = 0.0, say: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Keep other processes out of a folder; the lock ends with the process, however it ends.

    Args:
        folder: made where it is missing.
        purpose: what the holder does, for the message that others get.
        wait: seconds to wait for another process to leave the folder.
        say: told once who is waited for after that, however long it takes; else it is an error.

    Raises:
        LockedError: naming the holder, where another process is in the folder and stays.
        StorageError: where the folder cannot be written to, or its file system has no locks.
    """
    holder = folder / ".lock-holder.json"
    lock = filelock.FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=wait)
        except filelock.Timeout as error:
            in_use = f"{folder} is in use by {_told_holder(holder)}"
            if say is None:
                raise LockedError(f"{in_use}; wait for it, or stop it, and start again") from error
            say(f"{in_use}; waiting until it leaves the folder")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        # Some versions of filelock turn ENOSYS into the latter.
        if isinstance(error, NotImplementedError) or error.errno in _NO_LOCKS:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(
                f"{folder} is on a file system without locks ({reason}), so two processes could "
                "spoil each other's work there; use a folder on a local disk, or turn on the locks "
                "of the network file system (for NFS: mount without `nolock`, lockd running)"
            ) from error
        raise StorageError(
            f"{folder} cannot be worked in ({error.strerror or error}); give a folder that can be "
            "written to, or mend its permissions"
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
        holder.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def take_turns(
    folder: Path, purpose: str, *below: str, say: Callable[[str], None]
) -> Iterator[None]:
    """Fill a folder that processes share one after another, where the system has locks.

    What killed processes left aside there an hour ago or more is removed.

    Args:
        folder: made where it is missing.
        purpose: what the holder does, for the message that others get.
        below: patterns of subfolders that are written to as well.
        say: told once who is waited for, however long it takes.
    """
    with contextlib.ExitStack() as stack:
        # Files come whole, so turns only spare work: without a lock the work is done all the same.
        with contextlib.suppress(StorageError):
            stack.enter_context(hold_lock(folder, purpose, say=say))
            # Where locks do not reach other machines, a file that is being written is a new one.
            remove_leftovers(folder, *below, older_than=_HOUR)
        yield


def _told_holder(path: Path) -> str:
    try:
        who = read_json(path)
        return f"process {who['process']} on {who['host']}, {who['purpose']}, {who['since']}"
    except (OSError, RustTunerError, KeyError, TypeError):
        return "another process"


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of_text(text: str) -> str:
    """The SHA-256 of a text in UTF-8, as that of the file that `write_text` makes of it."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_json(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256_of_text(text)
