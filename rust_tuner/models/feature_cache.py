"""What the feature cache holds, when it was last used and by which study, and how it is cleared.

Features are read and written by `features`, decoded images by `data.pipeline`; here only names,
sizes and dates are looked at. Anything that is not of the cache's own form is left alone.
"""

import contextlib
import datetime
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rust_tuner.errors import LockedError, RustTunerError
from rust_tuner.files import is_leftover, read_json, remove_leftovers, write_json
from rust_tuner.last_run import LOCK_FILE, is_locked, working_in
from rust_tuner.locks import hold_lock

# Beside the entries of a recipe: what they are, for people.
ABOUT_FILE = "about.json"
IMAGES_FOLDER = "images"

_RECIPE = re.compile(r"[0-9a-f]{32}")
_SHARD = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(r"[0-9a-f]{64}\.f32")
_IMAGES = re.compile(r"[0-9a-f]{32}\.images")
_OWN = (ABOUT_FILE, LOCK_FILE, ".lock-holder.json", ".lock-note")
_MOST_STUDIES = 5
_HOUR = 3600.0
_DAY = 86400.0


@dataclass(frozen=True)
class CacheItem:
    """What the cache holds of one recipe, or one file of decoded images.

    Attributes:
        kind: `features`, or `images`, decoded for the training of a whole model.
        path: its folder, or its file.
        rows: how many images it has features of; None for decoded images.
        size: in bytes.
        last_used: when it was last read or written, as far as known.
        about: the recipe, such as `backbone` and `image_size`; empty if an earlier version made it.
        studies: the names of the studies that used it last, the newest first.
        is_held: whether a process works in it now.
        unknown: files in it that are not the cache's.
    """

    kind: Literal["features", "images"]
    path: Path
    rows: int | None
    size: int
    last_used: datetime.datetime
    about: Mapping[str, object]
    studies: tuple[str, ...]
    is_held: bool
    unknown: tuple[Path, ...]

    def is_older_than(self, days: float) -> bool:
        """Whether it was last used more than so many days ago."""
        age = datetime.datetime.now(datetime.UTC) - self.last_used
        return age.total_seconds() > days * _DAY


@dataclass(frozen=True)
class CacheContents:
    """What lies in the cache's folder.

    Attributes:
        items: the newest first.
        unknown: files and folders that are not the cache's.
    """

    items: tuple[CacheItem, ...]
    unknown: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Of all items, in bytes."""
        return sum(item.size for item in self.items)


@dataclass(frozen=True)
class Cleared:
    """What clearing an item did.

    Attributes:
        item: the item.
        freed: bytes of the files that were removed.
        kept: why files were left; None if none was.
    """

    item: CacheItem
    freed: int
    kept: str | None


def note_use(folder: Path, about: Mapping[str, object]) -> None:
    """Note that features of a recipe were used now, and by which study; never fails.

    Args:
        folder: of the recipe in the cache.
        about: what the recipe is.
    """
    if not folder.is_dir():
        return
    study = working_in()
    names = list(_studies(_about(folder)))
    if study is not None:
        # The name alone: a path may name people.
        name = os.path.basename(os.path.abspath(study))
        names = [name, *(other for other in names if other != name)]
    used = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    # What cannot be stored was reported when the features were.
    with contextlib.suppress(OSError, RustTunerError):
        noted = {**about, "used": used, "studies": names[:_MOST_STUDIES]}
        write_json(folder / ABOUT_FILE, noted)


def read_cache(base: Path) -> CacheContents:
    """Look at what a cache folder holds; nothing is written.

    Args:
        base: the cache's folder; may be missing.
    """
    items: list[CacheItem] = []
    unknown: list[Path] = []
    for entry in _scan(base):
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and _RECIPE.fullmatch(entry.name):
            item = _recipe_item(Path(entry.path))
            items += [] if item is None else [item]
            unknown += [Path(entry.path)] if item is None else item.unknown
        elif is_folder and entry.name == IMAGES_FOLDER:
            images, others = _image_items(Path(entry.path))
            items += images
            unknown += others
        elif entry.name not in _OWN:
            unknown.append(Path(entry.path))
    items.sort(key=lambda item: item.last_used, reverse=True)
    return CacheContents(tuple(items), tuple(sorted(unknown)))


def clear_items(items: Iterable[CacheItem]) -> Iterator[Cleared]:
    """Remove items, one after another; what a process works in is kept.

    Args:
        items: some of `read_cache`'s.
    """
    for item in items:
        freed = 0
        try:
            folder = item.path if item.kind == "features" else item.path.parent
            with hold_lock(folder, "clearing the cache"):
                if item.kind == "images":
                    freed = _remove(item.path)
                else:
                    freed = _clear_recipe(folder)
            if item.kind == "features":
                _remove_empty(folder)
            yield Cleared(item, freed, None if not item.path.exists() else _left(item))
        except LockedError as error:
            yield Cleared(item, freed, str(error))
        except (OSError, RustTunerError) as error:
            yield Cleared(item, freed, f"{item.path}: {getattr(error, 'strerror', None) or error}")


def _recipe_item(folder: Path) -> CacheItem | None:
    """The features of a recipe; None if the folder is not the cache's."""
    rows, size, used = 0, 0, 0.0
    unknown: list[Path] = []
    is_ours = False
    for entry in _scan(folder):
        if entry.is_dir(follow_symlinks=False) and _SHARD.fullmatch(entry.name):
            for file in _scan(Path(entry.path)):
                if _is_file(file, _ENTRY):
                    status = file.stat(follow_symlinks=False)
                    rows += 1
                    size += status.st_size
                    used = max(used, status.st_mtime, status.st_atime)
                elif not is_leftover(Path(file.path)):
                    unknown.append(Path(file.path))
        elif entry.name in _OWN and entry.is_file(follow_symlinks=False):
            is_ours = True
        elif not is_leftover(Path(entry.path)):
            unknown.append(Path(entry.path))
    if not is_ours and not rows:
        return None
    about = _about(folder)
    noted = _date(about.get("used"))
    last = noted or datetime.datetime.fromtimestamp(used or _changed(folder), datetime.UTC)
    recipe = {name: value for name, value in about.items() if name not in ("used", "studies")}
    return CacheItem(
        "features",
        folder,
        rows,
        size,
        last,
        recipe,
        _studies(about),
        bool(is_locked(folder)),
        tuple(unknown),
    )


