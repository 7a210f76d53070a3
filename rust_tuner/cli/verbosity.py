"""What all commands take: `--quiet` and `--verbose`, also before the command's name; `--config`."""

import functools
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from rust_tuner.cli.consoles import err

OF_ALL_COMMANDS = "Options of all commands"

Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print results and errors only, no notes or progress.",
        rich_help_panel=OF_ALL_COMMANDS,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Also print values that are hidden otherwise, TensorFlow's own lines, debug messages "
        "and tracebacks.",
        rich_help_panel=OF_ALL_COMMANDS,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Read options from this YAML file.  [default: STUDY/rust-tuner.yaml, if it exists]",
        rich_help_panel=OF_ALL_COMMANDS,
    ),
]

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "quiet": (Quiet, False),
    "verbose": (Verbose, False),
    "config": (Config, None),
}
_chosen = {"quiet": False, "verbose": False}


def choose(*, quiet: bool, verbose: bool) -> None:
    """Set how much is printed from now on.

    Raises:
        typer.BadParameter: for both at once.
    """
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose exclude each other; give one of them")
    _chosen.update(quiet=quiet, verbose=verbose)
    # Rich prints nothing on a quiet console; errors have their own.
    err.quiet = quiet
    package = logging.getLogger("rust_tuner")
    package.setLevel(logging.ERROR if quiet else logging.NOTSET)
    if verbose:
        # Imported only here: it needs more than the help of a command.
        from rust_tuner.tensorflow_notices import show_notices

        show_notices()
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", force=True
        )
        package.setLevel(logging.DEBUG)


def is_verbose() -> bool:
    """Whether the running command is verbose."""
    return _chosen["verbose"]


def was_chosen(name: str) -> bool:
    """Whether `quiet` or `verbose` was typed before the command's name."""
    return _chosen[name]


def choose_of(params: dict[str, Any]) -> None:
    """Choose what a command's parameters say, or what was said before its name."""
    # Before the command's name or after it, which is the same to the user.
    choose(**{name: params[name] or _chosen[name] for name in _chosen})


def with_options_of_all(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options that all commands take; its class uses them."""
    signature = inspect.signature(command)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
        for name, (option, default) in _OPTIONS.items()
    ]

    @functools.wraps(command)
    def run(*args: Any, **given: Any) -> Any:
        for name in _OPTIONS:
            given.pop(name)
        return command(*args, **given)

    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *added]
    )
    annotations = {name: option for name, (option, _) in _OPTIONS.items()}
    run.__annotations__ = {**command.__annotations__, **annotations}
    return run
