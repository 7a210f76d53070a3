"""KerasTuner's Bayesian optimisation, made resumable.

The Gaussian process, its kernel and its acquisition function are KerasTuner's own code. It is run
on the records of the trials before the proposed one, with the random state that an uninterrupted
search of KerasTuner has at this trial: given the same trials and seed, both propose the same.
"""

import math
import numbers
import warnings
from collections.abc import Sequence
from itertools import islice
from typing import Any

import keras_tuner
import numpy as np
import sklearn
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import BayesianOptimizationOracle as StockOracle
from scipy.linalg import solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from threadpoolctl import threadpool_limits

from rust_tuner.errors import SpaceError
from rust_tuner.records.trials import PRUNED
from rust_tuner.search.asked import asked_late
from rust_tuner.search.exact_space import exact
from rust_tuner.search.learning_oracle import LearningOracle, RestAtDefaults
from rust_tuner.search.oracles import require_count
from rust_tuner.search.points import Values, draw_value, grid_points, grid_size, plain, values_key
from rust_tuner.search.random_search import RandomSearchOracle
from rust_tuner.seeds import seed_word

# KerasTuner starts its optimiser of the acquisition function from so many random points.
_STARTS = 50
# How many random points are tried before the grid of a space is searched for a new one.
_MOST_ATTEMPTS = 1000


