"""Opens the search of a project folder: a new one, or the one there, if it is the same."""

import errno
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras_tuner

from rust_tuner.errors import StorageError
from rust_tuner.files import empty_folder, storage_cure
from rust_tuner.locks import hold_lock
from rust_tuner.records.random_folds import write_random_folds
from rust_tuner.records.rows import write_rows
from rust_tuner.records.run import RUN_FILE
from rust_tuner.search.built_once import ask_model
from rust_tuner.search.code_changes import users_model
from rust_tuner.search.executors.slurm_left import end_jobs
from rust_tuner.search.manifest import declared_space, describe_run, own_choices, together_of
from rust_tuner.search.mean_curves import require_score_epoch
from rust_tuner.search.pruning import AnyRule
from rust_tuner.search.recovery import recover_trials
from rust_tuner.search.reserved_names import epochs_name, fewest_epochs, warn_of_old_epochs
from rust_tuner.search.run_state import Run
from rust_tuner.search.runs import (
    claim_folder,
    require_a_search,
    require_begun_backend,
    require_begun_space,
    run_key,
    with_begun_kernels,
    with_begun_weights,
)
from rust_tuner.search.scoring import Scoring
from rust_tuner.search.subjects import Subject
from rust_tuner.search.trial_training import is_complete

# What may change as long as no fold is trained, beside the number of trials.
_OWN_CODE = ("description", "code_version", "run_trial", "model", "fit", "callbacks", "preprocess")


def absolute_folder(directory: str | Path) -> Path:
    """A folder whose records stay where they are if the current folder changes.

    Raises:
        StorageError: if it is relative to a current folder that does not exist any more.
    """
    try:
        return Path(directory).absolute()
    except FileNotFoundError as error:
        raise StorageError(
            "the current folder has been deleted; change to another one, or give an absolute path "
            "as directory"
        ) from error


def make_project_folder(folder: Path) -> None:
    """Make the folder of a search where there is none.

    Raises:
        StorageError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, FileExistsError):
            cure = f"Remove or rename {folder}, which is a file or a link to nothing"
        elif error.errno == errno.ENAMETOOLONG:
            cure = "Give a shorter project_name"
        else:
            cure = storage_cure(folder)
        raise StorageError(
            f"{folder} cannot be made ({error.strerror or error}). {cure}, or choose another folder"
        ) from error


def remove_search(folder: Path, say: Callable[[str], None]) -> None:
    """Empty the folder of a search, and end the jobs that still work on it.

    Raises:
        SearchError: if the folder contains something else.
        LockedError: if another process works in it.
    """
    with hold_lock(folder, "overwriting the search"):
        require_a_search(folder)
        end_jobs(folder, say)
        empty_folder(folder)


def open_run(
    tuner: keras_tuner.Tuner,
    subject: Subject,
    *,
    epochs: int,
    batch_size: int,
    scoring: Scoring,
    hooks: tuple[str, ...],
    own_scores: bool,
    stop_rule: AnyRule | None,
    given: tuple[tuple[Any, ...], dict[str, Any]],
    about: Mapping[str, object],
) -> Run:
    """What trials need of a search, its trials of earlier runs taken up; the lock must be held.

    Args:
        tuner: of the search; its oracle gets the recorded trials.
        subject: what is trained on.
        epochs: of each fold, where no hyperparameter sets them.
        batch_size: where no hyperparameter sets it.
        scoring: how folds become a score.
        hooks: methods of the tuner that a subclass overrides, and that each fold calls.
        own_scores: whether a subclass overrides `run_trial`.
        stop_rule: when a trial is stopped; None where none is.
        given: what `run_trial` is called with, by position and by name.
        about: further JSON values for the run manifest.

    Raises:
        SearchError: where the epoch of the score is none of each trial.
        ResumeError: where the folder contains another search.
    """
    folder, oracle, say = tuner.project_folder, tuner.oracle, tuner.progress.say
    require_begun_backend(folder)
    require_begun_space(folder, declared_space(oracle))
    model = users_model(folder, subject, oracle.declared.copy, scoring, seed=tuner.seed, say=say)
    manifest = describe_run(
        subject,
        oracle,
        {} if model is None else model.identity,
        seed=tuner.seed,
        score_epoch=tuner.score_epoch,
        epochs=epochs,
        batch_size=batch_size,
        about={
            **own_choices(
                folder,
                oracle,
                code_version=tuner.code_version,
                run_trial=type(tuner) if own_scores else None,
                stop_rule=stop_rule,
            ),
            **together_of(folder, subject),
            **about,
        },
    )
    manifest = with_begun_kernels(folder / RUN_FILE, manifest, say=say)
    manifest = with_begun_weights(folder / RUN_FILE, manifest)
    active = epochs_name(oracle.declared.values)
    reads_epochs = active is None or manifest.epochs_hyperparameter is not None
    name = epochs_name({hp.name: hp for hp in oracle.declared.space})
    # An epoch that a trial of this search does not have is refused before the first trial.
    fewest = fewest_epochs(oracle.declared.space, epochs) if reads_epochs else epochs
    why = "" if fewest == epochs else f" (the fewest that the hyperparameter {name} may give)"
    require_score_epoch(tuner.score_epoch, fewest, why=why)
    may_change = model is not None and model.may_change
    free = _OWN_CODE if may_change else ()
    with claim_folder(folder, manifest, free=free):
        arguments, options = given
        run = Run(
            subject,
            folder,
            manifest,
            run_key(manifest),
            epochs,
            batch_size,
            seed=tuner.seed,
            scoring=scoring,
            reads_epochs=reads_epochs,
            hooks=hooks,
            arguments=arguments,
            options=options,
            stop_rule=stop_rule,
        )
        if not getattr(tuner.hypermodel, "declares_everything", False):
            oracle.complete_by(functools.partial(ask_model, subject, tuner.seed))
        for note in [] if model is None else model.refuse_changes(run.store_of):
            say(note)
        complete = functools.partial(is_complete, run, own_scores=own_scores)
        for note in recover_trials(folder, oracle, complete):
            say(note)
        if subject.split is not None and subject.split.random_key is not None:
            write_random_folds(folder, subject.split.random_key, subject.folds)
    if model is not None:
        model.keep_defaults()
    if active is not None and manifest.epochs_hyperparameter is None:
        warn_of_old_epochs(active, epochs)
    if subject.rows is not None:
        write_rows(folder, subject.rows)
    return run
