"""The noise floor of a study, from its records alone and without TensorFlow.

What the score of one configuration varies by, under other seeds and other assignments to folds, is
what a difference between two configurations, or between two studies, has to exceed.
"""

import math

import pandas as pd
from scipy import stats

from rust_tuner.metrics.uncertainty import TAILS
from rust_tuner.records.noise import METRICS_REPEATED

KINDS = {"seed": "other seeds, same folds", "assignment": "other assignments to folds"}
NOISE_CAPTION = (
    "Seeds: the same folds, other initial weights, order, flips and dropout; the noise between two "
    "trials of one search. Assignments: the patients divided into folds anew; the noise between "
    "two studies. SD: standard deviation of the repeats. 95 % range: where one more repeat is "
    "expected. Difference: what two repeats of the same configuration differ by in no more than "
    "5 % of cases. All but mean and SD take the scores as normal."
)


def noise_spread(values: pd.DataFrame) -> pd.DataFrame:
    """What the repeats of each kind vary by.

    Args:
        values: `kind, repeat, metric, value`, as `NoiseFloor.values`.

    Returns:
        `kind, metric, repeats, mean, std` (n - 1), `std_low` and `std_high` (the 95 % confidence
        interval of the standard deviation, from chi-squared), `low` and `high` (the 95 %
        prediction interval of one more repeat, from Student's t), `difference` (what two repeats
        differ by in no more than 5 % of cases). All but `mean` are NaN where there are fewer than
        two repeats; the last five take the scores as normal.
    """
    rows = []
    for kind in KINDS:
        for metric in METRICS_REPEATED:
            own = values[(values["kind"] == kind) & (values["metric"] == metric)]["value"]
            if own.empty:
                continue
            number, mean = len(own), float(own.mean())
            row: dict[str, object] = {
                "kind": kind,
                "metric": metric,
                "repeats": number,
                "mean": mean,
            }
            row |= _spread(float(own.std(ddof=1)), number, mean) if number > 1 else {}
            rows.append(row)
    names = ["kind", "metric", "repeats", "mean", "std", "std_low", "std_high", "low", "high"]
    return pd.DataFrame(rows, columns=[*names, "difference"])


def _spread(std: float, number: int, mean: float) -> dict[str, float]:
    freedom = number - 1
    quantile = float(stats.t.ppf(TAILS[1], freedom))
    reach = quantile * std * math.sqrt(1 + 1 / number)
    low, high = (std * math.sqrt(freedom / stats.chi2.ppf(tail, freedom)) for tail in TAILS[::-1])
    return {
        "std": std,
        "std_low": low,
        "std_high": high,
        "low": mean - reach,
        "high": mean + reach,
        "difference": quantile * std * math.sqrt(2),
    }
