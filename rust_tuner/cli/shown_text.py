"""What the terminal shows of a message: at the default level, nothing that says who a patient is.

Patient ids, visits, dates and names of images are hidden, and paths are shown as they were typed;
`--verbose` shows all. Row and column still say where to look. What was typed is not secret to the
person who typed it. What a log may contain belongs to `log_text`.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from rust_tuner.cli.verbosity import is_verbose
from rust_tuner.data.private_words import hide_private_words
from rust_tuner.errors import ImageError, ManifestError, Message, RustTunerError, marked

SHOW_VALUES = (
    "Values that may say who a patient is are hidden; run again with --verbose to show them."
)

_typed: list[str] = []


def remember_typed(params: Mapping[str, object]) -> None:
    """Note the arguments and options of the command that runs."""
    _typed[:] = list(_texts(params.values()))


def shown(text: str) -> str:
    """A note as the terminal shows it; values are hidden if it is an `errors.Message`."""
    if is_verbose():
        return text
    whole = Message(marked(text)).hiding_values(_as_typed)
    return _with_typed_paths(hide_private_words(whole, apart_from=_typed))


def shown_error(error: BaseException) -> tuple[str, bool]:
    """An error as the terminal shows it, and whether values are hidden in it."""
    if is_verbose():
        return str(error), False
    if isinstance(error, OSError) and not isinstance(error, RustTunerError):
        name = _as_typed(str(error.filename))
        is_hidden = error.filename is not None and name is None
        reason = error.strerror or type(error).__name__
        return (reason if name is None else f"{name}: {reason}"), is_hidden
    text = shown(marked(error))
    return text, text != _with_typed_paths(str(error))


def is_in_data(error: BaseException) -> bool:
    """Whether the fault is in the user's data, or the error contains values of them."""
    if isinstance(error, ManifestError | ImageError):
        return True
    return isinstance(error, RustTunerError) and error.without_values != str(error)


def _texts(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        if isinstance(value, str | Path):
            yield str(value)
        elif isinstance(value, list | tuple):
            yield from _texts(value)


def _as_typed(value: str) -> str | None:
    """How a value was typed; None if it was not."""
    names = {text: text for text in _typed}
    # Where the working folder was removed, a relative path has no absolute one.
    with contextlib.suppress(OSError):
        names |= {os.path.abspath(text): text for text in _typed if text}
        names |= {os.path.realpath(text): text for text in _typed if text}
    return names.get(value) or names.get(value.strip("'\""))


def _with_typed_paths(text: str) -> str:
    """A text in which the paths of what was typed are as they were typed."""
    try:
        here, home = os.getcwd(), os.path.expanduser("~")
    except FileNotFoundError:
        # The working folder was removed: a relative path has no absolute one.
        return text
    typed_paths = {
        form(typed): typed
        for form in (os.path.realpath, os.path.abspath)
        for typed in _typed
        if typed and os.path.lexists(typed)
    }
    # The longest first, since one may be a part of another.
    for path in sorted(typed_paths, key=len, reverse=True):
        if path != typed_paths[path] and len(path) > 1:
            text = typed_paths[path].join(re.split(rf"{re.escape(path)}(?![\w.-])", text))
    for path, instead in ((here, "."), (home, "~")):
        if len(path) > 1:
            text = text.replace(f"{path}{os.sep}", "" if instead == "." else f"~{os.sep}")
    return text
