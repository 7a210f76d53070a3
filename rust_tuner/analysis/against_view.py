"""Whether the best trial of a search does better than the view alone, or than chance.

It owns the rule and its words; the table, the report and the checks all tell the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rust_tuner.metrics import Interval
from rust_tuner.records.rows import score_intervals
from rust_tuner.records.project import Project

CHANCE_AUROC = 0.5


@dataclass(frozen=True)
class Standing:
    """A figure of a best trial beside what costs no image.

    Attributes:
        metric: `auroc` or `cortex_auroc`.
        interval: 95 % over patients.
        view_only: what a predictor that knows only the view scores, by the same folds.
    """

    metric: str
    interval: Interval
    view_only: float

    @property
    def doubt(self) -> str:
        """What the interval does not rule out, in words; empty where the model is better."""
        if self.interval.reason:
            return f"it has no interval ({self.interval.reason})"
        chance = CHANCE_AUROC
        beside = {"the view-only baseline": self.view_only, "chance": chance}
        if round(self.view_only, 3) == chance:
            beside = {"chance, which is all that the view tells": max(self.view_only, chance)}
        # An interval that is undefined shows nothing.
        told = [
            f"{'lies below' if self.interval.high < value else 'contains'} {name} ({value:.3f})"
            for name, value in beside.items()
            if not self.interval.low > value
        ]
        if not told:
            return ""
        ends = f"{self.interval.low:.3f} to {self.interval.high:.3f}"
        return f"its 95 % interval over patients, {ends}, {' and '.join(told)}"


def standings(project: Project) -> tuple[Standing, ...]:
    """How the best trial of a search stands, by both AUROCs.

    Returns:
        Nothing where there is no completed trial, no view-only baseline, or no out-of-fold
        predictions that an interval could come from.
    """
    known: Mapping[str, float] = project.run.get("view_only_baseline") or {}
    if project.best is None or not known:
        return ()
    return tuple(
        Standing(name.removeprefix("val_"), interval, float(known[name]))
        for name, interval in score_intervals(project).items()
        if name in known
    )
