"""A worker's side of the display: how far it is with its trial, in a file that others read."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rust_tuner.interrupts import raise_if_interrupted
from rust_tuner.records.worker_note import (
    note_of_this_process,
    remove_worker_note,
    write_worker_note,
)

# Each note is a file that is written and synced, perhaps over a network.
_SECONDS_BETWEEN_NOTES = 5.0


class Heartbeat:
    """A task that counts the epochs of a trial, and notes their number from time to time."""

    def __init__(self, folder: Path, epochs: int, also: Callable[[], None]) -> None:
        """Note that this process trains a trial.

        Args:
            folder: of the trial.
            epochs: of all its folds together.
            also: called after each epoch.
        """
        self._folder = folder
        self._note = note_of_this_process(folder.name.removeprefix("trial_"), epochs)
        self._done = 0
        # The clock may be set back.
        self._noted = time.monotonic()
        self._also = also
        write_worker_note(folder, self._note)

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        """Count epochs that were trained."""
        raise_if_interrupted()
        self.skip(steps)

    def skip(self, steps: int) -> None:
        """Count epochs that an earlier run trained."""
        self._done = min(self._done + steps, self._note.epochs)
        now = time.monotonic()
        if now - self._noted >= _SECONDS_BETWEEN_NOTES:
            self._noted = now
            self._note = self._note.with_changes(seen=time.time(), done=self._done)
            write_worker_note(self._folder, self._note)
        self._also()

    def expect(self, total: int) -> None:
        """Do nothing: the number of epochs is known."""


@contextlib.contextmanager
def heartbeat(folder: Path, epochs: int, also: Callable[[], None]) -> Iterator[Heartbeat]:
    """A `Heartbeat` while the block runs; a block that is killed leaves its note behind."""
    try:
        yield Heartbeat(folder, epochs, also)
    finally:
        remove_worker_note(folder)
