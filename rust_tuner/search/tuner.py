"""`CrossValidationTuner`: a KerasTuner `Tuner` whose trial is a k-fold cross-validation.

It owns the order of a search: claim the folder, load what an earlier run left, run the trials and
record them. How folds are trained and values are chosen belongs to other modules.
"""

import contextlib
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pandas as pd
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import (
    ResumeError,
    SearchError,
    SpaceError,
    TrialError,
)
from rust_tuner.files import empty_folder, sha256_of_json, write_json
from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.locks import hold_lock
from rust_tuner.models.code_identity import own_code
from rust_tuner.models.described import describe_model
from rust_tuner.models.fold_plan import MixedFolds
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.runtime import start_backend
from rust_tuner.progress import Progress, Silent, Task
from rust_tuner.records.folds import FoldStore
from rust_tuner.records.printed_table import PrintedTable
from rust_tuner.records.project import (
    Project,
    read_out_of_fold,
    read_out_of_fold_repeats,
    read_project,
)
from rust_tuner.records.rows import write_rows
from rust_tuner.records.run import RUN_FILE, run_if_whole
from rust_tuner.records.trial_tables import history_table, results_table
from rust_tuner.scope import AUROCS
from rust_tuner.search.array_subject import arrays_subject
from rust_tuner.search.code_changes import UsersModel
from rust_tuner.search.cross_validation import (
    CrossValidation,
    chosen_epoch,
    mean_of_repeats,
    run_folds,
    run_folds_together,
)
from rust_tuner.search.declaring import declare_by_building
from rust_tuner.search.failures import (
    failed_in_a_row,
    fails_the_trial,
    first_mistakes,
    message_of,
    traceback_of,
)
from rust_tuner.search.fit_options import (
    SEARCH_ARGUMENTS,
    Deadline,
    FitOptions,
    checked_timeout,
    progress_of,
    refuse_unknown,
)
from rust_tuner.search.groups import by_row_note
from rust_tuner.search.manifest import describe_run
from rust_tuner.search.oracles import ResumableOracle, Values, plain
from rust_tuner.search.own_tuner import HOOKS, FoldHooks, metrics_of, refuse_workers
from rust_tuner.search.reserved_names import (
    batch_size_of,
    epochs_name,
    epochs_of,
    warn_of_old_epochs,
)
from rust_tuner.search.run_state import CountedSteps, Run
from rust_tuner.search.runs import (
    choose_steps,
    claim_folder,
    readable_trials,
    recover_trials,
    run_key,
    with_begun_kernels,
)
from rust_tuner.search.scoring import Scoring
from rust_tuner.search.subjects import (
    Subject,
    images_subject,
    is_radiographs,
    radiographs_subject,
    takes_radiographs,
)
from rust_tuner.seeds import require_seed

_DEFAULT_EPOCHS = 20
_DEFAULT_BATCH_SIZE = 32


