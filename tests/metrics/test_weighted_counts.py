"""Weighted figures: with all ones, and with rows repeated, those of the plain functions."""

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.metrics import (
    brier_score,
    decisions,
    macro_average,
    score_agreement,
    total_agreement,
    union_agreement,
)
from rust_tuner.metrics.weighted_counts import (
    WeightedAgreement,
    WeightedBrier,
    WeightedDecisions,
    WeightedTotals,
    WeightedUnion,
)

Array = npt.NDArray[np.float64]

seeds = st.integers(0, 2**32 - 1)


def repeated(rng: np.random.Generator, num_rows: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Weights (n, 3): all ones, none or once, up to three times; and the rows of the last."""
    times = np.stack(
        [np.ones(num_rows), rng.integers(0, 2, num_rows), rng.integers(0, 4, num_rows)], axis=1
    )
    return times, np.repeat(np.arange(num_rows), times[:, 2].astype(int))


def with_macro(*figures: Array) -> Array:
    return np.concatenate([[macro_average(each).value, *each] for each in figures])


@settings(deadline=None)
@given(seeds, st.integers(0, 40), st.sampled_from([0.0, 0.5, 0.7]))
def test_decisions_and_brier_scores_are_those_of_the_rows_repeated(
    seed: int, num_rows: int, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    shape = (num_rows, 4)
    truth = (rng.random(shape) < [0.0, 0.2, 0.5, 1.0]) * 1.0
    prob = np.round(rng.random(shape), rng.choice([1, 16]))
    mask = rng.random(shape) < 0.7
    weights, rows = repeated(rng, num_rows)
    found = WeightedDecisions(truth, prob, mask, threshold=threshold)(weights)
    scores = WeightedBrier(truth, prob, mask)(weights)
    assert found.shape == (3, 15)
    assert scores.shape == (3, 5)
    for place, chosen in ((0, np.arange(num_rows)), (2, rows)):
        problem = truth[chosen], prob[chosen]
        table = decisions(*problem, threshold, mask[chosen])
        expected = with_macro(table.precision, table.recall, table.f1)
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-12)
        expected = with_macro(brier_score(*problem, mask[chosen]))
        np.testing.assert_allclose(scores[place], expected, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(seeds, st.integers(0, 40))
def test_agreements_are_those_of_the_rows_repeated(seed: int, num_rows: int) -> None:
    rng = np.random.default_rng(seed)
    reference, predicted = (
        rng.integers(1, [2, 3, 5, 5], size=(num_rows, 4)).astype(np.float64) for _ in range(2)
    )
    reference[rng.random(reference.shape) < 0.4] = np.nan
    weights, rows = repeated(rng, num_rows)
    found = WeightedAgreement(reference, predicted)(weights)
    assert found.shape == (3, 5 * len(WeightedAgreement.names))
    for place, chosen in ((0, np.arange(num_rows)), (2, rows)):
        table = score_agreement(reference[chosen], predicted[chosen])
        expected = with_macro(
            table.exact, table.balanced_accuracy, table.macro_f1, table.kappa, table.within_one
        )
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(seeds, st.integers(0, 40), st.sampled_from(["whole", "fractions", "equal", "constant"]))
def test_totals_and_unions_are_those_of_the_rows_repeated(
    seed: int, num_rows: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.integers(4, 17, size=num_rows).astype(np.float64)
    predicted = np.clip(reference + rng.normal(0.5, 2, num_rows), 4, 16)
    if kind == "whole":
        predicted = np.round(predicted)
    elif kind == "equal":
        predicted = reference
    elif kind == "constant":
        reference, predicted = np.full(num_rows, 9.1), np.full(num_rows, 9.1)
    weights, rows = repeated(rng, num_rows)
    found = WeightedTotals(reference, predicted)(weights)
    unions = WeightedUnion(reference, predicted, threshold=10, cutoff=9)(weights)
    assert found.shape == (3, len(WeightedTotals.names))
    for place, chosen in ((0, np.arange(num_rows)), (2, rows)):
        pair = reference[chosen], predicted[chosen]
        table = total_agreement(*pair)
        expected = [
            getattr(figure := getattr(table, name), "value", figure)
            for name in WeightedTotals.names
        ]
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-10)
        union = union_agreement(*pair, threshold=10, cutoff=9)
        expected = [getattr(union, name) for name in WeightedUnion.names]
        np.testing.assert_allclose(unions[place], expected, rtol=0, atol=1e-12)
