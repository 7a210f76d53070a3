"""A process that dies at a write of state, without the process: what kill -9 leaves on the disk."""

import os
from pathlib import Path


class Killed(BaseException):
    """Stands for kill -9: nothing that cleans up may run after it."""


class Killer:
    """Counts the writes and removals below a folder, and strikes at one of them."""

    def __init__(self, folder, monkeypatch, strike=None, moment="before"):
        self.folder = str(folder)
        self.strike = strike
        self.moment = moment
        self.writes = []
        self.dead = False
        self._replace, self._unlink = os.replace, os.unlink
        monkeypatch.setattr(os, "replace", self.replace)
        monkeypatch.setattr(os, "unlink", self.unlink)

    def replace(self, source, target):
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

    def unlink(self, path, **kwargs):
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

    def _count(self, name, moment):
        self.writes.append(name)
        if self._is_now(moment):
            self._die()

    def _is_now(self, moment):
        return len(self.writes) - 1 == self.strike and self.moment == moment and not self.dead

    def _die(self):
        self.dead = True
        raise Killed
