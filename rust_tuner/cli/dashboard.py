"""The command `dashboard`, which shows a search in Optuna's dashboard while it runs."""

import importlib.util
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from rust_tuner.cli.support import out, reporting, say

_SECONDS = 2.0
_SERVE = "from optuna_dashboard._cli import main; main()"


def dashboard(
    project: Annotated[
        Path,
        typer.Argument(metavar="PROJECT", help="The folder of a search, such as STUDY/regime_1."),
    ],
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="The port.")] = 8080,
    once: Annotated[
        bool, typer.Option("--once", help="Write the journal only; do not start the dashboard.")
    ] = False,
) -> None:
    """Show a search in Optuna's dashboard while it runs.

    The search is copied into a journal beside its folder, which is extended as trials end. The page
    can be opened on this machine only (127.0.0.1). It works while a search runs in another
    terminal, for any oracle, and writes nothing into the search. Ctrl-C ends it. If
    optuna-dashboard is not installed, the command that shows the journal is printed.
    """
    with reporting():
        from rust_tuner.records.optuna_mirror import mirror

        journal = mirror(project)
        say(f"journal -> {journal}")
        command = ["optuna-dashboard", str(journal), "--host", "127.0.0.1", "--port", str(port)]
        if once or importlib.util.find_spec("optuna_dashboard") is None:
            # On standard output, for whoever reads it from a pipe.
            out.print(shlex.join(command), highlight=False, soft_wrap=True)
            return
        served = subprocess.Popen([sys.executable, "-c", _SERVE, *command[1:], "--quiet"])
        out.print(f"http://127.0.0.1:{port}", highlight=False, soft_wrap=True)
        out.file.flush()
        say("Ctrl-C ends it; a running search is not affected.")
        try:
            while served.poll() is None:
                time.sleep(_SECONDS)
                mirror(project)
        except KeyboardInterrupt:
            say("\nended")
        finally:
            served.terminate()
            served.wait()
        if served.returncode > 0:
            raise typer.Exit(1)
