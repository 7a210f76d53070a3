"""The lines of `rust-tuner status` about processes: which one is working, or how the last ended.

A worker of a search has a line of its own: which trial it trains, and how far it is.
"""

import contextlib
import datetime
import os
from pathlib import Path

from rich.text import Text

from rust_tuner.last_run import LastRun, read_last_run
from rust_tuner.progress import duration
from rust_tuner.records.noted_runs import last_of, noted_runs
from rust_tuner.records.worker_note import WorkerNote

# A worker notes its epochs every few seconds, unless one takes longer.
_SILENT = 60.0
_RESUME = "run the same command again to resume"


def run_lines(folder: Path) -> list[Text]:
    """The processes that work on a study or search now; without any, how the last one ended."""
    runs = noted_runs(folder)
    current = [(run, path) for run, path in runs if run.may_go_on]
    if current:
        shown: dict[tuple[str, int], tuple[LastRun, Path]] = {}
        for run, path in current:
            # A step and the search inside it are one process; the outer one comes first.
            shown.setdefault((run.host, run.process), (run, path))
        return [_current_line(run) for run, _ in shown.values()]
    if not runs:
        return []
    return [_end_line(last_of([run for run, _ in runs]), folder)]


def worker_line(note: WorkerNote) -> Text:
    """A trial that a worker trains."""
    if note.state == "dead":
        text = f"  trial {note.trial}: {note.who} has died; the trial runs again"
        return Text(text, style="yellow")
    since = _when(datetime.datetime.fromtimestamp(note.since, datetime.UTC))
    text = f"  trial {note.trial}: {note.done} of {note.epochs} epochs, {note.who}, since {since}"
    silent = _now().timestamp() - note.seen
    if silent > _SILENT:
        text += f", last heard of {duration(silent)} ago"
    return Text(text)


def is_at_work(folder: Path) -> bool:
    """Whether a process works in a folder now."""
    run = read_last_run(folder)
    return run is not None and run.is_running


def _current_line(run: LastRun) -> Text:
    who = f"process {run.process} on {run.host}, since {_when(run.since)}"
    passed = duration(max((_now() - run.since).total_seconds(), 0.0))
    if run.state == "unseen":
        return Text(
            f"unknown: {run.purpose} was started by {who}. That machine's processes cannot be seen "
            "from here, and it has not noted an end",
            style="yellow",
        )
    if run.state == "paused":
        text = f"paused: {run.purpose}, {who}; `fg` or `kill -CONT {run.process}` continues it"
        return Text(text, style="yellow")
    return Text(f"running: {run.purpose}, {who} ({passed})", style="green")


def _end_line(run: LastRun, folder: Path) -> Text:
    who = f"process {run.process} on {run.host}"
    if run.state == "killed":
        sign = _last_sign(folder, run.since)
        return Text(
            f"stopped: {run.purpose} was killed, or the machine went down ({who}, begun "
            f"{_when(run.since)}, last record {_when(sign)}); {_RESUME}",
            style="yellow",
        )
    assert run.ended is not None
    took = duration(max((run.ended - run.since).total_seconds(), 0.0))
    when = f"at {_when(run.ended)} after {took}"
    if run.state == "finished":
        return Text(f"not running; last: {run.purpose}, finished {when}")
    if run.state == "failed":
        return Text(
            f"stopped: {run.purpose} ended with an error {when}: {run.message}", style="red"
        )
    by = {"interrupted": "Ctrl-C", "out of time": "its time budget"}.get(run.state, "SIGTERM")
    return Text(f"stopped: {run.purpose} was ended by {by} {when}; {_RESUME}", style="yellow")


def _last_sign(folder: Path, since: datetime.datetime) -> datetime.datetime:
    """When a file of the folder was last written."""
    newest = since.timestamp()
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                newest = max(newest, (Path(parent) / name).stat().st_mtime)
    return datetime.datetime.fromtimestamp(newest, datetime.UTC)


def _when(time: datetime.datetime) -> str:
    """A time on the clock of this machine; with the date if it was not today."""
    local, today = time.astimezone(), _now().astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
