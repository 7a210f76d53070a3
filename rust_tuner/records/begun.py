"""The choices that each step of a study was begun with, so that it is resumed with the same ones.

They are in `study.json`, or, for a step that an older version began, in the manifests of its runs.
The fields of the protocol say which choices a step depends on; the step itself refuses changes.
"""

from collections.abc import Iterable
from pathlib import Path

from rust_tuner.errors import ProtocolError, ResumeError
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import BASELINES, BASELINES_FOLDER
from rust_tuner.records.checks import CHECKS
from rust_tuner.records.folder import CROSS_VALIDATION
from rust_tuner.records.looks import FINAL
from rust_tuner.records.model import Json, read_if_whole
from rust_tuner.records.nested import NESTED, NESTED_FILE, NestedManifest
from rust_tuner.records.noise import NOISE, NOISE_FILE, NoiseManifest
from rust_tuner.records.project import REGIME_1, REGIME_2
from rust_tuner.records.run import RUN_FILE, RunManifest, run_if_whole
from rust_tuner.records.study import StudyFile
from rust_tuner.records.study_record import STUDY_FILE

# A step that has not been begun takes its choices from these, the first ones having precedence.
_FOLLOWS: dict[str, tuple[str, ...]] = {
    REGIME_2: (REGIME_1,),
    NESTED: (REGIME_2, REGIME_1),
    NOISE: (REGIME_2, REGIME_1),
    CHECKS: (REGIME_2, REGIME_1),
}


def _taken_from(step: str, source: str) -> tuple[str, ...]:
    """The choices that a step takes from one that it follows."""
    if step in (NOISE, CHECKS):
        return Protocol.searched()
    steered = Protocol.steered(source)
    return steered if step == NESTED else tuple(set(steered) & set(Protocol.steered(REGIME_2)))


def begun_protocol(file: StudyFile, step: str, protocol: Protocol) -> Protocol:
    """The choices of a step: those it was begun with, else those of the steps that it follows.

    Args:
        file: `study.json` of a prepared study.
        step: the step's folder, such as `regime_1`.
        protocol: the study's choices, for all other fields.

    Raises:
        ResumeError: if the choices in `study.json` cannot be read.
    """
    choices: Json = {}
    if (begun := _choices_of(file, step)) is not None:
        choices = begun
    else:
        for source in reversed(_FOLLOWS.get(step, ())):
            earlier = _choices_of(file, source) or {}
            names = _taken_from(step, source)
            choices |= {name: earlier[name] for name in names if name in earlier}
    try:
        return Protocol.from_json(protocol.to_json() | choices)
    except (ProtocolError, TypeError, ValueError, AttributeError) as error:
        raise ResumeError(
            f"{file.directory / STUDY_FILE}: the choices of {step} cannot be read ({error}); "
            "restore the file from a copy"
        ) from error


def choices_to_note(step: str, protocol: Protocol) -> Json:
    """The choices that a step is resumed with, as JSON values."""
    values = protocol.to_json()
    return {name: values[name] for name in Protocol.noted_by(step)}


def notes_on_choices(file: StudyFile, step: str, protocol: Protocol) -> list[str]:
    """What is requested for a step that has been done, where that was with another choice."""
    begun = _choices_of(file, step) or {}
    requested = choices_to_note(step, protocol)
    return [
        f"note: {name}={requested[name]} is not used, because {step} was run with {name}={value}"
        for name, value in begun.items()
        if name in requested and requested[name] != value
    ]


def is_begun(directory: Path, step: str) -> bool:
    """Whether a step already has records, which its choices have to match."""
    return any(path.is_file() for path in _manifests(directory, step))


def fixed_by_regime_2(file: StudyFile) -> tuple[int | None, float | None]:
    """Batch size and dropout rate that Regime II was begun with; None if it was not."""
    run = run_if_whole(file.directory / REGIME_2)
    if run is None:
        note = file.begun(REGIME_2) if file.is_there else None
        return (None, None) if note is None else (note.batch_size, note.dropout_rate)
    values = {name: part.config.value for name, part in run.space.items()}
    size, rate = values.get("batch_size"), values.get("dropout_rate")
    return (
        size if isinstance(size, int) else None,
        float(rate) if isinstance(rate, int | float) else None,
    )


def _choices_of(file: StudyFile, step: str) -> Json | None:
    """The choices that a step was begun with, from `study.json` or else from its records."""
    note = file.begun(step)
    recorded = _recorded(file.directory, step)
    if note is None:
        return recorded
    begun = note.to_json()
    choices = {name: begun[name] for name in Protocol.noted_by(step) if name in begun}
    # The number of trials may have grown since; the search's manifest is updated first.
    if step == REGIME_1 and recorded is not None and "trials" in recorded:
        choices["trials"] = recorded["trials"]
    return choices


def _recorded(directory: Path, step: str) -> Json | None:
    """The choices in the records of a step; None if there are none.

    Records that cannot be read are skipped: the step itself reports what is wrong with its folder.
    """
    for path in _manifests(directory, step):
        run = _manifest(step, path)
        if run is None or run.protocol is None:
            continue
        choices = {
            name: run.protocol[name] for name in Protocol.noted_by(step) if name in run.protocol
        }
        try:
            if isinstance(run, NestedManifest):
                # It is recorded outside the protocol, and only where it is true.
                choices["fit_batch_sizes"] = run.fit_batch_sizes
                choices["stop_hopeless"] = run.stop_hopeless is not None
                choices |= {"trials": run.trials[REGIME_1], "outer_folds": run.outer_folds}
            elif step in (REGIME_1, REGIME_2) and isinstance(run, RunManifest):
                choices["stop_hopeless"] = run.stop_hopeless is not None
            if step == REGIME_1 and isinstance(run, RunManifest):
                choices["fit_batch_sizes"] = run.fit_batch_sizes
                if run.max_trials is not None:
                    choices["trials"] = run.max_trials
            elif step == FINAL and isinstance(run, RunManifest):
                choices["final_folds"] = run.subject.num_folds
                choices["final_epochs"] = run.epochs
            Protocol.from_json(Protocol.study().to_json() | choices)
        except (ProtocolError, LookupError, TypeError, ValueError, AttributeError):
            continue
        return choices
    return None


def _manifest(step: str, path: Path) -> RunManifest | NestedManifest | NoiseManifest | None:
    if step == NESTED:
        return read_if_whole(path, NestedManifest)
    if step == NOISE:
        return read_if_whole(path, NoiseManifest)
    return read_if_whole(path, RunManifest)


def _manifests(directory: Path, step: str) -> Iterable[Path]:
    if step == BASELINES_FOLDER:
        return [directory / step / model / RUN_FILE for model in BASELINES]
    if step == CHECKS:
        return sorted((directory / CHECKS).glob(f"*/*/{RUN_FILE}"))
    names = {NESTED: NESTED_FILE, NOISE: NOISE_FILE, FINAL: f"{CROSS_VALIDATION}/{RUN_FILE}"}
    return [directory / step / names.get(step, RUN_FILE)]
