"""The parts of a study folder: each is read, or the reason why it cannot be read is kept.

It owns where a study's files are; their meaning belongs to the tables and figures.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.files import sha256_of_file
from rust_tuner.folder_kinds import has_study_parts, no_study
from rust_tuner.records.baselines import BASELINES, BASELINES_FOLDER
from rust_tuner.records.checks import CHECKS_FILE, CheckRecord, read_checks
from rust_tuner.records.holdout import Holdout, load_holdout
from rust_tuner.records.looks import (
    FINAL,
    HOLDOUT_FILE,
    PREDICTIONS_FILE,
    Look,
    is_whole,
    read_looks,
)
from rust_tuner.records.nested import NESTED, NESTED_FILE, Nested, read_nested
from rust_tuner.records.noise import NOISE, NOISE_FILE, NoiseFloor, read_noise
from rust_tuner.records.predictions import read_predictions
from rust_tuner.records.project import REGIME_1, REGIME_2, Project, is_begun_project, read_project
from rust_tuner.records.split import SPLIT_FILE, SplitRecord, read_split_record
from rust_tuner.records.study_record import STUDY_FILE, StudyRecord, read_study_record

CROSS_VALIDATION = "cross_validation"
# Errors that may occur when a part of the page is drawn from damaged records.
DAMAGED = (RustTunerError, OSError, LookupError, TypeError, ValueError, AttributeError)

Part = TypeVar("Part")


@dataclass(frozen=True)
class StudyRecords:
    """The current content of a study folder.

    Attributes:
        directory: the study's folder.
        study: `study.json`, or None.
        split: `split.json`, or None.
        baselines: the projects of the first models that were begun, in their order.
        regime_1: its project, or None.
        regime_2: its project, or None.
        nested: the nested cross-validation, or None.
        noise: the repeats of the best configuration, or None.
        cross_validation: the final model's project, or None.
        holdout: `final/holdout.json`, or None.
        looks: the looks at the hold-out set, in order.
        predictions: `final/predictions.csv`, or None.
        checks: `checks.json`, or None.
        problems: files that exist but cannot be read, a line each; missing ones are not listed.
    """

    directory: Path
    study: StudyRecord | None
    split: SplitRecord | None
    baselines: dict[str, Project]
    regime_1: Project | None
    regime_2: Project | None
    nested: Nested | None
    noise: NoiseFloor | None
    cross_validation: Project | None
    holdout: Holdout | None
    looks: tuple[Look, ...]
    predictions: pd.DataFrame | None
    checks: CheckRecord | None
    problems: tuple[str, ...]

    @property
    def projects(self) -> dict[str, Project]:
        """Every project that can be read, by its folder's name within the study."""
        projects = {f"{BASELINES_FOLDER}/{name}": item for name, item in self.baselines.items()}
        for name, project in (
            (REGIME_1, self.regime_1),
            (REGIME_2, self.regime_2),
            (f"{FINAL}/{CROSS_VALIDATION}", self.cross_validation),
        ):
            if project is not None:
                projects[name] = project
        return projects


def read_study(directory: str | Path) -> StudyRecords:
    """Read a study folder, even if it is unfinished, in use or partly damaged.

    Raises:
        ResumeError: if there is no such folder, or it is not a study folder.
    """
    folder = Path(directory)
    require_study(folder)
    problems: list[str] = []

    def read(name: str, reader: Callable[[Path], Part]) -> Part | None:
        path = folder / name
        try:
            # A missing file is not a problem, but a broken link is.
            return reader(path) if os.path.lexists(path) else None
        except (RustTunerError, OSError) as error:
            problems.append(f"{name}: {error}")
            return None

    def project(name: str) -> Project | None:
        item = read(name, read_project) if is_begun_project(folder / name) else None
        if item is not None:
            problems.extend(f"{name}: {problem}" for problem in item.problems)
        return item

    nested = read(f"{NESTED}/{NESTED_FILE}", lambda path: read_nested(path.parent))
    noise = read(f"{NOISE}/{NOISE_FILE}", lambda path: read_noise(path.parent))
    for part in (nested, noise):
        if part is not None:
            problems.extend(f"{part.folder.name}: {problem}" for problem in part.problems)
    study = read(STUDY_FILE, read_study_record)
    looks: tuple[Look, ...] = ()
    try:
        looks = read_looks(None if study is None else study.looks, folder)
    except ResumeError as error:
        problems.append(str(error))
    holdout = read(f"{FINAL}/{HOLDOUT_FILE}", load_holdout)
    is_there = (folder / FINAL / HOLDOUT_FILE).exists()
    if (
        (looks and looks[-1].state == "finished")
        and not is_whole(looks[-1], folder)
        and (holdout is not None or not is_there)
    ):
        fault = "was changed" if is_there else "is missing"
        problems.append(
            f"{FINAL}/{HOLDOUT_FILE} {fault}: the hold-out set was looked at on {looks[-1]}; "
            "restore it from a copy"
        )
        holdout = None
    predictions = read(f"{FINAL}/{PREDICTIONS_FILE}", read_predictions)
    written = None if holdout is None else holdout.predictions_sha256
    if (
        predictions is not None
        and written is not None
        and written != sha256_of_file(folder / FINAL / PREDICTIONS_FILE)
    ):
        problems.append(f"{FINAL}/{PREDICTIONS_FILE} was changed; restore it from a copy")
        predictions = None
    baselines = {name: project(f"{BASELINES_FOLDER}/{name}") for name in BASELINES}
    return StudyRecords(
        directory=folder,
        study=study,
        split=read(SPLIT_FILE, read_split_record),
        baselines={name: item for name, item in baselines.items() if item is not None},
        regime_1=project(REGIME_1),
        regime_2=project(REGIME_2),
        nested=nested,
        noise=noise,
        cross_validation=project(f"{FINAL}/{CROSS_VALIDATION}"),
        holdout=holdout,
        looks=looks,
        predictions=predictions,
        checks=read(CHECKS_FILE, read_checks),
        problems=tuple(problems),
    )


def require_study(folder: Path) -> None:
    """Refuse a folder that contains no part of a study.

    Raises:
        ResumeError: if there is no such folder, or it is not a study folder.
    """
    if not has_study_parts(folder):
        raise ResumeError(no_study(folder))
