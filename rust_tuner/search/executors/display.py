"""The coordinator's display of all workers: which trials run where, and how far they are."""

import math
import time
from collections.abc import Sequence

from keras_tuner.engine.trial import Trial

from rust_tuner.progress import Progress, Running, Task, show_running
from rust_tuner.records.worker_note import WorkerNote, read_worker_note, remove_worker_note
from rust_tuner.search.run_state import CountedSteps, Run

# With very many workers, reading their notes must not keep the coordinator from its work.
_LOOKS_PER_SECOND = 50


class Display:
    """Shows the trials of a search that run at once."""

    def __init__(
        self, progress: Progress, task: Task, run: Run, per_trial: int, num_workers: int
    ) -> None:
        """Show them in the task of the search, and each of them below it.

        Args:
            progress: where to report.
            task: of the search.
            run: what `search` passes to its trials.
            per_trial: steps of the task for each trial.
            num_workers: how many trials run at once.
        """
        self._progress = progress
        self._task = task
        self._run = run
        self._per_trial = per_trial
        self._next_look = -math.inf
        self.seconds_between_looks = max(1.0, num_workers / _LOOKS_PER_SECOND)

    def steps_of(self, trial: Trial) -> CountedSteps:
        """What counts the steps of a trial that is sent to a worker."""
        epochs = self._run.epochs_of(trial) * len(self._run.subject.folds)
        return CountedSteps(self._task, planned=self._per_trial, own=epochs)

    def update(self, trials: Sequence[tuple[Trial, CountedSteps, bool]]) -> None:
        """Show how far trials are.

        Args:
            trials: that were sent, with what counts their steps, and whether they have ended.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + self.seconds_between_looks
        rows = []
        for trial, steps, has_ended in trials:
            note = None if has_ended else self._note_of(trial)
            if note is not None:
                steps.advance_to(note.done)
                rows.append(Running(_name(note), note.done, note.epochs))
        show_running(self._progress, rows)

    def workers_of(self, trials: Sequence[Trial]) -> str:
        """The processes that trained some trials and have died, in brackets; forgets them all."""
        notes = [note for trial in trials if (note := self._note_of(trial)) is not None]
        dead = [note for note in notes if note.state == "dead"] or notes
        for trial in trials:
            remove_worker_note(self._run.folder / f"trial_{trial.trial_id}")
        if not dead:
            return ""
        return f" ({', '.join(f'trial {note.trial}: {note.who}' for note in dead)})"

    def _note_of(self, trial: Trial) -> WorkerNote | None:
        return read_worker_note(self._run.folder / f"trial_{trial.trial_id}")


def _name(note: WorkerNote) -> str:
    where = note.job or f"{note.host.partition('.')[0]}:{note.process}"
    return f"trial {note.trial}, {where}"
