"""Reads and writes files that are either complete or absent, with locks, hashes and strict JSON.

The content of the files belongs to other modules.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rust_tuner.errors import RecordError, RustTunerError, StorageError, private

CACHE_VARIABLE = "RUST_TUNER_CACHE"

# State files are far smaller, so a larger file is not one of ours.
LARGEST_STATE_FILE = 1 << 28

_BINARY = getattr(os, "O_BINARY", 0)
# Without it, opening a pipe that has no writer would block forever.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_CHUNK_BYTES = 1 << 20
_START_READ = 1 << 16
_DEEPEST = 64
_MOST_DIGITS = 100
# The names of the temporary files of `atomic_write` and `atomic_path`.
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


def path_shown(path: str | Path) -> str:
    """A path as text, in which U+FFFD stands for what is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def is_utf8(path: str | Path) -> bool:
    """Whether a path is text, which names from old systems may not be."""
    return path_shown(path) == str(path)


def require_utf8(path: Path) -> None:
    """Refuse a file or folder whose path no table or record could contain.

    Raises:
        StorageError: where a name in the path is not UTF-8.
    """
    whole = path.absolute()
    if not is_utf8(whole):
        raise StorageError(
            f"{private(path_shown(whole))}: a name in this path is not UTF-8, so tables and "
            "records cannot contain it; rename the file or folder (convmv renames whole trees)"
        )


def cache_folder(cache: str | Path | None) -> Path:
    """The folder of features that studies share: the named one, or the default one if None.

    That is `RUST_TUNER_CACHE`, or ~/.cache/rust_tuner.

    Raises:
        StorageError: if its name begins with a `~` and the user has no home folder.
    """
    named = Path(cache or os.environ.get(CACHE_VARIABLE) or "~/.cache/rust_tuner")
    try:
        return named.expanduser()
    except RuntimeError as error:
        raise StorageError(
            f"the cache folder {named} is unknown: the user has no home folder; set "
            f"{CACHE_VARIABLE}, or choose a folder with --cache"
        ) from error


@contextlib.contextmanager
def atomic_write(path: Path, *, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Open a file that gets its name only when it is complete and on disk.

    The bytes go to a temporary file in the same folder, which is synced and renamed. A reader
    therefore sees either the old or the new content, and a crash leaves the old one.

    Args:
        path: the file's final name; its folder is created if missing.
        mode: its permissions from the beginning, less the process's umask. By default those of any
            new file, since studies and caches are shared.

    Raises:
        StorageError: if it cannot be written, such as on a full disk.
    """
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not named after the file: programs that watch a folder, such as TensorBoard, match parts
        # of names.
        name = path.parent / f".{os.getpid()}-{secrets.token_hex(4)}.part"
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
        sync_folder(path.parent)
    except BaseException as error:
        if name is not None:
            # If even this fails, as on a read-only file system, no file was created.
            with contextlib.suppress(OSError):
                os.unlink(name)
        if isinstance(error, OSError) and not isinstance(error, RustTunerError):
            kept = "; the previous content is intact" if os.path.exists(path) else ""
            raise StorageError(
                f"{path} cannot be written ({error.strerror or error}){kept}. "
                f"{storage_cure(path)}, then start again"
            ) from error
        raise


def storage_cure(path: Path) -> str:
    """What to do if a file cannot be written, as the start of a sentence."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            return f"Remove or rename the folder {path}"
        for folder in path.parents:
            if folder.exists():
                if not folder.is_dir():
                    return f"Remove or rename {folder}, which is a file, not a folder"
                break
    return "Free disk space or fix the permissions"


def cache_note(error: StorageError, path: Path, what: str) -> str:
    """The note for a cache that cannot store something, while the work continues without it.

    Args:
        error: the error that the write raised.
        path: the entry that could not be written.
        what: what the cache stores, in the plural, such as `features`.
    """
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
    return (
        f"note: the cache cannot store {what}: {path} cannot be written ({reason}). "
        f"{storage_cure(path)}, or choose another cache folder (--cache, cache=... or "
        f"{CACHE_VARIABLE}). This run continues; {what} that are not stored are computed again "
        "next time"
    )


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path with the same suffix, which is renamed once the file is complete.

    For libraries that write to a path and not to a stream; otherwise like `atomic_write`.
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
    """Remove the temporary files of killed writes from a folder that the caller has locked.

    Args:
        folder: may be missing.
        below: patterns of subfolders to look into as well.
        older_than: remove only files that were not written to for so many seconds.
    """
    folders = [folder, *(subfolder for pattern in below for subfolder in folder.glob(pattern))]
    newest = time.time() - older_than
    for path in [path for subfolder in folders for path in subfolder.glob(".*.part*")]:
        # A failed clean-up must not stop the work; a leftover file only takes disk space.
        with contextlib.suppress(OSError):
            if is_leftover(path) and path.is_file() and path.stat().st_mtime <= newest:
                path.unlink()


def is_leftover(path: Path) -> bool:
    """Whether a file has the name of a temporary file of a write that was not finished."""
    return _ASIDE.fullmatch(path.name) is not None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, if the system can do that."""
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
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """A value as indented JSON; NaN and infinities are refused."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_whole(path: Path, *, most: int = LARGEST_STATE_FILE) -> bytes:
    """Read a file of ours; never blocks, even if a pipe has the file's name.

    Args:
        path: the file.
        most: the largest size in bytes.

    Raises:
        FileNotFoundError: if the file does not exist.
        RecordError: if it is not a regular file, is larger, or cannot be read; the message names
            it.
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
            path, f"cannot be read ({error.strerror or error})", mend="fix its permissions"
        ) from error


def read_json(path: Path) -> Any:
    """Read a JSON file of ours: finite numbers, text that can be encoded, a sensible depth.

    Raises:
        FileNotFoundError: if the file does not exist.
        RecordError: if the file is not such JSON; the message names it.
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
        raise RecordError.of(path, f"is not valid JSON ({_reason(error)})") from error
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a finite number")


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
    """Refuse values that would fail later: very deep nesting, and text that cannot be encoded."""
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


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal, read in pieces; never blocks on a pipe.

    Raises:
        OSError: if it cannot be read or is not a regular file.
    """
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_RDONLY | _NONBLOCK | _BINARY), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a file", str(path))
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of_text(text: str) -> str:
    """The SHA-256 of a text in UTF-8, equal to that of the file that `write_text` writes."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_json(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256_of_text(text)


def refuse_other_content(path: Path, earlier: re.Pattern[str], *, what: str) -> None:
    """Refuse to replace a file that is not an earlier one of the same kind.

    So a mistyped name never costs a manifest, or a record of a study.

    Args:
        path: the file to be written; may be missing.
        earlier: how a file of the kind begins.
        what: what is to be written, for the message.

    Raises:
        StorageError: naming the file and what to do; for a folder as well.
    """
    if path.is_dir():
        raise StorageError(f"{private(path)} is a folder; give the name of a file for {what}")
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            start = stream.read(_START_READ)
    except FileNotFoundError:
        return
    if start and not earlier.match(start):
        raise StorageError(
            f"{private(path)} exists and is something else; give another name for {what}, or "
            "remove it"
        )
