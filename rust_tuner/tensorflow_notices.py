"""Keeps TensorFlow's notices from the terminal; its errors, and all other output, still reach it.

TensorFlow writes some notices straight to the standard error stream, before it reads the level of
its log. So the stream is filtered while TensorFlow is imported and while it looks for devices,
whoever imports it first; afterwards the level suffices. Set `TF_CPP_MIN_LOG_LEVEL=0` to see
everything. Which lines are notices belongs to `notice_filter`.

The package's first import asks Python for this module when TensorFlow is imported.
"""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
_EVERYTHING, _ERRORS = "0", "2"
_FILTER = "notice_filter.py"
_STDERR = 2
# The filter ends at once, unless another process that TensorFlow started still uses the stream.
_LONGEST_WAIT = 2.0


def quiet_spec(name: str) -> ModuleSpec | None:
    """TensorFlow as Python finds it, to be imported without notices, unless the user wants them.

    Its children and its later log are quiet too, by the level in the environment.
    """
    os.environ.setdefault(LEVEL_VARIABLE, _ERRORS)
    spec = PathFinder.find_spec(name)
    if spec is not None and spec.loader is not None:
        spec.loader = _Quietly(spec.loader)  # type: ignore[assignment]
    return spec


def show_notices() -> None:
    """Show everything that TensorFlow writes, in this process and its children."""
    os.environ[LEVEL_VARIABLE] = _EVERYTHING


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Filter the standard error stream within the block."""
    if os.environ.get(LEVEL_VARIABLE) == _EVERYTHING or not _can_start_python():
        yield
        return
    command = [sys.executable, "-S", str(Path(__file__).with_name(_FILTER))]
    try:
        kept = os.dup(_STDERR)
    except OSError:
        # The stream is closed, so nothing needs to be hidden.
        yield
        return
    try:
        # In a session of its own, so that Ctrl-C does not end it before it has written everything.
        copier = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    except OSError:
        os.close(kept)
        yield
        return
    assert copier.stdin is not None
    _flush()
    os.dup2(copier.stdin.fileno(), _STDERR)
    copier.stdin.close()
    try:
        yield
    finally:
        _flush()
        os.dup2(kept, _STDERR)
        os.close(kept)
        try:
            copier.wait(_LONGEST_WAIT)
        except subprocess.TimeoutExpired:
            # A child of the block still holds the stream, and the filter ends with it. Python warns
            # of a process that nobody has waited for.
            copier.returncode = 0


def _flush() -> None:
    # Python's own text goes where the stream leads when it is written.
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def _can_start_python() -> bool:
    # In a frozen program, `sys.executable` is that program.
    return bool(sys.executable) and not getattr(sys, "frozen", False)


class _Quietly:
    """Executes a module with its own loader, without notices."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        logging.getLogger("tensorflow").addFilter(_is_not_retracing)
        with without_notices():
            self._loader.exec_module(module)


def _is_not_retracing(record: logging.LogRecord) -> bool:
    """Whether a message is not about functions traced again, which is how folds are trained."""
    if os.environ.get(LEVEL_VARIABLE) == _EVERYTHING:
        return True
    return "tf.function retracing" not in record.getMessage()
