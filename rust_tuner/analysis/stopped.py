"""What stopping trials did to a search: how many, what it saved, and what follows."""

from rust_tuner.records.model import Json
from rust_tuner.records.project import Project
from rust_tuner.records.trials import PRUNED, TrialRecord

# Of fewer trials, a rank correlation says nothing.
_FEWEST = 5
# Below it, early epochs say little about the last one.
_WEAK = 0.5


def stopped_note(project: Project) -> str | None:
    """Which trials were stopped and what that means for ties; None unless some were."""
    rule = project.run.stop_hopeless or {}
    stopped = [trial for trial in project.trials if trial.status == PRUNED]
    if not stopped:
        return None
    run = project.run
    planned = sum(run.epochs_of(trial.values) for trial in project.trials)
    left_out = sum(run.epochs_of(trial.values) - _epochs(trial) for trial in stopped)
    start = (
        f"{len(stopped)} of {len(project.trials)} trials were stopped {stopped_as(rule)}, which "
        f"saved {left_out / planned:.0%} of all epochs: "
    )
    end = "They have no score; which trials are tied with the best is judged among the others."
    if is_halving(rule):
        note = rungs_note(project)
        return (
            f"{start}after {_epochs_text(_rung(rule))}, and after each "
            f"{rule['factor']} times as many, only one in {rule['factor']} of the trials so far "
            f"continued. {end}" + (f" {note}" if note else "")
        )
    return (
        f"{start}from epoch {rule.get('first_epoch')} (from 0) on, at {rule.get('in_a_row')} "
        f"epochs in a row, worse than the best trial so far (p below {rule.get('level')} each). "
        f"{end}"
    )


def is_halving(rule: Json) -> bool:
    """Whether a recorded rule is that of successive halving."""
    return "factor" in rule


def stopped_as(rule: Json | None) -> str:
    """Why trials were stopped, after `stopped`."""
    return "by successive halving" if is_halving(rule or {}) else "as hopeless"


def rungs_note(project: Project) -> str | None:
    """How well the first rung ranks the trials; None if no trial was stopped at a rung.

    Only trials that were completed show it. They were selected by such ranks, which makes the
    correlation smaller than it would be over all trials.
    """
    rule = project.run.stop_hopeless or {}
    if not is_halving(rule) or not any(trial.status == PRUNED for trial in project.trials):
        return None
    rung = _rung(rule)
    metric = project.objective.removeprefix("val_")
    completed = [trial for trial in project.trials if trial.score is not None]
    curves = [curve for trial in completed if len(curve := _mean_curve(trial, metric)) >= rung]
    early, last = ([curve[epoch] for curve in curves] for epoch in (rung - 1, -1))
    if min(len(set(early)), len(set(last))) < _FEWEST:
        return (
            f"Whether {_epochs_text(rung)} rank the trials is unknown: fewer than {_FEWEST} were "
            "completed, or their scores are equal. A trial that was stopped may have been better."
        )
    from scipy.stats import spearmanr

    correlation = float(spearmanr(early, last).statistic)
    message = (
        f"Over the {len(curves)} trials that were completed, the scores after "
        f"{_epochs_text(rung)} and at the last epoch have a rank correlation of {correlation:.2f} "
        "(smaller than over all trials, since these were selected by rank)"
    )
    if correlation >= _WEAK:
        return f"{message}."
    return (
        f"{message}: early epochs do not rank them, so a trial that was stopped may have been "
        "better. Search with a later first rung, or with stop_hopeless=True."
    )


def _rung(rule: Json) -> int:
    """The number of epochs before the first rung of a recorded rule."""
    number = rule["first_rung"]
    assert isinstance(number, int)
    return number


def _epochs_text(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"


def _mean_curve(trial: TrialRecord, metric: str) -> list[float]:
    """The mean of the folds at each epoch that all of them have; empty if one has none."""
    curves = [fold.validation.get(metric, ()) for fold in trial.folds]
    return [sum(values) / len(values) for values in zip(*curves, strict=False)]


def _epochs(trial: TrialRecord) -> int:
    curves = (curve for fold in trial.folds for curve in fold.validation.values())
    return min((len(curve) for curve in curves), default=0)
