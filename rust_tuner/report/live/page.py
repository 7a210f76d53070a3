"""The live page as HTML: a frame that is loaded once, and the part that changes as trials end."""

import base64
import datetime
import hashlib
from pathlib import Path

from markupsafe import Markup

from rust_tuner import __version__
from rust_tuner.analysis.live import LiveView
from rust_tuner.analysis.next_step import command
from rust_tuner.figures.live import curves_svg, scores_svg
from rust_tuner.progress import duration
from rust_tuner.report.templating import environment

# Replaces the part that changes. Without it, the page reloads itself every ten seconds.
_SCRIPT = """
const source = new EventSource("events");
const state = document.getElementById("connection");
source.addEventListener("view", event => {
  document.getElementById("live").innerHTML = JSON.parse(event.data);
  const title = document.getElementById("title");
  if (title) document.title = title.textContent;
});
source.addEventListener("open", () => { state.textContent = "live"; });
source.addEventListener("error", () => {
  state.textContent = "not connected: rust-tuner watch has ended";
});
"""


def script_policy() -> str:
    """The Content-Security-Policy of the page: its own script and connection, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def live_page(directory: Path, view: LiveView) -> str:
    """The whole page."""
    return (
        environment()
        .get_template("live.html")
        .render(
            name=directory.resolve().name,
            version=__version__,
            live=Markup(live_part(directory, view)),
            script=Markup(_SCRIPT),
        )
    )


def live_part(directory: Path, view: LiveView) -> str:
    """The part that changes."""
    report = directory / "report" / "index.html"
    written = report.stat().st_mtime if report.is_file() else None
    step = view.current
    return (
        environment()
        .get_template("live_part.html")
        .render(
            name=directory.resolve().name,
            view=view,
            state=_state(view),
            is_running=view.working is not None,
            curves=None if view.curves is None else Markup(curves_svg(view.curves)),
            scores=Markup(
                scores_svg(
                    view.scores, total=0 if step is None else step.total, view_only=view.view_only
                )
            )
            if view.scores
            else None,
            duration=duration,
            resume=None if step is None else command(step.command, directory),
            first=command("regime1", directory),
            final=command("final", directory),
            report_command=command("report", directory),
            report_written=None if written is None else _time(written),
            now=_time(datetime.datetime.now().timestamp()),
        )
    )


def _state(view: LiveView) -> str:
    working, step = view.working, view.current
    if working is not None:
        since = _time(working.since.timestamp())
        return f"Running: {working.purpose}, process {working.process}, since {since}"
    if view.is_evaluated:
        return "Finished: the final model has been evaluated"
    if step is None:
        return "Not running: no search has begun"
    if step.is_finished:
        return f"Not running: {step.title} is finished"
    return f"Not running: {step.title} stopped at {step.ended} of {step.total} trials"


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
