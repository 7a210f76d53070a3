"""The exceptions that `rust_tuner` raises, all under one root.

RustTunerError
├── LabelError            an invalid score, view or label vector
├── ManifestError         a manifest with faulty rows or columns
├── ImageError            a radiograph that cannot be decoded
├── ProtocolError         a scientific choice outside its range
├── SplitError            a split that cannot be made, or does not match its file
├── WeightsError          backbone weights that are unavailable or do not fit
├── MetricError           a figure that is undefined for the data it was given
├── StorageError          a file that cannot be written, such as on a full disk
├── RecordError           a file of a study that is damaged or of another kind
├── ExtraError            an optional package that is needed and not installed
├── TimeBudgetError       work that ended at a pause, because its time budget is spent
├── LockedError           a folder that another process is using
└── SearchError           a search that cannot start or continue
    ├── TrialError      a trial that cannot be scored; the search continues without it
    ├── SpaceError        a search space that changed, or asks for what is not allowed
    ├── ResumeError       a project folder that does not belong to this search
    └── UnknownArgumentError  an argument of search that it does not have
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class RustTunerError(Exception):
    """Root of every error that the package raises on purpose."""


class LabelError(RustTunerError, ValueError):
    """A score, view or label vector is outside its range."""


@dataclass(frozen=True)
class Fault:
    """One fault of a manifest.

    Attributes:
        source: the file's name, or `table` for a table in memory.
        row: as a spreadsheet shows it, from 1; None for the file as a whole.
        column: its name; None if the fault is of a row or of the file as a whole.
        message: what was found, what was expected and how to fix it, on one line.
    """

    source: str
    row: int | None
    column: str | None
    message: str

    def __str__(self) -> str:
        """The fault with its place, as the error's message lists it."""
        place = self.source if self.row is None else f"{self.source} row {self.row}"
        return f"{place}: {self.message}"


class ManifestError(RustTunerError, ValueError):
    """A manifest is invalid; the message lists the first faults with their rows and columns.

    Attributes:
        faults: all of them, in the order of the message; empty if the file is no table at all.
    """

    def __init__(self, message: str, faults: Iterable[Fault] = ()) -> None:
        """The message for people, and the faults for programs."""
        super().__init__(message)
        self.faults = tuple(faults)


class ImageError(RustTunerError, ValueError):
    """A radiograph cannot be decoded; the message names file and row."""


class ProtocolError(RustTunerError, ValueError):
    """A scientific choice is outside its range."""


class SplitError(RustTunerError, ValueError):
    """A split cannot be made, or does not match its file."""


class WeightsError(RustTunerError, ValueError):
    """Backbone weights are unavailable, or do not fit the architecture."""


class MetricError(RustTunerError, ValueError):
    """A figure is undefined for the data it was given."""


class StorageError(RustTunerError, OSError):
    """A file cannot be written; files written earlier are intact."""


class RecordError(RustTunerError, ValueError):
    """A file of a study is damaged, or is not what its name says.

    Attributes:
        path: the file, if known.
    """

    path: Path | None = None

    @classmethod
    def of(cls, path: Path, fault: str, *, mend: str = "restore or remove it") -> Self:
        """Build the error for one file: what is wrong with it, and what to do about it."""
        error = cls(f"{path} {fault}; {mend}")
        error.path = path
        return error


class TimeBudgetError(RustTunerError, RuntimeError):
    """The time budget is spent; what is done is recorded, and the same call resumes it."""


class ExtraError(RustTunerError, ImportError):
    """An optional package is missing; the message says how to install it."""


class LockedError(RustTunerError, RuntimeError):
    """A folder is in use by another process; the message names it."""


class SearchError(RustTunerError, RuntimeError):
    """A search cannot start or continue."""


class TrialError(SearchError):
    """A trial cannot be scored; it is recorded as failed and the search continues."""


class SpaceError(SearchError):
    """A search space changed during the search, or a model asks for what is not allowed."""


class ResumeError(SearchError):
    """A project folder does not belong to the search that wants to resume it."""


class UnknownArgumentError(SearchError, TypeError):
    """An argument of `search` that it does not have."""
