"""Grid search in KerasTuner's order, whose trials follow from n and the space alone."""

import itertools
from collections.abc import Iterator

import keras_tuner

from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.points import Values, grid_points


class GridSearchOracle(ResumableOracle, keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
    """Grid search whose n-th trial is a function of n and the space.

    The order is KerasTuner's: the defaults come first, and the hyperparameter that is declared last
    varies fastest.
    """

    def __init__(
        self,
        objective: keras_tuner.Objective,
        max_trials: int | None = None,
        seed: int | None = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        """Set what to optimise.

        Args:
            objective: the metric and its direction.
            max_trials: the largest number of trials; the whole grid if None.
            seed: recorded with the search, but not used here.
            hyperparameters: a space declared in advance, if any.
            max_consecutive_failed_trials: end the search after so many failures in a row; None for
                no limit.
        """
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )

    def values_of(self, index: int) -> Values | None:
        """The values of trial `index`: the `index`-th point of the grid."""
        return next(itertools.islice(self._points(), index, None), None)

    def num_trials(self) -> int:
        """How many trials the search will have: `max_trials`, or fewer if the grid has fewer."""
        return sum(1 for _ in itertools.islice(self._points(), self.max_trials))

    def _points(self) -> Iterator[Values]:
        return grid_points(self.hyperparameters, self.exact_steps)
