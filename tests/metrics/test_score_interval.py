"""Score and t intervals: their ends solve their equations, hold the estimate, and stay in range."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rust_tuner.metrics.score_interval import (
    AGREEMENT_SCALE,
    UNIT_SCALE,
    amount_scale,
    area_variance,
    moderated,
    plain_scale,
    score_interval,
    share_interval,
    t_interval,
    unseen_variance,
)

shares = st.floats(0, 1)
variances = st.floats(0, 0.25)
patients = st.integers(1, 2000)


def test_the_model_is_the_exact_variance_where_a_score_tells_nothing() -> None:
    for m, n in ((2, 3), (5, 40)):
        # Of the Mann-Whitney statistic under no difference.
        assert float(area_variance(0.5, np.array(m), np.array(n))) == pytest.approx(
            (m + n + 1) / (12 * m * n)
        )


def test_the_model_is_the_variance_of_simulated_normal_scores() -> None:
    rng = np.random.default_rng(0)
    area, m, n = 0.9, 6, 15
    apart = stats.norm.ppf(area) * math.sqrt(2)
    positives = rng.normal(apart, size=(20_000, m, 1))
    negatives = rng.normal(size=(20_000, 1, n))
    found = (positives > negatives).mean(axis=(1, 2))
    expected = float(area_variance(area, np.array(m), np.array(n)))
    assert found.var() == pytest.approx(expected, rel=0.05)


def test_a_share_whose_variance_is_the_models_has_wilsons_interval_with_t() -> None:
    share, count = 0.85, 40
    low, high = share_interval(share, share * (1 - share) / count, patients=count)
    z = stats.t.ppf(0.975, 4 + count - 1)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-9)


@pytest.mark.parametrize("count", [8, 30, 150, 300])
def test_a_share_interval_covers_shares_close_to_0_and_1_too(count: int) -> None:
    """Wilson's alone covers a share of 0.17 / n in 84 %."""
    hits = np.arange(count + 1)
    rows = [
        share_interval(hit / count, hit * (count - hit) / count**2 / (count - 1), patients=count)
        for hit in hits
    ]
    low, high = np.array(rows).T
    near = np.linspace(0.002, 4, 2000) / count
    trues = np.concatenate([near, 1 - near, np.linspace(0.05, 0.95, 91)])[:, None]
    is_covered = (low <= trues) & (trues <= high)
    assert (stats.binom.pmf(hits, count, trues) * is_covered).sum(axis=1).min() > 0.91


@given(shares, variances, patients)
def test_a_share_interval_holds_its_estimate_and_stays_in_range(
    value: float, variance: float, count: int
) -> None:
    low, high = share_interval(value, variance, patients=count)
    assert 0 <= low <= value <= high <= 1
    assert low < high


@given(shares, variances, st.integers(1, 200), st.integers(1, 200))
def test_an_area_interval_holds_its_estimate_and_stays_in_range(
    value: float, variance: float, m: int, n: int
) -> None:
    def model(true: float) -> float:
        return float(area_variance(true, np.array(m), np.array(n)))

    low, high = score_interval(value, variance, model, patients=min(m, n))
    assert 0 <= low <= value <= high <= 1
    assert low < high


@given(
    st.sampled_from([UNIT_SCALE, AGREEMENT_SCALE, amount_scale(12.0), plain_scale(-12.0, 12.0)]),
    shares,
    variances,
    st.integers(1, 500),
)
def test_a_t_interval_holds_its_estimate_and_stays_in_range(
    scale: Any, place: float, variance: float, degrees: int
) -> None:
    lowest, highest = scale.bounds
    value = lowest + place * (highest - lowest)
    ends = t_interval(value, variance, degrees=degrees, scale=scale)
    if ends is None:
        assert variance == 0 or value in (lowest, highest)
    else:
        assert lowest <= ends[0] <= value <= ends[1] <= highest


def test_a_t_interval_on_the_plain_scale_is_students() -> None:
    score = np.random.default_rng(0).normal(size=30)
    expected = stats.ttest_1samp(score, 0).confidence_interval()
    found = t_interval(score.mean(), score.var(ddof=1) / 30, degrees=29, scale=plain_scale())
    assert found == pytest.approx((expected.low, expected.high))


def test_few_patients_lean_on_the_model_and_many_on_the_data() -> None:
    assert moderated(0.0, 1.0, 1) == 1
    assert moderated(0.0, 1.0, 5) == 0.5
    assert moderated(0.0, 1.0, 1000) < 0.005


def test_a_share_of_none_or_all_lacks_the_variance_of_two_patients_more_on_either_side() -> None:
    # 2 of 9 in place of 0 of 5, and 7 of 9 in place of 5 of 5.
    assert unseen_variance([0.0, 1.0], [5, 5]) == pytest.approx([14 / 81 / 5] * 2)
    # Shares near one half have all of their variance; undefined ones lack none.
    assert unseen_variance([0.5, np.nan, 0.0], [5, 5, 0]).tolist() == [0, 0, 0]
    assert unseen_variance(0.0, 10_000) < 1e-7
