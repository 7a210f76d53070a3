"""`best_hyperparameters.json` of a study: the best trial so far.

Choosing the best trial belongs to `analysis.export`.
"""

from pathlib import Path

from rust_tuner.records.model import (
    Count,
    Epochs,
    Figures,
    HyperValues,
    Json,
    NumFolds,
    Record,
    Weights,
    write_record,
)

BEST_FILE = "best_hyperparameters.json"


class EndedTrials(Record):
    """How many trials completed, failed, and were stopped as hopeless; None where none can be."""

    completed: Count
    failed: Count
    stopped: Count | None = None


class BestHyperparameters(Record):
    """The best completed trial of a search, with the uncertainty of its score.

    Attributes:
        regime: the search, if it belongs to a study.
        score: averaged over the folds; a selection score.
        score_interval: 95 %, over folds; None if it is not known.
        tied_trials: the best trial and those that are statistically tied with it; None if that
            is not known.
        epoch: of the score, from 0.
    """

    regime: str | None = None
    hyperparameters: HyperValues
    objective: str
    score: float | None
    score_std: float | None
    score_interval: list[float] | None
    tied_trials: list[str] | None
    score_kind: str
    epoch: Epochs | None
    trial: str
    metrics: dict[str, float]
    view_only_baseline: Figures | None
    num_folds: NumFolds
    epochs: Epochs
    trials: EndedTrials
    weights: Weights | None
    seed: int
    protocol: Json | None
    versions: dict[str, str]


def write_best(directory: Path, best: BestHyperparameters, *, regime: str) -> None:
    """Write `best_hyperparameters.json` of a study, atomically.

    Args:
        directory: the study's folder.
        best: the best trial.
        regime: the search that it belongs to.
    """
    named = BestHyperparameters.of({"regime": regime} | best.to_json())
    write_record(directory / BEST_FILE, named)
