"""The format of every state file, and the upgrade of files from earlier formats.

Each file has the number of its format, such as `"format": 1`. If a file changes so that older files
would be misread, its number here is raised by one, and a function that converts the content of the
previous format is added to `UPGRADES`. Files are upgraded when they are read, and a reader never
writes them back. A file of a later format is refused, since its meaning is not known.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rust_tuner.errors import RecordError

Content = dict[str, Any]

_UNKNOWN = "has a format that this version does not know"

# The format that this version writes, by the file's name.
FORMATS: dict[str, int] = {
    "study.json": 1,
    "key.json": 1,
    "search.json": 1,
    "nested.json": 1,
    "outer.json": 1,
    "summary.json": 1,
    "noise.json": 1,
    "checks.json": 1,
    "model.json": 1,
    "holdout.json": 1,
    "split.json": 1,
    "pixels.json": 1,
}
# Files whose number is called `version`, since the first release.
_NAMED_VERSION = ("split.json", "pixels.json")
# By the file's name and its format: a function from the content in it to that in the next one.
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
        mend: what to do if it is damaged.
        formats: today's format of each file.
        upgrades: the conversions between formats.

    Returns:
        The same content if it is in today's format, else an upgraded copy with the new number.

    Raises:
        RecordError: if the format is a later one, or missing.
    """
    key = "version" if file_name in _NAMED_VERSION else "format"
    today, written = formats[file_name], content.get(key)
    if isinstance(written, bool) or not isinstance(written, int) or written < 1:
        raise RecordError.of(path, _UNKNOWN, mend=mend)
    if written > today:
        raise RecordError.of(
            path,
            f"{_UNKNOWN}: format {str(written)[:12]} belongs to a later version of rust_tuner; "
            f"this version knows formats up to {today}",
            mend=f"install that version, or {mend}",
        )
    try:
        for number in range(written, today):
            content = upgrades[file_name, number](dict(content)) | {key: number + 1}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        fault = f"is damaged (it has format {written} and cannot be upgraded: {error!r:.100})"
        raise RecordError.of(path, fault, mend=mend) from error
    return content
