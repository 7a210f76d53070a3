"""AUROC: exactly scikit-learn's, invariant where it must be, and honest about the view."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from rust_tuner.errors import MetricError
from rust_tuner.metrics import (
    auroc,
    average_precision,
    macro_auroc,
    macro_aurocs,
    macro_average,
    macro_average_precision,
    micro_auroc,
    micro_average_precision,
)

Array = npt.NDArray[np.float64]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Labels, scores with more or fewer ties, and a mask; some labels are of one class only."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 60)), draw(st.integers(1, 6)))
    prevalence = rng.choice([0.0, 0.05, 0.5, 0.9, 1.0], size=shape[1])
    truth = (rng.random(shape) < prevalence).astype(np.float64)
    decimals = draw(st.sampled_from([0, 1, 2, 16]))
    score = np.round(rng.normal(size=shape), decimals)
    mask = rng.random(shape) < draw(st.sampled_from([0.2, 0.7, 1.0]))
    return truth, score, mask


def reference(truth: Array, score: Array, mask: npt.NDArray[np.bool_]) -> Array:
    areas = np.full(truth.shape[1], np.nan)
    for label in range(truth.shape[1]):
        rows = mask[:, label]
        if len(np.unique(truth[rows, label])) == 2:
            areas[label] = roc_auc_score(truth[rows, label], score[rows, label])
    return areas


@pytest.mark.slow
@settings(deadline=None)
@given(problems())
def test_each_label_agrees_with_scikit_learn(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]],
) -> None:
    truth, score, mask = problem
    everything = np.ones_like(mask)
    np.testing.assert_allclose(
        auroc(truth, score), reference(truth, score, everything), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        auroc(truth, score, mask), reference(truth, score, mask), rtol=0, atol=1e-12
    )


def test_a_large_problem_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    truth = (rng.random((20_000, 18)) < 0.1).astype(np.float64)
    score = (truth + rng.normal(size=truth.shape)).astype(np.float32)
    mask = rng.random(truth.shape) < 0.5
    np.testing.assert_allclose(
        auroc(truth, score, mask),  # type: ignore[arg-type]
        reference(truth, score, mask),  # type: ignore[arg-type]
        rtol=0,
        atol=1e-12,
    )


@settings(deadline=None)
@given(st.lists(problems(), min_size=1, max_size=4))
def test_folds_at_once_are_the_folds_one_by_one(found: list[Any]) -> None:
    # Folds of one search differ in rows, not in labels.
    num_labels = min(truth.shape[1] for truth, _, _ in found)
    folds = [tuple(part[:, :num_labels] for part in parts) for parts in found]
    places = [f"fold {number}" for number in range(len(folds))]
    truths, scores, masks = (list(parts) for parts in zip(*folds, strict=True))
    everything = [np.ones_like(mask) for mask in masks]
    try:
        expected = [
            [macro_auroc(*fold, where=place) for fold, place in zip(folds, places, strict=True)]
            for folds in (zip(truths, scores, kind, strict=True) for kind in (everything, masks))
        ]
    except MetricError:
        with pytest.raises(MetricError, match=r"^fold .: AUROC is undefined"):
            macro_aurocs(truths, scores, [everything, masks], where=places)
    else:
        assert macro_aurocs(truths, scores, [everything, masks], where=places) == expected


def test_scores_of_a_fold_that_are_not_finite_are_refused_by_name() -> None:
    truth = np.array([[0.0], [1.0]])
    score, mask = np.array([[0.1], [0.2]]), np.ones((2, 1), dtype=bool)
    with pytest.raises(MetricError, match=r"^fold 1: y_score holds values that are not finite"):
        macro_aurocs([truth] * 2, [score, score * np.nan], [[mask] * 2], where=["fold 0", "fold 1"])


@settings(deadline=None)
@given(problems())
def test_macro_is_the_mean_over_the_defined_labels(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]],
) -> None:
    truth, score, mask = problem
    defined = [area for area in reference(truth, score, mask) if not np.isnan(area)]
    if defined:
        assert macro_auroc(truth, score, mask) == pytest.approx(np.mean(defined), abs=1e-12)
    else:
        with pytest.raises(MetricError, match="AUROC is undefined"):
            macro_auroc(truth, score, mask)


@settings(deadline=None)
@given(problems())
def test_a_rising_transform_of_the_scores_changes_nothing(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]],
) -> None:
    truth, score, mask = problem
    # Dense ranks are a rising transform that cannot merge neighbours by rounding.
    levels = np.searchsorted(np.unique(score), score).astype(np.float64)
    for transformed in (levels, levels**3 - 7, np.exp(levels / 400)):
        np.testing.assert_array_equal(auroc(truth, transformed, mask), auroc(truth, score, mask))


@settings(deadline=None)
@given(problems())
def test_reversed_scores_or_labels_give_the_complement(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]],
) -> None:
    truth, score, mask = problem
    areas = auroc(truth, score, mask)
    np.testing.assert_allclose(auroc(truth, -score, mask), 1 - areas, rtol=0, atol=1e-12)
    np.testing.assert_allclose(auroc(1 - truth, score, mask), 1 - areas, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(problems(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]], seed: int
) -> None:
    truth, score, mask = problem
    order = np.random.default_rng(seed).permutation(len(truth))
    np.testing.assert_array_equal(
        auroc(truth[order], score[order], mask[order]), auroc(truth, score, mask)
    )


@settings(deadline=None)
@given(problems(), st.sampled_from([0.0, 1e300, -1e300, np.nan, np.inf, -np.inf]))
def test_what_is_masked_does_not_count(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]], value: float
) -> None:
    truth, score, mask = problem
    np.testing.assert_array_equal(
        auroc(np.where(mask, truth, 1 - truth), np.where(mask, score, value), mask),
        auroc(truth, score, mask),
    )


@settings(deadline=None)
@given(problems())
def test_each_average_precision_agrees_with_scikit_learn(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]],
) -> None:
    truth, score, mask = problem
    for counted, given_mask in ((mask, mask), (np.ones_like(mask), None)):
        expected = np.full(truth.shape[1], np.nan)
        for label in range(truth.shape[1]):
            rows = counted[:, label]
            if len(np.unique(truth[rows, label])) == 2:
                expected[label] = average_precision_score(truth[rows, label], score[rows, label])
        found = average_precision(truth, score, given_mask)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(problems())
def test_micro_is_scikit_learns_area_of_all_entries_at_once(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]],
) -> None:
    truth, score, mask = problem
    for counted, given_mask in ((mask, mask), (np.ones_like(mask), None)):
        area = micro_auroc(truth, score, given_mask)
        if len(np.unique(truth[counted])) == 2:
            assert area == pytest.approx(roc_auc_score(truth[counted], score[counted]), abs=1e-12)
        else:
            assert np.isnan(area)


@settings(deadline=None)
@given(problems())
def test_macro_and_micro_average_precision_agree_with_scikit_learn(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]],
) -> None:
    truth, score, mask = problem
    for counted, given_mask in ((mask, mask), (np.ones_like(mask), None)):
        of_labels = [
            average_precision_score(truth[rows, label], score[rows, label])
            for label, rows in enumerate(counted.T)
            if len(np.unique(truth[rows, label])) == 2
        ]
        macro = macro_average_precision(truth, score, given_mask)
        micro = micro_average_precision(truth, score, given_mask)
        if of_labels:
            assert macro == pytest.approx(np.mean(of_labels), abs=1e-12)
        else:
            assert np.isnan(macro)
        if len(np.unique(truth[counted])) == 2:
            expected = average_precision_score(truth[counted], score[counted])
            assert micro == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(micro)


def test_an_average_says_over_how_many_labels_it_is() -> None:
    found = macro_average([0.5, np.nan, 1.0])
    assert (found.value, found.defined, found.labels) == (0.75, 2, 3)
    assert str(found) == "0.750 (2 of 3 labels defined)"
    nothing = macro_average([np.nan])
    assert np.isnan(nothing.value)
    assert (nothing.defined, nothing.labels) == (0, 1)


@settings(deadline=None)
@given(problems(), st.integers(0, 2**32 - 1))
def test_average_precision_depends_on_the_order_of_the_scores_only(
    problem: tuple[Array, Array, npt.NDArray[np.bool_]], seed: int
) -> None:
    truth, score, mask = problem
    expected = average_precision(truth, score, mask)
    levels = np.searchsorted(np.unique(score), score).astype(np.float64)
    hidden = np.where(mask, levels**3, np.nan)
    found = average_precision(truth, hidden, mask)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    order = np.random.default_rng(seed).permutation(len(truth))
    shuffled = average_precision(truth[order], score[order], mask[order])
    np.testing.assert_allclose(shuffled, expected, rtol=0, atol=1e-12)


def test_hand_checked_average_precisions() -> None:
    # By column: right, wrong, all tied, nothing positive, everything positive.
    truth = [[0, 1, 1, 0, 1], [0, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1]]
    score = [[1, 1, 5, 1, 1], [2, 2, 5, 2, 2], [3, 3, 5, 3, 3], [4, 4, 5, 4, 4]]
    expected = [1.0, 0.25, 0.25, np.nan, np.nan]
    np.testing.assert_array_equal(average_precision(truth, score), expected)


def test_hand_checked_areas() -> None:
    truth = np.array([[0, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 1, 0]])
    score = np.array(
        [[0.1, 0.1, 0.5, 0.1], [0.4, 0.2, 0.5, 0.2], [0.3, 0.3, 0.5, 0.3], [0.8, 0.4, 0.5, 0.4]]
    )
    np.testing.assert_array_equal(auroc(truth, score), [0.75, 0.0, 0.5, np.nan])


def test_labels_and_scores_of_any_numeric_type_are_taken() -> None:
    truth, score = [[0, 1], [1, 0], [0, 1]], [[1, 2], [3, 4], [2, 4]]
    expected = [1.0, 0.25]
    for kind in (bool, np.int8, np.float32):
        np.testing.assert_array_equal(auroc(np.array(truth, dtype=kind), score), expected)
    np.testing.assert_array_equal(auroc(truth, np.asarray(score, np.float16)), expected)


def test_inputs_are_left_as_they_are() -> None:
    truth, score = np.array([[0.0], [1.0]]), np.array([[2.0], [1.0]])
    mask = np.array([[True], [False]])
    before = truth.copy(), score.copy(), mask.copy()
    auroc(truth, score, mask)
    for now, then in zip((truth, score, mask), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("where", ["fold 3", "trial 0007, fold 3, epoch 2, validation"])
def test_an_undefined_macro_names_its_fold(where: str) -> None:
    truth = np.array([[0, 1], [0, 1]])
    with pytest.raises(
        MetricError, match=f"^{where}: AUROC is undefined for all 2 labels: .*use fewer folds"
    ):
        macro_auroc(truth, np.zeros((2, 2)), where=where)


def test_an_undefined_macro_without_a_place_says_so_without_one() -> None:
    with pytest.raises(MetricError, match=r"^AUROC is undefined: the label does not have both"):
        macro_auroc([[0]], [[0.5]])


def test_no_rows_have_no_area() -> None:
    nothing = np.empty((0, 3))
    np.testing.assert_array_equal(auroc(nothing, nothing), [np.nan] * 3)
    np.testing.assert_array_equal(average_precision(nothing, nothing), [np.nan] * 3)
    assert np.isnan(micro_auroc(nothing, nothing))


@pytest.mark.parametrize(
    ("truth", "score", "mask", "message"),
    [
        ([[0, 1]], [[0.1]], None, r"y_true \(1, 2\), y_score \(1, 1\).*one shape"),
        ([[0, 1]], [[0.1, 0.2]], [[True]], r"mask \(1, 1\); expected one shape"),
        ([0, 1], [0.1, 0.2], None, r"y_true \(2,\).*one shape \(n, labels\)"),
        ([[0], [2]], [[0.1], [0.2]], None, "y_true holds values other than 0 and 1"),
        ([[0], [0.5]], [[0.1], [0.2]], None, "y_true holds values other than 0 and 1"),
        ([[0], [np.nan]], [[0.1], [0.2]], None, "y_true holds values other than 0 and 1"),
        ([[0], [1]], [[0.1], [np.nan]], None, "y_score holds nan at row 1, label 0"),
        ([[0, 1]], [[0.1, np.inf]], None, "y_score holds inf at row 0, label 1"),
        ([[0], [1]], [[0.1], [0.2]], [[1], [1]], "mask of dtype int64; expected bool"),
    ],
)
def test_input_without_a_meaning_is_refused(
    truth: Any, score: Any, mask: Any, message: str
) -> None:
    for function in (
        auroc,
        macro_auroc,
        micro_auroc,
        average_precision,
        macro_average_precision,
        micro_average_precision,
    ):
        with pytest.raises(MetricError, match=message):
            function(truth, score, mask)
