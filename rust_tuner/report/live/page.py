"""The live page as HTML: a frame that is loaded once, and the part that changes as trials end."""

import base64
import datetime
import hashlib
import os
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
  state.textContent = "not connected; trying again, unless rust-tuner watch has ended";
  // The browser itself tries again, but not after an answer that is none of ours.
  if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
});
"""
_FORM = "%Y-%m-%d %H:%M:%S"


def script_policy() -> str:
    """The Content-Security-Policy of the page: its own script and connection, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def live_page(directory: Path, part: str) -> str:
    """The whole page.

    Args:
        directory: the study's folder.
        part: the part that changes, as HTML.
    """
    return (
        environment()
        .get_template("live.html")
        .render(
            name=os.path.basename(os.path.abspath(directory)),
            version=__version__,
            live=Markup(part),
            script=Markup(_SCRIPT),
        )
    )


def unreadable_part(error: Exception) -> str:
    """What stands in the place of the part that changes while the study cannot be read."""
    text = '<p class="missing">The study cannot be read now ({}). This page goes on looking.</p>'
    return Markup(text).format(str(error) or type(error).__name__)


def live_part(directory: Path, view: LiveView) -> str:
    """The part that changes."""
    report = directory / "report" / "index.html"
    written = report.stat().st_mtime if report.is_file() else None
    step = view.current
    return (
        environment()
        .get_template("live_part.html")
        .render(
            name=os.path.basename(os.path.abspath(directory)),
            view=view,
            state=_state(view),
            is_running=view.is_running,
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
        process = working.process
        about = f"{working.purpose}, process {process}"
        since = working.since.astimezone().strftime(_FORM)
        if working.state == "paused":
            return f"Paused: {about}; fg or kill -CONT {process} continues it"
        if working.state == "unseen":
            return (
                f"Unknown: {about} on {working.host}, since {since}; that machine's processes "
                "cannot be seen from here, and it has not noted an end"
            )
        return f"Running: {about}, since {since}"
    if view.killed is not None and view.is_settled:
        return (
            f"Not running: {view.killed.purpose} was killed; run the same command again to resume"
        )
    if view.is_evaluated and view.is_settled:
        return "Finished: the final model has been evaluated"
    if step is None and view.steps:
        return "Not running: the records cannot be read"
    if step is None:
        return "Not running: no search has begun"
    if step.is_finished:
        return f"Not running: {step.title} is finished"
    return f"Not running: {step.title} stopped at {step.ended} of {step.total} trials"


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime(_FORM)
