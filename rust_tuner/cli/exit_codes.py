"""The exit codes of `rust-tuner`: one table, for the help, the documentation and the commands."""

import textwrap
from enum import IntEnum


class ExitCode(IntEnum):
    """What the command's process ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130
    # As a shell reports a process that SIGTERM ended.
    TERMINATED = 143


# What each code means, in the order of the table.
MEANINGS = {
    ExitCode.DONE: "done; also if the time budget is spent, and what is left is printed",
    ExitCode.FAILED: "an error, with a message; check found a fault; a question was answered no",
    ExitCode.USAGE: "a command, option, argument or line of the configuration file that does not "
    "exist or is out of range; nothing was started",
    ExitCode.INTERRUPTED: "ended by Ctrl-C; run the same command again to resume",
    ExitCode.TERMINATED: "ended by SIGTERM; run the same command again to resume",
}
_WIDTH = 76


def exit_code_rows() -> list[tuple[str, str]]:
    """The codes and their meanings, as text."""
    return [(str(int(code)), meaning) for code, meaning in MEANINGS.items()]


def exit_code_help() -> str:
    """The table, as the end of a help text that is not wrapped again."""
    lines = ["\b", "Exit codes:"]
    for code, meaning in exit_code_rows():
        lines += textwrap.wrap(
            meaning, _WIDTH, initial_indent=f"  {code:<5}", subsequent_indent=" " * 7
        )
    return "\n".join(lines)
