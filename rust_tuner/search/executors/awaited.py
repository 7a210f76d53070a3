"""Whether a search still waits for a trial: a worker that comes too late changes no record.

A coordinator that is killed, and an executor that cannot end what runs, leave workers behind. The
next coordinator may train their trials anew, and give them scores that their records must keep.
"""

from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SearchError
from rust_tuner.records.run import run_if_whole
from rust_tuner.search.asked import begun_values
from rust_tuner.search.points import plain
from rust_tuner.search.recovery import load_trial
from rust_tuner.search.run_state import Run
from rust_tuner.search.runs import run_key


def require_awaited(run: Run, trial: Trial) -> None:
    """Check that a trial has not ended since it was sent, and that its folder is the search's.

    Files that cannot be read now say nothing.

    Args:
        run: of the search that sent the trial.
        trial: as it was sent.

    Raises:
        SearchError: if it is no longer waited for.
    """
    now = load_trial(run.folder / f"trial_{trial.trial_id}" / "trial.json")
    manifest = run_if_whole(run.folder)
    if manifest is not None and run_key(manifest) != run.key:
        reason = "the folder contains another search"
    elif now is not None and now.status != TrialStatus.RUNNING:
        reason = f"it is {now.status}"
    elif now is not None and plain(begun_values(now)) != plain(begun_values(trial)):
        reason = "it has other values now"
    else:
        return
    raise SearchError(
        f"a worker came too late with trial {trial.trial_id} of {run.folder}: {reason}; nothing "
        "was changed"
    )
