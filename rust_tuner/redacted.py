"""Messages without what a manifest says of people, for files that a study keeps.

On the terminal an error names what its reader has to look at. A file may be shared, so it gets the
place in the manifest, but neither its values nor the folders above a study.
"""

import html
import os
import shlex
from pathlib import Path

from rust_tuner.errors import ImageError, ManifestError, RustTunerError

_ROWS_SHOWN = 10


def message_for_files(error: BaseException, *folders: Path) -> str:
    """What an error says, without ids, file names and the paths of some folders.

    Args:
        error: any error.
        folders: folders of which only the last name is kept, such as the study's.

    Examples:
        >>> from rust_tuner.errors import Fault
        >>> fault = Fault("Miller.csv", 17, "medial", "medial=5; a RUST score is 1-4 or empty")
        >>> message_for_files(ManifestError(str(fault), [fault]))
        'the manifest has 1 fault: row 17 (medial)'
    """
    if isinstance(error, ManifestError):
        return _places(error)
    if isinstance(error, ImageError):
        return "an image cannot be read; the command names it on the terminal"
    if isinstance(error, OSError) and not isinstance(error, RustTunerError):
        # Its text has the path of a file, which may be a radiograph.
        return f"{type(error).__name__}: {error.strerror or 'no reason is given'}"
    text = error.without_values if isinstance(error, RustTunerError) else str(error)
    return without_folders(text, *folders)


def without_folders(text: str, *folders: Path) -> str:
    """A text in which some folders have their last name only, however they are quoted.

    Args:
        text: plain text, commands or HTML.
        folders: as they were given; their absolute paths are replaced as well.
    """
    for folder in folders:
        name = folder.resolve().name
        paths = {str(folder), os.path.abspath(folder), str(folder.resolve())}
        # The longest first, since one may be a part of another.
        for path in sorted(paths, key=len, reverse=True):
            if os.sep not in path:
                continue
            for shown, instead in ((shlex.quote(path), shlex.quote(name)), (path, name)):
                text = text.replace(shown, instead)
                text = text.replace(html.escape(shown), html.escape(instead))
                # As the templates escape quotation marks.
                text = text.replace(_as_template(shown), _as_template(instead))
    return text


def _as_template(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _places(error: ManifestError) -> str:
    """How many faults a manifest has, and in which rows and columns."""
    if not error.faults:
        return "the manifest cannot be read; the command says why on the terminal"
    places = [
        ("the whole file" if fault.row is None else f"row {fault.row}")
        + (f" ({fault.column})" if fault.column is not None and fault.column.isidentifier() else "")
        for fault in error.faults[:_ROWS_SHOWN]
    ]
    more = len(error.faults) - len(places)
    also = f", and {more} more" if more > 0 else ""
    noun = "fault" if len(error.faults) == 1 else "faults"
    return f"the manifest has {len(error.faults)} {noun}: {', '.join(places)}{also}"
