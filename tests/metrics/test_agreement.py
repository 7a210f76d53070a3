"""Agreement: the figures of scikit-learn, pingouin and the papers, missing pairs left out."""

from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from rust_tuner.errors import MetricError
from rust_tuner.metrics import (
    Interval,
    intraclass_correlation,
    score_agreement,
    total_agreement,
    union_agreement,
)

Array = npt.NDArray[np.float64]


def numbers(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


# Six targets and four judges: Shrout and Fleiss 1979, table 2.
SHROUT_FLEISS = [
    [9, 2, 5, 8],
    [6, 1, 3, 2],
    [8, 4, 6, 8],
    [7, 1, 2, 6],
    [10, 5, 6, 9],
    [6, 2, 4, 7],
]

# Peak flow in l/min by a large and a mini meter: Bland and Altman, Lancet 1986, table 1.
LARGE_METER = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI_METER = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


@st.composite
def scorings(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two scorings (n, 4) that agree more or less, with gaps; some cortices of one score only."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(0, 40)), 4)
    highest = rng.choice([1, 2, 4], size=4)
    reference = rng.integers(1, highest + 1, size=shape).astype(np.float64)
    other = rng.integers(1, highest + 1, size=shape)
    predicted = np.where(rng.random(shape) < draw(st.sampled_from([0, 0.5, 1])), other, reference)
    for side in (reference, predicted):
        side[rng.random(shape) < draw(st.sampled_from([0, 0.3, 0.9]))] = np.nan
    return reference, predicted


@st.composite
def totals(draw: st.DrawFn) -> tuple[Array, Array]:
    """Totals of the same visits, whole or not, with gaps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num = draw(st.integers(0, 40))
    reference = rng.integers(4, 17, size=num).astype(np.float64)
    predicted = np.clip(reference + rng.normal(draw(st.sampled_from([0, 2])), 2, num), 4, 16)
    predicted = np.round(predicted, draw(st.sampled_from([0, 3])))
    for side in (reference, predicted):
        side[rng.random(num) < draw(st.sampled_from([0, 0.3]))] = np.nan
    return reference, predicted


def pairs_of(reference: Array, predicted: Array) -> tuple[Array, Array]:
    both = ~np.isnan(reference) & ~np.isnan(predicted)
    return reference[both], predicted[both]


def same(found: Interval, expected: tuple[Any, ...], **tolerance: float) -> None:
    np.testing.assert_allclose(numbers(found), expected, **{"rtol": 0, "atol": 1e-10} | tolerance)  # type: ignore[call-overload]


@settings(deadline=None)
@given(scorings())
def test_each_cortex_agrees_with_scikit_learn(scoring: tuple[Array, Array]) -> None:
    found = score_agreement(*scoring)
    for cortex in range(4):
        left, right = pairs_of(scoring[0][:, cortex], scoring[1][:, cortex])
        assert found.pairs[cortex] == len(left)
        if not len(left):
            assert found.confusion[cortex].sum() == 0
            figures = (found.kappa[cortex], found.exact[cortex], found.within_one[cortex])
            assert np.isnan(figures).all()
            continue
        scores = [1, 2, 3, 4]
        np.testing.assert_array_equal(
            found.confusion[cortex], confusion_matrix(left, right, labels=scores)
        )
        assert found.exact[cortex] == np.mean(left == right)
        assert found.within_one[cortex] == pytest.approx(np.mean(abs(left - right) <= 1))
        if len(np.unique([left, right])) == 1:
            assert np.isnan(found.kappa[cortex])
        else:
            kappa = cohen_kappa_score(left, right, labels=scores, weights="quadratic")
            assert found.kappa[cortex] == pytest.approx(kappa, abs=1e-12)


@settings(deadline=None)
@given(scorings())
def test_exchanging_the_scorers_transposes_the_confusion_and_nothing_else(
    scoring: tuple[Array, Array],
) -> None:
    found, exchanged = score_agreement(*scoring), score_agreement(*scoring[::-1])
    np.testing.assert_array_equal(exchanged.confusion, found.confusion.transpose(0, 2, 1))
    for name in ("pairs", "kappa", "exact", "within_one"):
        np.testing.assert_array_equal(getattr(exchanged, name), getattr(found, name))


def test_hand_checked_kappas() -> None:
    # By column: perfect, reversed, by chance, always the same score.
    reference = [[1, 1, 1, 2], [2, 2, 1, 2], [3, 3, 4, 2], [4, 4, 4, 2]]
    predicted = [[1, 4, 1, 2], [2, 3, 4, 2], [3, 2, 1, 2], [4, 1, 4, 2]]
    np.testing.assert_allclose(score_agreement(reference, predicted).kappa, [1, -1, 0, np.nan])


@pytest.mark.parametrize(
    ("reference", "predicted", "message"),
    [
        ([[1, 2, 3]], [[1, 2, 3]], r"reference \(1, 3\).*expected one shape \(n, 4\)"),
        ([[1, 2, 3, 4]], [[1, 2, 3, 4]] * 2, r"predicted \(2, 4\); expected one shape"),
        ([1, 2, 3, 4], [1, 2, 3, 4], r"reference \(4,\)"),
        ([[1, 2, 3, 5]], [[1, 2, 3, 4]], "reference row 0: posterior=5; a RUST score is 1-4 or"),
        ([[1, 2, 3, 4]], [[1, 2.5, 3, 4]], "predicted row 0: lateral=2.5; a RUST score"),
    ],
)
def test_scores_that_are_none_are_refused(reference: Any, predicted: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        score_agreement(reference, predicted)


def analysis_of_variance(ratings: Array) -> tuple[float, float, float]:
    """ICC(2,1) as pingouin and Shrout and Fleiss write it, from sums of squares."""
    n, k = ratings.shape
    whole = ((ratings - ratings.mean()) ** 2).sum()
    between = k * ((ratings.mean(axis=1) - ratings.mean()) ** 2).sum()
    judges = n * ((ratings.mean(axis=0) - ratings.mean()) ** 2).sum()
    bms, jms = between / (n - 1), judges / (k - 1)
    ems = (whole - between - judges) / ((n - 1) * (k - 1))
    icc = (bms - ems) / (bms + (k - 1) * ems + k * (jms - ems) / n)
    ratio = jms / ems
    first = k * icc * ratio + n * (1 + (k - 1) * icc) - k * icc
    second = n * (1 + (k - 1) * icc) - k * icc
    freedom = (n - 1) * (k - 1) * first**2 / ((n - 1) * (k * icc * ratio) ** 2 + second**2)
    f_low = stats.f.ppf(0.975, n - 1, freedom)
    f_high = stats.f.ppf(0.975, freedom, n - 1)
    rest = k * jms + (k * n - k - n) * ems
    low = n * (bms - f_low * ems) / (f_low * rest + n * bms)
    return icc, low, n * (f_high * bms - ems) / (rest + n * f_high * bms)


def random_ratings(seed: int) -> Array:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(3, 60)), int(rng.integers(2, 5)))
    spread = rng.choice([0.3, 1.0, 3.0])
    judges = rng.normal(size=shape[1])
    result: Array = 10 + rng.normal(size=(shape[0], 1)) + spread * rng.normal(size=shape) + judges
    return result


@pytest.mark.parametrize("seed", range(20))
def test_icc_agrees_with_an_analysis_of_variance(seed: int) -> None:
    ratings = random_ratings(seed)
    same(intraclass_correlation(ratings), analysis_of_variance(ratings))


@pytest.mark.slow
# pingouin 0.7 with pandas 3.1.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning")
@pytest.mark.parametrize("seed", range(5))
def test_icc_agrees_with_pingouin(seed: int) -> None:
    pingouin = pytest.importorskip("pingouin")
    ratings = random_ratings(seed)
    wide = pd.DataFrame(ratings).rename_axis("target").reset_index()
    table = pingouin.intraclass_corr(
        wide.melt(id_vars="target", var_name="rater", value_name="rating"),
        targets="target",
        raters="rater",
        ratings="rating",
    )
    # Releases differ in what they call it.
    (row,) = table[table["Type"].isin(["ICC2", "ICC(A,1)"])].to_dict("records")
    (ends,) = (value for name, value in row.items() if name.startswith("CI95"))
    found = intraclass_correlation(ratings)
    assert found.value == pytest.approx(row["ICC"], abs=1e-10)
    # It rounds the interval to two decimals.
    np.testing.assert_allclose((found.low, found.high), ends, rtol=0, atol=0.00501)


def test_icc_is_the_published_one() -> None:
    same(intraclass_correlation(SHROUT_FLEISS), (0.290, 0.019, 0.761), atol=0.0005)


def test_icc_depends_neither_on_order_nor_on_unit_and_leaves_out_what_is_incomplete() -> None:
    ratings = np.array(SHROUT_FLEISS, dtype=np.float64)
    expected = numbers(intraclass_correlation(ratings))
    for other in (ratings[::-1], ratings[:, ::-1], 3 * ratings - 7):
        same(intraclass_correlation(other), expected)
    gap = np.full((2, 4), np.nan)
    gap[0, :3] = 100
    same(intraclass_correlation(np.vstack([gap, ratings])), expected)


def test_a_constant_offset_lowers_the_icc() -> None:
    reference = np.arange(4.0, 12.0)
    found = [intraclass_correlation(np.stack([reference, reference + by], 1)) for by in (0, 1, 4)]
    assert numbers(found[0]) == (1.0, 1.0, 1.0)
    assert 1 > found[1].value > found[2].value > 0
    assert all(interval.low < interval.value < interval.high for interval in found[1:])


@pytest.mark.parametrize(
    "ratings", [np.empty((0, 2)), [[5, 6]], [[5, 5]], [[7, 7], [7, 7]], [[1, 2], [2, 1]]]
)
def test_an_icc_that_is_undefined_is_nan(ratings: Any) -> None:
    assert np.isnan(numbers(intraclass_correlation(ratings))).all()


def test_raters_that_never_vary_have_an_icc_without_an_interval() -> None:
    found = intraclass_correlation([[5, 6]] * 4)
    assert found.value == 0
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ([1, 2], r"ratings \(2,\); expected \(targets, raters\), two raters or more"),
        ([[1], [2]], r"ratings \(2, 1\)"),
        ([[1, np.inf]], "ratings hold infinite values"),
    ],
)
def test_ratings_without_a_meaning_are_refused(ratings: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        intraclass_correlation(ratings)


@settings(deadline=None)
@given(totals())
def test_totals_agree_with_their_definitions(problem: tuple[Array, Array]) -> None:
    found = total_agreement(*problem)
    left, right = pairs_of(*problem)
    difference = right - left
    num = len(left)
    assert found.pairs == num
    np.testing.assert_array_equal(
        numbers(found.icc), numbers(intraclass_correlation(np.stack([left, right], axis=1)))
    )
    if num == 0:
        assert np.isnan([found.mae, found.bias.value]).all()
        return
    assert found.mae == pytest.approx(np.mean(abs(difference)))
    assert found.bias.value == pytest.approx(np.mean(difference), abs=1e-12)
    if num == 1:
        for interval in (found.lower_limit, found.upper_limit):
            assert np.isnan(numbers(interval)).all()
        assert np.isnan([found.bias.low, found.bias.high]).all()
        return
    spread = np.std(difference, ddof=1)
    if spread > 0:
        ends = stats.t.interval(0.95, num - 1, np.mean(difference), stats.sem(difference))
        same(found.bias, (np.mean(difference), *ends))
    error = np.sqrt(1 / num + 1.959964**2 / (2 * (num - 1))) * spread
    reach = stats.t.ppf(0.975, num - 1) * error
    for interval, side in ((found.lower_limit, -1), (found.upper_limit, 1)):
        limit = np.mean(difference) + side * 1.959964 * spread
        same(interval, (limit, limit - reach, limit + reach), atol=1e-5)


def test_the_limits_of_agreement_are_the_published_ones() -> None:
    # Brought into the range of totals and back; the figures follow the unit.
    large, mini = (4 + np.array(meter) / 100 for meter in (LARGE_METER, MINI_METER))
    found = total_agreement(mini, large)
    flow = {name: 100 * np.array(numbers(getattr(found, name))) for name in ("bias", "lower_limit")}
    upper = 100 * np.array(numbers(found.upper_limit))
    # The paper counts large minus mini and rounds limits to two standard deviations.
    np.testing.assert_allclose(flow["bias"], [-2.1, -22.0, 17.8], atol=0.1)
    np.testing.assert_allclose(upper[0] - flow["bias"][0], 1.96 * 38.8, atol=0.1)
    np.testing.assert_allclose(flow["bias"][0] - flow["lower_limit"][0], 1.96 * 38.8, atol=0.1)
    # Its standard error of a limit, sqrt(3 / n) of 38.8, rounds that of their later paper.
    reach = stats.t.ppf(0.975, 16) * np.sqrt(3 / 17) * 38.8
    np.testing.assert_allclose(upper[2] - upper[0], reach, rtol=0.01)


@settings(deadline=None)
@given(totals())
def test_exchanging_the_sides_turns_the_bias_round(problem: tuple[Array, Array]) -> None:
    found, exchanged = total_agreement(*problem), total_agreement(*problem[::-1])
    np.testing.assert_allclose(exchanged.mae, found.mae)
    turned = [-value for value in numbers(found.bias)]
    same(exchanged.bias, (turned[0], turned[2], turned[1]))
    turned = [-value for value in numbers(found.upper_limit)]
    same(exchanged.lower_limit, (turned[0], turned[2], turned[1]))


def test_intervals_of_bias_and_limits_cover_what_they_estimate() -> None:
    rng = np.random.default_rng(0)
    num_draws, bias, spread = 2000, 0.4, 0.5
    truth = {"bias": bias, "lower_limit": bias - 1.959964 * spread}
    truth["upper_limit"] = bias + 1.959964 * spread
    hits = dict.fromkeys(truth, 0)
    for _ in range(num_draws):
        reference = rng.uniform(7, 13, size=60)
        found = total_agreement(reference, reference + rng.normal(bias, spread, size=60))
        for name, value in truth.items():
            hits[name] += getattr(found, name).low <= value <= getattr(found, name).high
    assert all(0.935 < count / num_draws < 0.965 for count in hits.values()), hits


def test_the_cut_off_of_the_prediction_may_be_another_than_the_threshold() -> None:
    found = union_agreement([13, 12, 14, 4], [11, 11, 10, 10], threshold=13, cutoff=11)
    assert astuple(found) == (13.0, 1, 1, 1, 1)
    with pytest.raises(MetricError, match="cutoff=17; a RUST total is 4-16"):
        union_agreement([13], [11], threshold=13, cutoff=17)


@settings(deadline=None)
@given(totals(), st.sampled_from([4, 10, 10.5, 16]))
def test_union_agrees_with_scikit_learn(problem: tuple[Array, Array], threshold: float) -> None:
    found = union_agreement(*problem, threshold=threshold)
    left, right = pairs_of(*problem)
    matrix = np.zeros((2, 2))
    if len(left):
        matrix = confusion_matrix(left >= threshold, right >= threshold, labels=[False, True])
    (tn, fp), (fn, tp) = matrix
    assert astuple(found) == (threshold, tp, fp, fn, tn)
    for figure, part, rest in (
        (found.sensitivity, tp, fn),
        (found.specificity, tn, fp),
        (found.positive_predictive_value, tp, fp),
        (found.negative_predictive_value, tn, fn),
    ):
        if part + rest:
            assert figure == part / (part + rest)
        else:
            assert np.isnan(figure)


def test_a_total_at_the_threshold_is_union() -> None:
    found = union_agreement([10, 9, 16, 4], [10, 10, 9, np.nan], threshold=10)
    assert astuple(found) == (10.0, 1, 1, 1, 0)
    assert found.sensitivity == found.positive_predictive_value == 0.5
    assert (found.specificity, found.negative_predictive_value) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("reference", "predicted", "message"),
    [
        ([4, 5], [4], r"reference \(2,\), predicted \(1,\); expected one shape \(visits,\)"),
        ([[4]], [[4]], r"reference \(1, 1\)"),
        ([4, 17], [4, 4], "reference row 1: total 17; a RUST total is 4-16 or NaN"),
        ([4, 4], [3.9, 4], "predicted row 0: total 3.9; a RUST total is 4-16 or NaN"),
        ([4], [np.inf], "predicted row 0: total inf"),
    ],
)
def test_totals_that_are_none_are_refused(reference: Any, predicted: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        total_agreement(reference, predicted)
    with pytest.raises(MetricError, match=message):
        union_agreement(reference, predicted, threshold=10)


@pytest.mark.parametrize("threshold", [3, 17, np.nan])
def test_a_threshold_that_no_total_can_have_is_refused(threshold: float) -> None:
    with pytest.raises(MetricError, match=f"threshold={threshold}; a RUST total is 4-16"):
        union_agreement([4], [4], threshold=threshold)
