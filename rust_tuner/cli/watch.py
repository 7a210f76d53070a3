"""The command `watch`, which shows a study in a browser while it runs."""

import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from rust_tuner.cli.support import out, reporting, say


def watch(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")],
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="The port; 0 for any free one.")
    ] = 0,
    browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-browser",
            help="Open the page in a browser, or only print its address.  [default: open it from a "
            "terminal on a desktop]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show the progress of a study in a browser.

    The page can be opened on this machine only (127.0.0.1), and changes as trials end: progress,
    curves, best trial so far, remaining time. It links to the report. It works while a search runs
    in another terminal, and never writes to the study. Ctrl-C ends it.
    """
    with reporting():
        from rust_tuner.records.folder import require_study
        from rust_tuner.report.live.server import LiveServer

        require_study(study)
        server = LiveServer(study, port=port)
        try:
            with server.running():
                # On standard output and at once, for whoever reads it from a pipe.
                out.print(server.url, highlight=False, soft_wrap=True)
                out.file.flush()
                say("Ctrl-C ends it; a running search is not affected.")
                if _has_desktop() if browser is None else browser:
                    webbrowser.open(server.url)
                threading.Event().wait()
        except KeyboardInterrupt:
            say("\nended")


def _has_desktop() -> bool:
    if not sys.stdout.isatty():
        return False
    is_unix = sys.platform.startswith(("linux", "freebsd"))
    return not is_unix or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
