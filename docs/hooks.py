"""Fills the reference pages from the package itself while MkDocs builds the site.

`<!-- commands -->` becomes every command of `rust-tuner` with its options, `<!-- exit codes -->`
the table of exit codes, `<!-- metrics -->` every public name of `rust_tuner.metrics`,
`<!-- errors -->` every exception. So the pages cannot differ from the package. None
of this needs TensorFlow.
"""

import inspect
from html import escape
from itertools import groupby
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each marker of a page by what it stands for; MkDocs calls it for every page."""
    for marker, fill in (
        ("commands", commands),
        ("exit codes", exit_codes),
        ("metrics", metrics),
        ("errors", errors),
    ):
        if f"<!-- {marker} -->" in markdown:
            markdown = markdown.replace(f"<!-- {marker} -->", fill())
    return markdown


def commands() -> str:
    """Every command of `rust-tuner`: usage, what it does, arguments and options."""
    import typer

    from rust_tuner.cli.app import app

    group: Any = typer.main.get_command(app)
    parent = group.make_context("rust-tuner", [], resilient_parsing=True)
    named = []
    for name, command in group.commands.items():
        # The commands of a group, such as `cache list`, are listed under both names.
        below = getattr(command, "commands", None)
        named += (
            [(name, command)] if below is None else [(f"{name} {i}", c) for i, c in below.items()]
        )
    parts = []
    for name, command in named:
        context = command.make_context(name, [], parent=parent, resilient_parsing=True)
        usage = " ".join(["rust-tuner", name, *command.collect_usage_pieces(context)])
        records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
        # As HTML, since help texts hold characters that mean something in Markdown.
        rows = [
            f"<tr><td><code>{escape(record[0])}</code></td><td>{escape(record[1])}</td></tr>"
            for record in records
            if record is not None and record[0] != "--help"
        ]
        text = inspect.cleandoc(command.help or "")
        parts += [f"## {name}", f"```text\n{usage}\n```", text]
        parts += ["\n".join(["<table>", *rows, "</table>"])] if rows else []
    return "\n\n".join(parts)


def exit_codes() -> str:
    """The table of exit codes."""
    from rust_tuner.cli.exit_codes import exit_code_rows

    rows = [f"| {code} | {meaning} |" for code, meaning in exit_code_rows()]
    return "\n".join(["| exit code | meaning |", "|---|---|", *rows])


def metrics() -> str:
    """Every public name of `rust_tuner.metrics`, under the first sentence of its module."""
    from rust_tuner import metrics as room

    homes: dict[str, Any] = {name: inspect.getmodule(getattr(room, name)) for name in room.__all__}
    parts = []
    names = sorted(homes, key=lambda name: (homes[name].__name__, name))
    for home, members in groupby(names, key=homes.__getitem__):
        parts.append(f"## {inspect.cleandoc(home.__doc__).splitlines()[0].rstrip('.')}")
        parts += [
            f"::: {home.__name__}.{name}\n    options: {{heading_level: 3}}" for name in members
        ]
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
