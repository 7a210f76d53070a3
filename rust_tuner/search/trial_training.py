"""How one trial is cross-validated: its model, its epochs and batch size, and its folds.

Folds are trained together where that gives the same numbers, else one after another.
"""

import dataclasses
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.data.structures import AnyRows
from rust_tuner.errors import ResumeError, SearchError, SpaceError, TrialError
from rust_tuner.models.described import describe_model
from rust_tuner.models.fold_arrays import ArraysTogether
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.fold_plan import MixedFolds
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.keras_state import users_layers_kept
from rust_tuner.models.runtime import new_garbage_collected
from rust_tuner.records.folds import FoldRecord, FoldStore, one_by_one, reason_of
from rust_tuner.search.adopted import adopted, save_all
from rust_tuner.search.fold_runs import run_folds, run_folds_together
from rust_tuner.search.mean_curves import CrossValidation, mean_of_repeats
from rust_tuner.search.own_fit import HyperModelFit
from rust_tuner.search.own_tuner import FoldHooks
from rust_tuner.search.pruning import Compared, judge, note_if_hopeless
from rust_tuner.search.reserved_names import batch_size_of, epochs_of
from rust_tuner.search.run_state import Run


def choices_of(
    run: Run, trial: Trial, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[int, int]:
    """Epochs and batch size of a trial: those of its values, or those passed to `run_trial`.

    Args:
        run: what `search` passes to its trials.
        trial: the trial.
        args: positional arguments of `run_trial` after the trial.
        kwargs: its arguments by name.

    Raises:
        SearchError: for other data than those of the search, or other arguments.
        TrialError: where the epoch of the score is beyond those of the trial.
    """
    values = trial.hyperparameters.values
    names = sorted((set(kwargs) | set(run.options)) - {"epochs", "batch_size"})
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
        epochs = run.epochs_of(trial)
    batch_size = kwargs.get("batch_size", run.batch_size)
    if batch_size == run.batch_size:
        batch_size = batch_size_of(values, run.batch_size)
    score_epoch = run.scoring.score_epoch
    if not isinstance(score_epoch, str) and score_epoch >= epochs:
        raise TrialError(
            f"trial {trial.trial_id} has {epochs} epochs, but score_epoch is "
            f"{score_epoch}, counted from 0"
        )
    return epochs_of({}, epochs), batch_size_of({}, batch_size)


@users_layers_kept(joins=True)
@new_garbage_collected()
def cross_validated(
    tuner: keras_tuner.Tuner,
    run: Run,
    trial: Trial,
    *,
    epochs: int,
    batch_size: int,
    rival: Compared | None = None,
) -> list[FoldRecord]:
    """The records of a trial's folds, which are trained where an earlier run left none.

    Args:
        tuner: whose hooks and oracle are used.
        run: what `search` passes to its trials.
        trial: the trial.
        epochs: of each fold.
        batch_size: of each step.
        rival: what decides whether the trial is stopped, see `pruning.compared_with`.
    """
    store = run.store_of(trial)
    outcome = adopted(run, rival, trial, store, epochs)
    if isinstance(outcome, list):
        return outcome
    if outcome is None:
        outcome = _cross_validate(
            tuner, run, trial, store, epochs=epochs, batch_size=batch_size, rival=rival
        )
    else:
        save_all(store, outcome.folds)
    note_if_hopeless(run, rival, trial, outcome.folds, epochs)
    _, epoch = figures_of(run, trial, list(outcome.folds))
    repeats = outcome.out_of_fold_repeats(epoch, run.subject.data.num_rows)
    store.close(
        mean_of_repeats(repeats),
        epoch,
        repeats=repeats if len(repeats) > 1 else None,
        outputs=outcome.folds[0].outputs,
    )
    return list(outcome.folds)


def figures_of(run: Run, trial: Trial, records: list[FoldRecord]) -> tuple[dict[str, float], int]:
    """The metrics of a trial and their epoch; of one that was stopped, those of its last epoch.

    Args:
        run: what `search` passes to its trials.
        trial: the trial.
        records: of its folds.
    """
    scoring = run.scoring
    if trial.trial_id in run.pruned:
        scoring = dataclasses.replace(scoring, score_epoch="last")
    return scoring.figures(records)


def is_complete(run: Run, trial: Trial, *, own_scores: bool) -> bool:
    """Whether a trial that has ended has all its records, and they give the score that it has.

    Args:
        run: what `search` passes to its trials.
        trial: as its file records it.
        own_scores: whether a subclass returns the scores, which the trial alone records.

    Raises:
        ResumeError: where the records belong to another search.
    """
    store = run.store_of(trial)
    records = store.load_closed(len(run.subject.folds))
    if own_scores and (records is not None or not store.is_begun):
        return True
    if records is None:
        if store.is_foreign():
            raise ResumeError(
                f"{run.folder}: the records of trial {trial.trial_id} belong to another search "
                "(other data, choices or versions); restore the old values to resume it, or use a "
                "new folder"
            )
        return False
    if trial.status == TrialStatus.COMPLETED:
        metrics, epoch = run.scoring.figures(records)
        if (trial.score, trial.best_step) != (metrics[run.scoring.objective.name], epoch):
            return False
    store.prune()
    return True


def _cross_validate(
    tuner: keras_tuner.Tuner,
    run: Run,
    trial: Trial,
    store: FoldStore,
    *,
    epochs: int,
    batch_size: int,
    rival: Compared | None,
) -> CrossValidation:
    """Train the folds together where that gives the same numbers, else one by one."""
    shared: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": run.seed,
        "trial": int(trial.trial_id),
        "task": run.task,
    }
    # A model on arrays that was only looked at is the first fold's. It is not kept for longer, so
    # that its memory is freed after that fold.
    spare: list[keras.Model] = []
    is_first = not run.subject.keeps_running

    def model_of_all() -> keras.Model:
        nonlocal is_first
        model = _build(tuner, run, trial, None)
        spare[:] = [model] if is_first else []
        is_first = False
        return model

    try:
        outcome = run_folds_together(
            model_of_all,
            _trainer_of(run, store),
            run.subject.folds,
            store=store,
            is_hopeless=judge(run, rival, epochs),
            **shared,
        )
    except MixedFolds as mixed:
        reason = str(mixed)
        # Decided for each trial, so that a resumed search trains it in the same way.
        if run.trainer is not None and reason not in run.said:
            tuner.progress.say(f"folds are trained one after another: {reason}")
            run.said.add(reason)
    else:
        save_all(store, outcome.folds)
        return outcome
    if run.stop_rule is not None and not run.said_none_stopped:
        tuner.progress.say(
            "note: no trial is stopped as hopeless, because folds are trained one after another"
        )
        run.said_none_stopped = True
    return run_folds(
        lambda running, inputs=None: _build(tuner, run, trial, running, inputs),
        run.subject.data,
        run.subject.folds,
        keep_running=run.subject.keeps_running,
        owns_models=run.subject.owns_models,
        compiled=run.compiled if _share_functions(run) else None,
        store=store,
        on_record=lambda: tuner.progress.recorded(run.folder, trial.trial_id),
        callbacks=lambda model: [FoldHooks(tuner, trial)] if run.hooks else [],
        users_callbacks=run.subject.callbacks,
        data_of=None if run.subject.preparation is None else run.subject.data_of,
        own_fit=HyperModelFit(tuner, run, trial, batch_size) if run.subject.own_fit else None,
        spare=spare,
        way=one_by_one(reason),
        **shared,
    )


