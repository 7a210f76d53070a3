"""Which of a study's first models is the best, by the score that its searches maximise."""

import math

from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.project import Project


def finished_first_models(records: StudyRecords) -> dict[str, Project]:
    """The first models that have a score, by name."""
    return {name: item for name, item in records.baselines.items() if item.best is not None}


def best_first_model(records: StudyRecords) -> str | None:
    """The name of the best one; None if none has a score."""
    done = finished_first_models(records)

    def score(name: str) -> float:
        best = done[name].best
        assert best is not None
        return best.metrics.get(done[name].objective, -math.inf)

    return max(done, key=score, default=None)
