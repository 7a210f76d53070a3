"""All checks of a study in order, and their record `checks.json`.

Manifest, split and images of both sides are read and checked; models are trained on the development
set only. No check stops another one: a check that cannot be run says why.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rust_tuner.data.folds import Folds
from rust_tuner.data.likeness import likeness_of_features, likeness_of_pictures
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.near_duplicates import Fingerprints, fingerprint, similar_pairs
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.errors import ManifestError, ProtocolError, RustTunerError
from rust_tuner.locks import hold_lock
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.checks import CHECKS, CheckRecord, Verdict, searches_seen, write_checks
from rust_tuner.records.folder import read_study
from rust_tuner.records.pixels import read_as_recorded, read_pixels
from rust_tuner.records.private import key_of, named
from rust_tuner.records.project import Project
from rust_tuner.records.rows import out_of_fold_predictions
from rust_tuner.records.split import SPLIT_FILE, SplitRecord
from rust_tuner.records.study_record import StudyRecord
from rust_tuner.redacted import message_for_files
from rust_tuner.steps.checks.models import (
    RUN_A_SEARCH,
    VIEW_ONLY,
    check_predictors,
    judge_view_only,
)
from rust_tuner.steps.checks.patients import (
    UNCHANGED,
    check_patient_ids,
    check_split,
    check_unchanged,
)
from rust_tuner.steps.checks.pictures import NEAR_DUPLICATES, check_pictures
from rust_tuner.steps.checks.same_person import SAME_PERSON, check_same_person
from rust_tuner.steps.checks.shuffled_labels import DEFAULT_PERMUTATIONS, SHUFFLED, judge_shuffled
from rust_tuner.steps.noise import as_searched

_MEND_FIRST = "Correct what failed above, then run the checks again."


def run_checks(
    directory: str | Path,
    manifest: str | Path,
    study: StudyRecord,
    *,
    protocol: Protocol,
    permutations: int = DEFAULT_PERMUTATIONS,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> CheckRecord:
    """Run every check of a prepared study, and write `checks.json`.

    Call it again to resume: the quick checks are repeated, finished trainings are not.

    Args:
        directory: the study's folder.
        manifest: the study's manifest.
        study: what `study.json` holds.
        protocol: the scientific choices.
        permutations: how often labels are shuffled, from 1; a verdict needs at least 2. Each takes
            as long as one trial of the search.
        cache: folder of the feature cache; the default one if None.
        progress: where to report; nowhere by default.

    Returns:
        The record, with a verdict for each check.

    Raises:
        ProtocolError: for no permutations.
        LockedError: if another process checks the study.
        StorageError: if the record cannot be written.
    """
    if permutations < 1:
        raise ProtocolError(f"permutations={permutations}; expected at least 1")
    folder, report = Path(directory), progress or Silent()
    with hold_lock(folder / CHECKS, "checking the study", noted=True):
        records = read_study(folder)
        projects = records.projects
        verdicts, radiographs, split, prints = _of_data(
            folder, Path(manifest), study, projects, progress=report
        )
        searches = [p for p in (records.regime_2, records.regime_1) if p is not None]
        source = next((p for p in searches if p.best is not None), next(iter(searches), None))
        sound = not any(verdict.status == "failed" for verdict in verdicts[:2])
        if radiographs is None or prints is None:
            reason = "The images cannot be compared."
            verdicts.append(Verdict(*SAME_PERSON, "not_run", reason, _MEND_FIRST))
        else:
            searched = as_searched(protocol, source) if source is not None and sound else None
            verdicts.append(_of_persons(radiographs, prints, split, searched, cache, report))
        verdicts.append(check_predictors(projects, progress=report))
        if source is None:
            reason = "This check trains the best configuration, but no search has been begun."
            verdicts += [
                Verdict(*c, "not_run", reason, RUN_A_SEARCH) for c in (SHUFFLED, VIEW_ONLY)
            ]
        elif radiographs is None or split is None or not sound:
            reason = "Manifest, images or split are not those that the study was prepared with."
            verdicts += [Verdict(*c, "not_run", reason, _MEND_FIRST) for c in (SHUFFLED, VIEW_ONLY)]
        else:
            prepared = _Prepared(folder, radiographs, split, source, protocol, cache, report)
            verdicts += _of_training(prepared, permutations)
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        record = CheckRecord(date, searches_seen(projects), tuple(verdicts))
        write_checks(folder, record)
    return record


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What the training checks start from."""

    directory: Path
    radiographs: Radiographs
    split: SplitRecord
    source: Project
    protocol: Protocol
    cache: str | Path | None
    progress: Progress

    def development_and_folds(self) -> tuple[Development, Folds]:
        """The development set, and the folds that the search validated on."""
        everyone = self.radiographs.written_patients.astype(str)
        rows = np.flatnonzero(np.isin(everyone, self.split.development))
        development = Development(self.radiographs.subset(rows))
        num_folds = self.source.run.subject.num_folds
        by_site = self.protocol.folds_by == "site"
        made = self.split.site_folds if by_site else self.split.folds.get(str(num_folds))
        if made is None:
            raise RustTunerError(f"{SPLIT_FILE} does not have the {num_folds} folds of this search")
        owners = development.radiographs.written_patients
        assignment = np.array([made.patients[who] for who in owners])
        return development, Folds(assignment, num_folds, made.seed)


