"""Collects the faults of a table, so that one error lists them all."""

import re
from dataclasses import dataclass, field

from rust_tuner.errors import Fault, ManifestError, Message, private

MAX_FAULTS_SHOWN = 50
# A cell may hold very long text.
_MAX_CHARACTERS = 20_000
# What stands in cells of scores and views, right or wrong. Anything else may have slipped there
# from another column.
_HARMLESS = re.compile(
    r"[+-]?\d{1,2}([.,/-]\d{1,2})?\??|[ap]\.?[ap]\.?|lat(eral)?|x|\?|", re.IGNORECASE
)
# A name with digits, or that ends as a file, may be a value: a table without a header.
_LIKE_A_VALUE = re.compile(
    r"\d{5}|\d{4}[-./]\d|\d[-./]\d{1,2}[-./]\d|\.(png|jpe?g|tiff?|dcm|dicom)$", re.IGNORECASE
)


def value_shown(value: object) -> str:
    """A cell of scores or views for a message, marked as private unless it is a short number."""
    text = str(value)
    return text if _HARMLESS.fullmatch(text.strip()) else private(text)


def name_shown(name: str) -> str:
    """A name of a column or sheet in quotes, marked as private if it looks like a value."""
    return private(repr(name)) if is_like_a_value(name) else repr(name)


def is_like_a_value(name: str) -> bool:
    """Whether the name of a column or sheet looks like a value: a date, an id or a file."""
    return _LIKE_A_VALUE.search(name) is not None


@dataclass
class Faults:
    """The faults found so far, each with its file and row.

    Attributes:
        source: the name in messages unless a fault gives another: a file's name, or `table` for a
            table in memory.
    """

    source: str
    _found: list[tuple[bool, Fault]] = field(default_factory=list)

    def __len__(self) -> int:
        """The number of faults."""
        return len(self._found)

    def add(
        self,
        fault: str,
        *,
        row: int | None = None,
        column: str | None = None,
        source: str | None = None,
        grave: bool = False,
    ) -> None:
        """Add one fault.

        Args:
            fault: what was found, what was expected and how to fix it, on one line; values that
                may say who a patient is are marked by `errors.private`.
            row: the row as a spreadsheet shows it, from 1; None for the file as a whole.
            column: the column's name; None for a row or the file as a whole.
            source: the file, if not the default one.
            grave: whether to list it before all that are not.
        """
        name = self.source if source is None else source
        if len(fault) > _MAX_CHARACTERS:
            half = _MAX_CHARACTERS // 2
            fault = f"{fault[:half]} ... {fault[-half:]}"
        self._found.append((not grave, Fault(name, row, column, Message(fault))))

    def raise_any(self) -> None:
        """Raise all faults together, one line each, in the order of files and rows.

        Raises:
            ManifestError: if there are faults; of a long list only the first 50 are printed.
        """
        if not self._found:
            return
        files = list(dict.fromkeys(fault.source for _, fault in self._found))

        def position(entry: tuple[bool, Fault]) -> tuple[bool, int, int]:
            is_light, fault = entry
            return is_light, files.index(fault.source), -1 if fault.row is None else fault.row

        ordered = [fault for _, fault in sorted(self._found, key=position)]
        lines = [fault.marked for fault in ordered[:MAX_FAULTS_SHOWN]]
        hidden = len(ordered) - len(lines)
        if hidden:
            lines.append(f"and {hidden} more {'fault' if hidden == 1 else 'faults'}")
        raise ManifestError("\n".join(lines), ordered)
