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

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HIDDEN = "[hidden]"
# Around a private value in a text that is being put together; no text contains these two.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_PRIVATE = re.compile(f"{_BEGIN}([^{_END}]*){_END}?")
# A cell may hold very long text.
_LONGEST_VALUE = 4000


def private(value: object) -> str:
    """A value that may say who a patient is, marked as such for the message that it is put into."""
    text = str(value).replace(_BEGIN, "").replace(_END, "")
    if len(text) > _LONGEST_VALUE:
        half = _LONGEST_VALUE // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return f"{_BEGIN}{text}{_END}"


def marked(text: object) -> str:
    """The text of a message or an error with its marks, to put it into another message."""
    message = text.args[0] if isinstance(text, RustTunerError) and text.args else text
    return message.marked if isinstance(message, Message) else str(text)


class Message(str):
    """A text, which knows the private values in it: ids, visits, dates and names of files.

    Attributes:
        marked: the text with its marks.

    Examples:
        >>> message = Message(f"row 5: patient {private('Miller')} has two visits")
        >>> message, message.hiding_values()
        ('row 5: patient Miller has two visits', 'row 5: patient [hidden] has two visits')
    """

    marked: str

    def __new__(cls, marked: str) -> Self:
        """Take a text whose private values are marked by `private`."""
        marked = marked.marked if isinstance(marked, Message) else marked
        self = super().__new__(cls, _PRIVATE.sub(r"\1", marked).replace(_END, ""))
        self.marked = marked
        return self

    def hiding_values(self, shown: Callable[[str], str | None] = lambda value: None) -> str:
        """The text without its private values.

        Args:
            shown: what stands for a value all the same; None for nothing.
        """

        def instead(match: re.Match[str]) -> str:
            text = shown(match[1])
            return HIDDEN if text is None else text

        return _PRIVATE.sub(instead, self.marked).replace(_END, "")


class RustTunerError(Exception):
    """Root of every error that the package raises on purpose."""

    def __init__(self, *args: object) -> None:
        """The message, whose private values may be marked by `private`."""
        super().__init__(*(Message(arg) if isinstance(arg, str) else arg for arg in args))

    @property
    def without_values(self) -> str:
        """The message without what may say who a patient is: ids, visits, dates, names of files.

        The command line prints it in place of the whole message, unless it is verbose.
        """
        return Message(marked(self)).hiding_values()


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
        return f"{self._place}: {self.message}"

    @property
    def marked(self) -> str:
        """The same with its marks, see `private`."""
        return f"{self._place}: {marked(self.message)}"

    @property
    def without_values(self) -> str:
        """The same without what may say who a patient is."""
        return Message(self.marked).hiding_values()

    @property
    def _place(self) -> str:
        return self.source if self.row is None else f"{self.source} row {self.row}"


class ManifestError(RustTunerError, ValueError):
    """A manifest is invalid; the message lists the first faults with their rows and columns.

    Attributes:
        faults: all of them, in the order of the message; empty if the file is not a table.
    """

    def __init__(self, message: str, faults: Iterable[Fault] = ()) -> None:
        """The message for people, and the faults for programs."""
        super().__init__(message)
        self.faults = tuple(faults)


class ImageError(RustTunerError, ValueError):
    """A radiograph cannot be decoded; the message names file and row."""


class ProtocolError(RustTunerError, ValueError):
    """A scientific choice is outside its range.

    Attributes:
        field: its name; empty where several do not go together.
    """

    def __init__(self, message: str, field: str = "") -> None:
        """Say which choice is wrong, and how to mend it."""
        super().__init__(message)
        self.field = field


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
        error = cls(f"{path} {marked(fault)}; {mend}")
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
