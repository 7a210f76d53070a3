"""What each step of a study was begun with, so that it is resumed with the same choices.

`study.json` says it; for a step that an older version began, the manifests of its runs do. Which
choices a step depends on stands on the protocol's fields; the step itself refuses what differs.
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

# A step that has not been begun goes on as these were, the later ones first.
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
        step: one of the step's folders, such as `regime_1`.
        protocol: the study's own choices, for all else.

    Raises:
        ResumeError: where `study.json` does not hold choices there.
    """
    found: Json = {}
    if (own := _choices_of(file, step)) is not None:
        found = own
    else:
        for source in reversed(_FOLLOWS.get(step, ())):
            known = _choices_of(file, source) or {}
            names = _taken_from(step, source)
            found |= {name: known[name] for name in names if name in known}
    try:
        return Protocol.from_json(protocol.to_json() | found)
    except (ProtocolError, TypeError, ValueError, AttributeError) as error:
        raise ResumeError(
            f"{file.directory / STUDY_FILE}: what {step} was begun with cannot be read ({error}); "
            "restore the file from a copy"
        ) from error


def choices_to_note(step: str, protocol: Protocol) -> Json:
    """The choices that a step is resumed with, as JSON values."""
    values = protocol.to_json()
    return {name: values[name] for name in Protocol.noted_by(step)}


def is_begun(directory: Path, step: str) -> bool:
    """Whether a step has records already, which its choices have to fit."""
    return any(path.is_file() for path in _manifests(directory, step))


def fixed_by_regime_2(file: StudyFile) -> tuple[int | None, float | None]:
    """Batch size and dropout rate that Regime II was begun with; None where it was not."""
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
    """What a step was begun with, by `study.json` or else by its own records."""
    note = file.begun(step)
    recorded = _recorded(file.directory, step)
    if note is None:
        return recorded
    begun = note.to_json()
    found = {name: begun[name] for name in Protocol.noted_by(step) if name in begun}
    # The number of trials may have grown since, which the search's own manifest knows first.
    if step == REGIME_1 and recorded is not None and "trials" in recorded:
        found["trials"] = recorded["trials"]
    return found


def _recorded(directory: Path, step: str) -> Json | None:
    """What the records of a step say that it was begun with; None where they say nothing.

    What cannot be read is left to the step itself, which says what is wrong with its folder.
    """
    for path in _manifests(directory, step):
        run = _manifest(step, path)
        if run is None or run.protocol is None:
            continue
        found = {
            name: run.protocol[name] for name in Protocol.noted_by(step) if name in run.protocol
        }
        try:
            if isinstance(run, NestedManifest):
                # It stands beside the protocol, and only where it holds.
                found["fit_batch_sizes"] = run.fit_batch_sizes
                found |= {"trials": run.trials[REGIME_1], "outer_folds": run.outer_folds}
            elif step == REGIME_1 and isinstance(run, RunManifest):
                found["fit_batch_sizes"] = run.fit_batch_sizes
                if run.max_trials is not None:
                    found["trials"] = run.max_trials
            elif step == FINAL and isinstance(run, RunManifest):
                found["final_folds"] = run.subject.num_folds
                found["final_epochs"] = run.epochs
            Protocol.from_json(Protocol.study().to_json() | found)
        except (ProtocolError, LookupError, TypeError, ValueError, AttributeError):
            continue
        return found
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
