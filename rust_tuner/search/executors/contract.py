"""The unit of work of a search: one trial, whose folds are trained and recorded.

It is a function of the trial's number and values, the folds, the seeds and the data, all of which
are in the key of the records. So it does not matter which worker runs it, when, or how often.
"""

import contextlib
import functools
import hashlib
import os
import platform
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from rust_tuner.errors import SearchError, StorageError
from rust_tuner.progress import Silent
from rust_tuner.records.run import RunManifest
from rust_tuner.search.asked import missing_from
from rust_tuner.search.executors.awaited import require_awaited
from rust_tuner.search.executors.heartbeat import heartbeat
from rust_tuner.search.executors.keras_settings import KerasSettings
from rust_tuner.search.executors.outcome import Outcome, outcome_of
from rust_tuner.search.executors.same_numbers import require_same_numbers
from rust_tuner.search.executors.shipping import Array, packed, unpacked
from rust_tuner.search.executors.worker_log import LOGS, printed_to
from rust_tuner.search.pruning import Compared
from rust_tuner.search.recovery import load_trial
from rust_tuner.search.run_state import Run
from rust_tuner.search.subjects import Subject
from rust_tuner.search.trial_training import cross_validated

_SETTINGS = ("epochs", "batch_size", "seed", "scoring", "reads_epochs", "options", "stop_rule")


@dataclass(frozen=True, eq=False)
class Job:
    """What all trials of a search share, as it is sent to workers.

    Attributes:
        hypermodel: builds the models, and may train them.
        subject: data, folds and metrics.
        manifest: of the run.
        key: the identity of the run.
        settings: the other arguments of `Run`, by name.
    """

    hypermodel: keras_tuner.HyperModel
    subject: Subject
    manifest: RunManifest
    key: str
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, hypermodel: keras_tuner.HyperModel, run: Run) -> "Job":
        """The job of a run."""
        settings = {name: getattr(run, name) for name in _SETTINGS}
        return cls(hypermodel, run.subject, run.manifest, run.key, settings)

    def run(self, folder: Path) -> Run:
        """What trials need of a search, in this process."""
        return Run(self.subject, folder, self.manifest, self.key, **self.settings)


def this_thread() -> tuple[str, int, int]:
    """Machine, process and thread that this runs in."""
    return platform.node(), os.getpid(), threading.get_ident()


def train_trial(
    job: bytes,
    folder: str,
    arrays: str,
    trial_id: str,
    epochs: int,
    batch_size: int,
    coordinator: tuple[str, int, int],
    rival: Compared | None = None,
    is_final: bool = True,
) -> Outcome:
    """Train the folds of a trial that have no record yet, and record them.

    Args:
        job: made by `packed_job`.
        folder: the project folder, which this process must see.
        arrays: the folder of large arrays.
        trial_id: of a trial whose state is recorded.
        epochs: of each fold.
        batch_size: of each step.
        coordinator: `this_thread` of whoever sends the trial.
        rival: what decides whether the trial is stopped, as far as it was known when it was sent.
        is_final: whether all of it was known, so that the trial may be trained again by it.

    Returns:
        Notes for the user, or the error: whatever fails the trial; a `SearchError` where the
        process trains another trial, or the search no longer waits for this one; a `StorageError`
        where this process does not see what the coordinator wrote.
    """
    call = (job, Path(folder), Path(arrays), trial_id, epochs, batch_size, coordinator)
    return outcome_of(_train, *call, rival, is_final)


def _train(
    job: bytes,
    project: Path,
    arrays: Path,
    trial_id: str,
    epochs: int,
    batch_size: int,
    coordinator: tuple[str, int, int],
    rival: Compared | None,
    is_final: bool,
) -> Sequence[str]:
    here = this_thread()
    is_coordinator = here[:2] == coordinator[:2]
    if is_coordinator and here != coordinator:
        raise _refused_threads()
    log = project / LOGS / f"trial_{trial_id}.log"
    with _alone(), contextlib.nullcontext() if is_coordinator else printed_to(log) as printed:
        path = project / f"trial_{trial_id}" / "trial.json"
        trial = load_trial(path)
        if trial is None:
            raise StorageError(
                f"{path} cannot be read; a worker must see the project folder of the search under "
                "the same path"
            )
        tuner, run = _opened(job, project, arrays)
        require_awaited(run, trial)
        run.before_change = functools.partial(require_awaited, run)
        tuner.progress = progress = _Notes()
        if (note := require_same_numbers(run.manifest)) is not None:
            progress.say(note)
        # Only the folder knows what an interrupted call has left.
        run.described.discard(trial_id)
        num_folds = len(run.subject.folds)
        if is_final or run.store_of(trial).load_closed(num_folds) is None:
            limit = (lambda: None) if printed is None else printed.limit
            with heartbeat(path.parent, epochs * num_folds, limit) as run.task:
                cross_validated(
                    tuner, run, trial, epochs=epochs, batch_size=batch_size, rival=rival
                )
    return progress.notes


_one_trial = threading.Lock()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Refuse a second trial in this process while one is trained."""
    if not _one_trial.acquire(blocking=False):
        raise _refused_threads()
    try:
        yield
    finally:
        _one_trial.release()


def _refused_threads() -> SearchError:
    return SearchError(
        "the executor runs trials in threads of one process, which share Keras's random state; "
        "use one with processes, such as loky's, or give each of its processes one thread, such as "
        "with Dask's threads_per_worker=1"
    )


@dataclass
class _Notes(Silent):
    notes: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.notes.append(text)


class _KnownSpace:
    """In place of the oracle: what a trial may ask for is known before it is sent to a worker."""

    def note_asked(self, trial: Trial, hyperparameters: keras_tuner.HyperParameters) -> None:
        new = missing_from(trial.hyperparameters, hyperparameters.space)
        if new:
            names = ", ".join(hp.name for hp in new)
            raise SearchError(
                f"{names} is first asked for while the model is trained, which a worker cannot add "
                "to the search; ask for it in build, or search without workers"
            )


@dataclass
class _WorkerTuner:
    """What `cross_validated` needs of a tuner."""

    hypermodel: keras_tuner.HyperModel
    oracle: _KnownSpace = field(default_factory=_KnownSpace)
    progress: Silent = field(default_factory=Silent)


# The last job of this process; its trials share data and compiled functions.
_last: tuple[str, KerasSettings, _WorkerTuner, Run] | None = None


def packed_job(
    job: Job, folder: Path, *, keep: Callable[[str, Array], None] | None = None
) -> bytes:
    """A job and Keras's settings as bytes; the arguments are those of `packed`."""
    # The settings count before the job is read, which may contain layers.
    return packed((KerasSettings.here(), packed(job, folder, keep=keep)), folder)


def _opened(job: bytes, folder: Path, arrays: Path) -> tuple[_WorkerTuner, Run]:
    global _last
    # A name may have bytes that are no text.
    digest = hashlib.sha256(job + os.fsencode(folder)).hexdigest()
    if _last is None or _last[0] != digest:
        from rust_tuner.models.runtime import start_backend

        start_backend()
        before, _last = _last, None
        if before is not None:
            before[-1].release()
        settings, content = unpacked(job, arrays)
        settings.apply()
        shared: Job = unpacked(content, arrays)
        _last = digest, settings, _WorkerTuner(shared.hypermodel), shared.run(folder)
    _, settings, tuner, run = _last
    # Each thread of a process has its own.
    settings.apply()
    return tuner, run
