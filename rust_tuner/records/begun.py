"""What each step of a study was begun with, so that it is resumed with the same choices.

`study.json` says it; for a step that an older version began, the manifests of its runs do. Which
choices a step depends on stands on the protocol's fields; the step itself refuses what differs.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rust_tuner.errors import ProtocolError, ResumeError
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import BASELINES, BASELINES_FOLDER
from rust_tuner.records.checks import CHECKS
from rust_tuner.records.folder import CROSS_VALIDATION
from rust_tuner.records.looks import FINAL
from rust_tuner.records.nested import NESTED, NESTED_FILE
from rust_tuner.records.noise import NOISE, NOISE_FILE
from rust_tuner.records.project import REGIME_1, REGIME_2, RUN_FILE
from rust_tuner.records.schema import read_if_whole
from rust_tuner.records.study import STUDY_FILE, StudyFile

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
    found: dict[str, Any] = {}
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


def choices_to_note(step: str, protocol: Protocol) -> dict[str, Any]:
    """The choices that a step is resumed with, as JSON values."""
    values = protocol.to_json()
    return {name: values[name] for name in Protocol.noted_by(step)}


def is_begun(directory: Path, step: str) -> bool:
    """Whether a step has records already, which its choices have to fit."""
    return any(path.is_file() for path in _manifests(directory, step))


def fixed_by_regime_2(file: StudyFile) -> dict[str, Any]:
    """Batch size and dropout rate that Regime II was begun with; none where it was not."""
    space = (read_if_whole(file.directory / REGIME_2 / RUN_FILE) or {}).get("space")
    if isinstance(space, Mapping):
        configs = {
            name: part.get("config") for name, part in space.items() if isinstance(part, Mapping)
        }
        return {
            name: config.get("value")
            for name, config in configs.items()
            if name in ("batch_size", "dropout_rate") and isinstance(config, Mapping)
        }
    begun = (file.begun(REGIME_2) if file.is_there else None) or {}
    return {name: begun[name] for name in ("batch_size", "dropout_rate") if name in begun}


def _choices_of(file: StudyFile, step: str) -> dict[str, Any] | None:
    """What a step was begun with, by `study.json` or else by its own records."""
    begun = file.begun(step)
    recorded = _recorded(file.directory, step)
    if begun is None:
        return recorded
    found = {name: begun[name] for name in Protocol.noted_by(step) if name in begun}
    # The number of trials may have grown since, which the search's own manifest knows first.
    if step == REGIME_1 and recorded is not None and "trials" in recorded:
        found["trials"] = recorded["trials"]
    return found


def _recorded(directory: Path, step: str) -> dict[str, Any] | None:
    """What the records of a step say that it was begun with; None where they say nothing.

    What cannot be read is left to the step itself, which says what is wrong with its folder.
    """
    for path in _manifests(directory, step):
        run = read_if_whole(path)
        protocol = None if run is None else run.get("protocol")
        if run is None or not isinstance(protocol, Mapping):
            continue
        found = {name: protocol[name] for name in Protocol.noted_by(step) if name in protocol}
        if step in (REGIME_1, NESTED):
            # It stands beside the protocol, and only where it holds.
            found["fit_batch_sizes"] = bool(run.get("fit_batch_sizes", False))
        try:
            if step == REGIME_1 and run["max_trials"] is not None:
                found["trials"] = run["max_trials"]
            elif step == NESTED:
                found |= {"trials": run["trials"][REGIME_1], "outer_folds": run["outer_folds"]}
            elif step == FINAL:
                found["final_folds"] = run["subject"]["num_folds"]
                found["final_epochs"] = run["epochs"]
            Protocol.from_json(Protocol.study().to_json() | found)
        except (ProtocolError, LookupError, TypeError, ValueError, AttributeError):
            continue
        return found
    return None


def _manifests(directory: Path, step: str) -> Iterable[Path]:
    if step == BASELINES_FOLDER:
        return [directory / step / model / RUN_FILE for model in BASELINES]
    if step == CHECKS:
        return sorted((directory / CHECKS).glob(f"*/*/{RUN_FILE}"))
    names = {NESTED: NESTED_FILE, NOISE: NOISE_FILE, FINAL: f"{CROSS_VALIDATION}/{RUN_FILE}"}
    return [directory / step / names.get(step, RUN_FILE)]
