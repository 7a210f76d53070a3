"""KerasTuner's own oracles, taken over as the resumable ones with the same arguments."""

from collections.abc import Callable
from typing import Any

import keras_tuner

from rust_tuner.errors import SearchError
from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.random_search import RandomSearchOracle

TakeOver = Callable[[keras_tuner.Oracle, dict[str, Any]], ResumableOracle]

# KerasTuner draws a seed up to here where none is given.
_LARGEST_DRAWN = 10_000
_USE = (
    "use RandomSearchOracle, GridSearchOracle, BayesianOptimizationOracle or OptunaOracle of "
    "rust_tuner"
)
_REFUSED = {
    "HyperbandOracle": "Hyperband continues from the weights of earlier trials, which folds do not "
    "keep. Use rust_tuner.RandomSearchOracle with search(stop_hopeless=True), or "
    "rust_tuner.SuccessiveHalvingOracle; or halve the trials step by step: search with few epochs, "
    "then again with more epochs over narrower ranges"
}


def _bayesian(stock: keras_tuner.Oracle, shared: dict[str, Any]) -> ResumableOracle:
    # Only where it is needed, since scikit-learn's Gaussian processes are slow to import.
    from rust_tuner.search.bayesian import BayesianOptimizationOracle

    settings = {name: getattr(stock, name) for name in ("num_initial_points", "alpha", "beta")}
    return BayesianOptimizationOracle(**shared, **settings)


# Gives the resumable oracle for one of a class, but not of its subclasses, and for the arguments
# that all oracles of KerasTuner have in common.
_TAKEN_OVER: dict[type[keras_tuner.Oracle], TakeOver] = {
    keras_tuner.oracles.RandomSearchOracle: lambda stock, shared: RandomSearchOracle(**shared),
    keras_tuner.oracles.GridSearchOracle: lambda stock, shared: GridSearchOracle(**shared),
    keras_tuner.oracles.BayesianOptimizationOracle: _bayesian,
}


def resumable(
    oracle: keras_tuner.Oracle, begun_seed: int | None, say: Callable[[str], None]
) -> ResumableOracle:
    """The oracle that a tuner uses: it can be resumed, and belongs to no other tuner.

    Args:
        oracle: any oracle of KerasTuner's or of this package.
        begun_seed: the oracle's seed that a search to resume was begun with; None where there is
            no such search.
        say: called with a note where this seed replaces the oracle's.

    Raises:
        SearchError: for an oracle that cannot be resumed, with what to use instead.
    """
    if isinstance(oracle, ResumableOracle):
        return oracle.for_tuner()
    if isinstance(oracle, type):
        raise SearchError(
            f"oracle={oracle.__name__} is a class; give an object, such as "
            f"{oracle.__name__}('val_loss', max_trials=20)"
        )
    kind = type(oracle)
    if kind not in _TAKEN_OVER:
        why = _REFUSED.get(kind.__name__, _USE)
        raise SearchError(f"oracle of type {kind.__name__} cannot be resumed; {why}")
    seed = oracle.seed
    if begun_seed is not None and seed != begun_seed and seed <= _LARGEST_DRAWN:
        # Whether it was given or drawn cannot be distinguished.
        say(
            f"note: the oracle's seed is {begun_seed}, with which the search was begun, and not "
            f"{seed}; KerasTuner draws a new one wherever none is given"
        )
        seed = begun_seed
    shared = {
        "objective": oracle.objective,
        "max_trials": oracle.max_trials,
        "seed": seed,
        "hyperparameters": oracle.hyperparameters,
        "allow_new_entries": oracle.allow_new_entries,
        "tune_new_entries": oracle.tune_new_entries,
        "max_retries_per_trial": oracle.max_retries_per_trial,
        "max_consecutive_failed_trials": oracle.max_consecutive_failed_trials,
    }
    return _TAKEN_OVER[kind](oracle, shared).for_tuner()
