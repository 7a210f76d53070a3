"""Files that are either whole or not there: atomic writes, hashes, strict JSON.

It knows nothing of what is in them.
"""

import contextlib
import datetime
import errno
import hashlib
import json
import math
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import filelock

from rust_tuner.errors import LockedError, RecordError, RustTunerError, StorageError

# What a file system without locks answers, such as a network's whose lock service is off.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

CACHE_VARIABLE = "RUST_TUNER_CACHE"

# State files are far smaller; what is larger is no state file of ours.
LARGEST_STATE_FILE = 1 << 28

_BINARY = getattr(os, "O_BINARY", 0)
# A pipe without a writer would keep an ordinary `open` waiting for ever.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_CHUNK_BYTES = 1 << 20
_DEEPEST = 64
_MOST_DIGITS = 100
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
    """The folder of features that studies share: `RUST_TUNER_CACHE`, or ~/.cache/rust_tuner.

    Raises:
        StorageError: where the one is not set and the user has no home folder.
    """
    return cache_folder(None)


def cache_folder(cache: str | Path | None) -> Path:
    """The folder of a cache that the caller names; the default one where None.

    Raises:
        StorageError: where its name begins with a `~` that stands for no folder.
    """
    named = Path(cache or os.environ.get(CACHE_VARIABLE) or "~/.cache/rust_tuner")
    try:
        return named.expanduser()
    except RuntimeError as error:
        raise StorageError(
            f"the cache {named} has no place: the user has no home folder; set {CACHE_VARIABLE}, "
            "or give a folder with --cache"
        ) from error


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
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
        sync_folder(path.parent)
    except BaseException as error:
        if name is not None:
            # Nothing was made where even this is refused, as on a file system that is read only.
            with contextlib.suppress(OSError):
                os.unlink(name)
        if isinstance(error, OSError) and not isinstance(error, RustTunerError):
            raise StorageError(
                f"{path} cannot be written ({error.strerror or error}); what was there before is "
                f"whole. {storage_cure(path)}, then start again"
            ) from error
        raise


def storage_cure(path: Path) -> str:
    """What to do where a file cannot be written, as the beginning of a sentence."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            return f"Remove or rename the folder {path}"
        for folder in path.parents:
            if folder.exists():
                if not folder.is_dir():
                    return f"Remove or rename {folder}, which is a file where a folder must be"
                break
    return "Make room or mend the permissions"


def cache_note(error: StorageError, path: Path, what: str) -> str:
    """What to say where a cache cannot keep something, and the work goes on without.

    Args:
        error: from writing it.
        path: the entry that was to be written.
        what: what the cache keeps, in the plural, such as `features`.
    """
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
    return (
        f"note: the cache cannot keep {what}: {path} cannot be written ({reason}). "
        f"{storage_cure(path)}, or name another cache folder (--cache, cache=... or "
        f"{CACHE_VARIABLE}). This run goes on; {what} that are not kept are computed again next "
        "time"
    )


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
            f"{path} cannot be written ({error.strerror or error}). {storage_cure(path)}, then "
            "start again"
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


def read_whole(path: Path, *, most: int = LARGEST_STATE_FILE) -> bytes:
    """The content of a file of ours; never waits, whatever stands in the file's place.

    Args:
        path: the file.
        most: its size in bytes at most.

    Raises:
        FileNotFoundError: where there is none.
        RecordError: where something else than a file has its name, or it is larger, or cannot be
            read; the message names it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _NONBLOCK | _BINARY)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise RecordError.of(path, "is not a file")
            if status.st_size > most:
                raise RecordError.of(path, f"has {status.st_size:,} bytes, more than {most:,}")
            return stream.read(status.st_size)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except IsADirectoryError as error:
        raise RecordError.of(path, "is a folder, not a file") from error
    except OSError as error:
        raise RecordError.of(
            path, f"cannot be read ({error.strerror or error})", mend="mend its permissions"
        ) from error


def read_json(path: Path) -> Any:
    """Read a JSON file of ours: finite numbers, text that can be encoded, a sensible depth.

    Raises:
        FileNotFoundError: where there is none.
        RecordError: where the file is no such JSON; the message names it.
    """
    content = read_whole(path)
    try:
        value = json.loads(
            content.decode("utf-8-sig"),
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
            parse_float=_finite_float,
        )
        _require_plain(value)
    except (ValueError, RecursionError) as error:
        raise RecordError.of(path, f"is no valid JSON ({_reason(error)})") from error
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _bounded_int(digits: str) -> int:
    # Python refuses to print integers of thousands of digits, so an error could not name one.
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is beyond the range of floating-point numbers")
    return value


def _require_plain(value: Any) -> None:
    """Refuse what would fail later: nesting without end, text that has no encoding."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                item.encode()
        level = below


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


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
        # The folder may have been removed, or replaced by something else, in the meantime.
        with contextlib.suppress(OSError):
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
    """The SHA-256 of a file's content in hexadecimal, read in pieces; a pipe is not waited for.

    Raises:
        OSError: where it cannot be read, or is something else than a file.
    """
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_RDONLY | _NONBLOCK | _BINARY), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a file", str(path))
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
