"""Collects the faults of a table, so that one error lists them all."""

from dataclasses import dataclass, field

from rust_tuner.errors import ManifestError

MAX_FAULTS_SHOWN = 50
# A cell may hold very long text.
_MAX_CHARACTERS = 20_000


@dataclass
class Faults:
    """The faults found so far, each with its file and row.

    Attributes:
        source: the name in messages unless a fault gives another: a file's name, or `table` for a
            table in memory.
    """

    source: str
    _found: list[tuple[bool, str, int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """The number of faults."""
        return len(self._found)

    def add(
        self,
        fault: str,
        *,
        row: int | None = None,
        source: str | None = None,
        grave: bool = False,
    ) -> None:
        """Add one fault.

        Args:
            fault: what was found, what was expected and how to fix it, on one line.
            row: the row as a spreadsheet shows it, from 1; None for the file as a whole.
            source: the file, if not the default one.
            grave: whether to list it before all that are not.
        """
        name = self.source if source is None else source
        where = name if row is None else f"{name} row {row}"
        if len(fault) > _MAX_CHARACTERS:
            half = _MAX_CHARACTERS // 2
            fault = f"{fault[:half]} ... {fault[-half:]}"
        self._found.append((not grave, name, -1 if row is None else row, f"{where}: {fault}"))

    def raise_any(self) -> None:
        """Raise all faults together, one line each, in the order of files and rows.

        Raises:
            ManifestError: if there are faults; of a long list only the first 50 are printed.
        """
        if not self._found:
            return
        files = list(dict.fromkeys(name for _, name, _, _ in self._found))
        ordered = sorted(self._found, key=lambda fault: (fault[0], files.index(fault[1]), fault[2]))
        lines = [line for *_, line in ordered[:MAX_FAULTS_SHOWN]]
        hidden = len(ordered) - len(lines)
        if hidden:
            lines.append(f"and {hidden} more {'fault' if hidden == 1 else 'faults'}")
        raise ManifestError("\n".join(lines))
