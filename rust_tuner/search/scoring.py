"""The score of a trial: its objective, averaged over the folds, at the epoch of the rule."""

from dataclasses import dataclass

import keras_tuner

from rust_tuner.errors import SearchError
from rust_tuner.metrics.mean_ranks import mean_ranks
from rust_tuner.records.folds import FoldRecord
from rust_tuner.records.metric_names import renumbered, with_same_names
from rust_tuner.search.mean_curves import calculate_mean_metrics, chosen_epoch
from rust_tuner.search.objectives import RankedObjectives, objectives_of


@dataclass(frozen=True)
class Scoring:
    """How the folds of a trial become its score.

    Attributes:
        objective: what the search optimises.
        score_epoch: `best_mean`, `last`, or an epoch from 0.
    """

    objective: keras_tuner.Objective
    score_epoch: str | int

    @property
    def metric(self) -> str:
        """The objective without `val_`; the first one where there are several."""
        return self.metrics[0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The objectives without `val_`."""
        parts = objectives_of(self.objective)
        return tuple(str(part.name).removeprefix("val_") for part in parts)

    def figures(self, records: list[FoldRecord]) -> tuple[dict[str, float], int]:
        """Each validation metric's mean over the folds, at the epoch of the score; and that epoch.

        With several objectives, the best epoch has the lowest mean of its ranks by each.

        Raises:
            SearchError: where an objective is not among the metrics.
        """
        wanted = self.metrics
        curves = with_same_names([record.validation for record in records], wanted)
        mean = calculate_mean_metrics(curves)
        self.require(tuple(mean))
        parts = objectives_of(self.objective)
        curve, direction = mean[wanted[0]], parts[0].direction
        if len(parts) > 1:
            columns = [
                (part.direction, mean[name]) for part, name in zip(parts, wanted, strict=True)
            ]
            curve, direction = mean_ranks(columns).tolist(), "min"
        epoch = chosen_epoch(curve, self.score_epoch, direction)
        figures = {f"val_{name}": values[epoch] for name, values in mean.items()}
        if isinstance(self.objective, RankedObjectives):
            figures[self.objective.name] = self.objective.value_of(figures)
        return figures, epoch

    def require(self, offered: tuple[str, ...] | None) -> None:
        """Refuse an objective that is not among the metrics; None where these are not known.

        Raises:
            SearchError: with what there is.
        """
        if offered is None:
            return
        there = {*offered, *renumbered(offered).values()}
        for part in objectives_of(self.objective):
            if str(part.name).removeprefix("val_") not in there:
                listed = ", ".join(f"val_{metric}" for metric in offered)
                raise SearchError(f"objective {part.name} is not among the metrics: {listed}")
