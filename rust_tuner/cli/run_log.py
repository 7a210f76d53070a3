"""The log of a study, `STUDY/log/rust_tuner.log`: what was run there, with what, and how it ended.

One line per event, appended in one write, so that several processes can share the file. Once it is
full it gets the name `rust_tuner.log.1`, and older ones move on; the oldest is removed. What a line
may contain is decided by `log_text`. A log that cannot be written never ends the work.
"""

import contextlib
import datetime
import logging
import os
import platform
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rust_tuner import __version__
from rust_tuner.cli.log_text import log_error, log_text
from rust_tuner.folder_kinds import LOG_FILE, LOG_FOLDER, STUDY_FILE
from rust_tuner.last_run import RUN_LOGGER
from rust_tuner.progress import duration

LARGEST_LOG = 1 << 20
_KEPT = 3
_PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy")
_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
# A command that fails before the study is there has said nothing that is worth keeping.
_MOST_WAITING = 1000

_logs: list["RunLog"] = []


class RunLog(logging.Handler):
    """Appends what one command does to the log of its study; a `logging.Handler` for the steps."""

    def __init__(self, study: Path, command: str) -> None:
        """Nothing is written until the folder is a study's.

        Args:
            study: the study's folder, which may not exist yet.
            command: the command's name, which begins each line.
        """
        super().__init__()
        self.study = Path(os.path.abspath(study))
        self._named = study
        self._command = command
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message of the steps, with the part of the study that it is about."""
        folder = os.path.abspath(getattr(record, "folder", self.study))
        part = os.path.relpath(folder, self.study) if folder.startswith(str(self.study)) else "."
        self.write(record.getMessage() + ("" if part == "." else f" ({part})"))

    def note(self, text: str) -> None:
        """Write a note that was shown to the user."""
        self.write(f"note: {log_text(text.removeprefix('note: '), self._named)}")

    def error(self, error: BaseException) -> None:
        """Write an error with its traceback."""
        self.write(f"error: {log_error(error, self._named)}")

    def write(self, text: str) -> None:
        """Write one line."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._waiting.append(f"{now} {os.getpid()} {self._command}: {text}\n")
        del self._waiting[:-_MOST_WAITING]
        if not (self.study / STUDY_FILE).is_file():
            return
        # A log is no reason to end the work.
        with contextlib.suppress(OSError):
            for line in self._waiting:
                _append(self.study / LOG_FOLDER / LOG_FILE, line)
            self._waiting.clear()


@contextlib.contextmanager
def keeping_log(study: Path, command: str, options: str) -> Iterator[RunLog]:
    """Log what the block does: the command, its steps, notes, warnings and how it ends.

    Args:
        study: the study's folder, which may not exist yet.
        command: the command's name.
        options: as the log may contain them.
    """
    log = RunLog(study, command)
    logger = logging.getLogger(RUN_LOGGER)
    level, show = logger.level, warnings.showwarning
    logger.setLevel(logging.INFO)
    logger.addHandler(log)
    _logs.append(log)

    def show_and_log(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        log.write(f"warning: {category.__name__}: {log_text(str(message), study)}")
        show(message, category, filename, lineno, file, line)

    warnings.showwarning = show_and_log
    begin = time.monotonic()
    log.write(f"started: {options}; {_versions()}")
    how = "done"
    try:
        yield log
    except BaseException as end:
        how = _how(end)
        if how == "an unexpected error":
            log.error(end)
        raise
    finally:
        log.write(f"ended: {how}, after {duration(time.monotonic() - begin)}")
        # A test, or a library, may have replaced it in the meantime.
        if warnings.showwarning is show_and_log:
            warnings.showwarning = show
        _logs.remove(log)
        logger.removeHandler(log)
        logger.setLevel(level)


def log_note(text: str) -> None:
    """Log a note that was shown to the user, if a log is kept."""
    for log in _logs:
        log.note(text)


def log_failure(error: BaseException) -> None:
    """Log an error that ends the command, if a log is kept."""
    for log in _logs:
        log.error(error)


def log_line(text: str) -> None:
    """Log a line that may be logged as it is, if a log is kept."""
    for log in _logs:
        log.write(text)


def _how(end: BaseException) -> str:
    code = getattr(end, "exit_code", None)
    if code is not None:
        return f"exit code {int(code)}"
    if isinstance(end, KeyboardInterrupt):
        return "Ctrl-C"
    return "an unexpected error"


def _versions() -> str:
    # Imported only where a log is kept: it takes as long as all options together.
    from importlib import metadata

    versions = [f"rust_tuner {__version__}", f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    return f"{', '.join(versions)}, {sys.platform}"


def _append(path: Path, line: str) -> None:
    """Append a line in one write, which the system does not mix with those of other processes.

    Raises:
        OSError: if it cannot be written.
    """
    # Not its parents: a study that was removed is not made again.
    with contextlib.suppress(FileExistsError):
        os.mkdir(path.parent)
    content = line.encode(errors="backslashreplace")
    with _opened(path) as handle:
        if os.fstat(handle).st_size + len(content) > LARGEST_LOG:
            _rotate(path, handle)
    with _opened(path) as handle:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            os.write(handle, content)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    # Without waiting for a reader, if a pipe has the name.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _BINARY | _NONBLOCK
    handle = os.open(path, flags, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)


def _rotate(path: Path, handle: int) -> None:
    """Give a full log the name of an older one; of several processes, one does it."""
    try:
        import fcntl

        # Whoever holds the lock of the file that has the name may rename it.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    except (ImportError, OSError):
        # Without locks, two processes may rename at once, which loses an older log at worst.
        pass
    if not os.path.samestat(os.fstat(handle), os.stat(path)):
        return
    for number in range(_KEPT, 0, -1):
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        # The log grows where an open file cannot be renamed.
        with contextlib.suppress(OSError):
            os.replace(newer, path.with_name(f"{path.name}.{number}"))
