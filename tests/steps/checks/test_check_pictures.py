"""The same picture twice: whose it is decides the verdict."""

import pandas as pd
import pytest
from hold_out_sets import sealed

from rust_tuner.data.near_duplicates import SimilarPair
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.steps.checks.pictures import check_pictures


@pytest.fixture
def radiographs() -> Radiographs:
    """Two radiographs of each of P1 to P3."""
    rows = [
        {
            "image": f"{patient}_{view}.png",
            "patient_id": patient,
            "visit": "6 weeks",
            "view": view,
            "medial": 2,
            "lateral": 3,
            "anterior": None,
            "posterior": None,
        }
        for patient in ("P1", "P2", "P3")
        for view in ("ap", "lateral")
    ]
    return Radiographs(pd.DataFrame(rows))


WITHIN = SimilarPair(0, 1, 0.98, equal=False, flip="")
ACROSS = SimilarPair(1, 2, 1.0, equal=True, flip="")
BORDER = SimilarPair(3, 4, 0.991, equal=False, flip="mirrored left to right")


def test_no_pair_passes(radiographs: Radiographs) -> None:
    verdict = check_pictures(radiographs, (), sealed(radiographs, "P3"))
    assert verdict.status == "passed"
    assert verdict.reason.startswith("No duplicates found. 6 images, 15 pairs, were compared.")


def test_the_verdict_says_which_copies_it_would_have_found_and_which_not(
    radiographs: Radiographs,
) -> None:
    for pairs in ((), (ACROSS,)):
        reason = check_pictures(radiographs, pairs, sealed(radiographs, "P3")).reason
        assert "finds nearly all copies that were recompressed" in reason
        assert "cropped by up to 10 %" in reason
        assert "It was not made for larger crops" in reason
        assert "twice" not in reason


def test_a_pair_of_one_patient_is_a_warning(radiographs: Radiographs) -> None:
    verdict = check_pictures(radiographs, (WITHIN,), sealed(radiographs, "P3"))
    assert verdict.status == "warning"
    assert "the same picture: 1 of one patient. 6 images, 15 pairs, were" in verdict.reason


def test_a_pair_of_two_patients_fails_and_is_named_with_rows(radiographs: Radiographs) -> None:
    verdict = check_pictures(radiographs, (ACROSS,), sealed(radiographs, "P3"))
    assert verdict.status == "failed"
    assert verdict.findings == (
        "row 3 P1_lateral.png (patient P1, visit 6 weeks, lateral, development set) and row 4 "
        "P2_ap.png (patient P2, visit 6 weeks, ap, development set): equal",
    )


def test_what_was_done_to_a_copy_is_named(radiographs: Radiographs) -> None:
    pair = SimilarPair(1, 2, 0.99, equal=False, flip="upside down", change="turned by 2.0 degrees")
    (line,) = check_pictures(radiographs, (pair,), sealed(radiographs, "P3")).findings
    assert line.endswith("similarity 0.990, the second upside down, turned by 2.0 degrees")


def test_a_pair_across_the_holdout_border_stands_first_with_both_sides(
    radiographs: Radiographs,
) -> None:
    verdict = check_pictures(radiographs, (WITHIN, ACROSS, BORDER), sealed(radiographs, "P3"))
    assert verdict.status == "failed"
    assert "1 across the hold-out border, 1 of two patients on one side, 1 of one patient" in (
        verdict.reason
    )
    first, second, third = verdict.findings
    assert "patient P2, visit 6 weeks, lateral, development set" in first
    assert "patient P3, visit 6 weeks, ap, hold-out set" in first
    assert first.endswith("similarity 0.991, the second mirrored left to right")
    assert "equal" in second
    assert "0.980" in third
    assert verdict.figures["across_the_holdout_border"] == 1


def test_without_a_split_the_sides_are_not_told(radiographs: Radiographs) -> None:
    verdict = check_pictures(radiographs, (BORDER,), None)
    assert verdict.status == "failed"
    assert "set)" not in verdict.findings[0]
