"""Quantiles and tails of the distributions that intervals and tests need.

SciPy is imported when the first one is computed: it takes up to a second, and most commands compute
none. The values are those of `scipy.stats`, whose distributions call the same special functions.
"""

import functools


def normal_quantile(probability: float) -> float:
    """The quantile of the standard normal distribution."""
    from scipy import special

    return float(special.ndtri(probability))


def t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t; `freedom` is its degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(freedom, probability))


def t_tail(statistic: float, freedom: float) -> float:
    """The probability that Student's t exceeds a value."""
    from scipy import special

    return float(special.stdtr(freedom, -statistic))


def f_quantile(probability: float, numerator: float, denominator: float) -> float:
    """The quantile of F, with the degrees of freedom of its numerator and denominator."""
    from scipy import special

    return float(special.fdtri(numerator, denominator, probability))


def chi_square_quantile(probability: float, freedom: float) -> float:
    """The quantile of chi-square; `freedom` is its degrees of freedom."""
    from scipy import special

    return float(2 * special.gammaincinv(freedom / 2, probability))


def studentized_range_tail(statistic: float, num_means: int, freedom: int) -> float:
    """The probability of a studentised range of at least this; takes about 10 ms."""
    from scipy import stats

    return float(stats.studentized_range.sf(statistic, num_means, freedom))


@functools.cache
def studentized_range_quantile(probability: float, num_means: int, freedom: int) -> float:
    """The quantile of the studentised range; takes 0.1 to 0.3 s, once for the same arguments."""
    from scipy import stats

    return float(stats.studentized_range.ppf(probability, num_means, freedom))
