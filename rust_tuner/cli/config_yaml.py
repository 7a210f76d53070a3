"""Reads a configuration file with PyYAML into its keys, values and lines.

Values stay as they are written, like those of the command line: YAML would read `1e-7` as text,
`010` as 8 and `8:30` as 510. No object of any tag is ever made.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path

import yaml

from rust_tuner.cli.config_entry import ConfigError, Entry
from rust_tuner.errors import RecordError
from rust_tuner.files import read_whole

_LARGEST_FILE = 1 << 16
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "str", "timestamp")}
_LIST = "tag:yaml.org,2002:seq"
_NULL = "tag:yaml.org,2002:null"


def read_entries(path: Path, commands: set[str]) -> list[Entry]:
    """All options of a configuration file, in its order.

    Args:
        path: the file.
        commands: the names that a section may have.

    Raises:
        ConfigError: for what is not such a file, and for duplicate keys.
    """
    root = _root(path)
    if root is None or root.tag == _NULL:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(path, _line(root), "expected lines such as `folds: 3`")
    entries: list[Entry] = []
    for key, line, node in _pairs(path, root, ""):
        # The commands of a group, such as `cache list`, are nested or have one name.
        groups = {name.split()[0] for name in commands if " " in name}
        if not isinstance(node, yaml.MappingNode):
            # A section whose options are all commented out has none.
            if node.tag != _NULL or key not in commands | groups:
                entries.append(_entry(path, key, line, node, None))
            continue
        if key in groups:
            for inner, inner_line, below in _pairs(path, node, f"{key}: "):
                section = f"{key} {inner}"
                if section not in commands or not isinstance(below, yaml.MappingNode):
                    raise ConfigError(path, inner_line, f"{key}: {inner} is not a command of {key}")
                entries += _section(path, section, below)
        elif key in commands:
            entries += _section(path, key, node)
        else:
            near = difflib.get_close_matches(key, sorted(commands), n=1)
            advice = f"did you mean {near[0]}?" if near else "see rust-tuner --help"
            raise ConfigError(path, line, f"{key} is not a command; {advice}")
    return entries


def _root(path: Path) -> yaml.Node | None:
    try:
        text = read_whole(path, most=_LARGEST_FILE).decode("utf-8-sig")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError as error:
        raise ConfigError(path, None, "no such file") from error
    except RecordError as error:
        raise ConfigError(path, None, str(error).removeprefix(f"{path} ")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, None, "is not UTF-8 text; save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        fault = error.problem or error.context or "cannot be read"
        raise ConfigError(path, line, f"is not valid YAML: {fault}") from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
        raise ConfigError(path, None, f"is not valid YAML: {reason}") from error


def _section(path: Path, section: str, node: yaml.MappingNode) -> Iterator[Entry]:
    for key, line, below in _pairs(path, node, f"{section}: "):
        yield _entry(path, key, line, below, section)


def _pairs(path: Path, node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, int, yaml.Node]]:
    """Key, line and value of a mapping's pairs; a duplicate key is refused."""
    first: dict[str, int] = {}
    for key, value in node.value:
        line = _line(key)
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(path, line, "expected the name of an option before the colon")
        name = str(key.value)
        if name in first:
            raise ConfigError(
                path, line, f"{prefix}{name} is also in line {first[name]}; remove one of them"
            )
        first[name] = line
        yield name, line, value


def _entry(path: Path, key: str, line: int, node: yaml.Node, section: str | None) -> Entry:
    is_list = isinstance(node, yaml.SequenceNode)
    # A list with a tag of its own is refused like any other value of a strange kind.
    items = node.value if is_list and node.tag == _LIST else [node]
    texts = []
    for item in items:
        is_plain = isinstance(item, yaml.ScalarNode) and item.tag in (*_PLAIN, _NULL)
        if not is_plain:
            name = key if section is None else f"{section}: {key}"
            raise ConfigError(path, _line(item), f"{name}: expected a value, or a list of values")
        texts.append("" if item.tag == _NULL else str(item.value))
    return Entry(key, line, section, tuple(texts), is_list)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
