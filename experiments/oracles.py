"""How much better than random search the oracles do that learn, on functions with a known minimum.

    python experiments/oracles.py [--trials 25] [--seeds 10]

Each oracle gets the same number of trials and the same seeds; what counts is the best value that it
found. The first trials of Bayesian optimisation are those of the random search. No model is
trained. Takes about half an hour on one core, nearly all for Bayesian optimisation.
"""

import argparse
import math
import os
import tempfile
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras_tuner
import numpy as np
import optuna
import pandas as pd
from keras_tuner.engine.trial import TrialStatus
from scipy.stats import wilcoxon

from rust_tuner import BayesianOptimizationOracle, OptunaOracle, RandomSearchOracle

Values = dict[str, Any]
OBJECTIVE = keras_tuner.Objective("val_loss", "min")


def branin(values: Values) -> float:
    """Three equal minima of 0.398."""
    x, y = values["x"], values["y"]
    curve = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def branin_space(hp: keras_tuner.HyperParameters) -> None:
    """Two floats."""
    hp.Float("x", -5.0, 10.0)
    hp.Float("y", 0.0, 15.0)


def hartmann(values: Values) -> float:
    """Four minima, the lowest of -3.863."""
    a = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
    centre = np.array(
        [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
    )
    point = np.array([values["x"], values["y"], values["z"]])
    inside = np.sum(a * (point - centre / 10_000) ** 2, axis=1)
    return float(-np.sum(np.array([1.0, 1.2, 3.0, 3.2]) * np.exp(-inside)))


def hartmann_space(hp: keras_tuner.HyperParameters) -> None:
    """Three floats."""
    for name in "xyz":
        hp.Float(name, 0.0, 1.0)


def network(values: Values) -> float:
    """The shape of a training's loss: a valley in the learning rate that moves with the width."""
    best = -2.0 - 0.5 * math.log2(values["units"] / 8)
    rate = (math.log10(values["learning_rate"]) - best) ** 2
    width = 0.1 * (math.log2(values["units"]) - 6) ** 2
    return float(rate + width + 2 * (values["dropout_rate"] - 0.2) ** 2)


def network_space(hp: keras_tuner.HyperParameters) -> None:
    """A logarithmic float, a logarithmic integer, and a float with steps."""
    hp.Float("learning_rate", 1e-6, 1.0, sampling="log")
    hp.Int("units", 8, 512, step=2, sampling="log")
    hp.Float("dropout_rate", 0.0, 0.5, step=0.1)


FUNCTIONS = {
    "Branin": (branin, branin_space),
    "Hartmann 3": (hartmann, hartmann_space),
    "network": (network, network_space),
}
ORACLES: dict[str, Callable[[int, int], Any]] = {
    "random": lambda trials, seed: RandomSearchOracle(OBJECTIVE, trials, seed),
    "TPE": lambda trials, seed: OptunaOracle(
        optuna.samplers.TPESampler(n_startup_trials=8), OBJECTIVE, trials, seed
    ),
    "Bayesian": lambda trials, seed: BayesianOptimizationOracle(
        OBJECTIVE, trials, num_initial_points=8, seed=seed
    ),
}


def best_value(function: str, oracle: str, *, trials: int, seed: int) -> float:
    """The best value that an oracle finds."""
    value_of, declare = FUNCTIONS[function]
    made = ORACLES[oracle](trials, seed)
    with tempfile.TemporaryDirectory() as folder:
        made._set_project_dir(folder, "search")
        space = keras_tuner.HyperParameters()
        declare(space)
        made.update_space(space)
        best = math.inf
        while (trial := made.create_trial("one")).status == TrialStatus.RUNNING:
            value = value_of(trial.hyperparameters.values)
            best = min(best, value)
            made.update_trial(trial.trial_id, {"val_loss": value})
            trial.status = TrialStatus.COMPLETED
            made.end_trial(trial)
    return best


def compare(*, trials: int, seeds: int, oracles: list[str]) -> pd.DataFrame:
    """Median best value by function and oracle, and how often it is lower than that of random."""
    rows = []
    for function in FUNCTIONS:
        random: list[float] = []
        for oracle in oracles:
            best = [best_value(function, oracle, trials=trials, seed=seed) for seed in range(seeds)]
            random = best if oracle == "random" else random
            is_compared = oracle != "random" and bool(random)
            row = {"function": function, "oracle": oracle, "median best": np.median(best)}
            if is_compared:
                row["better than random"] = sum(map(float.__lt__, best, random))
                row["p"] = wilcoxon(best, random, alternative="less").pvalue
            rows.append(row)
            print(pd.DataFrame([row]).to_string(index=False), flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--oracles", nargs="+", default=list(ORACLES), choices=list(ORACLES))
    arguments = parser.parse_args()
    print(compare(**vars(arguments)).to_string(index=False))


if __name__ == "__main__":
    main()
