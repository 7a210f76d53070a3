"""Refuses wrong paths and options before anything slow is imported.

The steps check the same again, with the content of the files; here nothing is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rust_tuner.errors import (
    ImageError,
    ManifestError,
    ResumeError,
    StorageError,
    WeightsError,
    private,
)
from rust_tuner.folder_kinds import (
    SEARCH_FILE,
    STUDY_FILE,
    describe_folder,
    has_study_parts,
    no_study,
)


def refuse_wrong_paths(
    study: Path, manifest: Path | None = None, *, weights: object = None, cache: Path | None = None
) -> None:
    """Refuse paths that cannot be those of a study that is prepared, or can be prepared.

    Raises:
        ManifestError: for a manifest that does not exist.
        WeightsError: for a file of weights that does not exist.
        StorageError: for a file in place of a folder.
    """
    for folder in (study, cache):
        if folder is not None and folder.is_file():
            raise StorageError(f"{folder} is a file; give a folder")
    if manifest is not None and not manifest.exists():
        raise ManifestError(f"{private(manifest)}: no such file; check the path")
    if isinstance(weights, str):
        from rust_tuner.models.weights import NAMED_WEIGHTS

        path = Path(weights).resolve()
        if weights not in NAMED_WEIGHTS and not path.exists():
            raise WeightsError(f"weights file {private(path)} does not exist; check the path")


def refuse_unprepared(study: Path, manifest: Path | None = None) -> None:
    """Refuse a folder without a prepared study if no manifest is given.

    Raises:
        ResumeError: with what it is instead.
    """
    if manifest is None and not (study / STUDY_FILE).exists():
        raise ResumeError(
            f"{study} has not been prepared; give its manifest (--manifest M.csv). "
            f"{describe_folder(study)}"
        )


def refuse_no_study(folder: Path) -> None:
    """Refuse a folder that is neither a study nor a search.

    Raises:
        ResumeError: with what it is instead.
    """
    if not has_study_parts(folder) and not (folder / SEARCH_FILE).exists():
        raise ResumeError(no_study(folder))


def refuse_missing_files(model: Path, *images: Path) -> None:
    """Refuse a model or images that do not exist.

    Raises:
        ResumeError: for the model.
        ImageError: for an image.
    """
    if not model.exists():
        raise ResumeError(
            f"{model}: no such file; give the final/model.keras of a study, which "
            "`rust-tuner final` writes"
        )
    for image in images:
        if not image.exists():
            raise ImageError(f"{private(image)}: no such file; check the path")


def refuse_wrong_choices(choices: Mapping[str, Any]) -> None:
    """Refuse choices that no study could have.

    Raises:
        ProtocolError: with the field, its value and its range.
    """
    from rust_tuner.protocol import Protocol

    if choices:
        Protocol.study(**choices)
