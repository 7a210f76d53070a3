"""The command `config`: which options a study's commands get, and from where."""

import re
from collections.abc import Mapping
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperOption

from rust_tuner.cli.command import config_of
from rust_tuner.cli.config import CONFIG_FILE, Config, commands_of, config_value, option_name
from rust_tuner.cli.options import StudyDirectory
from rust_tuner.cli.support import out, reporting, say
from rust_tuner.cli.verbosity import OF_ALL_COMMANDS

_DEFAULT = re.compile(r"\[default: (.*)\]")


def config(
    ctx: typer.Context,
    study: StudyDirectory,
    command: Annotated[
        str | None, typer.Argument(metavar="COMMAND", help="Show all options of this command.")
    ] = None,
) -> None:
    """Show the options that come from the configuration file.

    The file is STUDY/rust-tuner.yaml, or the one that --config names; all of it is checked. With
    the name of a command, all its options are shown with their values and where each comes from.
    Where a study was prepared or a search begun with other values than the defaults, these are kept
    unless an option is given.
    """
    with reporting():
        from rich.table import Table
        from rich.text import Text

        config_file = config_of(ctx)
        commands = dict(commands_of(ctx.find_root()))
        table = Table(box=None, pad_edge=False)
        if command is None:
            if config_file is None:
                say(f"{study} has no {CONFIG_FILE}")
                return
            for title in ("option", "value", "line", "commands"):
                table.add_column(title, overflow="fold")
            for in_file in _rows_of_file(config_file, commands):
                table.add_row(*map(Text, in_file))
        else:
            for title in ("option", "value", "from"):
                table.add_column(title, overflow="fold")
            for row in _rows_of_command(config_file, command, commands):
                table.add_row(*map(Text, row))
        out.print(table)


def _rows_of_file(
    config_file: Config, commands: Mapping[str, TyperCommand]
) -> list[tuple[str, str, str, str]]:
    """Each option of the file with its value and line, and the commands that it is for."""
    rows: dict[tuple[int, str], tuple[str, list[str]]] = {}
    for name, values in config_file.values.items():
        for param in commands[name].params:
            if param.name in values:
                value, line = values[param.name]
                option = option_name(param)
                rows.setdefault((line, option), (config_value(value), []))[1].append(name)
    return [
        (option, value, str(line), ", ".join(names))
        for (line, option), (value, names) in sorted(rows.items())
    ]


def _rows_of_command(
    config_file: Config | None, command: str, commands: Mapping[str, TyperCommand]
) -> list[tuple[str, str, str]]:
    """Each option of a command with its value, and where that comes from."""
    if command not in commands:
        names = ", ".join(commands)
        raise typer.BadParameter(f"{command!r}; expected one of {names}", param_hint="COMMAND")
    values = {} if config_file is None else config_file.of(command)
    rows = []
    for param in commands[command].params:
        if not isinstance(param, TyperOption) or param.rich_help_panel == OF_ALL_COMMANDS:
            continue
        if config_file is not None and param.name in values:
            value, line = values[param.name]
            row = (option_name(param), config_value(value), f"{config_file.path.name} line {line}")
        else:
            row = (option_name(param), _default_of(param), "default")
        rows.append(row)
    return rows


def _default_of(param: TyperOption) -> str:
    """The default as the help says it."""
    said = _DEFAULT.search(param.help or "")
    if said is not None:
        return said[1]
    if param.is_flag:
        return "yes" if param.default else "no"
    return "" if param.default is None else config_value(param.default)
