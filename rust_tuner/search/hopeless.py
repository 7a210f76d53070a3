"""When a trial is stopped because it cannot become the best: a function of recorded curves alone.

From an epoch on, a trial is compared with the best of the earlier trials at the same epoch, fold by
fold. If it is worse at a few epochs in a row, by the corrected resampled t-test, it is stopped
there. A trial whose score is already as good, such as that of its best epoch, is not stopped.
Nothing else decides, so a resumed search stops the same trials at the same epochs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rust_tuner.errors import SearchError
from rust_tuner.metrics import corrected_t_test
from rust_tuner.metrics.comparison import ALPHA
from rust_tuner.records.model import Json
from rust_tuner.search.mean_curves import chosen_epoch

Curve = Sequence[float]


@dataclass(frozen=True)
class StopRule:
    """When a trial is hopeless.

    Attributes:
        first_epoch: the first epoch that may count against a trial, from 0.
        in_a_row: at so many epochs in a row the trial must be worse.
        level: of each test, two-sided.

    Examples:
        >>> StopRule(first_epoch=2).to_json()
        {'first_epoch': 2, 'in_a_row': 2, 'level': 0.05}
    """

    first_epoch: int = 5
    in_a_row: int = 2
    level: float = ALPHA

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SearchError: naming the one that is out of range.
        """
        if self.first_epoch < 0 or self.in_a_row < 1 or not 0 < self.level < 1:
            raise SearchError(
                f"first_epoch={self.first_epoch}, in_a_row={self.in_a_row}, level={self.level}; "
                "expected an epoch from 0, a number from 1, and a probability between 0 and 1"
            )

    def to_json(self) -> Json:
        """As the run manifest records it."""
        return {"first_epoch": self.first_epoch, "in_a_row": self.in_a_row, "level": self.level}


@dataclass(frozen=True, eq=False)
class Rival:
    """The trial that another one is compared with.

    Attributes:
        trial: its id.
        curves: the objective of each of its folds, a value per epoch.
        sizes: the units, such as patients, that a fold trains on and is scored on.
        direction: `max` or `min`, what is best.
        score: of this trial.
        score_epoch: the epoch of a score; see `Scoring`.
    """

    trial: str
    curves: Sequence[Curve]
    sizes: tuple[float, float]
    direction: str
    score: float
    score_epoch: str | int

    def p_value(self, scores: Sequence[float], epoch: int) -> float:
        """How likely it is that a trial is no worse than this one at an epoch.

        Args:
            scores: of the trial's folds.
            epoch: from 0.

        Returns:
            The two-sided p-value of the corrected t-test; 1 if the trial's mean is no worse, or if
            this trial has no such epoch.
        """
        if any(epoch >= len(curve) for curve in self.curves):
            return 1.0
        here = [float(curve[epoch]) for curve in self.curves]
        if not np.isfinite([*scores, *here]).all():
            return 1.0
        sign = -1 if self.direction == "min" else 1
        test = corrected_t_test(sign * np.array(scores), sign * np.array(here), *self.sizes)
        return test.p_value if test.difference < 0 else 1.0

    def is_reached_by(self, curve: Curve) -> bool:
        """Whether a trial will have a score that is no worse, whatever its next epochs are.

        Args:
            curve: its mean over the folds, at each epoch so far.
        """
        rule = self.score_epoch
        if rule == "last" or (rule != "best_mean" and int(rule) >= len(curve)):
            return False
        reached = curve[chosen_epoch(curve, rule, self.direction)]
        return reached <= self.score if self.direction == "min" else reached >= self.score


@dataclass(frozen=True)
class Hopeless:
    """Why a trial is stopped.

    Attributes:
        epoch: the last epoch that counts, from 0.
        rival: id of the trial that it is compared with.
        p_values: of the epochs in a row, the last of them at `epoch`.
    """

    epoch: int
    rival: str
    p_values: tuple[float, ...]

    def __str__(self) -> str:
        """The reason, as a person reads it."""
        values = ", ".join(_short(value) for value in self.p_values)
        return (
            f"stopped after epoch {self.epoch} (from 0): worse than trial {self.rival} at "
            f"{len(self.p_values)} epochs in a row (p {values})"
        )


class Watch:
    """Follows one trial, epoch by epoch, until it is hopeless or has ended."""

    def __init__(self, rule: StopRule, rival: Rival, epochs: int) -> None:
        """Follow a trial.

        Args:
            rule: when it is hopeless.
            rival: the best of the earlier trials.
            epochs: how many the trial has; a trial is never stopped at its last one.
        """
        self._rule = rule
        self._rival = rival
        self._epochs = epochs
        self._epoch = 0
        self._row: list[float] = []
        self._means: list[float] = []
        self.verdict: Hopeless | None = None

    def see(self, scores: Sequence[float]) -> bool:
        """Take in the next epoch's score of each fold; returns whether the trial is hopeless."""
        epoch, self._epoch = self._epoch, self._epoch + 1
        if self.verdict is not None:
            return True
        self._means.append(float(np.mean(scores)))
        if epoch < self._rule.first_epoch or epoch >= self._epochs - 1:
            return False
        p_value = self._rival.p_value(scores, epoch)
        self._row = [*self._row, p_value] if p_value < self._rule.level else []
        if len(self._row) < self._rule.in_a_row or self._rival.is_reached_by(self._means):
            return False
        self.verdict = Hopeless(epoch, self._rival.trial, tuple(self._row))
        return True


def hopeless(rule: StopRule, rival: Rival, curves: Sequence[Curve], epochs: int) -> Hopeless | None:
    """The verdict on a trial, from its recorded curves; None if it is not hopeless.

    Args:
        rule: when a trial is hopeless.
        rival: the best of the earlier trials.
        curves: the objective of each fold, a value per epoch.
        epochs: how many the trial would have had.
    """
    watch = Watch(rule, rival, epochs)
    for scores in zip(*curves, strict=True):
        if watch.see(scores):
            break
    return watch.verdict


def _short(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
