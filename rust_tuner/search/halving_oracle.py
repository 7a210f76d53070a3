"""Random search with successive halving."""

from typing import Any

import keras_tuner

from rust_tuner.errors import SearchError
from rust_tuner.search.halving import SuccessiveHalving
from rust_tuner.search.objectives import RankedObjectives
from rust_tuner.search.random_search import RandomSearchOracle


class SuccessiveHalvingOracle(RandomSearchOracle):
    """Random search that stops a trial at a rung unless it is among the best there.

    After `first_rung` epochs, and after `factor`, `factor` squared, ... times as many, a trial
    continues only if its score is in the best 1 / `factor` of the trials of lower numbers that
    reached the rung. The trials and their order are those of `RandomSearchOracle`; a stopped trial
    is `PRUNED` and has no score. The best trial is lost where early epochs do not rank trials, so
    the search reports how well they do.
    """

    def __init__(
        self,
        objective: Any,
        max_trials: int = 10,
        seed: int | None = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        first_rung: int = 2,
        factor: int = 3,
        **kwargs: Any,
    ) -> None:
        """Set what to optimise, how often to try and when to stop a trial.

        Args:
            objective: what is optimised, see `RandomSearchOracle`; one that each epoch has.
            max_trials: the largest number of trials.
            seed: an integer from 0; None for one that is drawn once and recorded with the search.
            hyperparameters: declared in advance, if any.
            first_rung: the number of epochs before the first rung.
            factor: at each rung, one in so many trials continues.
            **kwargs: the other arguments of `RandomSearchOracle`.

        Raises:
            SearchError: for a rung or a factor that is out of range, or several objectives.
        """
        super().__init__(objective, max_trials, seed, hyperparameters, **kwargs)
        if isinstance(self.objective, RankedObjectives):
            raise SearchError(
                "SuccessiveHalvingOracle compares trials by one score at each rung, and several "
                "objectives have only ranks, which change with each trial; give one objective"
            )
        self.stop_rule = SuccessiveHalving(first_rung, factor)
