"""Stops hopeless trials of a search: finds the rival in the records, and keeps the verdict.

The rule itself belongs to `hopeless`. Only folds that train together are stopped: where one is
trained after another, the first ones have ended before there is anything to compare.
"""

from collections.abc import Callable, Mapping, Sequence

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SearchError
from rust_tuner.metrics.ties import fold_sizes
from rust_tuner.records.folds import FoldRecord, reason_of
from rust_tuner.records.metric_names import with_same_names
from rust_tuner.search.hopeless import Rival, StopRule, Watch, hopeless
from rust_tuner.search.objectives import RankedObjectives
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.run_state import Run

Judge = Callable[[Sequence[Mapping[str, float]]], bool]


def stop_rule_of(
    stop_hopeless: bool | StopRule, objective: keras_tuner.Objective, *, own_scores: bool
) -> StopRule | None:
    """The rule of a search; None where no trial is stopped.

    Args:
        stop_hopeless: what the user asked for.
        objective: of the search.
        own_scores: whether the tuner overrides `run_trial`, which returns the scores.

    Raises:
        SearchError: where trials cannot be compared at the same epoch.
    """
    if not stop_hopeless:
        return None
    if own_scores:
        raise SearchError(
            "stop_hopeless with a run_trial of its own, which scores trials by itself; only trials "
            "that this package scores can be compared"
        )
    if isinstance(objective, RankedObjectives):
        raise SearchError(
            "stop_hopeless with several objectives, whose ranks need all trials; give one"
        )
    return stop_hopeless if isinstance(stop_hopeless, StopRule) else StopRule()


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
    return Rival(best.trial_id, curves, sizes, run.scoring.objective.direction)


def judge(run: Run, rival: Rival | None, epochs: int) -> Judge | None:
    """What `FoldParallelTrainer.train` calls after each epoch of a trial; None to stop none.

    Args:
        run: what `search` passes to its trials.
        rival: the trial that this one is compared with, or None.
        epochs: of the trial.
    """
    if run.stop_rule is None or rival is None:
        return None
    watch = Watch(run.stop_rule, rival, epochs)

    def is_hopeless(figures: Sequence[Mapping[str, float]]) -> bool:
        return watch.see([fold.get(run.scoring.metric, np.nan) for fold in figures])

    return is_hopeless


def note_if_hopeless(
    run: Run, rival: Rival | None, trial: Trial, records: Sequence[FoldRecord], epochs: int
) -> None:
    """Keep the verdict on a trial whose folds trained together and end before its last epoch."""
    run.pruned.pop(trial.trial_id, None)
    if run.stop_rule is None or rival is None:
        return
    if any(reason_of(record.folds_trained) is not None for record in records):
        return
    curves = _curves(run, records)
    if not curves or len(curves[0]) == epochs:
        return
    verdict = hopeless(run.stop_rule, rival, curves, epochs)
    if verdict is not None:
        run.pruned[trial.trial_id] = verdict


def _curves(run: Run, records: Sequence[FoldRecord]) -> list[list[float]]:
    """The objective of each fold; empty where a fold has none."""
    metric = run.scoring.metric
    named = with_same_names([record.validation for record in records], metric)
    curves = [list(curve[metric]) for curve in named if metric in curve]
    return curves if len(curves) == len(records) else []
