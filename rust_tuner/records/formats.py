"""The format of every state file, and how a file of an earlier one becomes one of today's.

A file says its format as a number, `"format": 1`. Where the form of a file changes so that its
readers would misread an older one, its number here is raised by one and a function is added to
`UPGRADES` that turns the content of the format before into the next. Files are upgraded as they are
read and never written back by a reader. A file of a later format is refused: what it means is not
known here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rust_tuner.errors import RecordError

Content = dict[str, Any]

_UNKNOWN = "is of no format that this version knows"

# The format that this version writes, by the file's name.
FORMATS: dict[str, int] = {
    "study.json": 1,
    "search.json": 1,
    "nested.json": 1,
    "outer.json": 1,
    "summary.json": 1,
    "noise.json": 1,
    "checks.json": 1,
    "model.json": 1,
    "holdout.json": 1,
}
# By the file's name and its format: the content in that format to the content in the next one.
UPGRADES: dict[tuple[str, int], Callable[[Content], Content]] = {}


def in_todays_format(
    content: Content,
    file_name: str,
    *,
    path: Path,
    mend: str,
    formats: Mapping[str, int] = FORMATS,
    upgrades: Mapping[tuple[str, int], Callable[[Content], Content]] = UPGRADES,
) -> Content:
    """The content of a file in the format that this version writes.

    Args:
        content: as it was read.
        file_name: a name in `formats`.
        path: where it was read, for the message.
        mend: what to do where it is damaged.
        formats: today's format of each file.
        upgrades: the steps between formats.

    Returns:
        The same content where it is of today's format, else an upgraded copy with its new number.

    Raises:
        RecordError: where the format is a later one, or none.
    """
    today, written = formats[file_name], content.get("format")
    if isinstance(written, bool) or not isinstance(written, int) or written < 1:
        raise RecordError.of(path, _UNKNOWN, mend=mend)
    if written > today:
        raise RecordError.of(
            path,
            f"{_UNKNOWN}: format {str(written)[:12]} is that of a later version of rust_tuner, "
            f"and formats up to {today} are known",
            mend=f"install that version, or {mend}",
        )
    try:
        for number in range(written, today):
            content = upgrades[file_name, number](dict(content)) | {"format": number + 1}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        fault = f"is damaged (it is of format {written} and cannot be upgraded: {error!r:.100})"
        raise RecordError.of(path, fault, mend=mend) from error
    return content
