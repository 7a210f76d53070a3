"""Which trials of a search are statistically tied with its best one, from fold scores alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rust_tuner.metrics import corrected_t_test, tied_with_best


@dataclass(frozen=True)
class Tie:
    """How a trial compares with the best one.

    Attributes:
        tied: whether it cannot be distinguished from the best, tested jointly; see
            `metrics.tied_with_best`.
        p_value: of the corrected t-test against the best trial alone; not corrected for the number
            of trials.
    """

    tied: bool
    p_value: float


def ties(
    fold_scores: Mapping[str, Sequence[float]], subject: Mapping[str, Any], *, direction: str
) -> dict[str, Tie]:
    """Compare the trials of a search with its best one.

    Args:
        fold_scores: by trial, the objective of every fold at the trial's epoch.
        subject: what a run manifest says about the data; its `units` count the patients (or groups,
            or rows) that each fold trains on and is scored on.
        direction: `max` or `min`, what is best.

    Returns:
        By trial; empty if no trial has scores, or the manifest counts no units. Trials with a
        score that is not finite are left out.
    """
    complete = {
        trial: list(scores) for trial, scores in fold_scores.items() if np.isfinite(scores).all()
    }
    overlap = fold_overlap(subject)
    if not complete or overlap is None:
        return {}
    n_train, n_test = 1.0, overlap
    scores = np.array(list(complete.values())) * (-1 if direction == "min" else 1)
    tied = tied_with_best(scores, n_train, n_test)
    best = scores[scores.mean(axis=1).argmax()]
    return {
        trial: Tie(bool(is_tied), corrected_t_test(best, trial_scores, n_train, n_test).p_value)
        for trial, is_tied, trial_scores in zip(complete, tied, scores, strict=True)
    }


def fold_overlap(subject: Mapping[str, Any]) -> float | None:
    """n_test / n_train, how much of their training data folds share; None where it is not recorded.

    It is the mean over the folds, since sites or groups that are left out may have any size. With
    repeated or random splits it does not follow from the number of folds.
    """
    try:
        units = subject["units"]
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.divide(units["validation"], units["training"], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    overlap = float(np.mean(shares)) if shares.size else 0.0
    return overlap if 0 < overlap < np.inf else None


def fold_sizes(subject: Mapping[str, Any]) -> tuple[float, float] | None:
    """The mean number of units that a fold trains on, and of those that it is scored on."""
    try:
        units = subject["units"]
        n_train, n_test = (float(np.mean(units[side])) for side in ("training", "validation"))
    except (KeyError, TypeError, ValueError):
        return None
    return (n_train, n_test) if n_train > 0 and n_test > 0 else None
