"""One option of a configuration file, and the error for one that is wrong."""

from dataclasses import dataclass
from pathlib import Path

import typer


class ConfigError(typer.BadParameter):
    """A configuration file is wrong; the message names file, line and key."""

    def __init__(self, path: Path, line: int | None, fault: str) -> None:
        """Say where it is, and what is wrong."""
        position = f"{path}" if line is None else f"{path} line {line}"
        super().__init__(f"{position}: {fault}")

    def format_message(self) -> str:
        """The message alone: the place is in it."""
        return self.message


@dataclass(frozen=True)
class Entry:
    """One option of a configuration file.

    Attributes:
        key: the option's long name without dashes.
        line: where it is, from 1.
        section: the command whose section it is in; None for all commands that have the option.
        texts: its value, or the items of a list, as written.
        is_list: whether it is a list.
    """

    key: str
    line: int
    section: str | None
    texts: tuple[str, ...]
    is_list: bool
