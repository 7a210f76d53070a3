"""What `study.json` holds, as a record; reading it within a study belongs to `study`."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import JsonValue

from rust_tuner.records.model import Count, Json, Record, Weights, read_record

STUDY_FILE = "study.json"


class StepNote(Record):
    """What a step was begun with: fields of the protocol, and what only that step takes.

    Attributes:
        batch_size: that Regime II was asked for.
        dropout_rate: likewise.
        repeats: of the noise floor, of each kind.
        permutations: of the labels, by the checks.
        inceptionv3_radimagenet: RadImageNet's weights, of the first models.
    """

    batch_size: int | None = None
    dropout_rate: float | None = None
    repeats: int | None = None
    permutations: int | None = None
    inceptionv3_radimagenet: Weights | None = None


class StudyRecord(Record):
    """`study.json`: what a study was prepared with, and what its steps have noted since.

    What steps have noted is read part by part, so that a damaged note costs no more than itself:
    `looks` by `looks.read_looks`, `begun` by `StudyFile.begun`, `rows` by `data.row_record`.

    Attributes:
        manifest: its path, relative to the study where it can be.
        protocol: all choices, as JSON values; `StudyFile.protocol` reads them.
        weights: of the backbone; None where they are first found when they are used.
        environments: by step, the machines that it ran on.
    """

    file_name: ClassVar[str] = STUDY_FILE

    format: Literal[1]
    manifest: str
    protocol: Json
    radiographs: Count
    patients: Count
    distinct_patients: JsonValue = None
    radiographs_sha256: str
    images_sha256: str
    weights: Weights | None
    versions: dict[str, str] | None = None
    environments: dict[str, list[Json]] | None = None
    development_sha256: str
    split_sha256: JsonValue = None
    begun: JsonValue = None
    looks: JsonValue = None
    rows: JsonValue = None

    @property
    def is_small(self) -> bool:
        """Whether it was made on the small scale, to try things out."""
        return self.protocol.get("scale") == "small"


def read_study_record(path: Path) -> StudyRecord:
    """Read a `study.json`.

    Raises:
        FileNotFoundError: where there is none.
        RecordError: where it is damaged.
    """
    return read_record(path, StudyRecord)