class BayesianOptimizationOracle(LearningOracle, StockOracle):  # type: ignore[misc]
    """Bayesian optimisation with KerasTuner's Gaussian process and upper confidence bound.

    The first trials are those of a random search with the same seed. No values are tried twice:
    where the Gaussian process proposes those of an earlier trial, a new draw takes their place. A
    search of a small finite space ends once the space is complete.

    Example:
        >>> import keras_tuner, rust_tuner
        >>> oracle = rust_tuner.BayesianOptimizationOracle(
        ...     keras_tuner.Objective("val_loss", "min"), max_trials=20, seed=1
        ... )
    """

    packages = ("scikit-learn", "scipy")

    def __init__(
        self,
        objective: keras_tuner.Objective,
        max_trials: int = 10,
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float = 2.6,
        seed: int | None = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        """Set what to optimise, and how.

        Args:
            objective: the metric and its direction.
            max_trials: the largest number of trials.
            num_initial_points: so many trials are completed before the Gaussian process proposes;
                three for each hyperparameter where None.
            alpha: the variance of the noise in the scores, once they are scaled to a variance of 1.
            beta: the weight of the uncertainty in the acquisition function; the larger, the more
                is explored.
            seed: an integer from 0; None for one that is drawn once and recorded with the search.
            hyperparameters: a space declared in advance, if any.
            tune_new_entries: whether hyperparameters that are not in it are varied; these have
                their default values otherwise.
            allow_new_entries: whether there may be any that are not in it.
            max_retries_per_trial: how often a trial that crashed runs again.
            max_consecutive_failed_trials: end the search after so many failures in a row; None for
                no limit.

        Raises:
            SpaceError: for a number outside its range.
            SearchError: for several objectives.
        """
        if num_initial_points is not None:
            require_count(num_initial_points, "num_initial_points", "Bayesian optimisation")
        for name, number in (("alpha", alpha), ("beta", beta)):
            if not isinstance(number, numbers.Real) or not 0 <= number < math.inf:
                raise SpaceError(f"{name}={number!r}; expected a number from 0")
        super().__init__(
            objective=objective,
            max_trials=require_count(max_trials, "max_trials", "Bayesian optimisation"),
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.num_initial_points = num_initial_points
        self.alpha = float(alpha)
        self.beta = float(beta)

    def describe(self) -> dict[str, Any]:
        """What the proposals follow from, beside the seed."""
        names = ("num_initial_points", "alpha", "beta")
        return {"oracle_arguments": {name: getattr(self, name) for name in names}}

    def num_trials(self) -> int:
        """How many trials the search will have: `max_trials`, or fewer if the space has fewer."""
        most = super().num_trials()
        space = self.declared
        if self.first_grown is not None or math.isinf(grid_size(space.space, exact_steps=True)):
            return most
        return sum(1 for _ in islice(grid_points(space, exact_steps=True), most))

    def propose(self, space: Sequence[Any], earlier: Sequence[Trial]) -> Values | None:
        """A random point at first, then the point that the Gaussian process proposes."""
        number = len(earlier)
        # By which of the trials before, and now, there were enough completed ones to learn from.
        learns = [self._learns(earlier, before) for before in range(number + 1)]
        values = None
        if learns[-1]:
            values = self._learn(space, earlier, num_before=sum(learns[:-1]))
        if len(space) > len(self.declared.space):
            return self._new_in_grown(space, earlier, values)
        if values is None:
            return self._random_search(earlier).values_of(number)
        tried = {values_key(trial.hyperparameters.values) for trial in earlier}
        if values_key(values) not in tried:
            return values
        drawn = (self._random_search(earlier).values_of(n) for n in range(self.num_trials()))
        return next((one for one in drawn if one and values_key(one) not in tried), None)

    def _new_in_grown(
        self, space: Sequence[Any], earlier: Sequence[Trial], values: Values | None
    ) -> Values | None:
        """Values in a space that has grown, or others if there are none or they repeat a trial.

        A trial asks for part of the space alone. What it has asked for decides what it asks for
        next, so a proposal that agrees with a trial in all of that trial's values repeats it.
        """
        number = len(earlier)
        # Then only a completed trial has certainly asked for all of its values.
        is_late = any(asked_late(trial) for trial in earlier)
        tried = [
            plain(trial.hyperparameters.values)
            for trial in earlier
            if not is_late or trial.status == TrialStatus.COMPLETED
        ]

        def random_values(attempt: int) -> Values:
            values: Values = {}
            for hp in space:
                is_active = all(condition.is_active(values) for condition in hp.conditions)
                if is_active and hp.name not in values:
                    word = seed_word(self.drawn_seed, number, attempt, "grown", hp.name)
                    values[hp.name] = draw_value(hp, word, self.exact_steps)
            return values

        values = random_values(0) if values is None else values
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            proposed = plain(values).items()
            if not any(trial.items() <= proposed for trial in tried):
                return values
            values = random_values(attempt)
        # There are few new points, or none.
        point = self._random_search(earlier).first_unseen(number)
        return None if point is None else RestAtDefaults(point)

    def _learns(self, earlier: Sequence[Trial], number: int) -> bool:
        """Whether enough trials are completed for the Gaussian process to propose a trial."""
        ended = earlier[: self.known_results(number)]
        completed = sum(trial.status == TrialStatus.COMPLETED for trial in ended)
        dimensions = len(self.known_after(earlier[:number]))
        needed: int = self.num_initial_points or max(3 * dimensions, 3)
        return bool(completed >= needed)

    def _random_search(self, earlier: Sequence[Trial]) -> RandomSearchOracle:
        oracle = RandomSearchOracle(self.objective, self.max_trials, self.drawn_seed)
        oracle.hyperparameters = keras_tuner.HyperParameters.copy(self.declared)
        oracle.freeze_space()
        oracle.adopt(list(earlier))
        return oracle

    def _learn(self, space: Sequence[Any], earlier: Sequence[Trial], *, num_before: int) -> Values:
        """What KerasTuner proposes after some trials, if it proposed so many of them before."""
        seed = self.drawn_seed
        # NumPy takes 32 bits.
        seed = seed if seed < 1 << 32 else seed_word(seed, "Gaussian process")
        stock = StockOracle(self.objective, num_initial_points=1, alpha=self.alpha, beta=self.beta)
        # KerasTuner replaces a seed of 0 by a random one.
        stock.seed = seed
        stock.gpr = _Process(**stock._make_gpr().get_params(deep=False))
        stock.hyperparameters.merge([exact(hp) for hp in space])
        # KerasTuner knows no trial that was stopped as hopeless, and learns nothing from it.
        stock.trials = {trial.trial_id: trial for trial in earlier if trial.status != PRUNED}
        running = {t.trial_id: t for t in earlier if t.status == TrialStatus.RUNNING}
        stock._random_state = np.random.RandomState(seed)
        stock._random_state.uniform(size=(num_before * _STARTS, len(stock._nonfixed_space())))
        with (
            warnings.catch_warnings(),
            # More threads take longer for matrices of this size, and may round in another way.
            threadpool_limits(1),
            sklearn.config_context(assume_finite=True, skip_parameter_validation=True),
        ):
            # Length scales at a bound are usual while there are few trials.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "Predicted variances smaller than 0")
            if running:
                _expect_results(stock, running)
            values = stock.populate_space(str(len(earlier)))["values"]
        return dict(plain(values))


def _expect_results(stock: StockOracle, running: dict[str, Trial]) -> None:
    """Fit the process to the trials that have ended, by which those that run are estimated.

    KerasTuner gives a running trial the mean plus one standard deviation of the process. Its
    process is then the one of the proposal before, which is not in the records.
    """
    trials = stock.trials
    stock.trials = {name: trial for name, trial in trials.items() if name not in running}
    features, scores = stock._vectorize_trials()
    stock.gpr.fit(features, scores)
    stock.trials, stock.ongoing_trials = trials, running


class _Process(GaussianProcessRegressor):  # type: ignore[misc]
    """scikit-learn's Gaussian process, without checks of inputs, which take half of its time."""

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:  # noqa: N803
        """The same figures, bit by bit."""
        if not hasattr(self, "X_train_") or not return_std:
            return super().predict(X, return_std, return_cov)
        across = self.kernel_(X, self.X_train_)
        mean = self._y_train_std * (across @ self.alpha_) + self._y_train_mean
        solved = solve_triangular(self.L_, across.T, lower=True, check_finite=False)
        variance = self.kernel_.diag(X).copy()
        variance -= np.einsum("ij,ji->i", solved.T, solved)
        return mean, np.sqrt(np.maximum(variance, 0.0) * self._y_train_std**2)
