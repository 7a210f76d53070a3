"""What a study records of its steps in `study.json`: their choices and the machines they ran on."""

from rust_tuner.environment import describe_machine
from rust_tuner.errors import LockedError
from rust_tuner.locks import hold_lock
from rust_tuner.models.weights import BackboneWeights
from rust_tuner.progress import Progress
from rust_tuner.protocol import Protocol
from rust_tuner.records.begun import choices_to_note, is_begun
from rust_tuner.records.checks import CHECKS
from rust_tuner.records.model import Weights
from rust_tuner.records.split import split_sha256
from rust_tuner.records.study import StudyFile


def begin_step(
    file: StudyFile, step: str, protocol: Protocol, weights: BackboneWeights | None, **more: object
) -> None:
    """Record the machine and the choices of a step that begins; the study's lock must be held."""
    note_environment(file, step)
    file.keep_weights_path(weights)
    if weights is not None and file.record.weights is None:
        # Recorded before they are used, so that no other weights can be used later.
        file.record_weights(Weights.of(weights.to_json()), protocol.weights)
    if not is_begun(file.directory, step):
        note_begun(file, step, protocol, weights, **more)


def note_begun(
    file: StudyFile, step: str, protocol: Protocol, weights: BackboneWeights | None, **more: object
) -> None:
    """Record a step's choices: as it begins, and once its records have accepted them."""
    used = {} if weights is None else {"weights": weights.to_json()}
    file.note_begun(step, choices_to_note(step, protocol) | used | more)


def note_environment(file: StudyFile, step: str) -> None:
    """Record the machine that a step runs on, once each, and the split; the lock must be held."""
    from rust_tuner.models.runtime import describe_backend, start_backend, versions

    start_backend()
    here = describe_machine() | describe_backend() | {"versions": versions()}
    file.note_environment(step, here, split_sha256=split_sha256(file.directory))


def note_checks(
    file: StudyFile, protocol: Protocol, *, permutations: int, progress: Progress
) -> None:
    """Record the choices of the checks; they may run during a search, which holds the lock."""
    choices = choices_to_note(CHECKS, protocol) | {"permutations": permutations}
    try:
        with hold_lock(file.directory, "recording the choices of the checks"):
            file.note_begun(CHECKS, choices)
    except LockedError:
        progress.say(
            "note: another step is running, so the number of permutations is not recorded; if the "
            "checks are interrupted, request the same number again"
        )
