"""How much a command says: `--quiet` and `--verbose`, before or after the command's name."""

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Annotated, Any

import typer

from rust_tuner.cli.consoles import err

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results and errors only, no notes or progress.")
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Also print TensorFlow's own lines, debug messages and tracebacks.",
    ),
]

_NAMES = {"quiet": Quiet, "verbose": Verbose}
_chosen = dict.fromkeys(_NAMES, False)


class QuietOrVerboseApp(typer.Typer):
    """An application whose commands all take `--quiet` and `--verbose`."""

    def command(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], Any]:
        """Register a command, with both options added to its own."""
        register = super().command(*args, **kwargs)

        def add(command: Callable[..., Any]) -> Callable[..., Any]:
            register(_with_both(command))
            return command

        return add


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


def _with_both(command: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(command)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
        for name, option in _NAMES.items()
    ]

    @functools.wraps(command)
    def run(*args: Any, **given: Any) -> Any:
        # Before the command's name or after it, which is the same to the user.
        choose(**{name: given.pop(name) or _chosen[name] for name in _NAMES})
        return command(*args, **given)

    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *added]
    )
    run.__annotations__ = {**command.__annotations__, **_NAMES}
    return run
