"""Which process works in a folder, or worked there last, and how it ended.

`locks.hold_lock` writes the note; a process that is killed cannot write its end. So a note without
an end counts as running only if the folder's lock is held, and, if the process can be seen from
here, if it is still the same process: its number may have been given to another one.
"""

import contextlib
import datetime
import json
import logging
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rust_tuner.errors import RustTunerError, StorageError
from rust_tuner.files import read_json, write_json

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock-holder.json"
NOTE_FILE = ".lock-note"
# What the beginning and the end of each work is logged to; the command line keeps it in the study.
RUN_LOGGER = "rust_tuner.run"

How = Literal["finished", "out of time", "interrupted", "terminated", "failed"]
State = Literal["running", "paused", "killed", "unseen"] | How

_HOWS: tuple[How, ...] = ("finished", "out of time", "interrupted", "terminated", "failed")
_PROC = Path("/proc")
_LONGEST_MESSAGE = 500
# In seconds: who holds a folder touches a file there every five, and clocks differ.
_RECENT = 60.0
# What values of another kind than a note's lead to.
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
_log = logging.getLogger(RUN_LOGGER)
_working: list[Path] = []


@dataclass(frozen=True)
class LastRun:
    """The last work in a folder.

    Attributes:
        purpose: what was done, such as `Regime I`.
        process: the number of the process.
        host: the machine's name.
        since: when it began.
        ended: when it ended; None if it has not, or nobody knows.
        state: `running`; `paused`, if the process is stopped (Ctrl-Z); `finished`; `out of time`,
            if its budget was spent; `interrupted` by Ctrl-C; `terminated` by SIGTERM; `failed` with
            an error; `killed`, if the process is gone without a word; `unseen`, if it ran on
            another machine, and neither its lock nor its end can be seen from here.
        message: of the error.
    """

    purpose: str
    process: int
    host: str
    since: datetime.datetime
    ended: datetime.datetime | None
    state: State
    message: str | None

    @property
    def is_running(self) -> bool:
        """Whether the process is working now."""
        return self.state == "running"

    @property
    def may_go_on(self) -> bool:
        """Whether the process is working, or paused, or cannot be seen from here."""
        return self.state in ("running", "paused", "unseen")


def note_begin(folder: Path, purpose: str) -> None:
    """Note that this process begins to work in a folder, whose lock it holds."""
    note = {
        "purpose": purpose,
        "process": os.getpid(),
        "started": process_start(os.getpid()),
        "host": platform.node(),
        "processes": process_space(),
        "since": _now(),
    }
    _working.append(folder)
    _log.info("begins: %s", purpose, extra={"folder": folder})
    with contextlib.suppress(OSError, RustTunerError):
        write_json(folder / NOTE_FILE, note)


def note_end(folder: Path, how: How, message: str | None = None) -> None:
    """Note how the work ended that `note_begin` noted."""
    if folder in _working:
        _working.remove(folder)
    # The folder may have been removed in the meantime; a lost note is no reason to fail.
    with contextlib.suppress(OSError, RustTunerError):
        note = read_json(folder / NOTE_FILE)
        if isinstance(note, dict) and note.get("process") == os.getpid():
            text = None if message is None else message[:_LONGEST_MESSAGE]
            ended = {"at": _now(), "how": how, "message": text}
            _write_end(folder / NOTE_FILE, note | {"ended": ended})
            _log.info("%s: %s", how, note.get("purpose"), extra={"folder": folder})


def _write_end(path: Path, note: dict[str, Any]) -> None:
    """Replace the note; on a full disk, write into its file, where there is room for some words."""
    try:
        write_json(path, note)
    except StorageError:
        with path.open("r+b") as stream:
            stream.write(json.dumps(note).encode())
            stream.truncate()


def read_last_run(folder: Path) -> LastRun | None:
    """The last work in a folder; None if none is noted, or the note is damaged."""
    try:
        note = read_json(folder / NOTE_FILE)
        ended = note.get("ended")
        run = LastRun(
            purpose=str(note["purpose"]),
            process=int(note["process"]),
            host=str(note["host"]),
            since=datetime.datetime.fromisoformat(note["since"]),
            ended=None if ended is None else datetime.datetime.fromisoformat(ended["at"]),
            state=_state(folder, note) if ended is None else _HOWS[_HOWS.index(ended["how"])],
            message=None if ended is None else ended.get("message"),
        )
        # Neither can be compared with the clock if it says no time zone.
        is_clear = run.since.tzinfo is not None and (run.ended is None or run.ended.tzinfo)
    except (OSError, RustTunerError, *_DAMAGE):
        return None
    return run if is_clear else None


def working_in() -> Path | None:
    """The folder that this process works in, such as a study's; None if no work is noted."""
    return _working[0] if _working else None


def is_locked(folder: Path) -> bool | None:
    """Whether a process holds a folder's lock; None if this cannot be seen."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        number = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        # Held for an instant; `hold_lock` tries for longer than that.
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(number)
    return False


def process_start(process: int) -> str | None:
    """When a process started, in the system's own words; None if it is gone or cannot be seen.

    With the number of the process it identifies a process; numbers alone are used again.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        # Fields of proc(5): the name may contain spaces and brackets. The start is in clock ticks
        # since the system was started.
        fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{fields[19]} {boot}"
    if os.name != "posix" or sys.platform == "linux":
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["ps", "-o", "lstart=", "-p", str(process)]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
        return shown.stdout.strip() or None
    return None


def _state(folder: Path, note: dict[str, Any]) -> State:
    """The state of a process that has not noted its end."""
    held = is_locked(folder)
    if note["host"] != platform.node() or note.get("processes") != process_space():
        # Where locks do not reach other machines, the holder's file says that it lives.
        return "running" if held or _is_touched(folder / HOLDER_FILE) else "unseen"
    started = process_start(int(note["process"]))
    is_same = None if note.get("started") is None else note["started"] == started
    if held is False or is_same is False:
        return "killed"
    if held is None and is_same is None:
        return "unseen"
    return "paused" if _is_stopped(int(note["process"])) else "running"


def _is_touched(holder: Path) -> bool:
    """Whether the holder of a folder has touched its file lately, by the clock of this machine."""
    with contextlib.suppress(OSError):
        return abs(time.time() - holder.stat().st_mtime) < _RECENT
    return False


def _is_stopped(process: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    return False


def process_space() -> str | None:
    """The set of processes that this one sees: those of a container, or of the machine."""
    with contextlib.suppress(OSError):
        return os.readlink(_PROC / "self/ns/pid")
    return None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
