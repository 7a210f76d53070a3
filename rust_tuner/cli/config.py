"""Options from a configuration file: `rust-tuner.yaml` in the study's folder, or `--config FILE`.

A key is the long name of an option without its dashes; a mapping under the name of a command holds
options of that command alone. The command line wins over the file, the file over the defaults, and
a command's own section over the rest of the file. Everything in the file is checked each time, also
what is for other commands. PyYAML reads it, and is imported only if there is such a file.
"""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from rust_tuner.cli.config_entry import ConfigError, Entry
from rust_tuner.cli.options import NUMBER_LISTS

CONFIG_FILE = "rust-tuner.yaml"
_NEAR_NAMES = ("rust-tuner.yml", "rust_tuner.yaml", "rust_tuner.yml")

# Each is one act of the user, and would be repeated with every run if a file had it.
_ACTS = {
    "look-again": "another look at the hold-out set is asked for on the command line",
    "yes": "a confirmation is given on the command line",
    "config": "the file is chosen on the command line",
    "help": "it is not a setting",
    "version": "it is not a setting",
}
# Texts that may be paths, with the values that are none.
_PATHS_OR_NAMES = {"weights": ("imagenet", "random", "phantoms")}
_YES_OR_NO = {
    **dict.fromkeys(("yes", "true", "on"), True),
    **dict.fromkeys(("no", "false", "off"), False),
}


@dataclass(frozen=True)
class Config:
    """A configuration file that was read and checked.

    Attributes:
        path: the file.
        values: for each command by its name, the value and the line of each parameter by name.
    """

    path: Path
    values: Mapping[str, Mapping[str, tuple[Any, int]]]

    def of(self, command: str) -> Mapping[str, tuple[Any, int]]:
        """The parameters of one command."""
        return self.values.get(command, {})


def find_config(study: Path | None, given: Path | None) -> Path | None:
    """The configuration file: the given one, else that of the study's folder, if there is one.

    Raises:
        ConfigError: if the given file does not exist, or one of the study has nearly the name.
    """
    if given is not None:
        if not os.path.isfile(given):
            raise ConfigError(given, None, "no such file; check --config")
        return given
    if study is None:
        return None
    path = study / CONFIG_FILE
    try:
        if os.path.lexists(path):
            return path
        near = next((study / name for name in _NEAR_NAMES if (study / name).is_file()), None)
    except OSError as error:
        raise ConfigError(
            path, None, f"cannot be looked for ({error.strerror or error})"
        ) from error
    if near is not None:
        raise ConfigError(near, None, f"is not read; rename it to {CONFIG_FILE}")
    return None


def load_config(path: Path, root: typer.Context) -> Config:
    """Read a configuration file and check all of it.

    Args:
        path: the file.
        root: the context of `rust-tuner` itself, whose commands are known.

    Raises:
        ConfigError: for what cannot be read, unknown keys, wrong values and duplicates.
    """
    from rust_tuner.cli.config_yaml import read_entries

    commands = dict(commands_of(root))
    values: dict[str, dict[str, tuple[Any, int]]] = {name: {} for name in commands}
    entries = read_entries(path, set(commands))
    lines: dict[tuple[str | None, str, str], int] = {}
    # Sections come last, and so win over what is for all commands.
    for entry in sorted(entries, key=lambda entry: entry.section is not None):
        if entry.key in _ACTS:
            raise _error(path, entry, f"does not belong in a file: {_ACTS[entry.key]}")
        chosen = commands if entry.section is None else {entry.section: commands[entry.section]}
        fitting = {
            name: option
            for name, command in chosen.items()
            if (option := _options(command).get(entry.key)) is not None
        }
        if not fitting:
            raise _error(path, entry, _unknown(entry, commands))
        faults = []
        for name, option in fitting.items():
            context = typer.Context(commands[name], info_name=name, parent=root)
            key = (entry.section, name, str(option.name))
            if lines.setdefault(key, entry.line) != entry.line:
                fault = f"is another name of the option in line {lines[key]}; remove one of them"
                raise _error(path, entry, fault)
            try:
                value = _value(entry, option, path.parent, context)
            except typer.BadParameter as fault:
                faults.append(fault.message)
                continue
            values[name][str(option.name)] = (value, entry.line)
        # An option may differ between commands, and the file may be meant for some of them only.
        if len(faults) == len(fitting):
            raise _error(path, entry, faults[0])
    return Config(path, values)


def commands_of(root: Any) -> Iterator[tuple[str, TyperCommand]]:
    """The commands by name; those of a group, such as `cache list`, have the group's name first."""
    for name, command in getattr(root.command, "commands", {}).items():
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
        else:
            yield from ((f"{name} {inner}", item) for inner, item in below.items())


