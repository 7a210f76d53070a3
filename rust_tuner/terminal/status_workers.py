"""The lines of `rust-tuner status` about workers: who trains a trial, and how far it is."""

import datetime
import time

from rich.text import Text

from rust_tuner.progress import duration
from rust_tuner.records.worker_note import WorkerNote

# A worker notes its epochs every few seconds, unless one takes longer.
_SILENT = 60.0


def worker_line(note: WorkerNote) -> Text:
    """A trial that a worker trains."""
    begun = datetime.datetime.fromtimestamp(note.since).astimezone()
    is_today = begun.date() == datetime.datetime.now().astimezone().date()
    since = begun.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")
    state = note.state
    if state == "dead":
        text = f"  trial {note.trial}: {note.who} has died; the trial runs again"
        return Text(text, style="yellow")
    text = f"  trial {note.trial}: {note.done} of {note.epochs} epochs, {note.who}, since {since}"
    silent = time.time() - note.seen
    if silent > _SILENT:
        text += f", last heard of {duration(silent)} ago"
    return Text(text)