def _image_items(folder: Path) -> tuple[list[CacheItem], list[Path]]:
    items, unknown = [], []
    is_held = bool(is_locked(folder))
    for entry in _scan(folder):
        path = Path(entry.path)
        if _is_file(entry, _IMAGES):
            status = entry.stat(follow_symlinks=False)
            used = datetime.datetime.fromtimestamp(
                max(status.st_mtime, status.st_atime), datetime.UTC
            )
            items.append(CacheItem("images", path, None, status.st_size, used, {}, (), is_held, ()))
        elif entry.name not in _OWN and not is_leftover(path):
            unknown.append(path)
    return items, unknown


def _clear_recipe(folder: Path) -> int:
    """Remove the entries of a recipe, whose lock is held, and what killed writes left."""
    freed = 0
    for shard in _scan(folder):
        if shard.is_dir(follow_symlinks=False) and _SHARD.fullmatch(shard.name):
            for file in _scan(Path(shard.path)):
                if _is_file(file, _ENTRY):
                    freed += _remove(Path(file.path))
    # Locks may not reach other machines, so recent files may still be being written.
    remove_leftovers(folder, "??", older_than=_HOUR)
    (folder / ABOUT_FILE).unlink(missing_ok=True)
    return freed


def _remove_empty(folder: Path) -> None:
    """Remove the folders of a recipe, if nothing but the lock's files is left in them."""
    for shard in _scan(folder):
        if shard.is_dir(follow_symlinks=False) and _SHARD.fullmatch(shard.name):
            with contextlib.suppress(OSError):
                os.rmdir(shard.path)
    if {entry.name for entry in _scan(folder)} <= set(_OWN):
        with contextlib.suppress(OSError):
            for name in _OWN:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def _left(item: CacheItem) -> str:
    names = ", ".join(str(path) for path in item.unknown[:3])
    what = names or str(item.path)
    return f"not part of the cache, so kept: {what}" if names else f"{what} is in use again"


def _remove(path: Path) -> int:
    size = path.stat().st_size
    path.unlink()
    return size


def _scan(folder: Path) -> list["os.DirEntry[str]"]:
    # A folder may be removed, or be unreadable, at any time.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
    return []


def _is_file(entry: "os.DirEntry[str]", name: re.Pattern[str]) -> bool:
    return entry.is_file(follow_symlinks=False) and name.fullmatch(entry.name) is not None


def _about(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, RustTunerError):
        about = read_json(folder / ABOUT_FILE)
        if isinstance(about, dict):
            return about
    return {}


def _studies(about: Mapping[str, Any]) -> tuple[str, ...]:
    names = about.get("studies")
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _date(text: object) -> datetime.datetime | None:
    with contextlib.suppress(ValueError):
        date = datetime.datetime.fromisoformat(str(text))
        return date if date.tzinfo is not None else None
    return None


def _changed(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
