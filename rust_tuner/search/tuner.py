"""`CrossValidationTuner`: a KerasTuner `Tuner` whose trial is a k-fold cross-validation.

It owns the order of a search: claim the folder, load what an earlier run left, run the trials and
record them. How folds are trained and values are chosen belongs to other modules.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras_tuner
import numpy.typing as npt
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.analysis.stopped import rungs_note
from rust_tuner.errors import SearchError
from rust_tuner.files import write_json
from rust_tuner.locks import hold_lock
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.keras_state import users_layers_kept
from rust_tuner.models.runtime import start_backend
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.progress import Progress, Silent
from rust_tuner.records.project import project_folder_of
from rust_tuner.records.run import run_if_whole
from rust_tuner.search.after_search import AfterSearch
from rust_tuner.search.array_subject import taken_apart
from rust_tuner.search.compile_arguments import CompileArguments
from rust_tuner.search.declaring import declare_space
from rust_tuner.search.executors.ahead import trials_ahead, why_not_ahead
from rust_tuner.search.executors.engines import Engine, engine_of
from rust_tuner.search.executors.lag import choose_lag
from rust_tuner.search.executors.workers import Workers
from rust_tuner.search.fit_options import (
    Default,
    FitOptions,
    checked_timeout,
    is_count,
    progress_of,
    refuse_unknown,
)
from rust_tuner.search.given_subject import subject_of
from rust_tuner.search.objectives import objectives_of, require_validation, with_scores
from rust_tuner.search.opening import absolute_folder, make_project_folder, open_run, remove_search
from rust_tuner.search.own_tuner import HOOKS, refuse_workers
from rust_tuner.search.pruning import AnyRule, compared_with, stop_rule_of
from rust_tuner.search.recovery import readable_trials
from rust_tuner.search.runs import choose_steps
from rust_tuner.search.scoring import Scoring
from rust_tuner.search.stock_oracles import resumable
from rust_tuner.search.subjects import Subject
from rust_tuner.search.trial_loop import TrialLoop
from rust_tuner.search.trial_training import choices_of, cross_validated, figures_of
from rust_tuner.seeds import drawn_once

_DEFAULT_EPOCHS = Default(20)
_DEFAULT_BATCH_SIZE = Default(32)


class CrossValidationTuner(AfterSearch, keras_tuner.Tuner):  # type: ignore[misc]
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
        oracle: keras_tuner.Oracle,
        cv: Any = 6,
        seed: int | None = 1,
        directory: str | Path | None = None,
        project_name: str | None = None,
        *,
        score_epoch: str | int = "best_mean",
        overwrite: bool = False,
        progress: Progress | None = None,
        code_version: str | int | None = None,
        keep_models: str | None = None,
        **compiling: Any,
    ) -> None:
        """Open a project folder, new or with a search to resume.

        Args:
            hypermodel: any Keras HyperModel whose `build` compiles the model. It may ask for
                hyperparameters that only some trials have. One named `batch_size` sets the batch
                size, and one named `epochs` (or KerasTuner's `tuner/epochs`) the number of epochs.
            oracle: one of this package, such as `RandomSearchOracle`; KerasTuner's oracles of the
                same names are taken over by their arguments.
            cv: number of folds, `Folds`, or any scikit-learn splitter.
            seed: decides folds, initial weights, shuffling and dropout; an integer from 0. None
                for one that is drawn once and recorded with the search.
            directory: the folder of project folders; the current folder where None.
            project_name: name of the project folder.
            score_epoch: `best_mean`, `last`, or an epoch from 0.
            overwrite: whether to empty the project folder first.
            progress: where to report; where None, as `verbose` of `search` says.
            code_version: your own name for what the model's code does. A search is resumed only
                with the same one. The model that `build` returns is compared by itself: its
                layers, optimizer, losses, metrics, and the code of own classes and functions. Give
                a new version where you change what a model does not show, such as files that the
                code reads, or values of global variables.
            keep_models: `best` to keep the models of the best trial's folds in files, which
                `fold_models` and `ensemble` then read; they are trained once more at the end of the
                search. None keeps no model.
            **compiling: `optimizer`, `loss`, `metrics` and `max_model_size`, as KerasTuner's tuners
                take them: they replace what `build` compiles with, and a model with more weights
                fails its trial.

        Raises:
            SearchError: for an oracle that cannot be resumed, or in a worker of KerasTuner's
                distribution.
            StorageError: where a name in the path of the project folder is not UTF-8.
        """
        directory = absolute_folder(directory or ".")
        folder = project_folder_of(directory, project_name)
        begun = None if overwrite else run_if_whole(folder)
        begun_seed = None if begun is None else begun.oracle_seed
        oracle = resumable(oracle, begun_seed, (progress or Silent()).say)
        require_validation(oracle.objective)
        if keep_models not in (None, "best"):
            raise SearchError(f"keep_models={keep_models!r}; expected 'best' or None")
        refuse_workers()
        self._compile_arguments = CompileArguments.of(compiling)
        self.seed = drawn_once(seed, None if begun is None else begun.seed, SearchError)
        oracle.seed = drawn_once(oracle.seed, begun_seed, SearchError)
        start_backend()
        # A generator of folds gives them once, and a search may be called again.
        self.cv = list(cv) if isinstance(cv, Iterator) else cv
        self.score_epoch = score_epoch
        self.code_version = code_version
        self.keep_models = keep_models
        self._progress = progress
        if begun is not None and begun.subject.classes:
            self.classes = begun.subject.classes
        self.progress = progress or Silent()
        # Before KerasTuner, whose error would name TensorFlow's file system.
        make_project_folder(folder)
        # KerasTuner prints that it reloads the project, which is not true here.
        with contextlib.redirect_stdout(None):
            super().__init__(
                oracle, hypermodel, directory=str(directory), project_name=project_name
            )
        given: keras_tuner.HyperModel = self.hypermodel
        self.hypermodel: keras_tuner.HyperModel = self._compile_arguments.of_hypermodel(given)
        if overwrite:
            remove_search(self.project_folder, self.progress.say)
        # What `build` makes once, and uses again, depends on the seed as well.
        with users_layers_kept(), seeded_weights(FoldPlace(self.seed, 0, 0)):
            declare_space(self.hypermodel, self.oracle)
        # The results of an earlier run are available before the search is resumed.
        oracle.adopt(readable_trials(self.project_folder))

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
        preprocess: Any = None,
        validation_batch_size: int | None = None,
        shuffle: bool = True,
        verbose: int | str = 1,
        timeout: float | None = None,
        cache: str | Path | None = None,
        stop_hopeless: bool | AnyRule = False,
        executor: Any = None,
        workers: int | str | Workers | None = None,
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
            preprocess: a scikit-learn transformer or pipeline, or a Keras layer with `adapt`. A
                copy is fitted on the training rows of each fold, and transforms both sides.
            validation_batch_size: rows of a batch of validation; `batch_size` where None.
            shuffle: whether each epoch draws a new order of the training rows.
            verbose: 0 reports nothing, anything else reports on standard error: a bar on a
                terminal, lines elsewhere. The `progress` of the tuner is used in any case.
            timeout: seconds after which no further trial begins; run the search again to resume it.
                At least one trial is run.
            cache: folder of the feature cache, the default one where None; only with radiographs.
            stop_hopeless: whether to stop a trial that is significantly worse than the best one so
                far, from the sixth epoch on and at two epochs in a row; or another `StopRule`, or
                `SuccessiveHalving`. Only trials whose folds are trained together are stopped. Such
                a trial is `PRUNED`: it has no score, and its epochs are kept.
            executor: trains trials in other processes, several at once: anything with the shape of
                `concurrent.futures.Executor` whose processes see the project folder. Values and
                scores of the trials are those of a search in one process. An oracle that learns
                proposes as many trials at once as there are workers when the search is begun.
            workers: the same in so many processes of this machine, such as 2 or `local:2`, which
                share its cores; or in a Ray cluster: `ray`, `ray:8`, `ray://host:10001` (extra
                `ray`). None and 1 for this process.
            about: further JSON values for the run manifest, such as a protocol.
            **unknown: refused, with what to use instead.

        Raises:
            SearchError: before any long work, where data, folds and model do not match.
            ResumeError: where the folder contains another search.
            LockedError: where another process searches in the folder.
            TimeBudgetError: where a time budget is set and spent before the last trial.
        """
        refuse_unknown(unknown, CrossValidationTuner.search)
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            if not is_count(value):
                raise SearchError(f"{name}={value!r}; expected an integer from 1")
        self.progress = progress_of(self._progress, verbose)
        self._timeout = checked_timeout(timeout)
        engine = engine_of(executor, workers)
        options = FitOptions(
            sample_weight=sample_weight,
            class_weight=class_weight,
            callbacks=callbacks,
            preprocess=preprocess,
            validation_batch_size=validation_batch_size,
            shuffle=shuffle,
        )
        x, y, batch_size, options = taken_apart(x, y, batch_size, options)
        subject = subject_of(
            self.hypermodel,
            x,
            y,
            groups,
            options,
            compiling=self._compile_arguments,
            cv=self.cv,
            seed=self.seed,
            objectives=[part.name for part in objectives_of(self.oracle.objective)],
            folder=self.project_folder,
            cache=cache,
            progress=self.progress,
        )
        self.classes = subject.classes
        given: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size} | options.given()
        if groups is not None:
            given["groups"] = groups
        self._arguments = ((x,) if y is None else (x, y)), given
        self.search_subject(
            subject,
            epochs=int(epochs),
            batch_size=int(batch_size),
            stop_hopeless=stop_hopeless,
            engine=engine,
            about=about,
        )

    @users_layers_kept()
    def search_subject(
        self,
        subject: Subject,
        *,
        epochs: int = _DEFAULT_EPOCHS,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        stop_hopeless: bool | AnyRule = False,
        engine: Engine | None = None,
        about: Mapping[str, object] | None = None,
    ) -> None:
        """Search on a subject that was made before; see `search`."""
        if epochs < 1 or batch_size < 1:
            raise SearchError(f"epochs={epochs}, batch_size={batch_size}; both must be at least 1")
        subject = with_scores(subject, self.oracle.objective)
        for line in () if subject.split is None else subject.split.notes:
            self.progress.say(line)
        if note := choose_steps(self.project_folder, self.oracle):
            self.progress.say(note)
        if subject.own_fit and self.keep_models is not None:
            raise SearchError(
                "keep_models with a HyperModel.fit of its own, whose models cannot be trained "
                "again; keep them in fit"
            )
        own_scores = self._overrides("run_trial")
        stop_rule = stop_rule_of(stop_hopeless, self.oracle, own_scores=own_scores)
        hooks = tuple(name for name in HOOKS if self._overrides(name))
        with (
            contextlib.nullcontext() if engine is None else contextlib.closing(engine),
            hold_lock(self.project_folder, "searching hyperparameters", noted=True),
        ):
            in_workers = why_not_ahead(hooks, own_scores=own_scores) is None
            num_workers = engine.num_workers if engine is not None and in_workers else 1
            if note := choose_lag(self.oracle, self.project_folder, num_workers):
                self.progress.say(note)
            self._run = open_run(
                self,
                subject,
                epochs=epochs,
                batch_size=batch_size,
                scoring=self._scoring,
                hooks=hooks,
                own_scores=own_scores,
                stop_rule=stop_rule,
                given=self._arguments,
                about=about or {},
            )
            self.save()
            try:
                with trials_ahead(self, self._run, engine, own_scores=own_scores) as ahead:
                    loop = TrialLoop(
                        self, self._run, self.progress, timeout=self._timeout, ahead=ahead
                    )
                    loop.run_trials()
                if (note := rungs_note(self.project)) is not None:
                    self.progress.say(f"note: {note}")
                if self.keep_models is not None:
                    self.keep_best_models()
            finally:
                self._run.release()
                # It refers to the data of the search.
                self.oracle.complete_by(None)

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
        epochs, batch_size = choices_of(run, trial, args, kwargs)
        rival = compared_with(run, self.oracle, trial)
        records = cross_validated(
            self, run, trial, epochs=epochs, batch_size=batch_size, rival=rival
        )
        metrics, epoch = figures_of(run, trial, records)
        run.chosen[trial.trial_id] = epoch
        self.oracle.update_trial(trial.trial_id, metrics, step=epoch)
        return metrics

    def on_trial_end(self, trial: Trial) -> None:
        """Record a trial that has ended."""
        self.oracle.end_trial(trial)
        if trial.status != TrialStatus.RUNNING:
            self._run.store_of(trial).prune()
        self.progress.recorded(self.project_folder, trial.trial_id)

    def save(self) -> None:
        """Write KerasTuner's state files, from which its own tools reload the project."""
        self.oracle.save()
        write_json(Path(self._get_tuner_fname()), self.get_state())

    def reload(self) -> None:
        """Do nothing: a search loads the trials itself."""

    def _populate_initial_space(self) -> None:
        """Do nothing in KerasTuner's constructor; `declare_space` follows it."""

    def _overrides(self, method: str) -> bool:
        """Whether a subclass has its own form of a method of KerasTuner's tuner."""
        ours = getattr(CrossValidationTuner, method)
        return getattr(type(self), method) is not ours
