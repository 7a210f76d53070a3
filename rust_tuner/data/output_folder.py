"""Whether a folder may receive a set of files: it holds nothing else, or a part of the same set."""

from collections.abc import Collection, Iterator
from pathlib import Path

from rust_tuner.errors import ManifestError

_SHOWN = 3


def refuse_other_files(folder: Path, allowed: Collection[str], *, what: str) -> None:
    """Refuse a folder that holds anything but the given files.

    Hidden files, such as those of file managers and version control, do not count.

    Args:
        folder: may be missing.
        allowed: the files that may be there, relative to the folder, with `/`.
        what: what is to be written, for the message.

    Raises:
        ManifestError: naming what is there and what to do; or if the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ManifestError(f"{folder} is a file; choose a new folder for {what}")
    # Only the first few are named, so a large folder is not read to its end.
    others = []
    for name in _visible_files(folder, {name.split("/")[0] for name in allowed if "/" in name}):
        if name not in allowed:
            others.append(name)
        if len(others) > _SHOWN:
            break
    if others:
        more = " and more" if len(others) > _SHOWN else ""
        raise ManifestError(
            f"{folder} already holds {', '.join(others[:_SHOWN])}{more}; choose a new or empty "
            f"folder for {what}"
        )


def _visible_files(folder: Path, subfolders: Collection[str]) -> Iterator[str]:
    """Entries of a folder by name, and in place of the named subfolders what is in them."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir() and path.name in subfolders:
            inside = sorted(item.name for item in path.iterdir() if not item.name.startswith("."))
            yield from (f"{path.name}/{name}" for name in inside)
        else:
            yield f"{path.name}/" if path.is_dir() else path.name
