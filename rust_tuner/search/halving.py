"""Successive halving: at a few epochs, the rungs, only the best share of the trials continues.

A trial is compared with the trials of lower numbers that reached the same rung, each by the mean of
its folds there. Nothing else decides, so a resumed search stops the same trials at the same rungs.

Source: Li and others, "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (ASHA).
Trials do not wait for each other. A trial that is stopped is never taken up again, since folds are
not paused.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rust_tuner.errors import SearchError
from rust_tuner.records.model import Json


@dataclass(frozen=True)
class SuccessiveHalving:
    """When a trial is stopped because too many others were better at the same epoch.

    Attributes:
        first_rung: the number of epochs before the first rung.
        factor: at each rung one in so many trials continues; a rung has so many times the epochs of
            the rung before.

    Examples:
        >>> SuccessiveHalving(first_rung=2, factor=3).rungs(20)
        [2, 6, 18]
    """

    first_rung: int = 2
    factor: int = 3

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SearchError: naming the one that is out of range.
        """
        for name, number, least in (("first_rung", self.first_rung, 1), ("factor", self.factor, 2)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise SearchError(f"{name}={number!r}; expected an integer from {least}")

    def rungs(self, epochs: int) -> list[int]:
        """The numbers of epochs after which a trial of so many epochs is judged."""
        powers = (self.first_rung * self.factor**power for power in itertools.count())
        return list(itertools.takewhile(lambda rung: rung < epochs, powers))

    def to_json(self) -> Json:
        """As the run manifest records it."""
        return {"first_rung": self.first_rung, "factor": self.factor}


@dataclass(frozen=True)
class Outranked:
    """Why a trial is stopped.

    Attributes:
        epoch: the last epoch that counts, from 0.
        rank: of the trial at the rung, from 1.
        reached: the trials that have reached the rung, this one included.
        kept: how many of them continue.
    """

    epoch: int
    rank: int
    reached: int
    kept: int

    def __str__(self) -> str:
        """The reason, as a person reads it."""
        return (
            f"stopped after epoch {self.epoch} (from 0): rank {self.rank} of the {self.reached} "
            f"trials so far, of which {self.kept} {'continues' if self.kept == 1 else 'continue'}"
        )


@dataclass(frozen=True, eq=False)
class Rungs:
    """The earlier trials that a trial is compared with.

    Attributes:
        rule: how many continue.
        earlier: number of epochs -> the scores of the trials of lower numbers at that rung.
        direction: `max` or `min`, what is best.
    """

    rule: SuccessiveHalving
    earlier: Mapping[int, Sequence[float]]
    direction: str

    def verdict(self, score: float, epochs: int) -> Outranked | None:
        """The verdict on a trial with a score after so many epochs; None if it continues.

        If fewer trials than the factor have reached the rung, the best of them continues. A score
        that is not a number is not judged, and earlier ones do not count. Equal scores continue
        together.
        """
        if not math.isfinite(score):
            return None
        others = [value for value in self.earlier.get(epochs, ()) if math.isfinite(value)]
        sign = -1 if self.direction == "min" else 1
        rank = 1 + sum(sign * value > sign * score for value in others)
        reached = 1 + len(others)
        kept = max(1, reached // self.rule.factor)
        return None if rank <= kept else Outranked(epochs - 1, rank, reached, kept)


class RungWatch:
    """Follows one trial, epoch by epoch, until it is outranked or has ended."""

    def __init__(self, rungs: Rungs, epochs: int) -> None:
        """Follow a trial.

        Args:
            rungs: what it is compared with.
            epochs: how many the trial has; a trial is never stopped at its last one.
        """
        self._rungs = rungs
        self._at = set(rungs.rule.rungs(epochs))
        self._seen = 0
        self.verdict: Outranked | None = None

    def see(self, scores: Sequence[float]) -> bool:
        """Take in the next epoch's score of each fold; returns whether the trial is outranked."""
        self._seen += 1
        if self.verdict is None and self._seen in self._at:
            self.verdict = self._rungs.verdict(mean_of_folds(scores), self._seen)
        return self.verdict is not None


def mean_of_folds(scores: Sequence[float]) -> float:
    """A trial's score at an epoch, such as NaN where a fold has none."""
    return float(np.mean(np.asarray(scores, dtype=np.float64)))
