"""Values that are not finite are counted, whatever holds them."""

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.data.user_data import rows_of
from rust_tuner.search.value_notes import not_finite_notes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_with_values_that_are_not_finite_are_counted(value: float) -> None:
    array = np.zeros((5, 2, 2), np.float32)
    array[3, 1] = array[4, 0, 0] = value
    (note,) = not_finite_notes(array, "x")
    assert note.startswith("WARNING: 2 of 5 rows of x have values that are NaN or infinite, row 3")
    rows = rows_of({"image": array, "age": np.arange(5.0)}, "x", num_rows=5)
    (note,) = not_finite_notes(rows, "x")
    assert "2 of 5 rows of x image have" in note


def test_infinities_of_both_signs_do_not_cancel() -> None:
    assert not_finite_notes(np.array([[np.inf, -np.inf]]), "y")


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 2), 1e308),
        np.full((3, 9), np.finfo(np.float16).max, np.float16),
        np.arange(3),
        np.array(["nan", "inf", "x"]),
        np.zeros((0, 2)),
        np.zeros((2, 0)),
        np.array([True, False]),
    ],
)
def test_everything_else_gives_no_note(
    array: npt.NDArray[np.float16] | npt.NDArray[np.int64] | npt.NDArray[np.float64],
) -> None:
    assert not_finite_notes(array, "x") == []
