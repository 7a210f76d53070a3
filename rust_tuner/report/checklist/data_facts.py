"""Facts of a study's question, its radiographs, and how they were divided."""

from rust_tuner.models.description import describe_backbone
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.looks import count_text
from rust_tuner.records.study_record import StudyRecord
from rust_tuner.report.checklist.registry import (
    backbone_weights,
    choices_of,
    fact,
    split_of,
    study_of,
)
from rust_tuner.words import METRICS, counted


@fact
def _technology(records: StudyRecords) -> list[str]:
    backbone = describe_backbone(backbone_weights(records))
    return [
        f"deep learning: a convolutional network, {backbone}, which is not trained further, with a "
        "head that is; hyperparameters searched by cross-validation"
    ]


@fact
def _question(records: StudyRecords) -> list[str]:
    objective = str(choices_of(records)["objective"]).removeprefix("val_")
    return [f"optimised: {METRICS.get(objective, objective)}"]


@fact
def _design(records: StudyRecords) -> list[str]:
    return ["development of a model with evaluation on internal data: cross-validation"] + (
        [f"and a hold-out set, {count_text(records.looks)}"] if records.looks else []
    )


@fact
def _data(records: StudyRecords) -> list[str]:
    study = study_of(records)
    return [
        f"{_size(study)}; SHA-256 of patients, "
        f"views and scores {study.radiographs_sha256}, of the images "
        f"{study.images_sha256}"
    ]


@fact
def _sites(records: StudyRecords) -> list[str]:
    made = None if records.split is None else records.split.site_folds
    if made is not None:
        sites = ", ".join(made.sites)
        return [f"{len(made.sites)} sites: {sites}; each fold leaves one out"]
    table = records.predictions
    if table is None or "site" not in table:
        return []
    names = sorted(set(table["site"].dropna()) - {""})
    return [f"sites of the hold-out set: {', '.join(names)}"] if names else []


@fact
def _preprocessing(records: StudyRecords) -> list[str]:
    protocol = choices_of(records)
    size = protocol["image_size"]
    ways = {"squash": "squashed to the square", "letterbox": "scaled with its aspect ratio kept"}
    way = ways[str(protocol["resize"])]
    return [
        f"each radiograph is {way}, {size} x {size} pixels in three channels, "
        "which are equal where the file is greyscale, with values in [-1, 1]"
    ]


@fact
def _subset(records: StudyRecords) -> list[str]:
    return [f"all {study_of(records).radiographs} rows of the manifest were used"]


@fact
def _checked(records: StudyRecords) -> list[str]:
    return [f"the {study_of(records).radiographs} images were decoded and checked beforehand"]


@fact
def _missing(records: StudyRecords) -> list[str]:
    protocol = choices_of(records)
    trained = "left out of the loss" if protocol["masked_loss"] else "trained as negative"
    return [
        "a cortex without a score counts as not visible: its four labels are zero, "
        f"{trained}, and left out of the figures of visible cortices",
        "a visit without all four cortices has no total",
    ]


@fact
def _reference(records: StudyRecords) -> list[str]:
    choices_of(records)
    return [
        "scores of 1-4 for each cortex, as the manifest has them (RUST: Whelan et al., J Trauma "
        "2010, doi:10.1097/TA.0b013e3181a7c16d)"
    ]


@fact
def _partitions(records: StudyRecords) -> list[str]:
    split = split_of(records)
    development, holdout = len(split.development), len(split.holdout)
    return [
        f"{holdout} of {development + holdout} patients sealed at random as the hold-out set "
        f"(requested fraction: {split.fraction:g}), stratified by label, seed {split.seed}; the "
        f"other {development} are the development set"
    ]


@fact
def _folds(records: StudyRecords) -> list[str]:
    split = split_of(records)
    numbers = sorted(map(int, split.folds))
    folds = [f"{number} folds of patients, stratified by label" for number in numbers]
    if split.site_folds is not None:
        folds.append(f"{len(split.site_folds.sites)} folds that leave one site out")
    return [f"development set: {'; '.join(folds)}"] if folds else []


@fact
def _disjoint(records: StudyRecords) -> list[str]:
    return ["patients: no patient is on both sides of a split"] if records.split else []


@fact
def _sizes(records: StudyRecords) -> list[str]:
    study, lines = records.study, []
    if study is not None:
        lines.append(_size(study))
    if records.split is not None:
        lines.append(f"development set: {counted(len(records.split.development), 'patient')}")
    if records.holdout is not None:
        lines.append(f"hold-out set: {_size(records.holdout)}")
    return lines


def _size(part: StudyRecord | Holdout) -> str:
    return f"{counted(part.radiographs, 'radiograph')} of {counted(part.patients, 'patient')}"
