"""A process that dies at a write of state, without the process: what kill -9 leaves on the disk."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

MOMENTS = ("before", "during", "after")
_LAST_IS_AFTER = ("during", "before", "after")


class Killed(BaseException):
    """Stands for kill -9: nothing that cleans up may run after it."""


class Killer:
    """Counts the writes and removals below a folder, and strikes at one of them."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        strike: int | None = None,
        moment: str = "before",
    ) -> None:
        self.folder = str(folder)
        self.strike = strike
        self.moment = moment
        self.writes: list[str] = []
        self.dead = False
        self._replace, self._unlink = os.replace, os.unlink
        monkeypatch.setattr(os, "replace", self.replace)
        monkeypatch.setattr(os, "unlink", self.unlink)

    def replace(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        if self.dead:
            return
        if not str(target).startswith(self.folder) or Path(target).name.startswith(".lock"):
            return self._replace(source, target)
        self._count(Path(target).name, "before")
        if self._is_now("during"):
            # The bytes written aside were only half on disk, and never got their name.
            with open(source, "r+b") as stream:
                stream.truncate(os.path.getsize(source) // 2)
            self._die()
        self._replace(source, target)
        if self._is_now("after"):
            self._die()

    def unlink(self, path: str | os.PathLike[str], **kwargs: Any) -> None:
        if self.dead:
            return
        if not str(path).startswith(self.folder) or Path(path).name.startswith(".lock"):
            return self._unlink(path, **kwargs)
        if not os.path.lexists(path):
            return self._unlink(path, **kwargs)
        self._count(f"removal of {Path(path).name}", "before")
        self._unlink(path, **kwargs)
        if self._is_now("during") or self._is_now("after"):
            self._die()

    def _count(self, name: str, moment: str) -> None:
        self.writes.append(name)
        if self._is_now(moment):
            self._die()

    def _is_now(self, moment: str) -> bool:
        return len(self.writes) - 1 == self.strike and self.moment == moment and not self.dead

    def _die(self) -> NoReturn:
        self.dead = True
        raise Killed


class Snapshots:
    """Copies of a folder around each of its writes: what kill -9 leaves on the disk at that moment.

    One run gives them all, so that only what comes after a kill has to be run for each.

    Attributes:
        writes: the names of the files that were written or removed, in their order.
    """

    def __init__(self, folder: Path, kept: Path) -> None:
        """Of a folder that need not exist yet, kept in another."""
        self.writes: list[str] = []
        self._folder = folder
        self._kept = kept
        self._replace, self._unlink = os.replace, os.unlink

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Copy at each write of the block."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", self._replaced)
            patch.setattr(os, "unlink", self._unlinked)
            yield

    def restore(self, strike: int, moment: str, folder: Path) -> Path:
        """Make `folder`, which must not exist, what a kill at that write would have left."""
        shutil.copytree(self._kept / f"{strike}-{moment}", folder)
        return folder

    def each_state(self) -> list[tuple[int, str]]:
        """A write and a moment for each state of the folder, with a file aside where it can.

        Of each kind of file some are half aside, and the last one is there as a whole; one that is
        written once is struck at both.
        """
        last = [n for n in last_of_each_kind(self.writes) if not self._is_removal(n)]
        whole = [(number, "before") for number in last]
        once = [(n, "during") for n in last if self.writes.count(self.writes[n]) == 1]
        numbers = range(len(self.writes))
        others = [(number, moment) for moment in _LAST_IS_AFTER for number in numbers]
        return [*whole, *once, *self._distinct(others, [*whole, *once])]

    def one_moment_each(self) -> list[tuple[int, str]]:
        """Every write from the first trial on, before, during or after it, one after the other.

        What comes before the first trial is the same in all searches: one is struck of each kind
        that is not written later. Where two leave the same state, the one with a file aside counts.
        """
        first = self.writes.index("trial.json")
        strikes = [
            (number, MOMENTS[number % 3])
            for number, name in enumerate(self.writes)
            if number >= first or name not in self.writes[first:]
        ]
        strikes.sort(key=lambda strike: _LAST_IS_AFTER.index(strike[1]))
        return sorted(self._distinct(strikes))

    def _is_removal(self, number: int) -> bool:
        return self.writes[number].startswith("removal of ")

    def _distinct(
        self, strikes: Iterable[tuple[int, str]], others: Iterable[tuple[int, str]] = ()
    ) -> list[tuple[int, str]]:
        """Those that leave different states of the folder, none of them a state of `others`.

        Before a write all is as it was after the one before, but for what is written aside.
        """
        seen = {self._state(*strike) for strike in others}
        chosen = []
        for strike in strikes:
            if (state := self._state(*strike)) not in seen:
                seen.add(state)
                chosen.append(strike)
        return chosen

    def _state(self, strike: int, moment: str) -> frozenset[tuple[str, bytes]]:
        """The files of such a copy but for what was written aside, which a resumed run removes."""
        copy = self._kept / f"{strike}-{moment}"
        files = (path for path in copy.rglob("*") if path.is_file())
        return frozenset(
            (str(path.relative_to(copy)), path.read_bytes())
            for path in files
            if ".part" not in path.name
        )

    def _is_of_others(self, path: object) -> bool:
        inside = str(path).startswith(str(self._folder))
        return not inside or Path(str(path)).name.startswith(".lock")

    def _copy(self, moment: str) -> Path:
        # A killed process holds no lock.
        left_out = shutil.ignore_patterns(".lock*")
        copy = self._kept / f"{len(self.writes) - 1}-{moment}"
        shutil.copytree(self._folder, copy, ignore=left_out)
        return copy

    def _replaced(self, source: str | Path, target: str | Path) -> None:
        if self._is_of_others(target):
            return self._replace(source, target)
        self.writes.append(Path(target).name)
        self._copy("before")
        # The bytes written aside were only half on disk, and never got their name.
        aside = self._copy("during") / Path(source).relative_to(self._folder)
        os.truncate(aside, aside.stat().st_size // 2)
        self._replace(source, target)
        self._copy("after")

    def _unlinked(self, path: str | Path, **options: int) -> None:
        if self._is_of_others(path) or not os.path.lexists(path):
            return self._unlink(path, **options)
        self.writes.append(f"removal of {Path(path).name}")
        self._copy("before")
        self._unlink(path, **options)
        for moment in ("during", "after"):
            self._copy(moment)


def last_of_each_kind(writes: list[str]) -> list[int]:
    """The position of the last write of each file's name."""
    return sorted({name: position for position, name in enumerate(writes)}.values())
