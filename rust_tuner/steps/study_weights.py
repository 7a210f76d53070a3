"""The backbone weights of a study: every step must use the same ones.

Finding and reading weights belongs to `models`.
"""

from pathlib import Path

from rust_tuner.errors import ResumeError, private
from rust_tuner.models.weights import BackboneWeights, check_architecture, find_local_weights
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import BASELINES_FOLDER, RADIMAGENET
from rust_tuner.records.begun import is_begun
from rust_tuner.records.project import REGIME_1, REGIME_2
from rust_tuner.records.run import run_if_whole
from rust_tuner.records.study import StudyFile
from rust_tuner.records.study_record import STUDY_FILE
from rust_tuner.records.weights_path import found_weights


def find_study_weights(
    file: StudyFile, protocol: Protocol, *, download: bool = True
) -> BackboneWeights | None:
    """The backbone's weights, which must be those of the study.

    Args:
        file: `study.json` of a prepared study.
        protocol: names them.
        download: whether ImageNet's may be downloaded; else None if that would be needed.

    Raises:
        WeightsError: if they are not available, or are not those of an InceptionV3 without top.
        ResumeError: if they are not those of the study.
    """
    weights = find_local_weights(protocol.weights)
    if weights is None and download:
        from rust_tuner.models.backbones import find_weights

        weights = find_weights(protocol.weights)
    if weights is None:
        return None
    check_architecture(weights)
    refuse_other_weights(file, weights)
    return weights


def refuse_other_weights(file: StudyFile, weights: BackboneWeights) -> None:
    """Refuse weights that are not those of a study and its searches.

    Args:
        file: `study.json`; nothing is refused without one.
        weights: as they are now.

    Raises:
        ResumeError: if they are others.
    """
    if not file.is_there:
        return
    runs = {name: run_if_whole(file.directory / name) for name in (REGIME_1, REGIME_2)}
    recorded = {STUDY_FILE: file.record.weights}
    recorded |= {name: run.subject.weights for name, run in runs.items() if run is not None}
    for name, used in recorded.items():
        if used is not None and used.sha256 != weights.sha256:
            raise ResumeError(
                f"{file.directory / name} was made with the weights {used.file or 'random'} "
                f"(SHA-256 {used.sha256[:12]}), but the weights now are "
                f"{'random' if weights.path is None else weights.path.name} "
                f"({weights.sha256[:12]}); a study has one backbone: "
                "restore its weights, or use a new study folder"
            )


def find_radimagenet(file: StudyFile, asked: str | Path | None) -> BackboneWeights | None:
    """RadImageNet's file: the one given, else the one that the first models were begun with.

    Raises:
        WeightsError: if it cannot be read, or is not that of an InceptionV3 without top.
        ResumeError: if the first models were begun with another file.
    """
    note = file.begun(BASELINES_FOLDER)
    begun = None if note is None else note.inceptionv3_radimagenet
    if asked is None:
        asked = None if begun is None else found_weights(file.directory, begun)
        if asked is None or not Path(asked).is_file():
            return None
    weights = find_local_weights(Path(asked).resolve())
    assert weights is not None
    check_architecture(weights)
    changed = begun is not None and begun.sha256 != weights.sha256
    if begun is not None and changed and is_begun(file.directory, BASELINES_FOLDER):
        raise ResumeError(
            f"{file.directory / BASELINES_FOLDER} was begun with {begun.file} (SHA-256 "
            f"{begun.sha256[:12]}), but the file now is {private(weights.path)} "
            f"({weights.sha256[:12]}); restore that file, or delete the folder of {RADIMAGENET} "
            "and give its new weights"
        )
    return weights
