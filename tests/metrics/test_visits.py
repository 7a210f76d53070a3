"""Visits: four cortices from two views, as the label table's own totals, and nothing made up."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rust_tuner.data.phantoms import phantom_table
from rust_tuner.errors import MetricError
from rust_tuner.labels import CORTICES
from rust_tuner.metrics import paired_totals

NAN = np.nan


def test_the_reference_is_the_total_of_the_manifests_visits() -> None:
    table = phantom_table(patients=80, seed=3)
    scores = table[list(CORTICES)].astype("float64").to_numpy()
    known = table.assign(**dict(zip(CORTICES, scores.T, strict=True)))
    by_visit = known.groupby(["patient_id", "visit"], sort=False)[list(CORTICES)].max()
    expected = by_visit.assign(total=by_visit.sum(axis=1, skipna=False)).reset_index()
    found = paired_totals(scores, scores, table["patient_id"], table["visit"])
    assert found.num_visits == len(expected)
    complete = expected.dropna(subset=["total"])
    assert 0 < len(complete) < len(expected)
    np.testing.assert_array_equal(found.reference, complete["total"])
    np.testing.assert_array_equal(found.patient_ids, complete["patient_id"])
    np.testing.assert_array_equal(found.visits, complete["visit"])


def test_a_cortex_counts_where_both_sides_score_it_and_a_visit_where_all_four_do() -> None:
    reference = [[1, 2, NAN, NAN], [NAN, NAN, 3, 4], [1, 1, NAN, NAN], [NAN, NAN, 2, NAN]]
    predicted = [[2, 2, 4, 4], [1, 1, 3, 1], [1, 1, NAN, NAN], [NAN, NAN, 2, 2]]
    found = paired_totals(reference, predicted, ["a", "a", "b", "b"], ["x", "x", "x", "x"])  # type: ignore[arg-type]
    assert found.reference.tolist() == [10]
    assert found.predicted.tolist() == [2 + 2 + 3 + 1]
    assert found.patient_ids.tolist() == ["a"]
    assert found.num_visits == 2


def test_radiographs_taken_twice_are_averaged() -> None:
    reference = [[1, 2, 3, 4], [3, NAN, NAN, NAN]]
    predicted = [[1, 2, 3, 4], [4, 4, 4, 4]]
    found = paired_totals(reference, predicted, ["a", "a"], ["x", "x"])  # type: ignore[arg-type]
    assert found.reference.tolist() == [2 + 2 + 3 + 4]
    assert found.predicted.tolist() == [2.5 + 2 + 3 + 4]


@given(
    exposures=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=9), min_size=4, max_size=4)
)
@example(exposures=[[3, 3, 4], [3, 4, 4], [3], [3, 3, 3]])
@example(exposures=[[3, 3, 4], [3, 3, 4], [3, 3, 4], [3]])
def test_a_total_is_the_number_nearest_to_the_exact_sum_of_the_means(
    exposures: list[list[int]],
) -> None:
    rows = max(map(len, exposures))
    scores = np.full((rows, 4), np.nan)
    for cortex, values in enumerate(exposures):
        scores[: len(values), cortex] = values
    exact = sum(Fraction(sum(values), len(values)) for values in exposures)
    found = paired_totals(scores, scores, ["a"] * rows, ["x"] * rows)
    assert found.reference.tolist() == found.predicted.tolist() == [float(exact)]


def test_a_predicted_total_may_be_a_fraction() -> None:
    scores = [[2.5, 3, NAN, NAN], [NAN, NAN, 1, 4]]
    assert paired_totals(scores, scores, ["a", "a"], ["x", "x"]).predicted.tolist() == [10.5]


def test_visits_of_one_name_are_not_those_of_another_patient_and_order_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    reference = rng.integers(1, 5, size=(40, 4)).astype(float)
    predicted = rng.integers(1, 5, size=(40, 4)).astype(float)
    table = pd.DataFrame({"patient": np.arange(40) // 4, "visit": np.arange(40) // 2 % 2})
    found = paired_totals(reference, predicted, table["patient"], table["visit"])
    assert found.num_visits == 20
    order = rng.permutation(40)
    again = paired_totals(
        reference[order], predicted[order], table["patient"][order], table["visit"][order]
    )
    for one, other in (
        (found.reference, again.reference),
        (found.predicted, again.predicted),
        (found.patient_ids, again.patient_ids),
    ):
        np.testing.assert_array_equal(np.sort(one), np.sort(other))


def test_nothing_is_no_visit() -> None:
    nothing = np.empty((0, 4))
    found = paired_totals(nothing, nothing, [], [])
    assert (len(found.reference), found.num_visits) == (0, 0)


@pytest.mark.parametrize(
    ("reference", "patients"), [([[1, 2, 3]], ["a"]), ([[1, 2, 3, 4]], ["a", "b"])]
)
def test_what_does_not_fit_together_is_refused(
    reference: list[list[float]], patients: list[str]
) -> None:
    with pytest.raises(MetricError, match=r"expected \(n, 4\) twice and \(n,\) twice"):
        paired_totals(reference, reference, patients, ["x"])
