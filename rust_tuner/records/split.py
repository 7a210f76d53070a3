"""`split.json` as a record: the patients of each side, and the folds.

Making a split and comparing a manifest with it belongs to `data.split_file`.
"""

from pathlib import Path
from typing import Literal

from rust_tuner.data.split_file import SPLIT_FILE
from rust_tuner.records.model import HashedRecord, Record, read_record


class FoldsOfSplit(Record):
    """The fold of each patient."""

    seed: int
    patients: dict[str, int]


class SiteFoldsOfSplit(FoldsOfSplit):
    """Folds that leave one site out, in the order of the sites."""

    sites: list[str]


class SplitRecord(HashedRecord):
    """`split.json`: the patients of each side, and the folds by how many there are.

    Attributes:
        fraction: the requested share of sealed patients.
        drawn: how the hold-out set was drawn; None in records of earlier versions.
    """

    version: Literal[1]
    seed: int | None = None
    fraction: float | None = None
    radiographs_sha256: str | None = None
    development_sha256: str | None = None
    development: list[str]
    holdout: list[str]
    folds: dict[str, FoldsOfSplit]
    drawn: str | None = None
    site_folds: SiteFoldsOfSplit | None = None


def read_split_record(path: Path) -> SplitRecord:
    """Read a `split.json`.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is damaged.
    """
    return read_record(path, SplitRecord)


def split_sha256(directory: Path) -> str:
    """The SHA-256 of a study's split, which identifies it in other records."""
    return read_split_record(directory / SPLIT_FILE).sha256
