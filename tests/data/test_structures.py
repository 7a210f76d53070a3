"""Rows of any structure are taken by index, and their hash follows what they hold."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from narrowing import is_a, not_none

from rust_tuner.data.class_labels import encoded
from rust_tuner.data.outputs import Outputs, side_by_side
from rust_tuner.data.structures import Rows, sha256_of_rows
from rust_tuner.errors import SearchError
from rust_tuner.search.subject_folds import sha256_of_arrays


def test_rows_are_taken_from_every_array_of_a_structure() -> None:
    rows = Rows({"a": np.arange(5), "b": (np.arange(10).reshape(5, 2), np.arange(5) * 2)})
    taken = rows[np.array([3, 1])]
    assert taken["a"].tolist() == [3, 1]
    assert taken["b"][0].tolist() == [[6, 7], [2, 3]]
    assert taken["b"][1].tolist() == [6, 2]
    assert len(rows) == 5


def test_arrays_of_different_lengths_are_refused_by_name() -> None:
    with pytest.raises(SearchError, match=r"a has 5, b.0 has 4 rows"):
        Rows({"a": np.arange(5), "b": (np.arange(4),)})
    with pytest.raises(SearchError, match="without arrays"):
        Rows({})


def test_the_hash_of_plain_arrays_is_that_of_earlier_versions() -> None:
    array = np.arange(6.0).reshape(3, 2)
    assert sha256_of_rows(array) == sha256_of_arrays(array)
    text = np.array(["a", "bc"])
    assert sha256_of_rows(text) == sha256_of_arrays(text)


def test_the_hash_of_text_is_that_of_its_letters_and_not_of_its_addresses() -> None:
    def text(*parts: Any) -> npt.NDArray[np.object_]:
        # New objects each time, as in another process.
        return np.array(["".join(part) for part in parts], dtype=object)

    assert sha256_of_rows(text("ab", "c")) == sha256_of_rows(text("ab", "c"))
    assert sha256_of_rows(text("ab", "c")) != sha256_of_rows(text("a", "bc"))


def test_the_hash_of_a_structure_follows_names_order_and_values() -> None:
    one, other = np.arange(3), np.arange(3) + 1
    hashes = {
        sha256_of_rows(part)
        for part in (
            one,
            Rows({"a": one, "b": other}),
            Rows({"a": other, "b": one}),
            Rows({"a": one, "c": other}),
            Rows((one, other)),
        )
    }
    assert len(hashes) == 5


def test_outputs_side_by_side_come_apart_as_they_were() -> None:
    parts = {"a": np.arange(12.0).reshape(3, 2, 2), "b": np.arange(3.0), "c": np.ones((3, 1))}
    table, outputs = side_by_side(parts)
    assert table.shape == (3, 6)
    assert outputs == Outputs.from_array(not_none(outputs).to_array())
    again = not_none(outputs).apart(np.stack([table, table]))
    for name, part in parts.items():
        np.testing.assert_array_equal(again[name], np.stack([part, part]))
    table, outputs = side_by_side(list(parts.values()))
    np.testing.assert_array_equal(not_none(outputs).apart(table)[2], parts["c"])
    assert side_by_side(parts["a"])[1] is None


def test_text_of_one_target_among_several_becomes_numbers() -> None:
    rows = Rows({"kind": np.array([["b"], ["a"], ["b"]], dtype=object), "size": np.arange(3)})
    coded, classes = encoded(rows)
    assert classes == {"kind": ["a", "b"]}
    assert is_a(Rows, coded).tree["kind"].tolist() == [[1], [0], [1]]
    assert is_a(Rows, coded).tree["size"] is rows.tree["size"]
