"""What users pass becomes rows as Keras trains on them, or is refused with the cure."""

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from narrowing import is_a

from rust_tuner.data.structures import Rows
from rust_tuner.data.user_data import rows_of
from rust_tuner.errors import SearchError

FRAMES = [pd.DataFrame, pl.DataFrame]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_of_numbers_is_one_array(frame: type) -> None:
    rows = rows_of(frame({"a": [1.0, 2.0], "b": [3, 4]}), "x")
    np.testing.assert_array_equal(rows, [[1, 3], [2, 4]])
    assert is_a(np.ndarray, rows).dtype == np.float64


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_with_text_is_a_dict_of_its_columns(frame: type) -> None:
    rows = rows_of(frame({"a": [1.0, 2.0], "b": ["x", "y"]}), "x")
    assert is_a(Rows, rows).tree["a"].tolist() == [1, 2]
    assert is_a(Rows, rows).tree["b"].tolist() == ["x", "y"]
    assert is_a(np.ndarray, rows_of(frame({"a": ["u", "v"], "b": ["x", "y"]}), "x")).tolist() == [
        ["u", "x"],
        ["v", "y"],
    ]


@pytest.mark.parametrize("series", [pd.Series, pl.Series, np.array, list, pd.Index])
def test_a_series_is_one_array(series: Callable[[list[Any]], Any]) -> None:
    assert is_a(np.ndarray, rows_of(series(["b", "a", "b"]), "y")).tolist() == ["b", "a", "b"]
    numbers = rows_of(series([1, 0, 1]), "y")
    assert is_a(np.ndarray, numbers).tolist() == [1, 0, 1]
    assert is_a(np.ndarray, numbers).dtype.kind == "i"


def test_categories_and_nullable_columns_are_their_values() -> None:
    assert is_a(np.ndarray, rows_of(pd.Series(["b", "a"], dtype="category"), "y")).tolist() == [
        "b",
        "a",
    ]
    assert is_a(np.ndarray, rows_of(pl.Series(["b", "a"], dtype=pl.Categorical), "y")).tolist() == [
        "b",
        "a",
    ]
    assert is_a(np.ndarray, rows_of(pd.Series([1, 2], dtype="Int64"), "y")).tolist() == [1, 2]
    np.testing.assert_array_equal(rows_of(pd.Series([1, None], dtype="Int64"), "x"), [1, np.nan])
    assert is_a(np.ndarray, rows_of(pd.Series([1, 2], dtype="category"), "y")).tolist() == [1, 2]
    for values in ([1, None], [True, None]):
        missing = rows_of(pd.Series(pd.Categorical(values)), "x")
        np.testing.assert_array_equal(is_a(np.ndarray, missing).astype(float), [1, np.nan])


def test_masked_values_are_refused_and_a_mask_without_any_is_dropped() -> None:
    masked = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    with pytest.raises(SearchError, match=r"y has 1 masked values, .*; leave out their rows, or"):
        rows_of(masked, "y")
    plain = is_a(np.ndarray, rows_of(np.ma.masked_array([1.0, 2.0]), "y"))
    assert type(plain) is np.ndarray
    assert plain.tolist() == [1, 2]


def test_dicts_and_lists_of_arrays_keep_their_structure() -> None:
    rows = rows_of({"a": np.zeros(3), "b": [np.ones((3, 2)), pd.Series([1, 2, 3])]}, "x")
    assert isinstance(rows, Rows)
    assert len(rows) == 3
    assert isinstance(rows.tree["b"], tuple)
    assert is_a(Rows, rows_of([np.zeros(3), np.ones(3)], "x")).tree[1].tolist() == [1, 1, 1]


def test_a_list_of_rows_is_one_array() -> None:
    assert is_a(np.ndarray, rows_of([[1, 2], [3, 4]], "x")).tolist() == [[1, 2], [3, 4]]
    listed = [np.array([1, 2]), np.array([3, 4]), np.array([5, 6])]
    assert is_a(np.ndarray, rows_of(listed, "x", num_rows=3)).shape == (3, 2)


def test_objects_are_numbers_or_text() -> None:
    assert is_a(np.ndarray, rows_of(np.array([1, 2.5], dtype=object), "x")).dtype == np.float64
    assert is_a(np.ndarray, rows_of(np.array([b"a", "b"], dtype=object), "x")).tolist() == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (scipy.sparse.csr_matrix(np.eye(3)), r"x is a sparse matrix .*pass x.toarray\(\)"),
        ({"a": scipy.sparse.csr_array(np.eye(3))}, r"x\['a'\] is a sparse matrix"),
        (np.array(["a", None, 1.5], dtype=object), "NoneType, float in row 1, 2"),
        (pd.Series(["a", np.nan]), "float in row 1"),
        (pl.Series(["a", None]), "NoneType in row 1"),
        (np.array([datetime.date(2020, 1, 1)], dtype="datetime64[D]"), "dates to numbers of days"),
        ([[1, 2], [3]], "cannot be made an array"),
        ({"a": np.zeros(3), "b": np.zeros(4)}, "x: a has 3, b has 4 rows"),
        (3, "x is a int; expected an array"),
        ({}, "x: a dict or list without arrays"),
        (pd.DataFrame(index=[0, 1]), "frame without columns"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused_with_the_cure(
    value: object, message: str
) -> None:
    with pytest.raises(SearchError, match=message):
        rows_of(value, "x")


def test_sparse_and_ragged_tensors_are_refused() -> None:
    import tensorflow as tf

    with pytest.raises(SearchError, match=r"tf\.sparse\.to_dense"):
        rows_of(tf.sparse.from_dense([[1.0, 0.0]]), "x")
    with pytest.raises(SearchError, match=r"x\.to_tensor\(\)"):
        rows_of(tf.ragged.constant([[1.0], [2.0, 3.0]]), "x")
    assert is_a(np.ndarray, rows_of(tf.ones((2, 3)), "x")).shape == (2, 3)
