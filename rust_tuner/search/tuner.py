"""`CrossValidationTuner`: a KerasTuner `Tuner` whose trial is a k-fold cross-validation.

It owns the order of a search: claim the folder, load what an earlier run left, run the trials and
record them. How folds are trained and values are chosen belongs to other modules.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy.typing as npt
import pandas as pd
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.data.splits import Development, HoldOut, require_development
from rust_tuner.errors import (
    ResumeError,
    SearchError,
    SpaceError,
    TrialError,
)
from rust_tuner.files import empty_folder, write_json
from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.locks import hold_lock
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.fold_plan import MixedFolds
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.runtime import onednn_enabled, start_backend, versions
from rust_tuner.progress import Progress, Silent, Task
from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.records.metric_names import with_same_names
from rust_tuner.records.printed_table import PrintedTable
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.rows import write_rows
from rust_tuner.records.run import RUN_FILE, RunManifest
from rust_tuner.records.trial_tables import history_table, results_table
from rust_tuner.search.cross_validation import (
    CrossValidation,
    calculate_mean_metrics,
    chosen_epoch,
    run_folds,
    run_folds_together,
)
from rust_tuner.search.groups import by_row_note
from rust_tuner.search.oracles import ResumableOracle, Values, plain
from rust_tuner.search.reserved_names import batch_size_of, warn_of_epochs
from rust_tuner.search.runs import (
    choose_steps,
    claim_folder,
    readable_trials,
    recorded_steps,
    recover_trials,
    run_key,
    with_begun_kernels,
)
from rust_tuner.search.subjects import (
    Subject,
    arrays_subject,
    images_subject,
    radiographs_subject,
)
from rust_tuner.seeds import require_seed

_DEFAULT_EPOCHS = 20
_DEFAULT_BATCH_SIZE = 32

# Errors that fail one trial, not the search; any other error is a fault of program or data.
_TRIAL_FAILURES = (TrialError, MemoryError, keras_tuner.errors.FailedTrialError)
_BACKEND_FAILURES = ("ResourceExhaustedError", "DataLossError")
_JAX_FAILURES = ("JaxRuntimeError", "XlaRuntimeError")


class CrossValidationTuner(keras_tuner.Tuner):  # type: ignore[misc]
    """Searches hyperparameters by k-fold cross-validation, resumably.

    A trial's score is the validation objective averaged over the folds, at the epoch that
    `score_epoch` names. A search can be killed at any moment; run it again with the same arguments
    to resume.
    """

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        oracle: ResumableOracle,
        cv: Any = 6,
        seed: int = 1,
        directory: str | Path | None = None,
        project_name: str | None = None,
        *,
        score_epoch: str | int = "best_mean",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Open a project folder, new or with a search to resume.

        Args:
            hypermodel: any Keras HyperModel whose `build` declares all its hyperparameters and
                compiles the model; one named `batch_size` sets the batch size. No other name has a
                meaning: the number of epochs is always that of `search`.
            oracle: a `RandomSearchOracle` or `GridSearchOracle` of this package.
            cv: number of folds, `Folds`, or any scikit-learn splitter.
            seed: decides folds, initial weights, shuffling and dropout; an integer from 0.
            directory: the folder of project folders; the current folder where None.
            project_name: name of the project folder.
            score_epoch: `best_mean`, `last`, or an epoch from 0.
            overwrite: whether to empty the project folder first.
            progress: where to report; nowhere by default.

        Raises:
            SearchError: for an oracle that cannot be resumed.
        """
        if not isinstance(oracle, ResumableOracle):
            raise SearchError(
                f"oracle of type {type(oracle).__name__} cannot be resumed; use "
                "rust_tuner.RandomSearchOracle or rust_tuner.GridSearchOracle"
            )
        if not str(oracle.objective.name).startswith("val_"):
            raise SearchError(
                f"objective {oracle.objective.name!r}; expected a validation metric, such as "
                "val_auroc or val_loss"
            )
        self.seed = require_seed(seed, SearchError)
        start_backend()
        self.cv = cv
        self.score_epoch = score_epoch
        self.progress = progress or Silent()
        # KerasTuner prints that it reloads the project, which is not true here.
        with contextlib.redirect_stdout(None):
            super().__init__(
                oracle,
                hypermodel,
                directory=None if directory is None else str(directory),
                project_name=project_name,
            )
        if overwrite:
            with hold_lock(self.project_folder, "overwriting the search"):
                self._require_a_search()
                empty_folder(self.project_folder)
        self._declare_space()
        # The results of an earlier run are available before the search is resumed.
        oracle.adopt(readable_trials(self.project_folder))

    @property
    def project_folder(self) -> Path:
        """The project folder."""
        return Path(self.project_dir)

    def search(
        self,
        x: Any,
        y: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        epochs: int = _DEFAULT_EPOCHS,
        *,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        cache: str | Path | None = None,
        about: Mapping[str, object] | None = None,
    ) -> None:
        """Run trials until the oracle has no more, or resume a search that was interrupted.

        Args:
            x: the development set, or (n, ...) inputs.
            y: (n, ...) targets; only with arrays.
            groups: (n,) such as patients; no group is on two sides of a fold. No group may be
                missing, all are numbers or all are text, and each text has one spelling; only with
                arrays. Without groups, folds are made by row, and a note says so.
            epochs: epochs of each fold.
            batch_size: for hypermodels without a hyperparameter of that name.
            cache: folder of the feature cache, the default one where None; only with radiographs.
            about: further JSON values for the run manifest, such as a protocol.

        Raises:
            SearchError: before any long work, where data, folds and model do not match.
            ResumeError: where the folder contains another search.
            LockedError: where another process searches in the folder.
            TimeBudgetError: where a time budget is set and spent before the last trial.
        """
        if y is None or isinstance(x, Development | HoldOut):
            development = require_development(x)
            if y is not None or groups is not None:
                raise SearchError(
                    "y and groups are for arrays only; a development set has its own labels and "
                    "patients"
                )
            subject = self._subject_of(development, cache)
        else:
            subject = arrays_subject(
                self.hypermodel,
                x,
                y,
                groups,
                self.cv,
                seed=self.seed,
                space=self.oracle.get_space(),
                objective=self.oracle.objective.name,
            )
            if groups is None and (note := by_row_note(self.cv, len(subject.data.targets))):
                self.progress.say(note)
        self.search_subject(subject, epochs=epochs, batch_size=batch_size, about=about)

    def _subject_of(self, development: Development, cache: str | Path | None) -> Subject:
        """Radiographs as the hypermodel takes them: frozen features once, or images."""
        shared: dict[str, Any] = {"seed": self.seed, "cache": cache, "progress": self.progress}
        if hasattr(self.hypermodel, "feature_recipe"):
            return radiographs_subject(self.hypermodel, development, self.cv, **shared)
        if hasattr(self.hypermodel, "image_recipe"):
            return images_subject(self.hypermodel, development, self.cv, **shared)
        raise SearchError(
            f"{type(self.hypermodel).__name__} has no frozen backbone and no recipe for images; "
            "with radiographs, use TransferLearningHyperModel or ImageHyperModel; with arrays, any "
            "HyperModel"
        )

    def search_subject(
        self,
        subject: Subject,
        *,
        epochs: int = _DEFAULT_EPOCHS,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        about: Mapping[str, object] | None = None,
    ) -> None:
        """Search on a subject that was made before; see `search`."""
        if epochs < 1 or batch_size < 1:
            raise SearchError(f"epochs={epochs}, batch_size={batch_size}; both must be at least 1")
        # An epoch that this search does not have is refused before the first trial.
        chosen_epoch([0.0] * epochs, self.score_epoch)
        note = choose_steps(self.project_folder, self.oracle)
        if note is not None:
            self.progress.say(note)
        run = self._describe(subject, epochs=epochs, batch_size=batch_size, about=about)
        with hold_lock(self.project_folder, "searching hyperparameters", noted=True):
            run = with_begun_kernels(self.project_folder / RUN_FILE, run, say=self.progress.say)
            with claim_folder(self.project_folder, run):
                self._run = _Run(subject, run_key(run), epochs, batch_size)
                for note in recover_trials(self.project_folder, self.oracle, self._is_complete):
                    self.progress.say(note)
            warn_of_epochs(self.oracle.get_space().values, epochs)
            if subject.rows is not None:
                write_rows(self.project_folder, subject.rows)
            self.save()
            try:
                self._run_trials()
            finally:
                self._run.release()

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Cross-validate one configuration and report its score to the oracle.

        Args:
            trial: its values and its id.
            *args: not used.
            **kwargs: `task`, advanced once per epoch of each fold.

        Returns:
            Each validation metric, averaged over the folds, at the epoch of the score.
        """
        run = self._run
        store = self._store(trial.trial_id, trial.hyperparameters.values)
        records = store.load_closed(len(run.subject.folds))
        if records is None:
            outcome = self._cross_validate(trial, store, kwargs.get("task"))
            epoch = self._chosen_epoch(list(outcome.folds))
            num_rows = len(run.subject.data.targets)
            store.close(outcome.out_of_fold(epoch, num_rows), epoch)
            records = list(outcome.folds)
        metrics, epoch = self._figures(records)
        self.oracle.update_trial(trial.trial_id, metrics, step=epoch)
        return metrics

    def on_trial_end(self, trial: Trial) -> None:
        """Record a trial that has ended."""
        self.oracle.end_trial(trial)
        if trial.status == TrialStatus.COMPLETED:
            self._store(trial.trial_id, trial.hyperparameters.values).prune()
        self.progress.recorded(self.project_folder, trial.trial_id)

    def results(self) -> pd.DataFrame:
        """One row per trial, in the order of their ids.

        Returns:
            `rank`, `trial`, `score`, `score_std`, `tied_with_best`, the hyperparameters (those that
            the search varies first), `epoch`, `status`, `score_low`, `score_high`,
            `p_against_best`, each validation metric and its `_std`, `view_only_...` for
            radiographs, `steps_per_epoch`, `one_step`, `seconds` and `message`. Use names, not
            positions; `records.trial_tables.results_table` explains each. Printed, it shows as many
            of its first columns as fit, and names the others; a file written from it has all.
        """
        return PrintedTable(results_table(self.project))

    def history(self) -> pd.DataFrame:
        """Tidy table of every value; see `records.trial_tables.history_table`.

        Returns:
            The columns `trial, fold, epoch, split, metric, value`.
        """
        return history_table(self.project)

    @property
    def project(self) -> Project:
        """What the project folder contains now."""
        return read_project(self.project_folder)

    def save(self) -> None:
        """Write KerasTuner's state files, from which its own tools reload the project."""
        self.oracle.save()
        write_json(Path(self._get_tuner_fname()), self.get_state())

    def reload(self) -> None:
        """Do nothing: a search loads the trials itself."""

    def load_model(self, trial: Trial) -> keras.Model:
        """Refuse: cross-validation keeps predictions, not models.

        Raises:
            SearchError: always; it says what to do instead.
        """
        raise SearchError(
            "a cross-validated trial has one model per fold, and none of them is kept; train a "
            "model with the values of get_best_hyperparameters"
        )

    def _require_a_search(self) -> None:
        """Refuse to empty a folder that is not a search folder, such as one named by mistake."""
        names = [path.name for path in self.project_folder.iterdir() if path.name[:5] != ".lock"]
        if names and not {RUN_FILE, "oracle.json"} & set(names):
            raise SearchError(
                f"{self.project_folder} is not a search folder (it contains {min(names)}), so it "
                "is not emptied; use another project_name, or empty it yourself"
            )

    def _populate_initial_space(self) -> None:
        """Do nothing in KerasTuner's constructor; `_declare_space` follows it."""

    def _declare_space(self) -> None:
        space = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(space)
        self.oracle.update_space(space)
        if not getattr(self.hypermodel, "declares_everything", False):
            self._activate_all_conditions()
        self.oracle.freeze_space()

    def _cross_validate(self, trial: Trial, store: FoldStore, task: Task | None) -> CrossValidation:
        """Train the folds together where that gives the same numbers, else one by one."""
        run = self._run
        shared: dict[str, Any] = {
            "epochs": run.epochs,
            "batch_size": batch_size_of(trial.hyperparameters.values, run.batch_size),
            "seed": self.seed,
            "trial": int(trial.trial_id),
            "task": task,
        }
        if run.trainer is not None:
            try:
                outcome = run_folds_together(
                    lambda: self._build(trial, None), run.trainer, run.subject.folds, **shared
                )
            except MixedFolds as reason:
                # Decided for each trial, so that a resumed search trains it in the same way.
                if str(reason) not in run.said:
                    self.progress.say(f"folds are trained one after another: {reason}")
                    run.said.add(str(reason))
            else:
                for record in outcome.folds:
                    store.save(record)
                return outcome
        return run_folds(
            lambda running: self._build(trial, running),
            run.subject.data,
            run.subject.folds,
            keep_running=run.subject.keeps_running,
            owns_models=run.subject.owns_models,
            store=store,
            on_record=lambda: self.progress.recorded(self.project_folder, trial.trial_id),
            **shared,
        )

    def _build(self, trial: Trial, running: RunningPredictions | None) -> keras.Model:
        hyperparameters = trial.hyperparameters.copy()
        model = self._run.subject.build(hyperparameters, running)
        self.oracle.update_space(hyperparameters)
        if getattr(model, "optimizer", None) is None:
            raise SpaceError(
                f"{type(self.hypermodel).__name__}.build returned a model that is not compiled"
            )
        return model

    def _describe(
        self, subject: Subject, *, epochs: int, batch_size: int, about: Mapping[str, object] | None
    ) -> RunManifest:
        values = self.oracle.get_space().values
        described = plain(
            {
                "format": 1,
                "oracle": type(self.oracle).__name__,
                "objective": {
                    "name": self.oracle.objective.name,
                    "direction": self.oracle.objective.direction,
                },
                "space": _by_name(self.oracle.get_space().get_config()["space"]),
                "max_trials": self.oracle.max_trials,
                "num_trials": self.oracle.num_trials(),
                "seed": self.seed,
                "oracle_seed": self.oracle.seed,
                "score_epoch": self.score_epoch,
                "epochs": epochs,
                "batch_size": None if "batch_size" in values else batch_size,
                "subject": subject.identity,
                "view_only_baseline": subject.view_only,
                "versions": versions(),
                "onednn": onednn_enabled(),
            }
        )
        return RunManifest.of(described | recorded_steps(self.oracle) | dict(about or {}))

    def _store(self, trial_id: str, values: Values) -> FoldStore:
        key = {"run": self._run.key, "trial": trial_id, "values": plain(values)}
        return FoldStore(self.project_folder / f"trial_{trial_id}", key)

    def _is_complete(self, trial: Trial) -> bool:
        store = self._store(trial.trial_id, trial.hyperparameters.values)
        records = store.load_closed(len(self._run.subject.folds))
        if records is None:
            if store.is_foreign():
                raise ResumeError(
                    f"{self.project_folder}: the records of trial {trial.trial_id} belong to "
                    "another search (other data, choices or versions); restore the old values to "
                    "resume it, or use a new folder"
                )
            return False
        metrics, epoch = self._figures(records)
        if (trial.score, trial.best_step) != (metrics[self.oracle.objective.name], epoch):
            return False
        store.prune()
        return True

    def _figures(self, records: list[FoldRecord]) -> tuple[dict[str, float], int]:
        """Each validation metric's mean over the folds, at the epoch of the score."""
        epoch = self._chosen_epoch(records)
        mean = self._mean(records)
        return {f"val_{name}": curve[epoch] for name, curve in mean.items()}, epoch

    def _mean(self, records: list[FoldRecord]) -> dict[str, list[float]]:
        """Validation metrics of each epoch, averaged over the folds."""
        wanted = self.oracle.objective.name.removeprefix("val_")
        curves = with_same_names([record.validation for record in records], wanted)
        return calculate_mean_metrics(curves)

    def _chosen_epoch(self, records: list[FoldRecord]) -> int:
        name = self.oracle.objective.name
        mean = self._mean(records)
        curve = mean.get(name.removeprefix("val_"))
        if curve is None:
            offered = ", ".join(f"val_{metric}" for metric in mean)
            raise SearchError(f"objective {name} is not among the metrics: {offered}")
        return chosen_epoch(curve, self.score_epoch, self.oracle.objective.direction)

    def _run_trials(self) -> None:
        run = self._run
        per_trial = run.epochs * len(run.subject.folds)
        open_trials = sum(t.status == TrialStatus.RUNNING for t in self.oracle.trials.values())
        done = len(self.oracle.trials) - open_trials
        total = self.oracle.num_trials()
        with self.progress.task(
            self.project_name, total * per_trial, done=done * per_trial
        ) as task:
            folds = len(run.subject.folds)
            task.advance(0, note=f"trials of {folds} folds x {run.epochs} epochs")
            self.on_search_begin()
            self.progress.recorded(self.project_folder)
            while True:
                ended = sum(t.status != TrialStatus.RUNNING for t in self.oracle.trials.values())
                if ended < total:
                    end_if_time_is_up()
                trial = self.oracle.create_trial(self.tuner_id)
                if trial.status == TrialStatus.STOPPED:
                    break
                self.on_trial_begin(trial)
                self.progress.recorded(self.project_folder, trial.trial_id)
                steps = _CountedSteps(task)
                self._attempt(trial, steps)
                # Epochs that a failed trial left out, or an earlier run trained, count as done.
                task.skip(per_trial - steps.taken)
                self.on_trial_end(trial)
                note_recorded_work()
            self.on_search_end()

    def _attempt(self, trial: Trial, task: Task) -> None:
        """Run a trial; an error that fails it becomes its status and message."""
        try:
            metrics = self.run_trial(trial, task=task)
        except Exception as error:
            if not _fails_the_trial(error):
                raise
            trial.status = TrialStatus.FAILED
            trial.message = f"{type(error).__name__}: {error}"
            self.progress.say(f"trial {trial.trial_id} failed: {trial.message}")
        else:
            trial.status = TrialStatus.COMPLETED
            name = self.oracle.objective.name
            task.advance(0, note=f"trial {trial.trial_id} {name} {metrics[name]:.4f}")


