"""Whether a search may be resumed in a project folder.

A run manifest is written before the first trial. Resuming with anything changed is refused with a
table of the differences; only `max_trials` may change.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import keras
from pydantic import JsonValue

from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.files import json_text, remove_leftovers, sha256_of_json
from rust_tuner.models.weights import NAMED_WEIGHTS
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn
from rust_tuner.records.folds import fold_files
from rust_tuner.records.model import Json, Record, read_content, write_record
from rust_tuner.records.nested import NestedManifest
from rust_tuner.records.project import trial_folders
from rust_tuner.records.run import RUN_FILE, RunManifest, run_if_whole
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.steps import has_float_steps, stepped_values

Manifest = TypeVar("Manifest", RunManifest, NestedManifest)
AnyRecord = TypeVar("AnyRecord", bound=Record)

_EXACT = "exact"
_SHOWN = 6
_ABSENT = "absent"
# What may change, or follows from how a search was begun; no trial is trained by it.
EXTENDABLE = ("max_trials", "num_trials", "grown_space", "lag")


def run_key(run: RunManifest) -> str:
    """The identity of a run: the hash of everything but the number of trials and what was found."""
    content = run.to_json()
    kept = {name: value for name, value in content.items() if name not in EXTENDABLE}
    return sha256_of_json(kept)


def with_begun_kernels(path: Path, run: Manifest, *, say: Callable[[str], None]) -> Manifest:
    """The run with the `onednn` of its manifest, where the user cannot help the difference.

    A manifest of an earlier version does not say whether oneDNN was on, and on some machines it
    cannot be switched. Results are bitwise equal only on one machine with one version, so such a
    run is resumed under the key that it was begun with, and a note says how far its results agree.

    Args:
        path: the manifest, which may be missing.
        run: the run as this process would begin it, with `onednn`.
        say: called with the note.

    Returns:
        The run with its `onednn` as it was begun; unchanged where a difference is refused.
    """
    written = read_content(path)
    if written is None or written.get("onednn") == run.onednn:
        return run
    if "onednn" not in written:
        say(
            f"note: {path.parent} was begun by an earlier version, which computed features in "
            "another order and did not record whether TensorFlow used oneDNN; the remaining "
            "results agree within 1e-3, not bitwise, with those of that version"
        )
        return run.of({name: value for name, value in run.to_json().items() if name != "onednn"})
    if not can_switch_onednn():
        say(
            f"note: {path.parent} was begun {_onednn_text(written['onednn'])}, which cannot be "
            "chosen on this machine; results agree within 1e-3, not bitwise"
        )
        return run.with_changes(onednn=written["onednn"])
    return run


def with_begun_weights(path: Path, record: AnyRecord) -> AnyRecord:
    """The record, with its file of weights named as when it was begun, if its hash is the same.

    Records of earlier versions have the file's whole path; and a file may have been moved. All
    that is in the folder depends on these names.

    Args:
        path: the manifest, which may be missing.
        record: as this process would begin it.
    """
    content, written = record.to_json(), read_content(path)
    used, begun = _weights_in(content), _weights_in(written)
    if written is None or used is None or begun is None or used["sha256"] != begun["sha256"]:
        return record
    if {str(used["asked"]), str(begun["asked"])} & set(NAMED_WEIGHTS):
        return record
    used.update(begun)
    choices, earlier = content.get("protocol"), written.get("protocol")
    if isinstance(choices, dict) and isinstance(earlier, dict) and "weights" in choices:
        choices["weights"] = earlier.get("weights", choices["weights"])
    return record.of(content)


def _weights_in(content: Json | None) -> Json | None:
    """The weights in the content of a manifest; None if there are none."""
    if content is None:
        return None
    subject = content.get("subject")
    for part in (subject, content):
        weights = part.get("weights") if isinstance(part, dict) else None
        if isinstance(weights, dict) and {"asked", "sha256"} <= set(weights):
            return weights
    return None


def _onednn_text(enabled: bool | None) -> str:
    return f"{'with' if enabled else 'without'} TensorFlow's oneDNN"


def require_begun_backend(folder: Path) -> None:
    """Refuse to resume a search on another backend of Keras than it was begun on.

    A model is compiled with other options there, which is no change of the user's code.

    Raises:
        ResumeError: naming both, and how to choose the one that the search was begun on.
    """
    begun, now = run_if_whole(folder), keras.backend.backend()
    backend = now if begun is None else begun.versions.get("backend", now)
    if backend != now:
        raise ResumeError(
            f"{folder} contains a search that was begun on Keras's {backend} backend, not {now}; "
            f"{_backend_text(backend)} to resume it, or use a new folder"
        )


def require_begun_space(folder: Path, space: Json) -> None:
    """Refuse to resume a search with other hyperparameters than it was begun with.

    Before the code of its model is compared, which differs as well where a range does. The order
    decides values too.

    Args:
        folder: the project folder.
        space: the declared hyperparameters by name, in their order.

    Raises:
        ResumeError: with a table of the differences and what to do about them.
    """
    begun = (read_content(folder / RUN_FILE) or {}).get("space")
    if not isinstance(begun, dict) or json_text(begun) == json_text(space):
        return
    holds = f"{folder} contains a search"
    # By their texts, since the values 1 and 1.0 are recorded under different keys.
    texts = {"space": _as_texts(begun)}, {"space": _as_texts(space)}
    _refuse_differences(
        *texts,
        holds=holds,
        mend="Restore the old values to resume it, or use a new folder.",
        free=(),
    )
    raise ResumeError(
        f"{holds} with the same hyperparameters in another order: was {', '.join(begun)}; is "
        f"{', '.join(space)}. Declare them in the old order to resume it (a set has another order "
        "in each process), or use a new folder."
    )


def _backend_text(backend: object) -> str:
    return f"set the environment variable KERAS_BACKEND={backend} before Python starts"


def require_a_search(folder: Path) -> None:
    """Refuse to empty a folder that is not a search folder, such as one named by mistake.

    Raises:
        SearchError: naming a file of it.
    """
    names = [path.name for path in folder.iterdir() if path.name[:5] != ".lock"]
    if names and not {RUN_FILE, "oracle.json"} & set(names):
        raise SearchError(
            f"{folder} is not a search folder (it contains {min(names)}), so it is not emptied; "
            "use another project_name, or empty it yourself"
        )


@contextlib.contextmanager
def claim_folder(folder: Path, run: RunManifest, *, free: tuple[str, ...] = ()) -> Iterator[None]:
    """Check that the folder's search is this one; its manifest is written after the block.

    The block reads the records of the folder. If it refuses them, such as those of another search
    with a damaged manifest, the folder stays as it was.

    Args:
        folder: the project folder.
        run: the run as this process would begin it.
        free: names that may differ beside the number of trials.

    Raises:
        ResumeError: with a table of the differences and what to do about them.
    """
    path = folder / RUN_FILE
    if (
        not path.exists()
        and any(folder.glob("trial_*/trial.json"))
        and not any(fold_files(trial) for trial in trial_folders(folder))
    ):
        raise ResumeError(
            f"{folder} contains trials but no {RUN_FILE}, so another program made them; use a new "
            "folder or project_name"
        )
    written = read_content(path)
    # Every record has the key of its run, so records can be trusted without their manifest.
    if written is not None:
        _refuse_differences(
            written,
            run.to_json(),
            holds=f"{folder} contains a search",
            mend="Restore the old values to resume it, or use a new folder. Only max_trials may "
            "change.",
            free=(*EXTENDABLE, *free),
        )
        before = written.get("max_trials")
        asked = run.max_trials
        if asked is not None and (before is None or asked < before):
            raise ResumeError(
                f"{folder} contains a search of {before or 'all'} trials, but {asked} are "
                f"requested; the number of trials may only grow: request {before or 'all'} or "
                "more, or use a new folder"
            )
    yield
    if written != run.to_json():
        write_record(path, run)
    remove_leftovers(folder, "trial_*")


def claim_record(path: Path, record: Record, *, what: str, free: tuple[str, ...] = ()) -> None:
    """Write the record of a folder, or check that the folder has the same record.

    Args:
        path: the file in the folder.
        record: what everything in the folder depends on.
        what: what the folder contains, for the message.
        free: names in the record that may change.

    Raises:
        ResumeError: with a table of the differences and what to do about them.
    """
    written = read_content(path)
    # As above: everything in the folder has the record's key, or its own manifest.
    if written is not None:
        _refuse_differences(
            written,
            record.to_json(),
            holds=f"{path.parent} contains {what}",
            mend=f"Restore the old values to resume it, or remove {path.parent} to start again.",
            free=free,
        )
    if written != record.to_json():
        write_record(path, record)
    remove_leftovers(path.parent, "**")


def choose_steps(folder: Path, oracle: ResumableOracle) -> str | None:
    """Let a search use the steps of its `Float` hyperparameters that it was begun with.

    New searches use exact steps; those of earlier versions used KerasTuner's (see `steps`).

    Returns:
        A note for the user where the older steps are kept and differ; else None.
    """
    stepped = [hp for hp in oracle.declared.space if has_float_steps(hp)]
    begun = run_if_whole(folder)
    # A space without any has none to keep, also where it grows.
    oracle.exact_steps = begun is None or begun.steps == _EXACT or not stepped
    changed = [hp for hp in stepped if list(hp.values) != stepped_values(hp)]
    if oracle.exact_steps or not changed:
        return None
    hp = changed[0]
    return (
        f"note: this search was begun with KerasTuner's steps and keeps them: {hp.name} takes "
        f"{_listed(list(hp.values))}; in a new folder it takes {_listed(stepped_values(hp))}"
    )


def recorded_steps(oracle: ResumableOracle) -> dict[str, str]:
    """What a run manifest records of steps; nothing where there are none, or older ones are kept.

    This lets searches of earlier versions be resumed.
    """
    has_steps = any(has_float_steps(hp) for hp in oracle.declared.space)
    return {"steps": _EXACT} if has_steps and oracle.exact_steps else {}


def _refuse_differences(
    old: Json, new: Json, *, holds: str, mend: str, free: tuple[str, ...]
) -> None:
    differences = _differences(old, new, free)
    if differences:
        table = "\n".join(f"  {name}: was {was}, is {now}" for name, was, now in differences)
        backend = {name: was for name, was, _ in differences}.get("versions.backend", _ABSENT)
        begun = old.get("onednn")
        if backend != _ABSENT:
            mend += f" It was begun on Keras's {backend} backend: {_backend_text(backend)}."
        elif isinstance(begun, bool) and begun != new.get("onednn"):
            mend += (
                f" It was begun {_onednn_text(begun)}: set the environment variable "
                f"{ONEDNN_VARIABLE}={int(begun)} before Python starts."
            )
        if any(name.startswith("subject.callbacks.") for name, _, _ in differences):
            mend += (
                " If a value of a callback does not affect training, begin the name of its "
                "attribute with an underscore: such values are not compared."
            )
        raise ResumeError(f"{holds} that differs from this one:\n{table}\n{mend}")


def _differences(old: Json, new: Json, free: tuple[str, ...]) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for name in sorted(set(old) | set(new)):
        was, now = old.get(name), new.get(name)
        if name in free or was == now:
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            inner = _differences(was, now, free)
            rows.extend((f"{name}.{key}", before, after) for key, before, after in inner)
        else:
            rows.append((name, _short(was), _short(now)))
    return rows


def _as_texts(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _as_texts(item) for name, item in value.items()}
    if value is None:
        return None
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    # A text that reads like a number, true or false is quoted.
    return json.dumps(value)


def _listed(values: list[float]) -> str:
    shown = values if len(values) <= _SHOWN else [*values[:2], "...", values[-1]]
    return ", ".join(map(str, shown))


def _short(value: Any) -> str:
    text = _ABSENT if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
