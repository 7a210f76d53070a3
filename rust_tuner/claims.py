"""A folder's claim by a machine, for file systems whose locks do not reach other machines.

Network file systems may keep locks to the machine that takes them, silently, such as NFS that is
mounted with `nolock` or `local_lock`, or Lustre with `localflock`. So whoever holds a folder's lock
also has a file there that was made exclusively, by a hard link, which is atomic on NFS as well, and
that is touched every few seconds. A claim of this machine without a lock is left by a process that
was killed. A claim of another machine is left once it has not been touched for half a minute, by
the clock of the file system, which all machines share.
"""

import contextlib
import os
import platform
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rust_tuner.errors import RustTunerError, StorageError
from rust_tuner.files import json_text, read_json, storage_cure

_BEAT = 5.0
_LEASE = 30.0
# Between two looks at a claim that may be one of a process that was killed.
_BETWEEN_LOOKS = 0.5
# Clocks of machines that only look may differ by this.
_SKEW = 30.0


def this_machine() -> str:
    """What tells machines apart, whose locks reach as far: the running system, not its name."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return platform.node()


@contextlib.contextmanager
def claimed(path: Path, about: Mapping[str, Any]) -> Iterator[bool]:
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


def is_claimed(path: Path) -> bool:
    """Whether a claim was touched lately, by the clock of this machine."""
    with contextlib.suppress(OSError):
        return abs(time.time() - path.stat().st_mtime) < _LEASE + _SKEW
    return False


def _take(path: Path, claim: Mapping[str, Any]) -> bool:
    # Named as unfinished writes are, which are removed in time.
    aside = path.parent / f".{os.getpid()}-{secrets.token_hex(4)}.part"
    try:
        aside.write_text(json_text(dict(claim)))
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}). {storage_cure(path)}, then "
            "start again"
        ) from error
    seen: float | None = None
    try:
        while not _linked(aside, path):
            try:
                touched = path.stat().st_mtime
            except FileNotFoundError:
                continue
            left = _read(path)
            if left is not None and _is_of_this_machine(left):
                os.replace(aside, path)
                return True
            os.utime(aside)
            if aside.stat().st_mtime - touched > _LEASE:
                _remove(path, touched)
                continue
            if seen is not None and touched != seen:
                return False
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
            if _is(path, claim):
                os.utime(path)
            elif path.exists():
                # This process was stopped for so long that another machine has gone on.
                os.kill(os.getpid(), signal.SIGTERM)
                return


def _is_of_this_machine(claim: Mapping[str, Any]) -> bool:
    # Earlier versions noted the name alone.
    if "machine" not in claim:
        return bool(claim.get("host") == platform.node())
    return bool(claim["machine"] == this_machine())


def _is(path: Path, claim: Mapping[str, Any]) -> bool:
    there = _read(path)
    return there is not None and there.get("token") == claim["token"]


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        content = read_json(path)
    except (OSError, RustTunerError):
        return None
    return content if isinstance(content, dict) else None