def _trainer_of(run: Run, store: FoldStore) -> FoldParallelTrainer | ArraysTogether:
    """What trains a trial's folds together, if nothing speaks against it before a model is built.

    Raises:
        MixedFolds: with the reason.
    """
    if run.trainer is None:
        raise MixedFolds(str(run.one_by_one))
    if run.hooks:
        raise MixedFolds(f"{', '.join(run.hooks)} of the tuner is called for each fold")
    if (why := run.subject.why_alone()) is not None:
        raise MixedFolds(why)
    first = store.load(0)
    begun = None if first is None else reason_of(first.folds_trained)
    if begun is not None:
        # The folds that are left are trained as the first one was.
        raise MixedFolds(begun)
    return run.trainer


def _share_functions(run: Run) -> bool:
    """Whether nothing but a model itself decides how its compiled functions train a fold."""
    subject = run.subject
    if run.hooks or subject.own_fit:
        return False
    return subject.callbacks is None or subject.callbacks.leave_functions


def _build(
    tuner: keras_tuner.Tuner,
    run: Run,
    trial: Trial,
    running: RunningPredictions | None,
    inputs: AnyRows | None = None,
) -> keras.Model:
    hyperparameters = trial.hyperparameters.copy()
    given = () if inputs is None else (inputs,)
    model = run.subject.build(hyperparameters, running, *given)
    tuner.oracle.note_asked(trial, hyperparameters)
    if getattr(model, "optimizer", None) is None:
        raise SpaceError(
            f"{type(tuner.hypermodel).__name__}.build returned a model that is not compiled"
        )
    if run.subject.is_users_model and trial.trial_id not in run.described:
        run.described.add(trial.trial_id)
        store = run.store_of(trial)
        if not store.is_begun or store.kept_model() is None:
            store.keep_model(describe_model(model))
    return model