def _options(command: TyperCommand) -> dict[str, TyperOption]:
    """The options of a command by each of their long names."""
    return {
        name.removeprefix("--"): option
        for option in command.params
        if isinstance(option, TyperOption)
        for name in option.opts
        if name.startswith("--")
    }


def _value(entry: Entry, option: TyperOption, folder: Path, context: typer.Context) -> Any:
    """The value as the command line would have it.

    Raises:
        BadParameter: if it is not of the option's kind.
    """
    if not entry.texts or not all(entry.texts):
        raise typer.BadParameter("has no value; give one, or remove the line for the default")
    if option.is_flag:
        if entry.is_list or entry.texts[0].lower() not in _YES_OR_NO:
            raise typer.BadParameter(f"{_shown(entry)}; expected yes or no")
        return _YES_OR_NO[entry.texts[0].lower()]
    if entry.is_list and not option.multiple and option.name not in NUMBER_LISTS:
        raise typer.BadParameter(f"{_shown(entry)}; expected one value, not a list")
    given: Any = tuple(entry.texts) if option.multiple else ",".join(entry.texts)
    try:
        value = option.process_value(context, given)
    except typer.BadParameter as error:
        fault = error.message.removeprefix("Value error, ").rstrip(".")
        if not any(text in fault for text in entry.texts):
            fault = f"{_shown(entry)}; {fault[0].lower()}{fault[1:]}"
        raise typer.BadParameter(fault) from error
    if isinstance(value, Path):
        return str(_beside(folder, str(given)))
    if isinstance(value, list | tuple) and any(isinstance(item, Path) for item in value):
        return tuple(str(_beside(folder, text)) for text in entry.texts)
    names = _PATHS_OR_NAMES.get(str(option.name))
    if names is not None and given not in names:
        return str(_beside(folder, str(given)))
    return given


def _beside(folder: Path, text: str) -> Path:
    """A path of the file; a relative one begins at the file's folder."""
    return folder / os.path.expanduser(text)


def _unknown(entry: Entry, commands: Mapping[str, TyperCommand]) -> str:
    """What is wrong with a key that no command, or not that of its section, has."""
    with_it = [name for name, command in commands.items() if entry.key in _options(command)]
    if with_it:
        others = ", ".join(with_it)
        return f"is not an option of {entry.section}; it is one of {others}"
    if entry.section is None and any(name.split()[0] == entry.key for name in commands):
        return "is a command; put its options below it, each on an indented line"
    keys = set() if entry.section is not None else set(commands)
    for name, command in commands.items():
        if entry.section in (None, name):
            keys |= set(_options(command)) - set(_ACTS)
            for option in command.params:
                if f"--{entry.key}" in option.secondary_opts:
                    opposite = option_name(option)
                    return f"is the opposite of {opposite}; write {opposite}: no"
    spelled = entry.key.lower().replace("_", "-").lstrip("-").replace(" ", "-")
    near = difflib.get_close_matches(spelled, sorted(keys), n=1)
    advice = f"did you mean {near[0]}?" if near else "see rust-tuner COMMAND --help"
    of = "any command" if entry.section is None else entry.section
    return f"is not an option of {of}; {advice}"


def option_name(option: Any) -> str:
    """The first long name of an option, without its dashes."""
    return next(str(name) for name in option.opts if name.startswith("--")).removeprefix("--")


def _error(path: Path, entry: Entry, fault: str) -> ConfigError:
    key = entry.key if entry.section is None else f"{entry.section}: {entry.key}"
    return ConfigError(
        path, entry.line, f"{key} {fault}" if fault[0].islower() else f"{key}: {fault}"
    )


def _shown(entry: Entry) -> str:
    return repr(entry.texts[0]) if not entry.is_list else f"[{', '.join(entry.texts)}]"


def config_options(taken: Mapping[str, tuple[Any, int]], params: Sequence[Any]) -> list[str]:
    """The options that were taken from a file, as they would be typed."""
    shown = []
    for param in params:
        if param.name not in taken:
            continue
        value, _ = taken[param.name]
        opposite = [name for name in param.secondary_opts if name.startswith("--")]
        if value is False:
            # Without an opposite, it only says what is the default.
            shown += opposite[:1]
            continue
        values = [""] if value is True else value if isinstance(value, tuple) else [value]
        shown += [f"--{option_name(param)} {item}".rstrip() for item in values]
    return shown


def config_value(value: Any) -> str:
    """A value as a configuration file would have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
