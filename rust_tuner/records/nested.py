"""The folder of a nested cross-validation: its manifest, and a record for each outer fold.

It only reads and writes files, without TensorFlow. STUDY/nested contains

    nested.json                  choices, data and versions
    outer_00/split.json          the patients of both sides of the outer fold, and the inner folds
    outer_00/regime_1, regime_2  project folders of the searches inside
    outer_00/predictions.csv     the refitted model's predictions of the outer validation patients
    outer_00/outer.json          the chosen configuration and its scores; written last
    predictions.csv              out-of-fold predictions of all development patients
    summary.json                 selection score, estimate, and the gap between them
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rust_tuner.errors import RecordError, ResumeError, RustTunerError
from rust_tuner.files import read_whole, sha256_of_json, write_text
from rust_tuner.records.model import (
    Count,
    Epochs,
    FoldNumber,
    HashedRecord,
    HyperValues,
    Json,
    NumFolds,
    Record,
    Weights,
    read_record,
    write_record,
)
from rust_tuner.scope import AUROCS

NESTED = "nested"
NESTED_FILE = "nested.json"
OUTER_FILE = "outer.json"
OUTER_PREDICTIONS = "predictions.csv"
NESTED_PREDICTIONS = "predictions.csv"
SUMMARY_FILE = "summary.json"
FIGURES = AUROCS
# The results of each outer fold, whose mean and spread are in the summary.
SPREADS = ("selection_score", "inner_estimate", "optimism", "estimate", "gap", "view_only_baseline")

_MEND = "run rust-tuner nested again, which writes it again"


class NestedSubject(Record):
    """The data of a nested cross-validation; hashes are SHA-256.

    Attributes:
        development: of the labels of the development set.
        inputs: of the features.
        folds: of the rows of the outer folds.
        weights: of the backbone.
    """

    development: str | None = None
    inputs: str | None = None
    folds: str | None = None
    weights: Weights


class NestedManifest(Record):
    """`nested.json`: choices, data and versions of a nested cross-validation.

    Attributes:
        trials: how many trials each regime has inside an outer fold.
        protocol: the choices that are compared when it is resumed.
        onednn: whether TensorFlow used oneDNN; None if that is not known.
        fit_batch_sizes: whether batch sizes were fitted to the inner folds.
        stop_hopeless: when an inner trial was stopped as hopeless; None where none was.
    """

    file_name: ClassVar[str] = NESTED_FILE

    format: Literal[1]
    objective: str
    seed: int
    outer_folds: NumFolds
    trials: dict[str, Count]
    subject: NestedSubject
    protocol: Json
    versions: dict[str, str]
    onednn: bool | None = None
    fit_batch_sizes: bool = False
    stop_hopeless: Json | None = None


class Counted(Record):
    """One side of an outer fold; the SHA-256 is of its labels."""

    radiographs: Count
    patients: Count
    sha256: str


class OuterRecord(Record):
    """The result of one outer fold.

    Attributes:
        outer_fold: its number, from 0.
        trials: the id of the best trial of each search inside, by regime.
        hyperparameters: the tuned configuration, which is Regime II's best.
        epoch: the epoch that the inner cross-validation chose, from 0; the refit ends with it.
        selection_score: AUROC of all labels and of visible cortices of that trial, averaged over
            the inner folds.
        inner_estimate: the same figures of the same models on the outer validation patients,
            averaged over the models of the inner folds.
        estimate: the same figures of the refitted model on the outer validation patients.
        view_only_baseline: the same figures of a predictor that knows only the view, on these
            patients.
        training: the training patients.
        validation: the outer validation patients.
    """

    outer_fold: FoldNumber
    trials: dict[str, str]
    hyperparameters: HyperValues
    epoch: Epochs
    selection_score: dict[str, float]
    inner_estimate: dict[str, float]
    estimate: dict[str, float]
    view_only_baseline: dict[str, float]
    training: Counted
    validation: Counted

    @property
    def optimism(self) -> dict[str, float]:
        """The selection score minus the score of the same models on other patients."""
        return {name: self.selection_score[name] - self.inner_estimate[name] for name in FIGURES}

    @property
    def gap(self) -> dict[str, float]:
        """The selection score minus the estimate: the optimism minus what the refit gains."""
        return {name: self.selection_score[name] - self.estimate[name] for name in FIGURES}


class OuterFile(HashedRecord, OuterRecord):
    """`outer.json`: the result of one outer fold, and hashes of what it depends on.

    Attributes:
        key: SHA-256 of everything that the record depends on.
        predictions_sha256: of `predictions.csv` in the same folder.
    """

    file_name: ClassVar[str] = OUTER_FILE

    format: Literal[1]
    key: str
    predictions_sha256: str


class SummaryFigure(Record):
    """A figure over the outer folds: mean, spread and interval; or one value of all together."""

    mean: float | None = None
    std: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None


class SummaryPart(Record):
    """One result of a nested cross-validation, by both AUROCs."""

    auroc: SummaryFigure
    cortex_auroc: SummaryFigure

    def figure(self, name: str) -> SummaryFigure:
        """That of `auroc` or of `cortex_auroc`."""
        return {"auroc": self.auroc, "cortex_auroc": self.cortex_auroc}[name]


class NestedSummary(Record):
    """`summary.json`: the results of a nested cross-validation.

    Attributes:
        key: the identity of the run.
    """

    file_name: ClassVar[str] = SUMMARY_FILE

    format: Literal[1]
    key: str
    objective: str | None = None
    outer_folds: Count | None = None
    radiographs: Count | None = None
    patients: Count
    selection_score: SummaryPart
    inner_estimate: SummaryPart
    optimism: SummaryPart
    estimate: SummaryPart
    gap: SummaryPart
    view_only_baseline: SummaryPart
    pooled: SummaryPart

    def part(self, name: str) -> SummaryPart:
        """One of `SPREADS`, or `pooled`, the figure of all predictions together."""
        part: SummaryPart = getattr(self, name)
        return part


@dataclass(frozen=True)
class Nested:
    """The current content of the folder of a nested cross-validation.

    Attributes:
        folder: the folder.
        run: its manifest.
        outer: the records of the outer folds that are finished, in order.
        summary: the results, or None if it is not finished.
        problems: files that exist but cannot be read, a line each.
    """

    folder: Path
    run: NestedManifest
    outer: tuple[OuterRecord, ...]
    summary: NestedSummary | None
    problems: tuple[str, ...]

    @property
    def outer_folds(self) -> int:
        """How many outer folds there will be when it is finished."""
        return self.run.outer_folds


def outer_folder(folder: Path, number: int) -> Path:
    """Where an outer fold (from 0) keeps its files."""
    return folder / f"outer_{number:02d}"


def nested_key(run: NestedManifest) -> str:
    """The identity of a nested cross-validation, which is part of its records."""
    return sha256_of_json(run.to_json())


def write_outer(folder: Path, record: OuterRecord, *, key: str, predictions: str) -> None:
    """Write an outer fold's predictions, then its record, which marks it as finished.

    Args:
        folder: the outer fold's folder.
        record: its result.
        key: SHA-256 of everything that the record depends on.
        predictions: the text of a CSV.
    """
    write_text(folder / OUTER_PREDICTIONS, predictions)
    content = {
        "format": 1,
        "key": key,
        **record.to_json(),
        "predictions_sha256": hashlib.sha256(predictions.encode()).hexdigest(),
    }
    signed = OuterFile.of(content | {"sha256": sha256_of_json(content)})
    write_record(folder / OUTER_FILE, signed)


def read_outer(folder: Path, *, key: str | None = None) -> OuterRecord | None:
    """The record of an outer fold, or None if it is not finished.

    Args:
        folder: the outer fold's folder.
        key: the key that the record must have; any key if None.

    Raises:
        RecordError: if record or predictions are damaged or belong to another run.
    """
    path = folder / OUTER_FILE
    try:
        record = read_record(path, OuterFile, mend=_MEND)
    except FileNotFoundError:
        return None
    if key not in (None, record.key):
        raise RecordError.of(path, "belongs to another run", mend=_MEND)
    predictions = folder / OUTER_PREDICTIONS
    try:
        actual = hashlib.sha256(read_whole(predictions)).hexdigest()
    except FileNotFoundError as error:
        raise RecordError.of(predictions, "is missing", mend=_MEND) from error
    if actual != record.predictions_sha256:
        raise RecordError.of(predictions, "does not match its record", mend=_MEND)
    content = record.to_json()
    return OuterRecord.of({name: content[name] for name in OuterRecord.model_fields})


def write_summary(folder: Path, summary: NestedSummary) -> None:
    """Write the results of a nested cross-validation."""
    write_record(folder / SUMMARY_FILE, summary)


def read_nested(folder: str | Path) -> Nested:
    """Read the folder of a nested cross-validation, even if it is not finished.

    Raises:
        ResumeError: if the folder does not contain one.
        RecordError: if its manifest is damaged.
    """
    nested = Path(folder)
    path = nested / NESTED_FILE
    if not os.path.lexists(path):
        raise ResumeError(
            f"{nested} does not contain a nested cross-validation ({NESTED_FILE} is missing)"
        )
    run = read_record(path, NestedManifest)
    outer, problems = [], []
    for number in range(run.outer_folds):
        try:
            record = read_outer(outer_folder(nested, number))
        except (RustTunerError, OSError) as error:
            problems.append(f"outer fold {number}: {error}")
            continue
        if record is not None:
            outer.append(record)
    summary = None
    try:
        summary = read_record(nested / SUMMARY_FILE, NestedSummary, mend=_MEND)
        if summary.key != nested_key(run):
            raise RecordError.of(nested / SUMMARY_FILE, "belongs to another run", mend=_MEND)
    except FileNotFoundError:
        pass
    except RecordError as error:
        problems.append(str(error))
        summary = None
    return Nested(nested, run, tuple(outer), summary, tuple(problems))
