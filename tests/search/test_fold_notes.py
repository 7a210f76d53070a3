"""Rows that no fold validates, groups on both sides and equal rows are counted."""

import numpy as np
import pytest

from rust_tuner.search.fold_notes import equal_rows_note, never_validated_note, split_groups_note

FOLDS = ((np.array([0, 1, 2]), np.array([3, 4])), (np.array([0, 3, 4]), np.array([1])))


def test_rows_that_no_fold_validates_are_counted() -> None:
    note = never_validated_note(FOLDS, 6)
    assert note.startswith("note: 3 of 6 rows are never validated, row 0 first;")
    assert (
        never_validated_note([(np.array([1]), np.array([0])), (np.array([0]), np.array([1]))], 2)
        == ""
    )


def test_groups_on_both_sides_are_counted() -> None:
    note = split_groups_note(FOLDS, np.array(list("aabbca")), "KFold")
    assert note.startswith(
        "WARNING: KFold puts 2 of 3 groups on both sides of a fold (in 2 of 2 folds)"
    )
    assert split_groups_note(FOLDS, np.array(list("abcdef")), "KFold") == ""


@pytest.mark.parametrize("kind", ["numbers", "text", "objects", "two inputs"])
def test_equal_rows_across_a_fold_are_counted(kind: str) -> None:
    numbers = np.array([[1.0, 2], [3, 4], [5, 6], [1, 2], [7, 8], [7, 8]])
    inputs = {
        "numbers": [numbers],
        "text": [numbers.astype(str)],
        "objects": [numbers.astype(str).astype(object)],
        "two inputs": [numbers, np.zeros(6)],
    }[kind]
    # Row 3 is row 0; rows 4 and 5 are equal, but no fold has them on two sides.
    note = equal_rows_note(FOLDS, inputs)
    assert note.startswith(
        "WARNING: 1 of 3 validation rows equal a training row of their fold, row 3"
    )


def test_rows_that_differ_in_one_of_several_inputs_are_not_equal() -> None:
    assert equal_rows_note(FOLDS, [np.zeros(6), np.arange(6)]) == ""
    assert equal_rows_note(FOLDS, [np.arange(6)]) == ""
    assert equal_rows_note(FOLDS, []) == ""
