"""What was chosen by the score of a search, which makes the score too high."""

from typing import Literal

from rust_tuner.records.folder import CROSS_VALIDATION
from rust_tuner.records.project import REGIME_2, Project
from rust_tuner.records.trials import PRUNED
from rust_tuner.words import chooses_epoch

Chosen = Literal["trial", "hyperparameters", "epoch"]


def chosen_by_score(project: Project) -> Chosen | None:
    """What the score of the best trial has chosen; None if nothing, or if there is no score.

    Returns:
        `trial` if it was compared with others, also with those that were stopped; `hyperparameters`
        if an earlier search chose some on the same folds; `epoch` if only that is the best of
        several.
    """
    if project.best is None:
        return None
    if sum(trial.status in ("COMPLETED", PRUNED) for trial in project.trials) > 1:
        return "trial"
    if project.folder.name in (REGIME_2, CROSS_VALIDATION):
        return "hyperparameters"
    curves = (curve for fold in project.best.folds for curve in fold.validation.values())
    has_epochs = max(map(len, curves), default=0) > 1
    return "epoch" if chooses_epoch(project.run.score_epoch) and has_epochs else None
