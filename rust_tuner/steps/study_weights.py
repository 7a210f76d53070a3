"""Which backbone weights a study uses: one backbone, so every step must find the same.

Where weights lie and how they are read belongs to `models`.
"""

from pathlib import Path

from rust_tuner.errors import ResumeError
from rust_tuner.models.weights import BackboneWeights, check_architecture, find_local_weights
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import BASELINES_FOLDER, RADIMAGENET
from rust_tuner.records.begun import is_begun
from rust_tuner.records.project import REGIME_1, REGIME_2
from rust_tuner.records.run import run_if_whole
from rust_tuner.records.study import StudyFile
from rust_tuner.records.study_record import STUDY_FILE


def find_study_weights(
    file: StudyFile, protocol: Protocol, *, download: bool = True
) -> BackboneWeights | None:
    """The backbone's weights, which must be those that the study has.

    Args:
        file: `study.json` of a prepared study.
        protocol: names them.
        download: whether ImageNet's may be downloaded; else None where that would be needed.

    Raises:
        WeightsError: where they cannot be had, or are not those of an InceptionV3 without top.
        ResumeError: where they are not those that the study has.
    """
    found = find_local_weights(protocol.weights)
    if found is None and download:
        from rust_tuner.models.backbones import find_weights

        found = find_weights(protocol.weights)
    if found is None:
        return None
    check_architecture(found)
    runs = {name: run_if_whole(file.directory / name) for name in (REGIME_1, REGIME_2)}
    known = {STUDY_FILE: file.record.weights}
    known |= {name: run.subject.weights for name, run in runs.items() if run is not None}
    for name, used in known.items():
        if used is not None and used.sha256 != found.sha256:
            raise ResumeError(
                f"{file.directory / name} was made with the weights {used.file or 'random'} "
                f"(SHA-256 {used.sha256[:12]}), found are "
                f"{found.path or 'random'} ({found.sha256[:12]}); a study has one backbone: go "
                "back to its weights, or take a new study folder"
            )
    return found


def find_radimagenet(file: StudyFile, asked: str | Path | None) -> BackboneWeights | None:
    """RadImageNet's file: the one given, else the one that the first models were begun with.

    Raises:
        WeightsError: where it cannot be read, or is not that of an InceptionV3 without top.
        ResumeError: where the first models were begun with another one.
    """
    note = file.begun(BASELINES_FOLDER)
    begun = None if note is None else note.inceptionv3_radimagenet
    if asked is None:
        if begun is None or not Path(begun.asked).is_file():
            return None
        asked = begun.asked
    found = find_local_weights(Path(asked).resolve())
    assert found is not None
    check_architecture(found)
    changed = begun is not None and begun.sha256 != found.sha256
    if begun is not None and changed and is_begun(file.directory, BASELINES_FOLDER):
        raise ResumeError(
            f"{file.directory / BASELINES_FOLDER} was begun with {begun.asked} (SHA-256 "
            f"{begun.sha256[:12]}), found is {found.path} ({found.sha256[:12]}); go back to "
            f"that file, or delete the folder of {RADIMAGENET} and give its new weights"
        )
    return found
