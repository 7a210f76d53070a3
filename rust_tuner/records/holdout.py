"""`final/holdout.json`: the result of a look at the hold-out set.

When a look is allowed belongs to `looks` and `study`; computing the figures belongs to `analysis`.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from rust_tuner.errors import RecordError, ResumeError
from rust_tuner.records.looks import FINAL, HOLDOUT_FILE
from rust_tuner.records.model import Count, Epochs, Record, read_record, write_record

# Without the file the figures are lost, and another look needs a reason.
_MEND = "restore it from a copy"


class LabelFigures(Record):
    """The figures of one label on the hold-out set; None if undefined."""

    label: str
    positives: Count
    rows: Count
    auroc: float | None
    precision: float | None
    recall: float | None
    f1: float | None


class TwoFigures(Record):
    """Both AUROCs: of all labels, and of the cortices where they are visible."""

    auroc: float | None
    cortex_auroc: float | None

    @property
    def by_name(self) -> dict[str, float | None]:
        """Every figure by its name, in the order of the file."""
        return {
            name: value
            for name, value in self.to_json().items()
            if value is None or isinstance(value, int | float)
        }


class HoldoutMetrics(TwoFigures):
    """Both AUROCs, and any other figures of the version that made the look."""

    @model_validator(mode="after")
    def _are_numbers(self) -> "HoldoutMetrics":
        for name, value in (self.model_extra or {}).items():
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise ValueError(f"{name}={value!r} is not a number")
        return self


class UnionRecord(Record):
    """The predicted total from which on a model predicts union, and how it was chosen."""

    value: float
    threshold: float
    chosen: bool
    how: str
    youden: float | None
    visits: Count
    united: Count


class LookNote(Record):
    """One of the looks at the hold-out set, as repeated in the evaluation."""

    date: str | None = None
    model_sha256: str | None = None
    reason: str | None = None


class Holdout(Record):
    """`final/holdout.json`: the result of a look at the hold-out set.

    Attributes:
        metrics: the main figures; first those of the most likely scores.
        view_only_baseline: the figures of the view alone on the same radiographs.
        labels: figures of each label.
        figures: all other figures, a row each, as in `figures_table`.
        union_cutoff: None in records of earlier versions.
        predictions_sha256: of `predictions.csv`; None in records of earlier versions.
    """

    file_name: ClassVar[str] = HOLDOUT_FILE

    format: Literal[1]
    kind: str | None = None
    date: str
    looks: list[LookNote] = Field(default_factory=list)
    radiographs: Count
    patients: Count
    threshold: float
    union_threshold: float | None = None
    union_cutoff: UnionRecord | None = None
    epoch: Epochs
    model_sha256: str | None = None
    metrics: HoldoutMetrics
    view_only_baseline: TwoFigures
    labels: list[LabelFigures]
    figures: list[dict[str, float | int | str | bool | None]] = Field(default_factory=list)
    predictions_sha256: str | None = None


def write_holdout(directory: str | Path, holdout: Holdout) -> None:
    """Write `final/holdout.json` of a study, atomically."""
    write_record(Path(directory) / FINAL / HOLDOUT_FILE, holdout)


def load_holdout(path: Path) -> Holdout:
    """Read a `holdout.json`.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is damaged.
    """
    return read_record(path, Holdout, mend=_MEND)


def read_holdout(directory: str | Path) -> Holdout | None:
    """The result of the last look at the hold-out set, or None if there is no record of it.

    Raises:
        ResumeError: if the record cannot be read.
    """
    try:
        return load_holdout(Path(directory) / FINAL / HOLDOUT_FILE)
    except FileNotFoundError:
        return None
    except RecordError as error:
        raise ResumeError(str(error)) from error
