"""Checks of the manifest and the split: which patients are on which side, and what has changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rust_tuner.data.images import images_sha256
from rust_tuner.data.patient_ids import normal_form, visibly
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import changed_images, changed_rows, radiographs_sha256
from rust_tuner.data.splits import split_holdout
from rust_tuner.errors import ResumeError, SplitError
from rust_tuner.records.checks import Verdict
from rust_tuner.records.project import Project
from rust_tuner.records.rows import NO_FOLD, read_rows
from rust_tuner.records.split import FoldsOfSplit, SplitRecord, read_split
from rust_tuner.records.study_record import StudyRecord
from rust_tuner.words import counted

UNCHANGED = ("unchanged", "Manifest and images")
SPLITS = ("patients_across_splits", "Patients across splits")
PATIENT_IDS = ("patient_ids", "Patients under two ids")

_RESTORE = (
    "Restore the file from a copy. If there is none, use a new study folder: models in this one "
    "may have been trained on sealed patients."
)
_LINES_SHOWN = 20


def check_unchanged(
    radiographs: Radiographs, file_hashes: Sequence[str], study: StudyRecord
) -> Verdict:
    """Check whether manifest and images are those that the study was prepared with.

    Args:
        radiographs: of the manifest as it is now.
        file_hashes: SHA-256 of each image's bytes.
        study: what `study.json` holds.
    """
    words = "patients, visits, views, scores or sites of the manifest"
    changed = [words] if study.radiographs_sha256 != radiographs_sha256(radiographs) else []
    if study.images_sha256 != images_sha256(radiographs, file_hashes):
        changed.append("image files, or the patients they belong to")
    if changed:
        prepared = study.rows if isinstance(study.rows, dict) else {}
        findings = changed_rows(radiographs, prepared)
        if not findings:
            findings = changed_images(radiographs, file_hashes, prepared)
        return Verdict(
            *UNCHANGED,
            "failed",
            f"Changed since the study was prepared: {'; '.join(changed)}.",
            "Restore them, or use a new study folder for the new ones.",
            tuple(findings),
        )
    count = f"{len(radiographs)} radiographs of {len(set(radiographs.patient_ids))} patients"
    return Verdict(*UNCHANGED, "passed", f"{count}, unchanged since the study was prepared.")


def check_split(
    path: Path, radiographs: Radiographs, study: StudyRecord, projects: Mapping[str, Project]
) -> tuple[Verdict, SplitRecord | None]:
    """Check that no patient is on two sides, in `split.json` and in the rows of the searches.

    Args:
        path: the study's `split.json`.
        radiographs: of the manifest.
        study: what `study.json` holds.
        projects: the searches of the study, by name.

    Returns:
        The verdict, and the split; None if it cannot be relied on.
    """
    try:
        split = read_split(path, radiographs)
    except SplitError as error:
        return Verdict(*SPLITS, "failed", f"{error}.", _RESTORE), None
    kept = [who in set(split.development) for who in radiographs.written_patients]
    development = radiographs.subset([row for row, is_in in enumerate(kept) if is_in])
    if radiographs_sha256(development) != study.development_sha256:
        reason = f"{path.name} seals other patients than study.json says, so it was changed."
        return Verdict(*SPLITS, "failed", reason, _RESTORE), None
    return _verdict_of(split, path, radiographs, projects), split


def _verdict_of(
    split: SplitRecord, path: Path, radiographs: Radiographs, projects: Mapping[str, Project]
) -> Verdict:
    """The verdict on a split that study.json names."""
    findings = [
        f"{name}: {fault}"
        for name, project in projects.items()
        for fault in _faults_of_search(project, split)
    ]
    if findings:
        return Verdict(
            *SPLITS,
            "failed",
            f"The sides of {len({line.split(':')[0] for line in findings})} searches are not "
            f"those of {path.name}.",
            "Delete the folders of these searches and run them again.",
            tuple(findings),
        )
    sealed = counted(len(split.holdout), "hold-out patient")
    sides = f"{len(split.development)} development and {sealed}"
    if not split.is_fair_draw:
        return Verdict(
            *SPLITS,
            "warning",
            f"{sides}, none on both sides; but {path.name} was made by an earlier version of the "
            "package, which took patients in the order of their ids: those at the end were "
            "sealed far more often, so the hold-out patients are not a random sample.",
            "Say so wherever you report the hold-out figure, or use a new study folder.",
        )
    made, _ = split_holdout(radiographs, split.fraction, split.seed)
    if set(made.radiographs.written_patients) != set(split.development):
        return Verdict(
            *SPLITS,
            "warning",
            f"{path.name} seals other patients than its seed {split.seed} gives: it was made "
            "by another version of the package, or by hand.",
            "Find out which; patients that were picked by hand are not a fair sample.",
        )
    folds = ", ".join(sorted(split.folds, key=int))
    if split.site_folds:
        folds = " and ".join(filter(None, [folds, "site"]))
    folds = folds or "no"
    searches = "1 search" if len(projects) == 1 else f"{len(projects)} searches"
    searched = f"; used by {searches}" if projects else ""
    return Verdict(
        *SPLITS,
        "passed",
        f"{sides}, none on both sides; {folds} folds, each patient in one{searched}.",
    )


def _faults_of_search(project: Project, split: SplitRecord) -> list[str]:
    """What is wrong with the sides of a search, according to its rows."""
    try:
        rows = read_rows(project)
    except ResumeError as error:
        return [str(error)] if project.run.subject.rows else []
    faults = []
    sealed = sorted(set(rows["patient_id"]) & set(split.holdout))
    if sealed:
        faults.append(f"it used the sealed patients {_some(sealed)}")
    counted = rows[rows["fold"] != NO_FOLD]
    folds = counted.groupby("patient_id")["fold"].agg(["nunique", "first"])
    straddling = sorted(folds.index[folds["nunique"] > 1])
    if straddling:
        faults.append(f"patients on two sides of its folds: {_some(straddling)}")
    record = _folds_of(split, folds=project.run.subject.num_folds, assigned=folds["first"])
    if record is None and not faults:
        faults.append("its folds are not those of split.json")
    return faults


def _folds_of(split: SplitRecord, *, folds: int, assigned: Any) -> FoldsOfSplit | None:
    """The folds of the split that assign patients as a search did."""
    for record in (split.folds.get(str(folds)), split.site_folds):
        if record is not None and record.patients == dict(assigned):
            return record
    return None


def check_patient_ids(radiographs: Radiographs, split: SplitRecord | None) -> Verdict:
    """Check whether two patient ids may belong to one patient, by their normal form.

    A manifest with such ids is refused, unless the user says that they are different people; the
    verdict then lists these ids.

    Args:
        radiographs: of the manifest.
        split: says on which side a patient is; None if it is not known.
    """
    counts = dict(zip(*_unique_counts(radiographs), strict=True))
    groups: dict[str, list[str]] = {}
    for identifier in counts:
        groups.setdefault(normal_form(identifier), []).append(identifier)
    alike = [sorted(ids) for ids in groups.values() if len(ids) > 1]
    if not alike:
        reason = (
            f"{len(counts)} ids, all different even if case, separators, leading zeros, lookalike "
            "characters and invisible characters are ignored."
        )
        return Verdict(*PATIENT_IDS, "passed", reason)
    sides = {} if split is None else dict.fromkeys(split.holdout, "hold-out set")
    written = dict(zip(radiographs.patient_ids, radiographs.written_patients, strict=True))
    lines = [
        " and ".join(
            f"{visibly(written[identifier])} ({counts[identifier]} radiographs, "
            f"{sides.get(written[identifier], 'development set')})"
            for identifier in ids
        )
        for ids in sorted(alike)
    ]
    across = sum(len({written[name] in sides for name in ids}) > 1 for ids in alike)
    border = f", {across} of them on both sides of the hold-out border" if across else ""
    return Verdict(
        *PATIENT_IDS,
        "warning",
        f"{len(alike)} patients may have more than one id{border}; when the study was prepared, it "
        "was stated that ids which read alike are different people (--distinct-patients).",
        "If they are one patient, use one id and a new study folder; if they are several patients, "
        "nothing is wrong.",
        tuple(lines),
    )


def _unique_counts(radiographs: Radiographs) -> tuple[list[str], list[int]]:
    counted = radiographs.table["patient_id"].value_counts()
    return [str(name) for name in counted.index], [int(count) for count in counted]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_LINES_SHOWN])
    return shown if len(names) <= _LINES_SHOWN else f"{shown} and {len(names) - _LINES_SHOWN} more"