def _by_name(space: list[dict[str, Any]]) -> dict[str, Any]:
    """A space by the names of its hyperparameters, so that a difference can be reported by name."""
    named: dict[str, Any] = {}
    for hyperparameter in space:
        name = hyperparameter["config"]["name"]
        while name in named:
            name = f"{name}'"
        named[name] = hyperparameter
    return named


class _CountedSteps:
    """A task that counts the steps taken through it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.taken = 0

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self.taken += steps
        self._task.advance(steps, note=note)

    def skip(self, steps: int) -> None:
        self.taken += steps
        self._task.skip(steps)


class _Run:
    """What `search` passes to its trials; `trainer` is None where folds are trained one by one."""

    def __init__(self, subject: Subject, key: str, epochs: int, batch_size: int) -> None:
        self.subject = subject
        self.key = key
        self.epochs = epochs
        self.batch_size = batch_size
        self.said: set[str] = set()
        self.trainer: FoldParallelTrainer | None = None
        if isinstance(subject.data.inputs, FrozenFeatures):
            self.trainer = FoldParallelTrainer(subject.data)

    def release(self) -> None:
        """Release what only training needs, since many searches may follow in one process."""
        if self.trainer is not None:
            self.trainer.release()
            self.trainer = None


def _fails_the_trial(error: Exception) -> bool:
    # JAX raises one type for every error; the text begins with the kind.
    exhausted = type(error).__name__ in _JAX_FAILURES and "RESOURCE_EXHAUSTED" in str(error)
    return (
        exhausted or isinstance(error, _TRIAL_FAILURES) or type(error).__name__ in _BACKEND_FAILURES
    )
