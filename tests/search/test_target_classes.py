"""What folds are stratified by: classes, labels or bins, as the targets are."""

import numpy as np
import numpy.typing as npt
import pytest
from narrowing import not_none

from rust_tuner.search.target_classes import classes_of, labels_of, strata_of

CLASSES = np.array([0, 1, 2, 0, 1, 2, 0, 1])


@pytest.mark.parametrize(
    "targets",
    [
        CLASSES,
        CLASSES.astype(np.float32),
        CLASSES[:, None],
        np.array(["a", "b", "c"])[CLASSES],
        np.array(["a", "b", "c"], dtype=object)[CLASSES],
        np.eye(3, dtype=np.float32)[CLASSES],
        np.eye(3, dtype=bool)[CLASSES],
    ],
    ids=["int", "float", "column", "text", "objects", "one-hot", "Booleans"],
)
def test_classes_are_read_from_every_form_of_them(targets: npt.NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(classes_of(targets, 2), CLASSES)


@pytest.mark.parametrize(
    "targets",
    [
        np.linspace(0, 1, 8),
        np.arange(8),
        np.array([0, 1, np.nan, 1]),
        np.array([[0, 1], [1, 1]]),
        np.zeros((4, 2, 2)),
        np.array([[0.2, 0.8], [0.5, 0.5]]),
    ],
    ids=["numbers", "counts", "missing", "labels", "masks", "probabilities"],
)
def test_what_is_no_class_is_none(targets: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> None:
    assert classes_of(targets, 2) is None


def test_labels_are_several_columns_of_zeros_and_ones() -> None:
    assert not_none(labels_of(np.array([[0, 1], [1, 1]]))).dtype == np.float32
    assert labels_of(np.array([[0], [1]])) is None
    assert labels_of(np.array([[0, 2], [1, 1]])) is None
    assert labels_of(np.array([["a", "b"]])) is None


def test_rare_combinations_of_labels_count_by_their_rarest_label() -> None:
    labels = np.array([[1, 0, 0]] * 6 + [[1, 1, 0]] * 6 + [[1, 1, 1], [0, 1, 1], [0, 0, 1]])
    strata, kind = strata_of(labels, 3)
    assert kind == "labels"
    assert sorted(np.bincount(strata)) == [3, 6, 6]
    assert len(set(strata[12:])) == 1


def test_a_continuous_target_has_bins_of_equal_size() -> None:
    values = np.random.default_rng(0).exponential(size=100)
    strata, kind = strata_of(values, 5)
    assert kind == "bins"
    assert np.bincount(strata).tolist() == [10] * 10
    assert (np.diff(strata[np.argsort(values)]) >= 0).all()
    assert strata_of(values[:12], 5)[0].max() == 1
