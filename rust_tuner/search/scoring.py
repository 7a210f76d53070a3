"""The score of a trial: its objective, averaged over the folds, at the epoch of the rule."""

from dataclasses import dataclass

import keras_tuner

from rust_tuner.errors import SearchError
from rust_tuner.records.folds import FoldRecord
from rust_tuner.records.metric_names import renumbered, with_same_names
from rust_tuner.search.cross_validation import calculate_mean_metrics, chosen_epoch


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
        """The objective without `val_`."""
        return str(self.objective.name).removeprefix("val_")

    def figures(self, records: list[FoldRecord]) -> tuple[dict[str, float], int]:
        """Each validation metric's mean over the folds, at the epoch of the score; and that epoch.

        Raises:
            SearchError: where the objective is not among the metrics.
        """
        curves = with_same_names([record.validation for record in records], self.metric)
        mean = calculate_mean_metrics(curves)
        self.require(tuple(mean))
        epoch = chosen_epoch(mean[self.metric], self.score_epoch, self.objective.direction)
        return {f"val_{name}": curve[epoch] for name, curve in mean.items()}, epoch

    def require(self, offered: tuple[str, ...] | None) -> None:
        """Refuse an objective that is not among the metrics; None where these are not known.

        Raises:
            SearchError: with what there is.
        """
        if offered is not None and self.metric not in {*offered, *renumbered(offered).values()}:
            listed = ", ".join(f"val_{metric}" for metric in offered)
            raise SearchError(f"objective {self.objective.name} is not among the metrics: {listed}")