def _of_data(
    directory: Path,
    manifest: Path,
    study: StudyRecord,
    projects: Mapping[str, Project],
    *,
    progress: Progress,
) -> tuple[list[Verdict], Radiographs | None, SplitRecord | None, Fingerprints | None]:
    """The checks without training; the first two verdicts say whether the data can be used."""
    try:
        distinct = study.distinct_patients is True
        radiographs = named(
            load_manifest(manifest, distinct_patients=distinct), key_of(directory, study)
        )
        if study.pixels_sha256 is not None:
            pixels = read_pixels(directory, study.pixels_sha256)
            radiographs = read_as_recorded(radiographs, pixels)
    except RustTunerError as error:
        reason = "The manifest cannot be read, so the data were not checked."
        return [_unreadable(reason, error, study)], None, None, None
    split_verdict, split = check_split(directory / SPLIT_FILE, radiographs, study, projects)
    of_patients = [split_verdict, check_patient_ids(radiographs, split)]
    try:
        prints = fingerprint(radiographs, progress=progress)
    except ManifestError as error:
        reason = "Images of the manifest cannot be read."
        not_compared = Verdict(*NEAR_DUPLICATES, "not_run", reason, _MEND_FIRST)
        return [_unreadable(reason, error, study), *of_patients, not_compared], None, None, None
    pairs = similar_pairs(prints, owners=radiographs.patient_ids, progress=progress)
    return (
        [
            check_unchanged(radiographs, prints.file_sha256, study),
            *of_patients,
            check_pictures(radiographs, pairs, split),
        ],
        radiographs,
        split,
        prints,
    )


def _of_persons(
    radiographs: Radiographs,
    prints: Fingerprints,
    split: SplitRecord | None,
    protocol: Protocol | None,
    cache: str | Path | None,
    progress: Progress,
) -> Verdict:
    """Check whether one person has two ids, by pictures and, if there is a search, by features.

    Features of the sealed patients are used for this comparison only.
    """
    views = radiographs.table["view"].to_numpy().astype(str)
    alike = {"pictures": likeness_of_pictures(prints, views, progress=progress)}
    left_out = "Features of the backbone were not compared: no search has been begun."
    if protocol is not None:
        from rust_tuner.models.features import features_of
        from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel

        try:
            recipe = TransferLearningHyperModel.from_protocol(
                protocol, SearchSpace()
            ).feature_recipe()
            features = features_of(radiographs, recipe, cache=cache, progress=progress)
        except RustTunerError as error:
            left_out = f"Features of the backbone were not compared: {message_for_files(error)}."
        else:
            left_out = ""
            alike["features"] = likeness_of_features(features.values[:, 0], views)
    return check_same_person(radiographs, alike, split, left_out=left_out)


def _unreadable(reason: str, error: RustTunerError, study: StudyRecord) -> Verdict:
    mend = "Restore what is named, or use a new study folder."
    # Without ids in the study, its record names places in the manifest, not what is there.
    text = message_for_files(error) if study.patient_ids == "hashed" else str(error)
    return Verdict(*UNCHANGED, "failed", reason, mend, tuple(text.splitlines()))


def _of_training(prepared: _Prepared, permutations: int) -> list[Verdict]:
    """The verdicts of the checks with training; a check that cannot be run says why."""
    from rust_tuner.steps.checks.training import Training

    source = prepared.source
    try:
        development, folds = prepared.development_and_folds()
        training = Training(
            development,
            folds,
            source,
            prepared.protocol,
            prepared.directory,
            prepared.cache,
            prepared.progress,
        )
        training.require_same_data()
    except RustTunerError as error:
        return [_not_trained(check, error) for check in (SHUFFLED, VIEW_ONLY)]
    verdicts = []
    try:
        runs = [training.shuffled(number) for number in range(permutations)]
        verdicts.append(judge_shuffled(runs))
    except RustTunerError as error:
        verdicts.append(_not_trained(SHUFFLED, error))
    if source.best is None:
        reason = "This check compares with the best trial, but no trial has completed."
        return [*verdicts, Verdict(*VIEW_ONLY, "not_run", reason, RUN_A_SEARCH)]
    try:
        model = out_of_fold_predictions(source)
        verdicts.append(judge_view_only(model, training.on_view_alone()))
    except RustTunerError as error:
        verdicts.append(_not_trained(VIEW_ONLY, error))
    return verdicts


def _not_trained(check: tuple[str, str], error: RustTunerError) -> Verdict:
    mend = "Correct what is named, then run the checks again."
    return Verdict(*check, "not_run", f"{message_for_files(error)}.", mend)
