"""Does a project folder belong to the search that wants to go on in it, and what is left of it.

A run manifest is written before the first trial. Starting again with anything changed is refused
with a table of what differs; only `max_trials` may change. Trials are taken up from their own
files: what cannot be read is made again from the seed, and what was running runs again.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.files import read_json, remove_leftovers, sha256_of_json
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn
from rust_tuner.records.folds import fold_files
from rust_tuner.records.model import Json, Record, write_record
from rust_tuner.records.nested import NestedManifest
from rust_tuner.records.project import TRIAL_ID_WIDTH, trial_folders
from rust_tuner.records.run import RUN_FILE, RunManifest, run_if_whole
from rust_tuner.records.trials import read_trial_state
from rust_tuner.search.oracles import ResumableOracle, Values, plain
from rust_tuner.search.steps import has_float_steps, stepped_values

Manifest = TypeVar("Manifest", RunManifest, NestedManifest)

_EXACT = "exact"
_SHOWN = 6
EXTENDABLE = ("max_trials", "num_trials")


def run_key(run: RunManifest) -> str:
    """The identity of a run: of everything but the number of trials."""
    known = run.to_json()
    return sha256_of_json({name: value for name, value in known.items() if name not in EXTENDABLE})


def with_begun_kernels(path: Path, run: Manifest, *, say: Callable[[str], None]) -> Manifest:
    """The run as its manifest would have it where oneDNN differs for no fault of the user's.

    A manifest of an earlier version does not say whether oneDNN was on, and on some machines it
    cannot be switched. Equal means bitwise on one machine with one version only, so such a run
    goes on under the key that it was begun with, and a note says what can be expected of it.

    Args:
        path: the manifest, which may be missing.
        run: the run as this process would begin it, with `onednn`.
        say: told the note.

    Returns:
        The run, its `onednn` as it was begun; unchanged where a difference is to be refused.
    """
    try:
        written = read_json(path)
    except (OSError, RustTunerError):
        return run
    if not isinstance(written, dict) or written.get("onednn") == run.onednn:
        return run
    if "onednn" not in written:
        say(
            f"note: {path.parent} was begun by an earlier version, which computed features in "
            "another order and did not record whether TensorFlow used oneDNN; what is still "
            "missing agrees within 1e-3, not bitwise, with what that version would have given"
        )
        return run.of({name: own for name, own in run.to_json().items() if name != "onednn"})
    if not can_switch_onednn():
        say(
            f"note: {path.parent} was begun {_told_onednn(written['onednn'])}, which cannot be "
            "chosen on this machine; results agree within 1e-3, not bitwise"
        )
        return run.with_changes(onednn=written["onednn"])
    return run


def _told_onednn(enabled: bool | None) -> str:
    return f"{'with' if enabled else 'without'} TensorFlow's oneDNN"


@contextlib.contextmanager
def claim_folder(folder: Path, run: RunManifest) -> Iterator[None]:
    """Check that the folder's search is this one; its manifest is written after the block.

    What stands in the folder is taken up in the block: where that is refused, as records of another
    search are whose manifest is damaged, the folder stays as it was.

    Raises:
        ResumeError: with a table of what differs and what to do about it.
    """
    path = folder / RUN_FILE
    try:
        written = read_json(path)
    except FileNotFoundError:
        written = None
        if any(folder.glob("trial_*/trial.json")) and not any(
            fold_files(path) for path in trial_folders(folder)
        ):
            raise ResumeError(
                f"{folder} holds trials of a search without {RUN_FILE}, made by another program; "
                "take a new folder or project_name"
            ) from None
    except RustTunerError:
        written = None
    # Every record carries the key of its run, so a damaged manifest costs no trust in them.
    if isinstance(written, dict):
        _refuse_differences(
            written,
            run.to_json(),
            holds=f"{folder} holds a search",
            mend="Go back to what it was to resume it, or take a new folder. Only max_trials may "
            "change.",
            free=EXTENDABLE,
        )
        before = written.get("max_trials")
        asked = run.max_trials
        if asked is not None and (before is None or asked < before):
            raise ResumeError(
                f"{folder} holds a search of {before or 'all'} trials, asked for are {asked}; the "
                f"number of trials may only grow: ask for {before or 'all'} or more, or take a "
                "new folder"
            )
    yield
    if written != run.to_json():
        write_record(path, run)
    remove_leftovers(folder, "trial_*")


def claim_record(path: Path, record: Record, *, what: str, free: tuple[str, ...] = ()) -> None:
    """Write down what a folder is for, or check that it is for just that.

    Args:
        path: the file in the folder.
        record: what everything in the folder depends on.
        what: what the folder holds, for the message.
        free: names in the record that may change.

    Raises:
        ResumeError: with a table of what differs and what to do about it.
    """
    try:
        written = read_json(path)
    except (FileNotFoundError, RustTunerError):
        # As above: what stands in the folder has the record's key, or a manifest of its own.
        written = None
    if isinstance(written, dict):
        _refuse_differences(
            written,
            record.to_json(),
            holds=f"{path.parent} holds {what}",
            mend=f"Go back to what it was to resume it, or remove {path.parent} to begin anew.",
            free=free,
        )
    if written != record.to_json():
        write_record(path, record)
    remove_leftovers(path.parent, "**")


def choose_steps(folder: Path, oracle: ResumableOracle) -> str | None:
    """Let a search take the steps of its `Float` hyperparameters as it was begun with.

    New searches take them exactly; those of earlier versions took KerasTuner's, see `steps`.

    Returns:
        What the user has to know, where the older steps are kept and differ; else None.
    """
    stepped = [hp for hp in oracle.get_space().space if has_float_steps(hp)]
    begun = run_if_whole(folder)
    oracle.exact_steps = begun is None or begun.steps == _EXACT
    changed = [hp for hp in stepped if list(hp.values) != stepped_values(hp)]
    if oracle.exact_steps or not changed:
        return None
    hp = changed[0]
    return (
        f"note: this search was begun with KerasTuner's steps and keeps them: {hp.name} takes "
        f"{_listed(list(hp.values))}; in a new folder it takes {_listed(stepped_values(hp))}"
    )


def recorded_steps(oracle: ResumableOracle) -> dict[str, str]:
    """What a run manifest says of steps; nothing where none could be lost, or older ones are kept.

    So the records of earlier versions stay those of the same search.
    """
    has_steps = any(has_float_steps(hp) for hp in oracle.get_space().space)
    return {"steps": _EXACT} if has_steps and oracle.exact_steps else {}


def recover_trials(
    folder: Path, oracle: ResumableOracle, is_complete: Callable[[Trial], bool]
) -> list[str]:
    """Give the oracle the trials that a folder holds.

    Args:
        folder: the project folder.
        oracle: its space must be declared.
        is_complete: whether the records of a completed trial are there and give its score.

    Returns:
        A line for each trial that was damaged and will be run again.

    Raises:
        ResumeError: where a trial has other values than its number has in this search.
    """
    folders = trial_folders(folder)
    numbers = [int(path.name.removeprefix("trial_")) for path in folders]
    total = oracle.num_trials()
    # More trials than are asked for may be there, but not one far beyond them.
    if numbers and numbers[-1] >= max(total, len(numbers)):
        raise ResumeError(
            f"{folders[-1]} is beyond the {total} trials of this search; remove it where it is no "
            "trial, or take a new folder"
        )
    trials, notes = [], []
    for number in range(max(numbers, default=-1) + 1):
        trial_id = f"{number:0{TRIAL_ID_WIDTH}d}"
        values = oracle.values_of(number)
        if values is None:
            raise ResumeError(
                f"{folder}: trial {trial_id} is beyond the {number} points of the search space; "
                "take a new folder"
            )
        trial = _load_trial(folder / f"trial_{trial_id}" / "trial.json")
        if trial is not None and plain(trial.hyperparameters.values) != plain(values):
            raise ResumeError(
                f"{folder}: trial {trial_id} has the values {trial.hyperparameters.values}, but "
                f"this search gives it {values}; restore its trial.json or take a new folder"
            )
        if trial is None:
            trial = _blank(oracle, trial_id, values)
            notes.append(f"trial {trial_id} has no readable trial.json; it is taken up again")
        elif trial.status == TrialStatus.COMPLETED and not is_complete(trial):
            trial = _blank(oracle, trial_id, values)
            notes.append(
                f"trial {trial_id} has damaged fold records, or another score than they give; it "
                "is taken up again"
            )
        trials.append(trial)
    oracle.adopt(trials)
    return notes


def readable_trials(folder: Path) -> list[Trial]:
    """The trials of a folder whose files can be read, to look at; nothing is changed."""
    trials = (_load_trial(path / "trial.json") for path in trial_folders(folder))
    return [trial for trial in trials if trial is not None]


def _load_trial(path: Path) -> Trial | None:
    """A trial's file, or None where it is absent, cut short or otherwise no trial."""
    try:
        trial = Trial.from_state(read_trial_state(path).to_json())
    except (OSError, RustTunerError, KeyError, TypeError, AttributeError, ValueError):
        # The space in it is KerasTuner's own to read.
        return None
    known = (TrialStatus.RUNNING, TrialStatus.COMPLETED, TrialStatus.FAILED)
    unscored = trial.status == TrialStatus.COMPLETED and trial.score is None
    if f"trial_{trial.trial_id}" != path.parent.name or trial.status not in known or unscored:
        return None
    return trial


def _blank(oracle: ResumableOracle, trial_id: str, values: Values) -> Trial:
    hyperparameters: keras_tuner.HyperParameters = oracle.get_space()
    hyperparameters.values = dict(values)
    return Trial(hyperparameters=hyperparameters, trial_id=trial_id, status=TrialStatus.RUNNING)


def _refuse_differences(
    old: Json, new: Json, *, holds: str, mend: str, free: tuple[str, ...]
) -> None:
    differences = _differences(old, new, free)
    if differences:
        table = "\n".join(f"  {name}: was {was}, is {now}" for name, was, now in differences)
        begun = old.get("onednn")
        if isinstance(begun, bool) and begun != new.get("onednn"):
            mend += (
                f" It was begun {_told_onednn(begun)}: set the environment variable "
                f"{ONEDNN_VARIABLE}={int(begun)} before Python starts."
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


def _listed(values: list[float]) -> str:
    shown = values if len(values) <= _SHOWN else [*values[:2], "...", values[-1]]
    return ", ".join(map(str, shown))


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
