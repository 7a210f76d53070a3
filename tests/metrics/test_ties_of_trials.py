"""Ties: the tests of `metrics.comparison` on what a search records, where it records enough."""

from typing import Any

import numpy as np
import pytest

from rust_tuner.metrics import corrected_t_test, tied_with_best
from rust_tuner.metrics.ties import fold_overlap, ties

SUBJECT = {"units": {"kind": "patients", "training": [9, 11, 10], "validation": [5, 6, 4]}}


def draw(seed: int = 0, num_trials: int = 5) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    scores = 0.8 + 0.05 * rng.normal(size=(num_trials, 1)) + 0.01 * rng.normal(size=(num_trials, 3))
    return {f"{number:04d}": list(row) for number, row in enumerate(scores)}


@pytest.mark.parametrize("direction", ["max", "min"])
def test_trials_are_compared_by_the_units_that_folds_share(direction: str) -> None:
    scores = draw()
    found = ties(scores, SUBJECT, direction=direction)
    sign = 1 if direction == "max" else -1
    table = sign * np.array(list(scores.values()))
    overlap = np.mean([5 / 9, 6 / 11, 4 / 10])
    assert fold_overlap(SUBJECT) == pytest.approx(overlap)
    expected = tied_with_best(table, 1, float(overlap))
    assert 0 < sum(expected) < len(expected)
    assert [tie.tied for tie in found.values()] == expected.tolist()
    best = table[table.mean(axis=1).argmax()]
    for tie, own in zip(found.values(), table, strict=True):
        assert tie.p_value == pytest.approx(corrected_t_test(best, own, 1, float(overlap)).p_value)


def test_a_trial_whose_score_is_not_finite_is_left_out() -> None:
    scores = draw()
    expected = ties(scores, SUBJECT, direction="max")
    found = ties(scores | {"0009": [0.9, np.nan, 0.9]}, SUBJECT, direction="max")
    assert found == expected


@pytest.mark.parametrize(
    "subject",
    [
        {},
        {"units": None},
        {"units": {"training": [1, 2]}},
        {"units": {"training": "many", "validation": [1]}},
        {"units": {"training": [0], "validation": [1]}},
        {"units": {"training": [], "validation": [1]}},
    ],
)
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
def test_where_units_are_not_known_nothing_is_said(subject: dict[str, Any]) -> None:
    assert ties(draw(), subject, direction="max") == {}


def test_no_trials_have_no_ties() -> None:
    assert ties({}, SUBJECT, direction="max") == {}
