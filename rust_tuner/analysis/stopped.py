"""What stopping hopeless trials did to a search: how many, what it saved, and what follows."""

from rust_tuner.records.project import Project
from rust_tuner.records.trials import PRUNED, TrialRecord


def stopped_note(project: Project) -> str | None:
    """Which trials were stopped and what that means for ties; None unless some were."""
    rule = project.run.stop_hopeless or {}
    stopped = [trial for trial in project.trials if trial.status == PRUNED]
    if not stopped:
        return None
    planned = project.run.epochs * len(project.trials)
    left_out = sum(project.run.epochs - _epochs(trial) for trial in stopped)
    return (
        f"{len(stopped)} of {len(project.trials)} trials were stopped as hopeless, which left out "
        f"{left_out / planned:.0%} of all epochs: from epoch {rule.get('first_epoch')} (from 0) "
        f"on, at {rule.get('in_a_row')} epochs in a row, worse than the best trial so far (p below "
        f"{rule.get('level')} each). They have no score; which trials are tied with the best is "
        "judged among the others."
    )


def _epochs(trial: TrialRecord) -> int:
    curves = (curve for fold in trial.folds for curve in fold.validation.values())
    return min((len(curve) for curve in curves), default=0)
