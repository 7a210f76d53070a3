"""Which trials of a project folder a search resumes with.

Trials are read from their own files. A trial that cannot be read, or was running, is run again.
"""

from collections.abc import Callable
from pathlib import Path

from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.records.project import trial_folders
from rust_tuner.records.trials import PRUNED, read_trial_state
from rust_tuner.search.asked import again_from_start, begin_with
from rust_tuner.search.oracles import ResumableOracle, trial_id


def recover_trials(
    folder: Path, oracle: ResumableOracle, is_complete: Callable[[Trial], bool]
) -> list[str]:
    """Load the trials of a folder into the oracle.

    Args:
        folder: the project folder.
        oracle: its space must be declared, and it must be able to complete values.
        is_complete: whether a trial that is completed or was stopped has all its records, and they
            give its score.

    Returns:
        A line for each trial that was damaged and will be run again.

    Raises:
        ResumeError: where a trial's values are not those that this search gives to its number.
    """
    folders = trial_folders(folder)
    numbers = [int(path.name.removeprefix("trial_")) for path in folders]
    total = oracle.num_trials()
    # There may be more trials than requested, but no gap before the last one.
    if numbers and numbers[-1] >= max(total, len(numbers)):
        raise ResumeError(
            f"{folders[-1]} is beyond the {total} trials of this search; remove it if it is not a "
            "trial, or use a new folder"
        )
    notes: list[str] = []
    oracle.adopt([])
    for number in range(max(numbers, default=-1) + 1):
        name = trial_id(number)
        trial = load_trial(folder / f"trial_{name}" / "trial.json")
        is_accepted = trial is not None and oracle.accepts(number, trial)
        # An oracle that learns takes seconds to propose values.
        values = trial.hyperparameters.values if is_accepted and trial else oracle.values_of(number)
        if values is None:
            raise ResumeError(
                f"{folder}: trial {name} is beyond the {number} points of the search space; "
                "use a new folder"
            )
        if trial is not None and not is_accepted:
            raise ResumeError(
                f"{folder}: trial {name} has the values {trial.hyperparameters.values}, but "
                f"this search gives it {values}; restore its trial.json or use a new folder"
            )
        if trial is None:
            trial = oracle.new_trial(number, values)
            notes.append(f"trial {name} has no readable trial.json; it is run again")
        elif trial.status in (TrialStatus.COMPLETED, PRUNED) and not is_complete(trial):
            trial = again_from_start(trial)
            notes.append(
                f"trial {name} has damaged fold records, or a score that differs from theirs; "
                "it is run again"
            )
        # The values of the next trial may depend on those before it.
        oracle.adopt_one(trial)
    oracle.adopt(oracle.in_order())
    return notes


def has_scores(folder: Path) -> bool:
    """Whether anything was trained in a project folder, which other code must not be mixed with."""
    trained = any(
        any(path.glob("fold_*")) or (path / "out_of_fold.npz").exists()
        for path in trial_folders(folder)
    )
    return trained or any(
        trial.status == TrialStatus.COMPLETED for trial in readable_trials(folder)
    )


def readable_trials(folder: Path) -> list[Trial]:
    """The trials of a folder whose files can be read; nothing is changed."""
    trials = (load_trial(path / "trial.json") for path in trial_folders(folder))
    return [trial for trial in trials if trial is not None]


def load_trial(path: Path) -> Trial | None:
    """The trial in a file, or None where the file is missing or damaged."""
    try:
        state = read_trial_state(path)
        trial = Trial.from_state(state.to_json())
        late = state.asked_late or []
        begin_with(trial, {n: v for n, v in trial.hyperparameters.values.items() if n not in late})
        trial.failed_runs = state.failed_runs or 0
    except (OSError, RustTunerError, KeyError, TypeError, AttributeError, ValueError):
        # KerasTuner reads the space in it, and raises various errors.
        return None
    statuses = (TrialStatus.RUNNING, TrialStatus.COMPLETED, TrialStatus.FAILED, PRUNED)
    unscored = trial.status == TrialStatus.COMPLETED and trial.score is None
    if f"trial_{trial.trial_id}" != path.parent.name or trial.status not in statuses or unscored:
        return None
    return trial
