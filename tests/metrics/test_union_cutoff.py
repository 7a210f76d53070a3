"""The cut-off of the predicted total: the best one on the given data, or the threshold and why."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import balanced_accuracy_score

from rust_tuner.errors import MetricError
from rust_tuner.metrics import VisitTotals, choose_union_cutoff
from rust_tuner.metrics.union_cutoff import CUTOFFS


def totals(
    reference: npt.NDArray[np.int64] | list[int],
    predicted: npt.NDArray[np.float64] | list[int],
    patients: list[int] | None = None,
) -> VisitTotals:
    number = len(reference)
    owners = np.arange(number) if patients is None else patients
    return VisitTotals(
        np.asarray(reference, float),
        np.asarray(predicted, float),
        np.asarray(owners).astype(object),
        number,
    )


def test_the_best_of_all_cut_offs_by_balanced_accuracy_is_taken() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        reference = rng.integers(4, 17, size=80)
        predicted = np.clip(np.round(10 + 0.5 * (reference - 10) + rng.normal(size=80)), 4, 16)
        found = choose_union_cutoff(totals(reference, predicted), threshold=13, of="visits")
        scores = [
            balanced_accuracy_score(reference >= 13, predicted >= cutoff) for cutoff in CUTOFFS
        ]
        assert found.chosen
        assert scores[CUTOFFS.index(found.value)] == pytest.approx(max(scores))
        assert found.youden == pytest.approx(2 * max(scores) - 1)
        # Totals that are drawn towards the middle reach 13 too seldom.
        assert found.value < 13
        assert (found.visits, found.united) == (80, (reference >= 13).sum())


def test_of_equally_good_cut_offs_the_nearest_to_the_threshold_is_taken() -> None:
    reference = [5] * 10 + [15] * 10
    for low, high, expected in ((5, 15, 13), (5, 12, 12), (13, 16, 14)):
        predicted = [low] * 10 + [high] * 10
        found = choose_union_cutoff(totals(reference, predicted), threshold=13, of="visits")
        assert (found.value, found.youden) == (expected, 1.0)


@pytest.mark.parametrize(
    ("reference", "predicted", "patients", "reason"),
    [
        ([], [], None, "visits have 0 patients with a complete visit that is united"),
        ([14] * 4 + [5] * 9, [14] * 13, None, "have 4 patients with a complete visit that is unit"),
        (
            [14] * 9 + [5],
            [14] * 10,
            None,
            "have 1 patient with a complete visit that is not united",
        ),
        (
            [14] * 9 + [5] * 9,
            [10] * 18,
            None,
            "no cut-off of visits predicts union better than chance",
        ),
        ([14] * 9 + [5] * 9, [9] * 9 + [14] * 9, None, "better than chance"),
        ([14] * 9 + [5] * 9, [14] * 9 + [5] * 9, np.repeat([0, 1, 2], 6), "have 2 patients with"),
    ],
)
def test_where_nothing_can_be_chosen_the_threshold_is_taken_and_it_says_why(
    reference: list[int], predicted: list[int], patients: list[int] | None, reason: str
) -> None:
    found = choose_union_cutoff(totals(reference, predicted, patients), threshold=13, of="visits")
    assert (found.value, found.threshold, found.chosen) == (13, 13, False)
    assert found.how.startswith("not chosen, the threshold of the true total is taken: ")
    assert reason in found.how
    assert found.to_json()["youden"] is None


def test_a_threshold_that_no_total_can_have_is_refused() -> None:
    with pytest.raises(MetricError, match="threshold=17; a RUST total is 4-16"):
        choose_union_cutoff(totals([4], [4]), threshold=17, of="visits")