class CrossValidationTuner(keras_tuner.Tuner):  # type: ignore[misc]
    """Searches hyperparameters by k-fold cross-validation, resumably.

    A trial's score is the validation objective averaged over the folds, at the epoch that
    `score_epoch` names. A search can be killed at any moment; run it again with the same arguments
    to resume.
    """

    _arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
    _timeout: float | None = None
    # Output -> names of its classes, where the targets of the search were text; "" is the only one.
    classes: Mapping[str, list[str]] = MappingProxyType({})

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        oracle: ResumableOracle,
        cv: Any = 6,
        seed: int | None = 1,
        directory: str | Path | None = None,
        project_name: str | None = None,
        *,
        score_epoch: str | int = "best_mean",
        overwrite: bool = False,
        progress: Progress | None = None,
        code_version: str | int | None = None,
    ) -> None:
        """Open a project folder, new or with a search to resume.

        Args:
            hypermodel: any Keras HyperModel whose `build` declares all its hyperparameters and
                compiles the model; one named `batch_size` sets the batch size, and one named
                `epochs` (or KerasTuner's `tuner/epochs`) the number of epochs.
            oracle: a `RandomSearchOracle` or `GridSearchOracle` of this package.
            cv: number of folds, `Folds`, or any scikit-learn splitter.
            seed: decides folds, initial weights, shuffling and dropout; an integer from 0. None
                for one that is drawn once and recorded with the search.
            directory: the folder of project folders; the current folder where None.
            project_name: name of the project folder.
            score_epoch: `best_mean`, `last`, or an epoch from 0.
            overwrite: whether to empty the project folder first.
            progress: where to report; nowhere by default.
            code_version: your own name for what the model's code does. A search is resumed only
                with the same one. The model that `build` returns is compared by itself: its
                layers, optimizer, losses, metrics, and the code of own classes and functions. Give
                a new version where you change what a model does not show, such as files that the
                code reads, or values of global variables.

        Raises:
            SearchError: for an oracle that cannot be resumed, or in a worker of KerasTuner's
                distribution.
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
        refuse_workers()
        begun = None if overwrite else run_if_whole(_folder_of(directory, project_name))
        self.seed = _drawn_once(seed, None if begun is None else begun.seed)
        oracle.seed = _drawn_once(oracle.seed, None if begun is None else begun.oracle_seed)
        start_backend()
        self.cv = cv
        self.score_epoch = score_epoch
        self.code_version = code_version
        self._progress = progress
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

    @property
    def _scoring(self) -> Scoring:
        return Scoring(self.oracle.objective, self.score_epoch)

    def search(
        self,
        x: Any,
        y: Any = None,
        groups: npt.ArrayLike | None = None,
        epochs: int = _DEFAULT_EPOCHS,
        *,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        sample_weight: Any = None,
        class_weight: Any = None,
        callbacks: Any = None,
        validation_batch_size: int | None = None,
        shuffle: bool = True,
        verbose: int | str = 1,
        timeout: float | None = None,
        cache: str | Path | None = None,
        about: Mapping[str, object] | None = None,
        **unknown: Any,
    ) -> None:
        """Run trials until the oracle has no more, or resume a search that was interrupted.

        Args:
            x: the development set, or (n, ...) inputs: an array, a pandas or Polars frame, or a
                dict or list of arrays for a model with several inputs.
            y: (n, ...) targets, likewise; text becomes the positions of its sorted values, which
                `classes` names. None where the model needs only inputs, and with radiographs.
            groups: (n,) such as patients; no group is on two sides of a fold. No group may be
                missing, all are numbers or all are text, and each text has one spelling; only with
                arrays. Without groups, folds are made by row, and a note says so.
            epochs: epochs of each fold.
            batch_size: for hypermodels without a hyperparameter of that name.
            sample_weight: (n,) weights of the rows, in the loss and in metrics that were compiled
                as `weighted_metrics`, on both sides of a fold.
            class_weight: class -> weight of its training rows; or `balanced`, which each fold
                counts in its own training rows.
            callbacks: Keras callbacks, copied for each fold; or a function that returns them.
                `TensorBoard`, `ModelCheckpoint` and `CSVLogger` write into a folder
                `trial_0000/fold_0` below the path that they were given.
            validation_batch_size: rows of a batch of validation; `batch_size` where None.
            shuffle: whether each epoch draws a new order of the training rows.
            verbose: 0 reports nothing, anything else reports on standard error: a bar on a
                terminal, lines elsewhere. The `progress` of the tuner is used in any case.
            timeout: seconds after which no further trial begins; run the search again to resume it.
                At least one trial is run.
            cache: folder of the feature cache, the default one where None; only with radiographs.
            about: further JSON values for the run manifest, such as a protocol.
            **unknown: refused, with what to use instead.

        Raises:
            SearchError: before any long work, where data, folds and model do not match.
            ResumeError: where the folder contains another search.
            LockedError: where another process searches in the folder.
            TimeBudgetError: where a time budget is set and spent before the last trial.
        """
        refuse_unknown(unknown, SEARCH_ARGUMENTS)
        self.progress = progress_of(self._progress, verbose)
        self._timeout = checked_timeout(timeout)
        options = FitOptions(sample_weight, class_weight, callbacks, validation_batch_size, shuffle)
        if is_radiographs(x) or (y is None and takes_radiographs(self.hypermodel)):
            development = require_development(x)
            if y is not None or groups is not None:
                raise SearchError(
                    "y and groups are for arrays only; a development set has its own labels and "
                    "patients"
                )
            options.refuse("radiographs")
            subject = self._subject_of(development, cache)
        else:
            subject = arrays_subject(
                self.hypermodel,
                x,
                y,
                groups,
                self.cv,
                seed=self.seed,
                objective=self.oracle.objective.name,
                options=options,
            )
            if groups is None and (note := by_row_note(self.cv, subject.data.num_rows)):
                self.progress.say(note)
            self.classes = subject.classes
            if subject.callbacks is not None and (note := subject.callbacks.note()):
                self.progress.say(note)
        given: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size} | options.given()
        if groups is not None:
            given["groups"] = groups
        self._arguments = ((x,) if y is None else (x, y)), given
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
        folder = self.project_folder
        with hold_lock(folder, "searching hyperparameters", noted=True):
            model = self._users_model(subject)
            identity = {} if model is None else model.identity
            run = describe_run(
                subject,
                self.oracle,
                identity,
                seed=self.seed,
                score_epoch=self.score_epoch,
                epochs=epochs,
                batch_size=batch_size,
                about=self._own_choices() | dict(about or {}),
            )
            run = with_begun_kernels(folder / RUN_FILE, run, say=self.progress.say)
            may_change = model is not None and model.may_change
            free = ("description", "code_version", "run_trial", "model") if may_change else ()
            with claim_folder(folder, run, free=free):
                arguments, options = self._arguments
                self._run = Run(
                    subject,
                    run_key(run),
                    epochs,
                    batch_size,
                    reads_epochs=run.epochs_hyperparameter is not None,
                    arguments=arguments,
                    options=options,
                )
                for note in [] if model is None else model.refuse_changes(self._store_of):
                    self.progress.say(note)
                for note in recover_trials(folder, self.oracle, self._is_complete):
                    self.progress.say(note)
            if model is not None:
                model.keep_defaults()
            name = epochs_name(self.oracle.get_space().values)
            if name is not None and run.epochs_hyperparameter is None:
                warn_of_old_epochs(name, epochs)
            if subject.rows is not None:
                write_rows(self.project_folder, subject.rows)
            self.save()
            try:
                self._run_trials()
            finally:
                self._run.release()

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Cross-validate one configuration.

        A subclass may override it, as in KerasTuner, to change `epochs` and `batch_size` before it
        calls this method, or to change what is returned, which is what the trial is scored by.

        Args:
            trial: its values and its id.
            *args: the data, as they were given to `search`.
            **kwargs: `epochs` and `batch_size` of this trial; `groups` as given to `search`.

        Returns:
            Each validation metric, averaged over the folds, at the epoch of the score.

        Raises:
            SearchError: for other data than those of the search, or other arguments.
        """
        run = self._run
        epochs, batch_size = self._choices(trial, args, kwargs)
        store = self._store_of(trial)
        records = store.load_closed(len(run.subject.folds))
        if records is None:
            outcome = self._cross_validate(trial, store, epochs=epochs, batch_size=batch_size)
            _, epoch = self._scoring.figures(list(outcome.folds))
            num_rows = run.subject.data.num_rows
            repeats = outcome.out_of_fold_repeats(epoch, num_rows)
            store.close(
                mean_of_repeats(repeats), epoch, repeats=repeats if len(repeats) > 1 else None
            )
            records = list(outcome.folds)
        metrics, epoch = self._scoring.figures(records)
        run.chosen[trial.trial_id] = epoch
        self.oracle.update_trial(trial.trial_id, metrics, step=epoch)
        return metrics

    def _choices(
        self, trial: Trial, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[int, int]:
        """Epochs and batch size of a trial: those of its values, or those passed to `run_trial`."""
        run = self._run
        values = trial.hyperparameters.values
        free = ("epochs", "batch_size")
        names = sorted((set(kwargs) | set(run.options)) - set(free))
        other = [name for name in names if kwargs.get(name) is not run.options.get(name)]
        same_data = all(one is other for one, other in zip(args, run.arguments, strict=False))
        if other or not same_data:
            what = ", ".join(f"another {name}" for name in other) or "other data"
            raise SearchError(
                f"run_trial was called with {what}; a trial is trained on the data of the search, "
                "and only epochs and batch_size may be changed"
            )
        epochs = kwargs.get("epochs", run.epochs)
        if epochs == run.epochs:
            epochs = epochs_of(values, run.epochs) if run.reads_epochs else run.epochs
        batch_size = kwargs.get("batch_size", run.batch_size)
        if batch_size == run.batch_size:
            batch_size = batch_size_of(values, run.batch_size)
        if isinstance(self.score_epoch, int) and self.score_epoch >= epochs:
            raise TrialError(
                f"trial {trial.trial_id} has {epochs} epochs, but score_epoch is "
                f"{self.score_epoch}, counted from 0"
            )
        return epochs_of({}, epochs), batch_size_of({}, batch_size)

    def on_trial_end(self, trial: Trial) -> None:
        """Record a trial that has ended."""
        self.oracle.end_trial(trial)
        if trial.status != TrialStatus.RUNNING:
            self._store_of(trial).prune()
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

    def out_of_fold(
        self, trial: str | None = None, *, each: bool = False
    ) -> npt.NDArray[np.float32]:
        """Predictions of a completed trial at its chosen epoch, each by a fold without the row.

        Args:
            trial: its id, such as `0003`; the best trial where None.
            each: whether to return every prediction of a row, where several folds validate it.

        Returns:
            (n, ...) float32, the mean of a row's predictions; (repeats, n, ...) where `each`. NaN
            in rows that no fold validates.

        Raises:
            ResumeError: where the trial has none, or no trial is completed.
        """
        best = self.project.best if trial is None else None
        if trial is None and best is None:
            raise ResumeError(f"{self.project_folder} has no completed trial yet")
        name = trial if best is None else best.trial
        read = read_out_of_fold_repeats if each else read_out_of_fold
        return read(self.project_folder, str(name))

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
            declare_by_building(self.hypermodel, self.oracle)
        self.oracle.freeze_space()

    def _cross_validate(
        self, trial: Trial, store: FoldStore, *, epochs: int, batch_size: int
    ) -> CrossValidation:
        """Train the folds together where that gives the same numbers, else one by one."""
        run = self._run
        shared: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": batch_size,
            "seed": self.seed,
            "trial": int(trial.trial_id),
            "task": run.task,
        }
        hooks = [name for name in HOOKS if self._overrides(name)]
        if run.trainer is not None:
            try:
                if hooks:
                    raise MixedFolds(f"{', '.join(hooks)} of the tuner is called for each fold")
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
            callbacks=lambda model: [FoldHooks(self, trial)] if hooks else [],
            users_callbacks=run.subject.callbacks,
            **shared,
        )

    def _overrides(self, method: str) -> bool:
        """Whether a subclass has its own form of a method of KerasTuner's tuner."""
        ours = getattr(CrossValidationTuner, method)
        return getattr(type(self), method) is not ours

    def _build(self, trial: Trial, running: RunningPredictions | None) -> keras.Model:
        hyperparameters = trial.hyperparameters.copy()
        run = self._run
        model = run.subject.build(hyperparameters, running)
        self.oracle.update_space(hyperparameters)
        if getattr(model, "optimizer", None) is None:
            raise SpaceError(
                f"{type(self.hypermodel).__name__}.build returned a model that is not compiled"
            )
        if run.subject.is_users_model and trial.trial_id not in run.described:
            run.described.add(trial.trial_id)
            store = self._store_of(trial)
            if not store.is_begun or store.kept_model() is None:
                store.keep_model(describe_model(model))
        return model

    def _users_model(self, subject: Subject) -> UsersModel | None:
        """The user's model, as it is built now; None where the model is ours.

        Raises:
            ResumeError: where the search was begun with another model.
            SearchError: where the model does not have the objective.
        """
        model = None
        offered: tuple[str, ...] | None = ("loss", *AUROCS) if subject.keeps_running else None
        if subject.is_users_model:
            space = self.oracle.get_space
            model = UsersModel(self.project_folder, subject, space, seed=self.seed)
            if not subject.keeps_running:
                offered = model.defaults.metrics
            if "auroc" in model.defaults.own_metrics and "exact_auroc" in (offered or ()):
                self.progress.say(
                    "note: the model has a metric of its own named auroc, so val_auroc is that "
                    "metric; the exact macro AUROC is val_exact_auroc"
                )
        self._scoring.require(offered)
        return model

    def _own_choices(self) -> dict[str, object]:
        """What the manifest records only where a search has it; older searches keep their key."""
        own: dict[str, object] = {}
        if self.code_version is not None:
            own["code_version"] = self.code_version
        begun = run_if_whole(self.project_folder)
        # A search of an earlier version goes on without it, under the key that it was begun with.
        name = epochs_name(self.oracle.get_space().values)
        if name is not None and (begun is None or begun.epochs_hyperparameter):
            own["epochs_hyperparameter"] = name
        if self._overrides("run_trial"):
            own["run_trial"] = sha256_of_json(own_code(type(self).run_trial))
        return own

    def _store(self, trial_id: str, values: Values) -> FoldStore:
        key = {"run": self._run.key, "trial": trial_id, "values": plain(values)}
        return FoldStore(self.project_folder / f"trial_{trial_id}", key)

    def _store_of(self, trial: Trial) -> FoldStore:
        return self._store(trial.trial_id, trial.hyperparameters.values)

    def _is_complete(self, trial: Trial) -> bool:
        store = self._store_of(trial)
        records = store.load_closed(len(self._run.subject.folds))
        if self._overrides("run_trial") and (records is not None or not store.is_begun):
            # What the subclass returned is recorded in the trial alone.
            return True
        if records is None:
            if store.is_foreign():
                raise ResumeError(
                    f"{self.project_folder}: the records of trial {trial.trial_id} belong to "
                    "another search (other data, choices or versions); restore the old values to "
                    "resume it, or use a new folder"
                )
            return False
        metrics, epoch = self._scoring.figures(records)
        if (trial.score, trial.best_step) != (metrics[self.oracle.objective.name], epoch):
            return False
        store.prune()
        return True

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
            self._retry_first_mistakes()
            ends = Deadline(self._timeout)
            while True:
                ended = sum(t.status != TrialStatus.RUNNING for t in self.oracle.trials.values())
                if ended < total:
                    end_if_time_is_up()
                    if ends.is_over(self.progress.say):
                        break
                trial = self.oracle.create_trial(self.tuner_id)
                if trial.status == TrialStatus.STOPPED:
                    break
                self.on_trial_begin(trial)
                self.progress.recorded(self.project_folder, trial.trial_id)
                own = self._epochs_of(trial) * folds
                steps = run.task = CountedSteps(task, planned=per_trial, own=own)
                error = self._attempt(trial, task)
                # Epochs that a failed trial left out, or an earlier run trained, count as done.
                task.skip(per_trial - steps.taken)
                self.on_trial_end(trial)
                note_recorded_work()
                ends.has_worked = True
                if error is not None:
                    self._end_after_failures(error)
            self.on_search_end()

    def _epochs_of(self, trial: Trial) -> int:
        run = self._run
        values = trial.hyperparameters.values
        return epochs_of(values, run.epochs) if run.reads_epochs else run.epochs

    def _attempt(self, trial: Trial, task: Task) -> Exception | None:
        """Run a trial; an error that fails it becomes its status and message, and is returned."""
        run = self._run
        try:
            results = self.run_trial(trial, *run.arguments, **run.options)
            score = self._report(trial, results)
        except Exception as error:
            if not fails_the_trial(error):
                raise
            trial.status = TrialStatus.FAILED
            trial.message = message_of(error)
            trial.traceback = traceback_of(error)
            self.progress.say(f"trial {trial.trial_id} failed: {trial.message}")
            return error
        trial.status = TrialStatus.COMPLETED
        name = self.oracle.objective.name
        task.advance(0, note=f"trial {trial.trial_id} {name} {score:.4f}")
        return None

    def _report(self, trial: Trial, results: Any) -> float:
        """Tell the oracle what `run_trial` returned, as KerasTuner does; returns the score."""
        name = self.oracle.objective.name
        reported = self.oracle.get_trial(trial.trial_id).metrics
        if results is not None or not reported.exists(name):
            metrics, epoch = metrics_of(results, self.oracle.objective)
            epoch = self._run.chosen.get(trial.trial_id, epoch)
            self.oracle.update_trial(trial.trial_id, metrics, step=epoch)
        score = float(reported.get_last_value(name))
        if not math.isfinite(score):
            raise TrialError(f"trial {trial.trial_id}: run_trial returned {name} = {score}")
        return score

    def _retry_first_mistakes(self) -> None:
        if self.oracle.max_consecutive_failed_trials is None:
            self._retry(first_mistakes(list(self.oracle.trials.values())))

    def _retry(self, mistakes: list[Trial]) -> None:
        """Let trials run again; folds that the mistaken code trained are not kept."""
        for trial in mistakes:
            self._store_of(trial).discard()
        self.oracle.retry(mistakes)

    def _end_after_failures(self, error: Exception) -> None:
        """End the search where its failures show a mistake, or exceed their limit."""
        trials = list(self.oracle.trials.values())
        limit = self.oracle.max_consecutive_failed_trials
        if limit is not None:
            if failed_in_a_row(trials) >= limit:
                raise SearchError(
                    f"{limit} trials failed one after another, which is the oracle's "
                    f"max_consecutive_failed_trials; the last with {message_of(error)}"
                ) from error
        elif mistakes := first_mistakes(trials):
            # They run again once the code is mended.
            self._retry(mistakes)
            error.add_note(
                f"The first {len(mistakes)} trials of {self.project_folder} failed with this "
                "error. Mend the code and run the search again. If the values are at fault, raise "
                "keras_tuner.errors.FailedTrialError for them in build, or give the oracle "
                "max_consecutive_failed_trials."
            )
            raise error


def _folder_of(directory: str | Path | None, project_name: str | None) -> Path:
    """The project folder, as KerasTuner will name it."""
    return Path(directory or ".") / (project_name or "untitled_project")


def _drawn_once(seed: object, recorded: int | None) -> int:
    """A seed that is given, else the recorded one, else a new one."""
    if seed is not None:
        return require_seed(seed, SearchError)
    return secrets.randbits(31) if recorded is None else recorded
