"""Radiographs: any table becomes the same form, a frozen value that knows its rows."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rust_tuner.data.cells import COLUMNS, normalise_cells
from rust_tuner.data.faults import Faults
from rust_tuner.data.radiographs import Radiographs, check_views
from rust_tuner.errors import ManifestError
from rust_tuner.labels import CORTICES, encode, visible_mask
from rust_tuner.protocol import ANATOMICAL_VIEWS


def table(num_rows: int = 3, **changes: Any) -> pd.DataFrame:
    columns = {
        "image": [f"i{n}.png" for n in range(num_rows)],
        "patient_id": [f"p{n // 2}" for n in range(num_rows)],
        "visit": ["1"] * num_rows,
        "view": [("ap", "lateral")[n % 2] for n in range(num_rows)],
        "medial": [(1, None)[n % 2] for n in range(num_rows)],
        "lateral": [(2, None)[n % 2] for n in range(num_rows)],
        "anterior": [(None, 3)[n % 2] for n in range(num_rows)],
        "posterior": [None] * num_rows,
    }
    return pd.DataFrame(columns | changes)


def test_what_was_put_into_form_stays_as_it_is() -> None:
    once = Radiographs(table(site=["Oslo", None, " Bergen "]), source="m.csv")
    again = Radiographs(once.table, source=once.source)
    pd.testing.assert_frame_equal(again.table, once.table)
    assert list(once.table) == [*COLUMNS, "site"]
    assert once.table["site"].tolist() == ["Oslo", "", "Bergen"]
    assert once.table["posterior"].dtype == np.float64


def test_an_index_of_row_numbers_is_kept_and_any_other_is_replaced() -> None:
    numbered = table().set_index(pd.Index([7, 3, 12], name="row"))
    assert Radiographs(numbered).rows == (7, 3, 12)
    assert Radiographs(numbered.rename_axis("n")).rows == (2, 3, 4)
    assert Radiographs(table().set_index(pd.Index(list("abc"), name="row"))).rows == (2, 3, 4)
    with pytest.raises(ManifestError, match=r"^table row 12: medial=9"):
        Radiographs(numbered.assign(medial=[1, None, 9]))  # type: ignore[list-item]


def test_labels_and_visibility_are_those_of_the_scores_in_the_order_of_the_rows() -> None:
    radiographs = Radiographs(table())
    scores = radiographs.table[list(CORTICES)].to_numpy()
    np.testing.assert_array_equal(radiographs.labels, encode(["ap", "lateral", "ap"], scores))
    np.testing.assert_array_equal(radiographs.visible, visible_mask(scores))
    assert radiographs.images == (Path("i0.png"), Path("i1.png"), Path("i2.png"))
    assert len(radiographs) == 3


def test_no_radiographs_are_a_value_too() -> None:
    empty = Radiographs(table()).subset([])
    assert (len(empty), empty.rows, empty.images) == (0, (), ())
    assert (empty.labels.shape, empty.visible.shape) == ((0, 18), (0, 16))


def test_a_value_is_frozen() -> None:
    radiographs = Radiographs(table())
    with pytest.raises(dataclasses.FrozenInstanceError):
        radiographs.source = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "score"),
    [(" 3 ", 3.0), ("3.00", 3.0), (4, 4.0), (np.int8(2), 2.0), (1.0, 1.0)]
    + [(blank, np.nan) for blank in ("", "  ", None, np.nan, pd.NA, pd.NaT)],
)
def test_a_score_may_be_written_in_many_ways(value: object, score: float) -> None:
    faults = Faults("t")
    read = normalise_cells([5], {"medial": [value]}, faults=faults)
    np.testing.assert_array_equal(read["medial"], [score])
    assert (len(faults), read.index.tolist(), read.index.name) == (0, [5], "row")


@pytest.mark.parametrize("value", ["3,0", "03", "+3", 2.5, True, np.bool_(True), 3 + 0j, [3], "٣"])
def test_what_is_no_score_is_no_score_in_any_disguise(
    value: str | np.bool[bool] | list[int] | complex,
) -> None:
    faults = Faults("t")
    normalise_cells([5], {"medial": [value]}, faults=faults)
    with pytest.raises(ManifestError, match=r"^t row 5: medial=.*; a RUST score is 1-4 or empty$"):
        faults.raise_any()


def test_whole_numbers_with_gaps_are_names_without_a_decimal_point() -> None:
    faults = Faults("t")
    cells = {"patient_id": [7.0, "7.0", 7.5, np.int64(8)], "visit": [1.0, "b", 2, "c"]}
    read = normalise_cells(range(4), cells, faults=faults)
    assert read["patient_id"].tolist() == ["7", "7.0", "7.5", "8"]
    assert read["visit"].tolist() == ["1", "b", "2", "c"]


def test_unexpected_scores_are_counted_with_the_first_rows() -> None:
    (warning,) = check_views(
        Radiographs(table(14, posterior=[4] * 14), source="m.csv"), ANATOMICAL_VIEWS
    )
    assert warning.startswith(
        "m.csv: 7 of 7 ap radiographs score posterior (rows 2, 4, 6, 8, 10, ...), but view_cortices"
        " expects medial and lateral there"
    )
    # No usual setting fits, so the table's own is offered.
    assert warning.endswith(
        "view_cortices to {'ap': ['medial', 'lateral', 'posterior'], "
        "'lateral': ['anterior', 'posterior']}"
    )


def test_a_view_that_is_expected_to_show_nothing_is_told_so() -> None:
    warnings = check_views(Radiographs(table()), {"ap": (), "lateral": ("anterior",)})
    assert len(warnings) == 1
    assert "2 of 2 ap radiographs score medial and lateral (rows 2, 4)" in warnings[0]
    assert "expects no cortex there" in warnings[0]
    assert "view_cortices to {'ap': ['medial', 'lateral'], 'lateral': " in warnings[0]


def test_sites_are_text_and_none_where_there_is_no_such_column() -> None:
    assert Radiographs(table()).sites is None
    sites = Radiographs(table(site=["Oslo", None, " Bergen "])).sites
    assert sites is not None
    assert sites.tolist() == ["Oslo", "", "Bergen"]
    with pytest.raises(ValueError, match="read-only"):
        sites[0] = "Bergen"
