"""The class of every command of `rust-tuner`: configuration file, log, and groups of options.

What a command does is its function's; this is what is the same for all.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from rust_tuner.cli.config import Config, config_options, find_config, load_config
from rust_tuner.cli.config_entry import ConfigError
from rust_tuner.cli.consoles import err
from rust_tuner.cli.log_text import STUDY, log_options
from rust_tuner.cli.run_log import keeping_log
from rust_tuner.cli.shown_text import remember_typed
from rust_tuner.cli.verbosity import OF_ALL_COMMANDS, choose_of, was_chosen, with_options_of_all
from rust_tuner.console_progress import print_note

# Those that only read a study leave no trace in it.
_LOGGED = (
    *("demo", "prepare", "baselines", "regime1", "regime2", "nested", "noise", "check", "final"),
    *("study", "report", "export", "tensorboard"),
)
# They show a study even if it is damaged, and so also with a damaged configuration file.
_TOLERANT = ("status", "watch")
_DEMO_STUDY = "study"
_CONFIG = "rust_tuner.config"
_FROM_FILE, _TYPED = "DEFAULT_MAP", "COMMANDLINE"
# Typer does not name it.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


def _drop_what_was_typed_over(ctx: Any) -> None:
    """Leave out `verbose` of a file where `--quiet` was typed, and the other way round."""
    for name, other in (("quiet", "verbose"), ("verbose", "quiet")):
        is_typed = was_chosen(name) or source_of(ctx, name) == "typed"
        if is_typed and source_of(ctx, other) == "file":
            ctx.params[other] = False


class Command(TyperCommand):
    """A command of `rust-tuner`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the options of the configuration file as defaults of those of the command line."""
        config = None if ctx.resilient_parsing else self._config(ctx, args)
        if config is not None:
            ctx.meta[_CONFIG] = config
            values = config.of(command_name(ctx))
            ctx.default_map = {name: value for name, (value, _) in values.items()}
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, say what came from the configuration file, and keep the log."""
        _drop_what_was_typed_over(ctx)
        choose_of(ctx.params)
        remember_typed(ctx.params)
        config = config_of(ctx)
        if config is not None:
            options = config_options(_taken(ctx, config), self.params)
            if options:
                print_note(err, f"from {config.path}: {' '.join(options)}")
        with _logging(ctx):
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options by the groups that they belong to."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            is_argument = isinstance(param, TyperArgument)
            name = getattr(param, "rich_help_panel", None) or "Options"
            if param.name == "help":
                name = OF_ALL_COMMANDS
            sections.setdefault("Arguments" if is_argument else name, []).append(record)
        last = sections.pop(OF_ALL_COMMANDS, [])
        for name, records in (*sections.items(), (OF_ALL_COMMANDS, last)):
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def _config(self, ctx: Any, args: list[str]) -> Config | None:
        given = self._given(ctx, args)
        if given is None or given.get("help"):
            return None
        study, file = given.get("study"), given.get("config")
        try:
            path = find_config(
                None if study is None else Path(study), None if file is None else Path(file)
            )
            return None if path is None else load_config(path, ctx.find_root())
        except ConfigError as error:
            if file is None and ctx.info_name in _TOLERANT:
                print_note(err, f"note: {error.format_message()}", "yellow")
                return None
            raise

    def _given(self, ctx: Any, args: list[str]) -> Mapping[str, Any] | None:
        """What is on the command line; None if it is wrong, which is then reported as usual."""
        with contextlib.suppress(_USAGE_ERROR):
            given: Mapping[str, Any] = self.make_parser(ctx).parse_args(args=list(args))[0]
            return given
        return None


class App(typer.Typer):
    """An application whose commands are all of this class."""

    def command(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], Any]:
        """Register a command, with the options of all commands added to its own.

        Args:
            *args: as Typer takes them.
            **kwargs: likewise; `examples` are lines that the help ends with.
        """
        examples = kwargs.pop("examples", ())
        if examples:
            kwargs["epilog"] = "\n".join(["\b", "Examples:", *(f"  {line}" for line in examples)])
        register = super().command(*args, **{"cls": Command, **kwargs})

        def add(command: Callable[..., Any]) -> Callable[..., Any]:
            register(with_options_of_all(command))
            return command

        return add


def command_name(ctx: Any) -> str:
    """The name of a command, with that of its group, such as `cache list`."""
    is_below = ctx.parent is not None and ctx.parent is not ctx.find_root()
    return f"{ctx.parent.info_name} {ctx.info_name}" if is_below else str(ctx.info_name)


def config_of(ctx: Any) -> Config | None:
    """The configuration file that a command has read; None if there was none."""
    config: Config | None = ctx.meta.get(_CONFIG)
    return config


def source_of(ctx: Any, name: str) -> str:
    """Where a parameter comes from: `typed`, `file` or `default`."""
    source = ctx.get_parameter_source(name)
    return {_TYPED: "typed", _FROM_FILE: "file"}.get(getattr(source, "name", ""), "default")


def _taken(ctx: Any, config: Config) -> dict[str, tuple[Any, int]]:
    """What a command takes from the file: what the command line does not give."""
    values = config.of(command_name(ctx))
    return {name: value for name, value in values.items() if source_of(ctx, name) == "file"}


@contextlib.contextmanager
def _logging(ctx: Any) -> Iterator[None]:
    name = command_name(ctx)
    params: dict[str, Any] = ctx.params
    if name not in _LOGGED:
        yield
        return
    study = params["directory"] / _DEMO_STUDY if name == "demo" else params["study"]
    given = [
        (_typed_name(param, params[param.name]), params[param.name], source == "file")
        for param in ctx.command.params
        if param.name in params and isinstance(param, TyperOption)
        if (source := source_of(ctx, param.name)) != "default"
    ]
    options = " ".join(["rust-tuner", name, STUDY, log_options(given)]).strip()
    with keeping_log(study, name, options):
        yield


def _typed_name(param: TyperOption, value: object) -> str:
    opposite = [name for name in param.secondary_opts if name.startswith("--")]
    if value is False and opposite:
        return opposite[0]
    return next(name for name in param.opts if name.startswith("--"))
