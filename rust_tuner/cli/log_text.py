"""What a study's log may say: no patient, no name of an image, no path above the study's folder.

A text that may name a patient or an image is withheld as a whole, since a part of a name is one
too. Paths are replaced. Of options, numbers, choices and known names are shown.
"""

import os
import re
import traceback
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from types import TracebackType

from rust_tuner.data.private_words import names_private_words
from rust_tuner.errors import (
    ImageError,
    LabelError,
    ManifestError,
    MetricError,
    RustTunerError,
    SplitError,
)
from rust_tuner.visible_text import visible

STUDY = "STUDY"
WITHHELD = "(not logged, since it may name patients or images)"

# Their messages are about rows, patients and images.
_ABOUT_DATA = (ImageError, LabelError, ManifestError, MetricError, SplitError)
_NUMBERS = re.compile(r"[\d.,eE+-]+")
_KNOWN_NAMES = ("imagenet", "random", "phantoms", "published")
_MOST_FRAMES = 12
_LONGEST_TEXT = 2000
# A path within the study consists of our own names, so it may be shown.
_WITHIN = re.compile(rf"{STUDY}(?:/[\w.-]+)+")
# From the first separator to the last one, since names of folders may contain spaces.
_PATH = re.compile(r"[^\s'\"(]*[\\/](?:.*[\\/])?[^\s,;:)'\"]*")
_FILE = re.compile(
    r"[^\s'\"(/]+\.(?:png|jpe?g|dcm|dicom|tiff?|bmp|csv|tsv|xlsx?|ods|h5|hdf5|ya?ml)\b", re.I
)
_HELD = "\x00"


def log_text(text: str, study: Path) -> str:
    """A text on one line, as the log may contain it."""
    if names_private_words(text):
        return WITHHELD
    line = " ".join(text.replace(_HELD, " ").split())
    for name in _names_of(study):
        # A name without a folder may be a word of the text as well, such as `study`.
        after = r"(?![\w.-])" if os.sep in name else "(?=/)"
        line = re.sub(rf"(?<![\w./-]){re.escape(name)}{after}", STUDY, line)
    line = _WITHIN.sub(lambda match: match[0].replace("/", _HELD), line)
    line = _FILE.sub(_shown_file, _PATH.sub("<path>", line))
    line = visible(line.replace(_HELD, "/"))
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + " ..."


def log_error(error: BaseException, study: Path) -> str:
    """The type of an error, its message if it may be logged, its causes, and where it was raised.

    Of errors that are not the package's own, the message may be anything; it is printed only.
    """
    parts = [_with_message(error, study)]
    cause = error.__cause__ or error.__context__
    while cause is not None and len(parts) < _MOST_FRAMES:
        parts.append(f"caused by {_with_message(cause, study)}")
        cause = cause.__cause__ or cause.__context__
    frames = _frames(error.__traceback__)
    where = " < ".join(reversed(frames)) if frames else "unknown"
    return f"{'; '.join(parts)}; raised in {where}"


def log_options(given: Iterable[tuple[str, object, bool]]) -> str:
    """Options as they are typed; a value that may be anything is replaced by its kind.

    Args:
        given: the name of each option, its value, and whether it was in a configuration file.
    """
    shown = []
    for name, value, is_from_file in given:
        text = " ".join([name, *_shown_values(value)])
        shown.append(f"{text} (configuration file)" if is_from_file else text)
    return " ".join(shown)


def _shown_values(value: object) -> list[str]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [shown for item in value for shown in _shown_values(item)]
    if isinstance(value, bool):
        return []
    if isinstance(value, Enum):
        return [str(value.value)]
    if isinstance(value, int | float):
        return [f"{value:g}" if isinstance(value, float) else str(value)]
    if isinstance(value, str) and (value in _KNOWN_NAMES or _NUMBERS.fullmatch(value)):
        return [value]
    return ["PATH" if isinstance(value, Path) else "TEXT"]


def _with_message(error: BaseException, study: Path) -> str:
    name = type(error).__name__
    if isinstance(error, _ABOUT_DATA):
        return f"{name} {WITHHELD}"
    if isinstance(error, RustTunerError):
        return f"{name}: {log_text(str(error), study)}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return name


def _frames(trace: TracebackType | None) -> list[str]:
    """The innermost frames by module, line and function; names of files are those of a machine."""
    frames = [
        f"{frame.f_globals.get('__name__', '?')}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(trace)
    ]
    return frames[-_MOST_FRAMES:]


def _names_of(study: Path) -> list[str]:
    """How messages name the study's folder, the longest first."""
    names = {str(study), os.path.abspath(study), os.path.realpath(study)}
    return sorted((name for name in names if name not in (".", "/")), key=len, reverse=True)


def _shown_file(match: re.Match[str]) -> str:
    return match[0] if _HELD in match[0] else "<file>"
