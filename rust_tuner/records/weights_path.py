"""Where a study's files of weights are: their paths are private, and records have their names.

A study with plain ids writes the path into `study.json`, as it writes that of the manifest. What
the weights are belongs to `models.weights`.
"""

import contextlib
import os
from pathlib import Path

from rust_tuner.errors import RustTunerError
from rust_tuner.files import sha256_of_file
from rust_tuner.models.weights import (
    NAMED_WEIGHTS,
    WEIGHTS_VARIABLE,
    BackboneWeights,
    without_folder,
)
from rust_tuner.records.model import Json, Weights
from rust_tuner.records.private import StudyKey, read_key, record_weights_path
from rust_tuner.records.study_record import StudyRecord


def keep_weights_path(directory: Path, key: StudyKey, weights: BackboneWeights) -> None:
    """Keep where a file of weights is, for the next step; the study's lock must be held."""
    if weights.path is not None and weights.asked not in NAMED_WEIGHTS:
        record_weights_path(directory, key, weights.sha256, weights.path)


def with_weights_found(directory: Path, study: StudyRecord) -> Json:
    """The protocol of a study, with the path of its file of weights where only a name is recorded.

    Args:
        directory: the study's folder.
        study: its record.
    """
    weights, used = study.protocol.get("weights"), study.weights
    if not isinstance(weights, str) or used is None or without_folder(used.asked) != weights:
        return study.protocol
    return study.protocol | {"weights": str(found_weights(directory, used))}


def found_weights(directory: Path, used: Weights) -> Path | str:
    """Where the weights are now that a record names.

    It is the path that was kept; else the file that `RUST_TUNER_WEIGHTS` names, or one of this name
    in the study's folder, if its content is the same; else the recorded name.

    Args:
        directory: the study's folder.
        used: the weights in the record.
    """
    if used.asked in NAMED_WEIGHTS or os.path.isabs(used.asked):
        return used.asked
    key = None
    # Without its private folder a study can still be read.
    with contextlib.suppress(RustTunerError):
        key = read_key(directory)
    kept = ({} if key is None else key.weights or {}).get(used.sha256)
    if kept is not None and Path(kept).is_file():
        return Path(kept)
    for candidate in (os.environ.get(WEIGHTS_VARIABLE), directory / used.asked):
        if candidate and is_same_file(str(candidate), used):
            return Path(candidate).resolve()
    return used.asked if kept is None else Path(kept)


def named_weights(study: StudyRecord, asked: str) -> str:
    """Weights as a study's record names them: without their folder, if ids are hashed too.

    Args:
        study: its record.
        asked: a path, or the name alone where a record of a search has no more.
    """
    if study.patient_ids == "hashed":
        return without_folder(asked)
    before = str(study.protocol.get("weights"))
    return before if asked == without_folder(before) else asked


def as_noted(study: StudyRecord, weights: BackboneWeights) -> Json:
    """Weights as the note on a step names them, from which the next run of the step finds them."""
    return {**weights.to_json(), "asked": named_weights(study, weights.asked)}


def absolute_weights(weights: str) -> str:
    """The weights as they are recorded: an absolute path, which is valid in any working folder."""
    return weights if weights in NAMED_WEIGHTS else str(Path(weights).resolve())


def is_same_file(path: str, used: Weights) -> bool:
    """Whether a file has the content that was used, wherever it is now."""
    if path in NAMED_WEIGHTS or used.file is None:
        return False
    with contextlib.suppress(OSError):
        return sha256_of_file(Path(path)) == used.sha256
    return False
