"""Stops trials of a search: finds what they are compared with, and keeps the verdict.

The rules themselves belong to `hopeless` and `halving`, and trials that workers trained beyond or
short of them to `adopted`. Only folds that train together are stopped:
where one is trained after another, the first ones have ended before there is anything to compare.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SearchError
from rust_tuner.metrics.ties import fold_sizes
from rust_tuner.records.folds import FoldRecord, reason_of
from rust_tuner.records.metric_names import with_same_names
from rust_tuner.records.trials import PRUNED
from rust_tuner.search.halving import Rungs, RungWatch, SuccessiveHalving, mean_of_folds
from rust_tuner.search.hopeless import Rival, StopRule, Watch
from rust_tuner.search.objectives import RankedObjectives
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.run_state import Run

Judge = Callable[[Sequence[Mapping[str, float]]], bool]
# When a search stops a trial, and what a trial is compared with.
AnyRule = StopRule | SuccessiveHalving
Compared = Rival | Rungs


def stop_rule_of(
    stop_hopeless: bool | AnyRule, oracle: ResumableOracle, *, own_scores: bool
) -> AnyRule | None:
    """The rule of a search; None where no trial is stopped.

    Args:
        stop_hopeless: what the user asked for.
        oracle: of the search; it may have a rule of its own.
        own_scores: whether the tuner overrides `run_trial`, which returns the scores.

    Raises:
        SearchError: where trials cannot be compared at the same epoch, or for two rules.
    """
    rule = oracle.stop_rule
    if rule is not None and stop_hopeless:
        raise SearchError(
            f"stop_hopeless with a {type(oracle).__name__}, which stops trials by a rule of its "
            "own; leave one of the two out"
        )
    if rule is None and not stop_hopeless:
        return None
    if own_scores:
        raise SearchError(
            "stop_hopeless with a run_trial of its own, which scores trials by itself; only trials "
            "that this package scores can be compared"
        )
    if isinstance(oracle.objective, RankedObjectives):
        raise SearchError(
            "stop_hopeless with several objectives, whose ranks need all trials; give one"
        )
    if rule is not None:
        return rule
    return stop_hopeless if isinstance(stop_hopeless, AnyRule) else StopRule()


def compared_with(run: Run, oracle: ResumableOracle, trial: Trial) -> Compared | None:
    """What a trial is compared with; None where no trial is stopped, or there is nothing."""
    if isinstance(run.stop_rule, SuccessiveHalving):
        return _rungs_of(run, run.stop_rule, oracle, trial)
    return rival_of(run, oracle, trial)


def rival_of(run: Run, oracle: ResumableOracle, trial: Trial) -> Rival | None:
    """The best completed trial of those before a trial; None where there is none, or no rule.

    Later trials do not count, so that the verdict does not depend on when each was run.
    """
    if run.stop_rule is None:
        return None
    sizes = fold_sizes(run.subject.identity)
    earlier = [
        other
        for other in oracle.trials.values()
        if int(other.trial_id) < int(trial.trial_id) and other.status == TrialStatus.COMPLETED
    ]
    sign = 1 if run.scoring.objective.direction == "min" else -1
    best = min(
        earlier, key=lambda other: (sign * float(other.score), int(other.trial_id)), default=None
    )
    records = None if best is None else run.store_of(best).load_closed(len(run.subject.folds))
    if best is None or records is None or sizes is None:
        return None
    curves = _curves(run, records)
    if not curves:
        return None
    direction = run.scoring.objective.direction
    return Rival(
        best.trial_id, curves, sizes, direction, float(best.score), run.scoring.score_epoch
    )


def _rungs_of(run: Run, rule: SuccessiveHalving, oracle: ResumableOracle, trial: Trial) -> Rungs:
    """The scores, at each rung, of the trials of lower numbers that reached it."""
    earlier: dict[int, list[float]] = {rung: [] for rung in rule.rungs(run.epochs_of(trial))}
    for other in oracle.in_order():
        if int(other.trial_id) < int(trial.trial_id):
            curve = _mean_curve(run, other)
            for rung, scores in earlier.items():
                scores += curve[rung - 1 : rung]
    return Rungs(rule, earlier, run.scoring.objective.direction)


def _mean_curve(run: Run, trial: Trial) -> list[float]:
    """The mean curve of a trial that has ended, read once; empty for others."""
    if trial.status not in (TrialStatus.COMPLETED, PRUNED):
        return []
    if trial.trial_id not in run.mean_curves:
        records = run.store_of(trial).load_closed(len(run.subject.folds))
        curves = [] if records is None else _curves(run, records)
        means = [mean_of_folds(scores) for scores in zip(*curves, strict=False)]
        run.mean_curves[trial.trial_id] = means
    return run.mean_curves[trial.trial_id]


def judge(run: Run, rival: Compared | None, epochs: int) -> Judge | None:
    """What `FoldParallelTrainer.train` calls after each epoch of a trial; None to stop none.

    Args:
        run: what `search` passes to its trials.
        rival: what this trial is compared with, or None.
        epochs: of the trial.
    """
    watch = _watch(run, rival, epochs)
    if watch is None:
        return None

    def is_hopeless(figures: Sequence[Mapping[str, float]]) -> bool:
        return watch.see([fold.get(run.scoring.metric, np.nan) for fold in figures])

    return is_hopeless


def note_if_hopeless(
    run: Run, rival: Compared | None, trial: Trial, records: Sequence[FoldRecord], epochs: int
) -> None:
    """Keep the verdict on a trial whose folds trained together and end before its last epoch."""
    run.pruned.pop(trial.trial_id, None)
    run.mean_curves.pop(trial.trial_id, None)
    count, reason = judged(run, rival, records, epochs)
    if reason is not None and count == num_epochs(records):
        run.pruned[trial.trial_id] = reason


def judged(
    run: Run, rival: Compared | None, records: Sequence[FoldRecord], epochs: int
) -> tuple[int, str | None]:
    """How many epochs of a trial the rule lets it have, as far as they are recorded.

    Args:
        run: what `search` passes to its trials.
        rival: what the trial is compared with, or None.
        records: of all its folds.
        epochs: how many it would have without the rule.

    Returns:
        The number of epochs, and why it has no more; all epochs and None where it is not stopped
        within those that are recorded.
    """
    watch = _watch(run, rival, epochs)
    if watch is not None and are_together(records):
        curves = _curves(run, records)
        for count, scores in enumerate(zip(*curves, strict=False), start=1):
            if watch.see(scores):
                return count, str(watch.verdict)
    return epochs, None


def are_together(records: Sequence[FoldRecord]) -> bool:
    """Whether folds were trained together; those of earlier versions do not say so."""
    return all(reason_of(record.folds_trained) is None for record in records)


def num_epochs(records: Sequence[FoldRecord]) -> int:
    """The number of epochs that all folds have."""
    curves = (curve for record in records for curve in record.validation.values())
    return min((len(curve) for curve in curves), default=0)


def _watch(run: Run, rival: Compared | None, epochs: int) -> Watch | RungWatch | None:
    """What follows a trial; None if it is not compared with anything."""
    if isinstance(rival, Rungs):
        return RungWatch(rival, epochs)
    if isinstance(run.stop_rule, StopRule) and rival is not None:
        return Watch(run.stop_rule, rival, epochs)
    return None


def _curves(run: Run, records: Sequence[FoldRecord]) -> list[list[float]]:
    """The objective of each fold; empty where a fold has none."""
    metric = run.scoring.metric
    named = with_same_names([record.validation for record in records], metric)
    curves = [list(curve[metric]) for curve in named if metric in curve]
    return curves if len(curves) == len(records) else []
