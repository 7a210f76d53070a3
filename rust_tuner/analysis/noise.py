"""The noise floor of a study, from its records only and without TensorFlow.

The score of one configuration varies with the seed and with the assignment to folds. A difference
between two configurations, or between two studies, has to exceed this variation.
"""

import math

import pandas as pd

from rust_tuner.metrics.distributions import chi_square_quantile, t_quantile
from rust_tuner.metrics.fold_interval import UNIT
from rust_tuner.metrics.uncertainty import TAILS
from rust_tuner.records.noise import METRICS_REPEATED, NoiseFloor

KINDS = {"seed": "other seeds, same folds", "assignment": "other assignments to folds"}
_SEEDS = (
    "Seeds: the same folds with other initial weights, order, flips and dropout; the noise between "
    "two trials of one search. "
)
_ASSIGNMENTS = "Assignments: the patients assigned to folds again; the noise between two studies. "
_COLUMNS = (
    "SD: standard deviation of the repeats. 95 % range: where one more repeat "
    "is expected. Difference: exceeded by two repeats of the same configuration in no more than "
    "5 % of cases. All but mean and SD assume that the scores are normally distributed."
)


def noise_caption(floor: NoiseFloor) -> str:
    """What the rows and columns of `noise_spread` mean; folds by site are not assigned again."""
    return _SEEDS + (_ASSIGNMENTS if floor.run.assignments else "") + _COLUMNS


def noise_spread(values: pd.DataFrame) -> pd.DataFrame:
    """How much the repeats of each kind vary.

    Args:
        values: `kind, repeat, metric, value`, as `NoiseFloor.values`.

    Returns:
        `kind, metric, repeats, mean, std` (n - 1), `std_low` and `std_high` (the 95 % confidence
        interval of the standard deviation, from chi-squared), `low` and `high` (the 95 %
        prediction interval of one more repeat, from Student's t), `difference` (exceeded by two
        repeats in no more than 5 % of cases), all within what scores in [0, 1] allow. All but
        `mean` are NaN if there are fewer than two repeats; the last five assume that the scores
        are normally distributed.
    """
    rows = []
    for kind in KINDS:
        for metric in METRICS_REPEATED:
            scores = values[(values["kind"] == kind) & (values["metric"] == metric)]["value"]
            if scores.empty:
                continue
            number, mean = len(scores), float(scores.mean())
            row: dict[str, object] = {
                "kind": kind,
                "metric": metric,
                "repeats": number,
                "mean": mean,
            }
            row |= _spread(float(scores.std(ddof=1)), number, mean) if number > 1 else {}
            rows.append(row)
    names = ["kind", "metric", "repeats", "mean", "std", "std_low", "std_high", "low", "high"]
    return pd.DataFrame(rows, columns=[*names, "difference"])


def _spread(std: float, number: int, mean: float) -> dict[str, float]:
    freedom = number - 1
    quantile = t_quantile(TAILS[1], freedom)
    reach = quantile * std * math.sqrt(1 + 1 / number)
    low, high = (
        std * math.sqrt(freedom / chi_square_quantile(tail, freedom)) for tail in TAILS[::-1]
    )
    # The standard deviation of scores in [0, 1] is at most that of a coin, half their width.
    width = UNIT[1] - UNIT[0]
    return {
        "std": std,
        "std_low": min(low, width / 2),
        "std_high": max(min(high, width / 2), std),
        "low": max(mean - reach, UNIT[0]),
        "high": min(mean + reach, UNIT[1]),
        "difference": min(quantile * std * math.sqrt(2), width),
    }
