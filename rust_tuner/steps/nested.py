"""Nested cross-validation: an estimate for the whole procedure of choosing hyperparameters.

The development patients are divided into outer folds. Inside each, Regime I and Regime II use that
fold's training patients only; the tuned configuration is refitted on them and scored once on the
fold's validation patients. That score is an estimate. The best score of the searches is a selection
score, and the gap between the two contains their optimism (Varma and Simon, BMC Bioinformatics
2006, doi:10.1186/1471-2105-7-91; Cawley and Talbot, JMLR 2010). `outer_scores` separates the
optimism from what the refit gains by its additional patients. The hold-out set is not used.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.analysis.nested import OUTER_FOLD, nested_summary
from rust_tuner.data.csv_output import csv_text
from rust_tuner.data.exact_csv import read_exactly
from rust_tuner.data.folds import Folds, folds_asked_for, make_folds, rows_trained_on
from rust_tuner.data.outer_folds import OuterFold, outer_folds
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import radiographs_sha256
from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import ResumeError, RustTunerError, SplitError, marked
from rust_tuner.files import sha256_of_json, write_text
from rust_tuner.labels import LABELS
from rust_tuner.locks import hold_lock
from rust_tuner.metrics import view_only_baseline
from rust_tuner.progress import Part, Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.model import Weights, read_if_whole, write_record
from rust_tuner.records.nested import (
    FIGURES,
    NESTED,
    NESTED_FILE,
    NESTED_PREDICTIONS,
    OUTER_PREDICTIONS,
    Counted,
    NestedManifest,
    NestedSubject,
    NestedSummary,
    OuterRecord,
    nested_key,
    outer_folder,
    read_nested,
    read_outer,
    write_outer,
    write_summary,
)
from rust_tuner.records.private import named_within_study
from rust_tuner.records.project import REGIME_1, REGIME_2, count_ended, read_project
from rust_tuner.records.split import (
    SPLIT_FILE,
    SplitRecord,
    load_or_make_folds,
    load_or_make_site_folds,
    read_split,
)
from rust_tuner.steps.outer_scores import score_outer_fold, view_only_of_fold
from rust_tuner.steps.refit import tuned_values


def nested_cross_validation(
    development: Development,
    directory: str | Path,
    *,
    protocol: Protocol | None = None,
    folds: Folds | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> NestedSummary:
    """Run both regimes inside every outer fold, and score their choice on its validation patients.

    Call it again with the same arguments to resume; finished outer folds are not computed again.
    All outer folds draw the same trials, since the seed is the same: the study's own procedure is
    estimated. If batch sizes are fitted, they are fitted to the inner folds of each outer fold.

    Args:
        development: the development set.
        directory: the study's folder; everything is kept in its subfolder `nested`.
        protocol: the scientific choices; `Protocol.study()` if None.
        folds: the outer folds. If None, they are made from the protocol's seed, as many as its
            `outer_folds`. If the protocol's folds are by site, each outer fold leaves one site out,
            and so does each inner fold.
        cache: folder of the feature cache; the default one if None.
        progress: where to report; nowhere by default.

    Returns:
        The content of `nested/summary.json`; see `analysis.nested.nested_summary`.

    Raises:
        SplitError: for anything but a development set, or folds made for other data.
        MetricError: before any long work, if an outer or inner fold has nothing to score.
        ResumeError: if the folder contains a nested cross-validation of other data, folds,
            choices or versions.
        SearchError: if no trial of an inner search completes.
        LockedError: if another process works in the folder.
    """
    from rust_tuner.models.features import features_of
    from rust_tuner.models.runtime import start_backend
    from rust_tuner.search.regimes import as_begun
    from rust_tuner.search.runs import claim_record, with_begun_kernels, with_begun_weights

    development = named_within_study(require_development(development), Path(directory))
    radiographs = development.radiographs
    chosen = protocol or Protocol.study()
    report = progress or Silent()
    asked = folds_asked_for(development, chosen, chosen.outer_folds) if folds is None else folds
    made = make_folds(development, asked, chosen.seed) if isinstance(asked, int) else asked
    outer = outer_folds(development, made)
    start_backend()
    folder = Path(directory) / NESTED
    with hold_lock(folder, "nested cross-validation", noted=True):
        begun = read_if_whole(folder / NESTED_FILE, NestedManifest)
        chosen = as_begun(chosen, begun, report)
        if begun is None:
            # Before anything is recorded: what is refused can be asked for again, with other folds.
            for fold in outer:
                _require_scoreable(fold, _made_folds(fold, chosen))
        run = _describe(development, outer, chosen)
        run = with_begun_kernels(folder / NESTED_FILE, run, say=report.say)
        run = with_begun_weights(folder / NESTED_FILE, run)
        claim_record(folder / NESTED_FILE, run, what="a nested cross-validation")
        inner = [_inner_folds(folder, development, fold, chosen) for fold in outer]
        if begun is None:
            rows = (
                rows_trained_on(fold.training, chosen, folds)
                for fold, folds in zip(outer, inner, strict=True)
            )
            sizes = chosen.batch_sizes(min(rows))
            if sizes.share_of_one_step:
                report.say(sizes.note("an inner fold"))
        # Once for all outer folds, which then read them from the cache.
        features_of(radiographs, _recipe(chosen), cache=cache, progress=report)
        records = [_finished(folder, run, fold) for fold in outer]
        summary = read_nested(folder).summary
        if None in records or summary is None or not (folder / NESTED_PREDICTIONS).is_file():
            _run_missing(folder, run, records, outer, inner, chosen, cache=cache, progress=report)
            predictions = _predictions(folder, development, outer)
            write_text(folder / NESTED_PREDICTIONS, csv_text(predictions))
            finished = [record for record in records if record is not None]
            summary = nested_summary(run, finished, predictions)
            write_summary(folder, summary)
    return summary


def _run_missing(
    folder: Path,
    run: NestedManifest,
    records: list[OuterRecord | None],
    outer: tuple[OuterFold, ...],
    inner: list[Folds],
    protocol: Protocol,
    *,
    cache: str | Path | None,
    progress: Progress,
) -> None:
    """Fill in the records that are None, one outer fold after another."""
    # Progress is counted in epochs of inner folds, as in the searches inside.
    num_trials = sum(run.trials.values())
    per_trial = [len(folds) * protocol.epochs for folds in inner]
    ended = [
        num_trials if record is not None else min(_ended(outer_folder(folder, number)), num_trials)
        for number, record in enumerate(records)
    ]
    done = [trials * steps for trials, steps in zip(ended, per_trial, strict=True)]
    total = num_trials * sum(per_trial)
    with progress.task("nested cross-validation", total, done=sum(done)) as whole:
        for number, (fold, folds) in enumerate(zip(outer, inner, strict=True)):
            if records[number] is not None:
                continue
            part = Part(
                progress,
                whole,
                name=f"outer fold {number + 1} of {len(outer)}",
                counted=(REGIME_1, REGIME_2),
            )
            records[number] = _run_outer(
                folder, run, fold, folds, protocol, cache=cache, progress=part
            )
            # Trials that failed, or that a finite space does not have, were not counted.
            whole.skip(max(0, num_trials * per_trial[number] - done[number] - part.advanced))
            whole.advance(0, note=_note(records, run.objective))


def _describe(
    development: Development, outer: tuple[OuterFold, ...], protocol: Protocol
) -> NestedManifest:
    from rust_tuner.models.features import features_sha256
    from rust_tuner.models.runtime import onednn_enabled, versions
    from rust_tuner.search.hopeless import StopRule
    from rust_tuner.search.regimes import fitting, recorded_protocol
    from rust_tuner.search.subject_folds import sha256_of_folds

    radiographs = development.radiographs
    recipe = _recipe(protocol)
    trials = {
        REGIME_1: protocol.trials,
        REGIME_2: len(protocol.learning_rates) * len(protocol.epsilons),
    }
    subject = NestedSubject(
        development=radiographs_sha256(radiographs),
        inputs=features_sha256(
            radiographs.images, recipe, rows=radiographs.rows, readings=radiographs.readings
        ),
        folds=sha256_of_folds(tuple((fold.training_rows, fold.validation_rows) for fold in outer)),
        weights=Weights.of(recipe.weights.to_json()),
    )
    run = NestedManifest(
        format=1,
        objective=protocol.objective,
        seed=protocol.seed,
        outer_folds=len(outer),
        trials=trials,
        subject=subject,
        protocol=recorded_protocol(protocol),
        versions=versions() | recipe.engine,
        onednn=onednn_enabled(),
    )
    stopping = {"stop_hopeless": StopRule().to_json()} if protocol.stop_hopeless else {}
    return run.with_changes(**fitting(protocol), **stopping)


def _recipe(protocol: Protocol) -> Any:
    from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel

    return TransferLearningHyperModel.from_protocol(protocol, SearchSpace()).feature_recipe()


def _inner_folds(
    folder: Path, development: Development, fold: OuterFold, protocol: Protocol
) -> Folds:
    """The inner folds of an outer fold, recorded with the patients of both sides."""
    radiographs, training = development.radiographs, fold.training.radiographs
    path = outer_folder(folder, fold.number) / SPLIT_FILE
    split = SplitRecord.between(
        radiographs,
        training,
        fold.validation.radiographs,
        seed=protocol.seed,
        fraction=len(fold.validation) / len(radiographs),
    )
    if path.exists():
        if read_split(path, radiographs).sides != split.sides:
            raise ResumeError(
                f"{path} does not divide the patients as outer fold {fold.number} does; restore "
                f"it, or remove {folder} to start again"
            )
    else:
        write_record(path, split)
    if protocol.folds_by == "site":
        folds = load_or_make_site_folds(path, fold.training, protocol.seed)
    else:
        folds = load_or_make_folds(path, fold.training, protocol.num_folds, protocol.seed)
    _require_scoreable(fold, folds)
    return folds


def _made_folds(fold: OuterFold, protocol: Protocol) -> Folds:
    """The inner folds of an outer fold, without any record."""
    try:
        asked = folds_asked_for(fold.training, protocol, protocol.num_folds)
        return make_folds(fold.training, asked, protocol.seed) if isinstance(asked, int) else asked
    except SplitError as error:
        raise SplitError(f"inside outer fold {fold.number}: {marked(error)}") from error


def _require_scoreable(fold: OuterFold, folds: Folds) -> None:
    """Refuse a fold with nothing to score, which would fail after hours of training."""
    view_only_of_fold(fold)
    training = fold.training.radiographs
    labels, visible = training.labels, training.visible
    for number, (seen, left_out) in enumerate(folds):
        where = f"outer fold {fold.number}, inner fold {number}"
        view_only_baseline(labels[seen], labels[left_out], visible[left_out], where=where)


def _run_outer(
    folder: Path,
    run: NestedManifest,
    fold: OuterFold,
    folds: Folds,
    protocol: Protocol,
    *,
    cache: str | Path | None,
    progress: Progress,
) -> OuterRecord:
    from rust_tuner.search.regimes import regime_1, regime_2

    outer = outer_folder(folder, fold.number)
    shared: dict[str, Any] = {
        "protocol": protocol,
        "folds": folds,
        "cache": cache,
        "progress": progress,
    }
    regime_1(fold.training, outer, **shared, say_batch_sizes=False)
    regime_2(fold.training, outer, **shared)
    first, second = read_project(outer / REGIME_1), read_project(outer / REGIME_2)
    values = tuned_values(second)
    best = second.best
    assert first.best is not None and best is not None and best.epoch is not None
    scores = score_outer_fold(
        fold,
        folds,
        values,
        trial=int(best.trial),
        epoch=best.epoch,
        protocol=protocol,
        cache=cache,
        progress=progress,
    )
    held = fold.validation.radiographs
    record = OuterRecord(
        outer_fold=fold.number,
        trials={REGIME_1: first.best.trial, REGIME_2: best.trial},
        hyperparameters=values,
        epoch=best.epoch,
        selection_score={name: best.metrics[f"val_{name}"] for name in FIGURES},
        inner_estimate=scores.inner_estimate,
        estimate=scores.estimate,
        view_only_baseline=view_only_of_fold(fold),
        training=_counts(fold.training.radiographs),
        validation=_counts(held),
    )
    text = csv_text(_named(held.written, scores.answers))
    write_outer(outer, record, key=_key(run, fold), predictions=text)
    return record


def _predictions(
    folder: Path, development: Development, outer: tuple[OuterFold, ...]
) -> pd.DataFrame:
    """Out-of-fold predictions of all development radiographs, in their order."""
    answers = np.full((len(development), len(LABELS)), np.nan, dtype=np.float32)
    owner = np.zeros(len(development), dtype=np.int64)
    for fold in outer:
        table = read_exactly(outer_folder(folder, fold.number) / OUTER_PREDICTIONS)
        answers[fold.validation_rows] = table[[f"probability_{label}" for label in LABELS]]
        owner[fold.validation_rows] = fold.number
    table = development.radiographs.written.reset_index(drop=True).assign(**{OUTER_FOLD: owner})
    return _named(table, answers)


def _named(table: pd.DataFrame, answers: npt.NDArray[np.float32]) -> pd.DataFrame:
    named = pd.DataFrame(answers, columns=[f"probability_{label}" for label in LABELS])
    return pd.concat([table.reset_index(drop=True), named], axis=1)


def _finished(folder: Path, run: NestedManifest, fold: OuterFold) -> OuterRecord | None:
    """The record of an outer fold that is finished; None if it must be computed (again)."""
    try:
        return read_outer(outer_folder(folder, fold.number), key=_key(run, fold))
    except RustTunerError:
        return None


def _ended(outer: Path) -> int:
    return sum(count_ended(outer / regime) for regime in (REGIME_1, REGIME_2))


def _key(run: NestedManifest, fold: OuterFold) -> str:
    return sha256_of_json(
        {
            "run": nested_key(run),
            "outer_fold": fold.number,
            "training": radiographs_sha256(fold.training.radiographs),
            "validation": radiographs_sha256(fold.validation.radiographs),
        }
    )


def _counts(radiographs: Radiographs) -> Counted:
    return Counted(
        radiographs=len(radiographs),
        patients=len(set(radiographs.patient_ids)),
        sha256=radiographs_sha256(radiographs),
    )


def _note(records: list[OuterRecord | None], objective: str) -> str:
    figure = objective.removeprefix("val_")
    estimates = [record.estimate[figure] for record in records if record is not None]
    return f"estimate so far {np.mean(estimates):.3f}"
