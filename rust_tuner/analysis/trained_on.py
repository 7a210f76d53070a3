"""Whether the trials of a search were trained alike, so that their figures are equal bitwise."""

from collections import Counter

from rust_tuner.records.project import Project
from rust_tuner.records.trained_on import TrainedOn
from rust_tuner.records.trials import TrialRecord


def ways_trained(project: Project) -> Counter[tuple[TrainedOn | None, ...]]:
    """How many trials were trained in each way, the most frequent first.

    A way is what the folds of a trial were trained on, each once; None for folds of earlier
    versions, which do not say it. Trials without a finished fold are left out.
    """
    ways = Counter(_way(trial) for trial in project.trials if trial.folds)
    return Counter(dict(ways.most_common()))


def trained_note(project: Project) -> str | None:
    """What differs between the trials; None where all were trained alike, or nothing is known."""
    ways = ways_trained(project)
    recorded = [way for way in ways if way != (None,)]
    if len(recorded) < 2:
        return None
    machines = {one.machine for way in ways for one in way if one is not None and one.machine}
    texts: Counter[str] = Counter()
    for way, count in ways.items():
        texts[" and ".join("unknown" if one is None else one.text for one in way)] += count
    counted = "; ".join(f"{count} on {text}" for text, count in texts.most_common())
    where = f" on {len(machines)} machines" if len(machines) > 1 else ""
    return (
        f"Trials were trained in different ways{where} ({counted}), so their scores are comparable "
        "within 1e-3, not bitwise."
    )


def _way(trial: TrialRecord) -> tuple[TrainedOn | None, ...]:
    distinct = {
        None if fold.trained_on is None else str(fold.trained_on.to_json()): fold.trained_on
        for fold in trial.folds
    }
    return tuple(distinct[name] for name in sorted(distinct, key=str))
