"""What one call of `search` passes to its trials, and how their steps are counted."""

import functools
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from keras_tuner.engine.trial import Trial

from rust_tuner.models.compiled_once import CompiledOnce
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_arrays import ArraysTogether
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.progress import Silent, Task
from rust_tuner.records.folds import FoldStore
from rust_tuner.records.model import write_record
from rust_tuner.records.run import RUN_FILE, RunManifest
from rust_tuner.search.asked import begun_values
from rust_tuner.search.halving import SuccessiveHalving
from rust_tuner.search.hopeless import StopRule
from rust_tuner.search.points import plain
from rust_tuner.search.reserved_names import epochs_of
from rust_tuner.search.scoring import Scoring
from rust_tuner.search.subjects import Subject


def _do_nothing(trial: Trial) -> None:
    """Change what is to be changed."""


@dataclass(eq=False, repr=False)
class Run:
    """What `search` passes to its trials.

    Attributes:
        subject: what is trained on.
        folder: the project folder.
        manifest: of the run, as it is recorded.
        key: the identity of the run.
        epochs: of each fold, where no hyperparameter sets them.
        batch_size: where no hyperparameter sets it.
        seed: of initial weights, shuffling and dropout.
        scoring: how folds become a score.
        reads_epochs: whether a hyperparameter may set the number of epochs.
        hooks: methods of the tuner that a subclass overrides, and that each fold calls.
        arguments: what `run_trial` is called with, as in KerasTuner: the data of the search.
        options: the same by name.
        said: reasons for one fold after another that were reported.
        described: the trials whose model is described beside their records.
        stop_rule: when a trial is stopped as hopeless; None where none is.
        chosen: trial -> the epoch of its score, where its folds were trained.
        pruned: trial -> why it was stopped.
        mean_curves: trial that has ended -> the objective of each epoch, the mean of the folds.
        said_none_stopped: whether it was reported that the rule stops nothing.
        task: counts the steps of the trial that runs.
        trainer: trains folds together; None where they are trained one by one.
        one_by_one: why there is no trainer; None where there is one.
        before_change: called with a trial before its records change.
        compiled: keeps compiled functions for folds that are trained one by one.
    """

    subject: Subject
    folder: Path
    manifest: RunManifest
    key: str
    epochs: int
    batch_size: int
    _: KW_ONLY
    seed: int
    scoring: Scoring
    reads_epochs: bool = True
    hooks: tuple[str, ...] = ()
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    stop_rule: StopRule | SuccessiveHalving | None = None
    said: set[str] = field(default_factory=set, init=False)
    described: set[str] = field(default_factory=set, init=False)
    chosen: dict[str, int] = field(default_factory=dict, init=False)
    pruned: dict[str, str] = field(default_factory=dict, init=False)
    mean_curves: dict[str, list[float]] = field(default_factory=dict, init=False)
    said_none_stopped: bool = field(default=False, init=False)
    task: Task = field(default_factory=Silent, init=False)
    before_change: Callable[[Trial], None] = field(default_factory=lambda: _do_nothing, init=False)
    compiled: CompiledOnce = field(default_factory=CompiledOnce, init=False)
    trainer: FoldParallelTrainer | ArraysTogether | None = field(default=None, init=False)
    one_by_one: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Train folds of frozen features together, and those of arrays if asked."""
        inputs = self.subject.data.inputs
        if isinstance(inputs, FrozenFeatures):
            self.trainer = FoldParallelTrainer(self.subject.data)
        elif self.subject.keeps_running:
            self.one_by_one = "the models are trained on images"
        elif self.manifest.arrays_together:
            self.trainer = ArraysTogether(self.subject.data)
        elif not isinstance(inputs, np.ndarray):
            self.one_by_one = "the inputs are not one array"
        else:
            self.one_by_one = "so the search was begun"

    def store_of(self, trial: Trial) -> FoldStore:
        """The records of a trial, which belong to this run and to the trial's values."""
        values = plain(begun_values(trial))
        key = {"run": self.key, "trial": trial.trial_id, "values": values}
        before = functools.partial(self.before_change, trial)
        return FoldStore(self.folder / f"trial_{trial.trial_id}", key, before_change=before)

    def epochs_of(self, trial: Trial) -> int:
        """The number of epochs of a trial, by its values."""
        values = trial.hyperparameters.values
        return epochs_of(values, self.epochs) if self.reads_epochs else self.epochs

    def record(self, **changes: Any) -> None:
        """Record what has become known of the search: its number of trials, and its space."""
        revised = self.manifest.with_changes(**changes)
        if revised.to_json() != self.manifest.to_json():
            self.manifest = revised
            write_record(self.folder / RUN_FILE, revised)

    def release(self) -> None:
        """Release what only training needs, since many searches may follow in one process."""
        self.compiled.release()
        if self.trainer is not None:
            self.trainer.release()
            self.trainer = None


class CountedSteps:
    """A task that counts the steps taken through it.

    A trial counts the same in the progress of its search, whatever its number of epochs.
    """

    def __init__(self, task: Task, *, planned: int, own: int) -> None:
        """Count a trial of `own` steps as `planned` steps."""
        self._task = task
        self._planned = planned
        self._own = own
        self._seen = 0
        self.taken = 0

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        """Count steps that were worked on."""
        self._task.advance(self._counted(steps), note=note)

    def skip(self, steps: int) -> None:
        """Count steps that needed no work."""
        self._task.skip(self._counted(steps))

    def expect(self, total: int) -> None:
        """Revise the number of all steps."""
        self._task.expect(total)

    def advance_to(self, steps: int) -> None:
        """Count steps up to this number, some of which may be counted already."""
        if steps > self._seen:
            self.advance(steps - self._seen)

    def advance_to_end(self) -> None:
        """Count all steps that are not counted yet."""
        self.advance_to(self._own)

    def _counted(self, steps: int) -> int:
        self._seen = min(self._seen + steps, self._own)
        before = self.taken
        self.taken = self._seen * self._planned // self._own
        return self.taken - before
