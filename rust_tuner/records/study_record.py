"""`study.json` as a record; using it within a study belongs to `study`."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import JsonValue

from rust_tuner.records.model import Count, Json, Record, Weights, read_record

STUDY_FILE = "study.json"


class StepNote(Record):
    """The choices that a step was begun with: fields of the protocol, and the step's arguments.

    Attributes:
        batch_size: that was requested for Regime II.
        dropout_rate: that was requested for Regime II.
        repeats: of the noise floor, of each kind.
        permutations: of the labels, in the checks.
        inceptionv3_radimagenet: RadImageNet's weights, of the first models.
    """

    batch_size: int | None = None
    dropout_rate: float | None = None
    repeats: int | None = None
    permutations: int | None = None
    inceptionv3_radimagenet: Weights | None = None


class StudyRecord(Record):
    """`study.json`: the choices and data of a study, and what its steps have recorded since.

    The records of steps are read separately, so that a damaged one does not affect the others:
    `looks` by `looks.read_looks`, `begun` by `StudyFile.begun`, `rows` by `data.row_record`.

    Attributes:
        manifest: its path, relative to the study if possible; where patient ids are hashed, the
            file that has this path, see `records.private`.
        protocol: all choices, as JSON values; `StudyFile.protocol` reads them.
        patient_ids: whether records have keyed hashes of patient ids, or these as they are; None
            in studies of earlier versions, which have them as they are.
        key_sha256: of the key of the hashes; None without one.
        weights: of the backbone; None if they are found when they are first used.
        environments: by step, the machines that it ran on.
        pixels_sha256: of `pixels.json`; None in records of earlier versions, whose studies read
            16-bit files as stored.
    """

    file_name: ClassVar[str] = STUDY_FILE

    format: Literal[1]
    manifest: str
    protocol: Json
    radiographs: Count
    patients: Count
    distinct_patients: JsonValue = None
    patient_ids: Literal["hashed", "plain"] | None = None
    key_sha256: str | None = None
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
    pixels_sha256: str | None = None

    @property
    def is_small(self) -> bool:
        """Whether it was prepared with the small scale."""
        return self.protocol.get("scale") == "small"


def read_study_record(path: Path) -> StudyRecord:
    """Read a `study.json`.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is damaged.
    """
    return read_record(path, StudyRecord)
