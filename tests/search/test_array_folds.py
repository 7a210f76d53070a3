"""Folds and the identity of arrays: groups stay together, and what cannot be scored is refused."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from search_problems import TinyHyperModel, arrays
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

from rust_tuner.data.folds import Folds
from rust_tuner.errors import SearchError
from rust_tuner.search import subjects
from rust_tuner.search.array_subject import arrays_subject

X, Y, GROUPS = arrays()


def of_arrays(
    cv: list[tuple[list[int], list[int]]] | Folds | float | None,
    *,
    x: npt.NDArray[np.float64] = X,
    y: npt.NDArray[np.float32] = Y,
    groups: npt.NDArray[np.int64] | list[Any] | None = GROUPS,
    seed: int = 0,
) -> subjects.Subject:
    return arrays_subject(TinyHyperModel(), x, y, groups, cv, seed=seed)


def assert_each_row_is_validated_once(
    folds: tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], ...], num_rows: int
) -> None:
    validated = np.concatenate([validation for _, validation in folds])
    assert sorted(validated) == list(range(num_rows))
    for training, validation in folds:
        assert sorted([*training, *validation]) == list(range(num_rows))


@pytest.mark.parametrize("targets", ["labels", "one label", "numbers"])
@pytest.mark.parametrize("names", [GROUPS, np.array([f"p{n}" for n in GROUPS])], ids=["int", "str"])
def test_folds_made_from_a_number_keep_groups_together_for_any_targets(
    targets: str, names: npt.NDArray[Any]
) -> None:
    y = {"labels": Y, "one label": Y[:, 0], "numbers": X[:, :1]}[targets]
    folds = of_arrays(5, y=y, groups=names).folds
    assert len(folds) == 5
    assert_each_row_is_validated_once(folds, 48)
    for training, validation in folds:
        assert not set(names[training]) & set(names[validation])


def test_groups_are_divided_by_the_seed_and_stratified_where_there_are_labels() -> None:
    # One group in four has the label; a fold of six groups takes its share of 1.5 of them.
    y = np.zeros((48, 2), dtype=np.float32)
    y[:, 0] = GROUPS % 4 == 0
    y[:, 1] = 1 - y[:, 0]
    stratified = of_arrays(3, y=y)
    assert [y[validation, 0].sum() for _, validation in stratified.folds] == [4, 4, 4]
    again, other = of_arrays(3, y=y), of_arrays(3, y=y, seed=1)
    assert again.identity == stratified.identity
    assert other.identity["folds"] != stratified.identity["folds"]
    plain, anew = of_arrays(3, y=X[:, :1]), of_arrays(3, y=X[:, :1], seed=1)
    assert [len(validation) for _, validation in plain.folds] == [16, 16, 16]
    assert plain.identity["folds"] == of_arrays(3, y=X[:, :1]).identity["folds"]
    assert plain.identity["folds"] != anew.identity["folds"]


def test_more_folds_than_groups_and_faulty_groups_are_refused() -> None:
    for y in (Y, X[:, :1]):
        with pytest.raises(SearchError, match=r"5 folds for 4 group\(s\); .* at most 4 folds"):
            of_arrays(5, y=y, groups=np.arange(48) // 12)
    with pytest.raises(SearchError, match=r"groups is missing .* in row 3"):
        of_arrays(2, groups=[None if row == 3 else f"p{row // 4}" for row in range(48)])
    with pytest.raises(SearchError, match="x has 48, y has 48, groups has 47 rows"):
        of_arrays(2, groups=list(GROUPS[1:]))


def test_without_groups_rows_are_shuffled_by_the_seed() -> None:
    folds = of_arrays(4, groups=None).folds
    assert_each_row_is_validated_once(folds, 48)
    assert any((np.diff(validation) != 1).any() for _, validation in folds)
    same, other = of_arrays(4, groups=None), of_arrays(4, groups=None, seed=1)
    for pair, twin in zip(folds, same.folds, strict=True):
        np.testing.assert_array_equal(pair[1], twin[1])
    assert other.identity["folds"] != same.identity["folds"]


def test_a_splitter_is_given_the_groups() -> None:
    groups = np.arange(48) // 12
    folds = of_arrays(LeaveOneGroupOut(), groups=groups).folds
    assert [set(groups[validation]) for _, validation in folds] == [{0}, {1}, {2}, {3}]


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1, "1 folds; cross-validation needs at least 2"),
        (0, "0 folds; cross-validation needs at least 2"),
        (25, "the folds cannot be made: .*25"),
        (None, "cv=None; expected a number of folds, Folds or a scikit-learn splitter"),
        (2.0, r"cv=2\.0; expected a number of folds"),
        ([([0], [1])], "1 folds; cross-validation needs at least 2"),
        (
            [([0, 1], [2]), ([0, 4], [4, 6])],
            "fold 1 has 2 training and 2 validation rows; .* on both",
        ),
        ([([0], [2]), ([4], [])], "fold 1 has 1 training and 0 validation rows; one side is empty"),
        ([([0], [2]), ([4], [48])], "fold 1 has rows 4 to 48, but the data have 48"),
        ([([0], [2]), ([4], [5])], "fold 1: group 2 is on both sides; .* keeps groups together"),
    ],
)
def test_folds_that_cannot_score_are_refused_by_number(
    cv: list[tuple[list[int], list[int]]] | float | None, message: str
) -> None:
    with pytest.raises(SearchError, match=f"^{message}"):
        of_arrays(cv)


def test_folds_of_other_data_are_refused() -> None:
    folds = Folds(assignment=np.arange(47) % 2, num_folds=2, seed=0)
    with pytest.raises(
        SearchError, match="cannot be made: 48 rows, but the folds were made for 47"
    ):
        of_arrays(folds)


def test_the_identity_of_arrays_follows_every_value_type_and_fold() -> None:
    other_x, other_y = X.copy(), Y.copy()
    other_x[7, 3] += 1e-6
    other_y[7, 1] = 1 - other_y[7, 1]
    identity = of_arrays(GroupKFold(2)).identity
    assert of_arrays(GroupKFold(2), x=X.copy(order="F")).identity == identity
    assert of_arrays(GroupKFold(2), x=other_x).identity["inputs"] != identity["inputs"]
    assert of_arrays(GroupKFold(2), x=X.astype(np.float64)).identity["inputs"] != identity["inputs"]
    assert of_arrays(GroupKFold(2), x=X.reshape(48, 2, 2)).identity["inputs"] != identity["inputs"]
    assert of_arrays(GroupKFold(2), y=other_y).identity["targets"] != identity["targets"]
    assert of_arrays(GroupKFold(3)).identity["folds"] != identity["folds"]
    assert of_arrays(GroupKFold(3)).identity["num_folds"] == 3
