"""Fills the reference pages from the package itself while MkDocs builds the site.

`<!-- commands -->` becomes every command of `rust-tuner` with its options, `<!-- metrics -->` every
public name of `rust_tuner.metrics`, `<!-- errors -->` every exception. So none of them can be out of
date. Neither needs TensorFlow.
"""

import inspect
from html import escape
from itertools import groupby
from typing import Any

_RENDERED = "    options: {heading_level: 3}"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each marker of a page by what it stands for; MkDocs calls it for every page."""
    for marker, fill in _FILLS.items():
        if f"<!-- {marker} -->" in markdown:
            markdown = markdown.replace(f"<!-- {marker} -->", fill())
    return markdown


def commands() -> str:
    """Every command of `rust-tuner`: usage, what it does, arguments and options."""
    import typer

    from rust_tuner.cli.app import app

    group: Any = typer.main.get_command(app)
    parent = group.make_context("rust-tuner", [], resilient_parsing=True)
    parts = []
    for name, command in group.commands.items():
        context = command.make_context(name, [], parent=parent, resilient_parsing=True)
        usage = " ".join(["rust-tuner", name, *command.collect_usage_pieces(context)])
        rows = [
            f"<tr><td><code>{escape(names)}</code></td><td>{escape(text)}</td></tr>"
            for names, text in map(_help_of(context), command.get_params(context))
            if names != "--help"
        ]
        # As HTML, since help texts hold characters that mean something in Markdown.
        table = ["<table>", *rows, "</table>"] if rows else []
        text = inspect.cleandoc(command.help or "")
        parts += [f"## {name}", f"```text\n{usage}\n```", text, "\n".join(table)]
    return "\n\n".join(parts)


def metrics() -> str:
    """Every public name of `rust_tuner.metrics`, under the first sentence of its module."""
    from rust_tuner import metrics as room

    homes = {name: inspect.getmodule(getattr(room, name)) for name in room.__all__}
    parts = []
    by_home = sorted(homes, key=lambda name: (homes[name].__name__, name))  # type: ignore[union-attr]
    for home, names in groupby(by_home, key=lambda name: homes[name]):
        assert home is not None
        parts.append(f"## {(home.__doc__ or '').splitlines()[0].rstrip('.')}")
        parts += [f"::: {home.__name__}.{name}\n{_RENDERED}" for name in names]
    return "\n\n".join(parts)


def errors() -> str:
    """The tree of exceptions, then each of them."""
    from rust_tuner import errors as room

    names = [
        name
        for name, value in vars(room).items()
        if inspect.isclass(value) and value.__module__ == room.__name__
    ]
    tree = f"```text\n{inspect.getdoc(room)}\n```"
    return "\n\n".join([tree, *(f"::: rust_tuner.errors.{name}" for name in names)])


def _help_of(context: Any) -> Any:
    return lambda parameter: parameter.get_help_record(context) or ("", "")


_FILLS.items():
        if f"<!-- {marker} -->" in markdown:
            markdown = markdown.replace(f"<!-- {marker} -->", fill())
    return markdown


def commands() -> str:
    """Every command of `rust-tuner`: usage, what it does, arguments and options."""
    import typer

    from rust_tuner.cli.app import app

    group: Any = typer.main.get_command(app)
    parent = group.make_context("rust-tuner", [], resilient_parsing=True)
    parts = []
    for name, command in group.commands.items():
        context = command.make_context(name, [], parent=parent, resilient_parsing=True)
        usage = " ".join(["rust-tuner", name, *command.collect_usage_pieces(context)])
        rows = [
            f"<tr><td><code>{escape(names)}</code></td><td>{escape(text)}</td></tr>"
            for names, text in map(_help_of(context), command.get_params(context))
            if names != "--help"
        ]
        # As HTML, since help texts hold characters that mean something in Markdown.
        table = ["<table>", *rows, "</table>"] if rows else []
        text = inspect.cleandoc(command.help or "")
        parts += [f"## {name}", f"```text\n{usage}\n```", text, "\n".join(table)]
    return "\n\n".join(parts)


def metrics() -> str:
    """Every public name of `rust_tuner.metrics`, under the first sentence of its module."""
    from rust_tuner import metrics as room

    homes = {name: inspect.getmodule(getattr(room, name)) for name in room.__all__}
    parts = []
    by_home = sorted(homes, key=lambda name: (homes[name].__name__, name))  # type: ignore[union-attr]
    for home, names in groupby(by_home, key=lambda name: homes[name]):
        assert home is not None
        parts.append(f"## {(home.__doc__ or '').splitlines()[0].rstrip('.')}")
        parts += [f"::: {home.__name__}.{name}\n{_RENDERED}" for name in names]
    return "\n\n".join(parts)


def errors() -> str:
    """The tree of exceptions, then each of them."""
    from rust_tuner import errors as room

    names = [
        name
        for name, value in vars(room).items()
        if inspect.isclass(value) and value.__module__ == room.__name__
    ]
    tree = f"```text\n{inspect.getdoc(room)}\n```"
    return "\n\n".join([tree, *(f"::: rust_tuner.errors.{name}" for name in names)])


def _help_of(context: Any) -> Any:
    return lambda parameter: parameter.get_help_record(context) or ("", "")


def _cell(text: str) -> str:
    """Text as one cell of a table; nothing of it is markup."""
    return re.sub(r"([|\[\]<>*_`\\])", r"\\\1", " ".join(text.split()))


_FILLS = {"commands": commands, "metrics": metrics, "errors": errors}
