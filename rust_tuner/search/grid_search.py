"""Grid search in KerasTuner's order, whose trials follow from n, the space and the trial before."""

import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras_tuner

from rust_tuner.search.asked import Rule, at_default
from rust_tuner.search.oracles import ResumableOracle, require_count, trial_id
from rust_tuner.search.points import (
    Values,
    declared_values,
    grid_points,
    next_point,
    num_points,
    rank_of,
    space_key,
    values_key,
)


class GridSearchOracle(ResumableOracle, keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
    """Grid search whose n-th trial is a function of n, the space, and the trial before.

    The order is KerasTuner's: the defaults come first, and the hyperparameter that is declared last
    varies fastest. What a model asks for only at some values varies faster than what it always asks
    for, and is tried at these values alone.
    """

    def __init__(
        self,
        objective: Any,
        max_trials: int | None = None,
        seed: int | None = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        """Set what to optimise.

        Args:
            objective: what is optimised: a metric such as `val_accuracy`, a
                `keras_tuner.Objective`, the name of a scikit-learn scorer, a function
                `(y_true, y_score) -> float`, or a list of these; see `OutOfFoldScore`.
            max_trials: the largest number of trials; the whole grid if None.
            seed: recorded with the search, but not used here.
            hyperparameters: declared in advance, if any; they replace those of the same name that
                the model declares.
            allow_new_entries: whether the model may ask for others.
            tune_new_entries: whether others are tuned; if not, they have their defaults.
            max_retries_per_trial: how often a trial runs again that an error fails, other than
                `FailedTrialError`.
            max_consecutive_failed_trials: end the search after so many failures in a row; None for
                no limit.
        """
        super().__init__(
            objective=objective,
            max_trials=(
                None
                if max_trials is None
                else require_count(max_trials, "max_trials", "a grid search")
            ),
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self._counted: tuple[str, int] | None = None

    def values_of(self, number: int) -> Values | None:
        """The values of a trial: the grid's point of that number.

        Once a trial has asked for more than is declared, it is the point after the trial before.
        """
        first = self.first_grown
        if first is None or number <= first:
            return next(itertools.islice(self._points(), number, None), None)
        before = self.trials[trial_id(number - 1)]
        values = before.hyperparameters.values
        return next_point(self.declared, self.asked_by(before), values, self.exact_steps)

    def growth_rule(self, number: int) -> Rule:
        """The default, as in KerasTuner; the next points have the other values."""
        return at_default

    def num_trials(self) -> int:
        """How many trials the search will have: `max_trials`, or fewer if the grid has fewer.

        The size of a grid that grows is estimated from the part that has been seen.
        """
        if self.first_grown is None:
            points = sum(1 for _ in itertools.islice(self._points(), self.max_trials))
            return max(points, len(self.trials))
        return min(self._estimated_size(), self.max_trials or sys.maxsize)

    def _estimated_size(self) -> int:
        """The trials so far, and as many more as if the rest of the grid were like the last."""
        trials = self.in_order()
        last = self.asked_by(trials[-1])
        declared = [
            values_key(declared_values(self.declared, trial.hyperparameters.values))
            for trial in trials
        ]
        points = self._num_declared()
        num_of_last = num_points(last, self.exact_steps)
        rank = rank_of(last, trials[-1].hyperparameters.values, self.exact_steps)
        num_left = num_of_last - 1 - rank
        most = max(num_of_last, *Counter(declared).values())
        return len(trials) + num_left + (points - len(set(declared))) * most

    def _num_declared(self) -> int:
        """The number of points of what is declared, which is counted once for a space."""
        key = f"{self.exact_steps} {space_key(self.declared)}"
        if self._counted is None or self._counted[0] != key:
            self._counted = key, sum(1 for _ in self._points())
        return self._counted[1]

    def _points(self) -> Iterator[Values]:
        return grid_points(self.declared, self.exact_steps)
