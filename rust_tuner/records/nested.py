"""What the folder of a nested cross-validation holds: its manifest, one record an outer fold.

It reads and writes files alone; no TensorFlow. STUDY/nested is

    nested.json                  what is nested, on what, with which versions
    outer_00/split.json          the patients of both sides of the outer fold, and the inner folds
    outer_00/regime_1, regime_2  project folders of the searches inside
    outer_00/predictions.csv     the refitted model's predictions of the outer validation patients
    outer_00/outer.json          what was chosen, what it promised, what it reached; written last
    predictions.csv              out-of-fold predictions of all development patients
    summary.json                 selection score, estimate, and the gap between them
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rust_tuner.errors import RecordError, ResumeError, RustTunerError
from rust_tuner.files import read_whole, sha256_of_json, write_json, write_text
from rust_tuner.records.schema import NestedForm, OuterForm, SummaryForm, read_record
from rust_tuner.scope import AUROCS

NESTED = "nested"
NESTED_FILE = "nested.json"
OUTER_FILE = "outer.json"
OUTER_PREDICTIONS = "predictions.csv"
NESTED_PREDICTIONS = "predictions.csv"
SUMMARY_FILE = "summary.json"
FIGURES = AUROCS
# What each outer fold gives, of which a summary tells mean and spread.
SPREADS = ("selection_score", "inner_estimate", "optimism", "estimate", "gap", "view_only_baseline")
# What a summary holds: the same, and one figure of all predictions together.
SUMMARY_PARTS = (*SPREADS, "pooled")

_FORMAT = 1
_MEND = "run rust-tuner nested again, which makes it anew"


@dataclass(frozen=True)
class OuterRecord:
    """What one outer fold gave.

    Attributes:
        outer_fold: its number, from 0.
        trials: the id of the best trial of each search inside, by regime.
        hyperparameters: the tuned configuration, which is Regime II's best.
        epoch: the epoch that the inner cross-validation chose, from 0; the refit ends with it.
        selection_score: AUROC of all labels and of visible cortices of that trial, averaged over
            the inner folds: what the search promised.
        inner_estimate: the same of the same models of the inner folds on the outer validation
            patients, averaged over these models.
        estimate: the same of the refitted model on the outer validation patients.
        view_only_baseline: the same of a predictor that knows the view alone, on these patients.
        training: number of `radiographs` and `patients`, and the `sha256` of their labels.
        validation: the same of the outer validation patients.
    """

    outer_fold: int
    trials: Mapping[str, str]
    hyperparameters: Mapping[str, Any]
    epoch: int
    selection_score: Mapping[str, float]
    inner_estimate: Mapping[str, float]
    estimate: Mapping[str, float]
    view_only_baseline: Mapping[str, float]
    training: Mapping[str, Any]
    validation: Mapping[str, Any]

    @property
    def optimism(self) -> dict[str, float]:
        """The selection score less what the same models reach on patients not searched on."""
        return {name: self.selection_score[name] - self.inner_estimate[name] for name in FIGURES}

    @property
    def gap(self) -> dict[str, float]:
        """The selection score less the estimate: optimism less what the refit gains."""
        return {name: self.selection_score[name] - self.estimate[name] for name in FIGURES}


@dataclass(frozen=True)
class Nested:
    """The folder of a nested cross-validation as it stands.

    Attributes:
        folder: the folder.
        run: its manifest.
        outer: the records of the outer folds that are finished, in order.
        summary: what came out, or None where it is not finished.
        problems: what is there and cannot be read, a line each.
    """

    folder: Path
    run: dict[str, Any]
    outer: tuple[OuterRecord, ...]
    summary: dict[str, Any] | None
    problems: tuple[str, ...]

    @property
    def outer_folds(self) -> int:
        """How many outer folds there are when it is finished."""
        return int(self.run["outer_folds"])


def outer_folder(folder: Path, number: int) -> Path:
    """Where an outer fold (from 0) keeps its files."""
    return folder / f"outer_{number:02d}"


def nested_key(run: Mapping[str, Any]) -> str:
    """The identity of a nested cross-validation, which its records carry."""
    return sha256_of_json(run)


def write_outer(place: Path, record: OuterRecord, *, key: str, predictions: str) -> None:
    """Keep an outer fold's predictions, then its record, with which it counts as finished.

    Args:
        place: the outer fold's folder.
        record: what it gave.
        key: of everything that the record depends on.
        predictions: the text of a CSV.
    """
    write_text(place / OUTER_PREDICTIONS, predictions)
    content = {
        "format": _FORMAT,
        "key": key,
        **asdict(record),
        "predictions_sha256": hashlib.sha256(predictions.encode()).hexdigest(),
    }
    write_json(place / OUTER_FILE, content | {"sha256": sha256_of_json(content)})


def read_outer(place: Path, *, key: str | None = None) -> OuterRecord | None:
    """The record of an outer fold, or None where it is not finished.

    Args:
        place: the outer fold's folder.
        key: what the record must depend on; any where None.

    Raises:
        RecordError: where record or predictions are damaged or belong to another run.
    """
    path = place / OUTER_FILE
    try:
        content = read_record(path, OuterForm, mend=_MEND)
    except FileNotFoundError:
        return None
    if key not in (None, content["key"]):
        raise RecordError.of(path, "belongs to another run", mend=_MEND)
    predictions = place / OUTER_PREDICTIONS
    try:
        actual = hashlib.sha256(read_whole(predictions)).hexdigest()
    except FileNotFoundError as error:
        raise RecordError.of(predictions, "is missing", mend=_MEND) from error
    if actual != content["predictions_sha256"]:
        raise RecordError.of(predictions, "is not the one of its record", mend=_MEND)
    return OuterRecord(**{name: content[name] for name in OuterRecord.__dataclass_fields__})


def write_summary(
    folder: Path, run: Mapping[str, Any], summary: Mapping[str, Any]
) -> dict[str, Any]:
    """Keep what came out of a nested cross-validation; returns what was written."""
    content = {"format": _FORMAT, "key": nested_key(run), **summary}
    write_json(folder / SUMMARY_FILE, content)
    return content


def read_nested(folder: str | Path) -> Nested:
    """Read the folder of a nested cross-validation, also one that is not finished.

    Raises:
        ResumeError: where the folder holds none.
        RecordError: where its manifest is damaged.
    """
    place = Path(folder)
    path = place / NESTED_FILE
    if not os.path.lexists(path):
        raise ResumeError(f"{place} holds no nested cross-validation ({NESTED_FILE} is missing)")
    run = read_record(path, NestedForm)
    outer, problems = [], []
    for number in range(int(run["outer_folds"])):
        try:
            record = read_outer(outer_folder(place, number))
        except (RustTunerError, OSError) as error:
            problems.append(f"outer fold {number}: {error}")
            continue
        if record is not None:
            outer.append(record)
    summary = None
    try:
        summary = read_record(place / SUMMARY_FILE, SummaryForm, mend=_MEND)
        _require_summary(place / SUMMARY_FILE, summary, run)
    except FileNotFoundError:
        pass
    except RecordError as error:
        problems.append(str(error))
        summary = None
    return Nested(place, run, tuple(outer), summary, tuple(problems))


def _require_summary(path: Path, summary: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    if summary["key"] != nested_key(run):
        raise RecordError.of(path, "belongs to another run", mend=_MEND)
    for part in SUMMARY_PARTS:
        figures = summary.get(part)
        if not isinstance(figures, dict) or not all(
            _are_numbers(figures.get(name)) for name in FIGURES
        ):
            raise RecordError.of(path, f"is damaged ({part} has no figures)", mend=_MEND)


def _are_numbers(figures: Any) -> bool:
    """Whether it is a mapping to numbers; None is one that is undefined."""
    return isinstance(figures, dict) and all(
        isinstance(value, int | float | None) and not isinstance(value, bool)
        for value in figures.values()
    )
