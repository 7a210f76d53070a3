"""`models/models.json` beside a trial: which files hold the models of its folds, and their hashes.

The models themselves are written and read by `search.kept_models`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from rust_tuner.files import sha256_of_file
from rust_tuner.records.model import Epochs, Record, read_if_whole, write_record

MODELS_FOLDER = "models"
_INDEX = "models.json"


class KeptModels(Record):
    """`models.json`.

    Attributes:
        epoch: that the models are of, from 0.
        sha256: of each file, by its name.
    """

    file_name: ClassVar[str] = _INDEX

    epoch: Epochs
    sha256: dict[str, str]


def models_folder(folder: Path, trial_id: str) -> Path:
    """Where the models of a trial of a project folder are."""
    return folder / f"trial_{trial_id}" / MODELS_FOLDER


def model_file(fold: int) -> str:
    """The name of the file of a fold's model."""
    return f"fold_{fold}.keras"


def write_kept(kept: Path, *, epoch: int, hashes: Mapping[str, str]) -> None:
    """Record that the models of a trial are whole; their files must have been written."""
    write_record(kept / _INDEX, KeptModels(epoch=epoch, sha256=dict(hashes)))


def kept_files(folder: Path, trial_id: str, epoch: int) -> list[Path] | None:
    """The files of a trial's models; None where they are not there, or not whole."""
    kept = models_folder(folder, trial_id)
    index = read_if_whole(kept / _INDEX, KeptModels)
    if index is None or index.epoch != epoch:
        return None
    files = [kept / model_file(fold) for fold in range(len(index.sha256))]
    try:
        actual = {file.name: sha256_of_file(file) for file in files}
    except OSError:
        return None
    return files if actual == index.sha256 else None
