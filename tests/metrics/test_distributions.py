"""The quantiles and tails are exactly SciPy's."""

import numpy as np
import pytest
from scipy import stats

from rust_tuner.metrics.agreement import LIMIT_REACH
from rust_tuner.metrics.distributions import (
    chi_square_quantile,
    f_quantile,
    normal_quantile,
    studentized_range_quantile,
    studentized_range_tail,
    t_quantile,
    t_tail,
)

RNG = np.random.default_rng(0)
CASES = [
    (float(p), int(n), float(m))
    for p, n, m in zip(
        RNG.random(50), RNG.integers(1, 300, 50), RNG.integers(1, 300, 50), strict=True
    )
]


@pytest.mark.parametrize(("probability", "freedom", "other"), CASES)
def test_they_are_those_of_scipys_distributions(
    probability: float, freedom: int, other: float
) -> None:
    assert normal_quantile(probability) == stats.norm.ppf(probability)
    assert t_quantile(probability, freedom) == stats.t.ppf(probability, freedom)
    assert t_tail(4 * probability, freedom) == stats.t.sf(4 * probability, freedom)
    assert f_quantile(probability, freedom, other) == stats.f.ppf(probability, freedom, other)
    assert chi_square_quantile(probability, other) == stats.chi2.ppf(probability, other)


def test_the_limits_of_agreement_reach_the_normal_quantile() -> None:
    assert stats.norm.ppf(0.975) == LIMIT_REACH


def test_those_of_the_studentized_range_are_scipys() -> None:
    assert studentized_range_tail(3.5, 4, 20) == stats.studentized_range.sf(3.5, 4, 20)
    for num_means in (4, 5):
        quantile = stats.studentized_range.ppf(0.95, num_means, 20)
        assert studentized_range_quantile(0.95, num_means, 20) == quantile


def test_what_is_undefined_is_nan() -> None:
    assert np.isnan(t_quantile(0.975, 0))
