"""Outer folds: every patient on one side, every row validated once, and a type of its own."""

from pathlib import Path

import numpy as np
import pytest

from rust_tuner import load_manifest, make_folds, split_holdout
from rust_tuner.data.folds import Folds
from rust_tuner.data.outer_folds import OuterValidation, outer_folds
from rust_tuner.data.splits import Development, HoldOut, require_development
from rust_tuner.errors import SplitError


@pytest.fixture(scope="module")
def sides(phantom_manifest: Path) -> tuple[Development, HoldOut]:
    return split_holdout(load_manifest(phantom_manifest))


def test_the_sides_of_an_outer_fold_share_no_patient_and_every_row_is_validated_once(
    sides: tuple[Development, HoldOut],
) -> None:
    development, _ = sides
    cut = outer_folds(development, make_folds(development, 3, 0))
    assert [fold.number for fold in cut] == [0, 1, 2]
    validated = np.concatenate([fold.validation_rows for fold in cut])
    assert sorted(validated) == list(range(len(development)))
    for fold in cut:
        seen, held = fold.training.radiographs, fold.validation.radiographs
        assert not set(seen.patient_ids) & set(held.patient_ids)
        assert len(fold.training) + len(fold.validation) == len(development)
        table = development.radiographs.table
        assert list(held.table["image"]) == list(table["image"].iloc[fold.validation_rows])
        assert list(seen.table["image"]) == list(table["image"].iloc[fold.training_rows])


def test_the_validation_side_is_no_development_set(sides: tuple[Development, HoldOut]) -> None:
    development, _ = sides
    fold = outer_folds(development, make_folds(development, 2, 0))[0]
    assert isinstance(fold.training, Development)
    assert isinstance(fold.validation, OuterValidation)
    assert not isinstance(fold.validation, Development)
    with pytest.raises(SplitError, match="got OuterValidation, expected Development"):
        require_development(fold.validation)


def test_the_hold_out_set_has_no_outer_folds(sides: tuple[Development, HoldOut]) -> None:
    development, holdout = sides
    with pytest.raises(SplitError, match="got HoldOut, expected Development"):
        outer_folds(holdout, make_folds(development, 2, 0))  # type: ignore[arg-type]


def test_folds_of_other_data_are_refused(sides: tuple[Development, HoldOut]) -> None:
    development, _ = sides
    folds = Folds(assignment=np.arange(10) % 2, num_folds=2, seed=0)
    with pytest.raises(SplitError, match=f"of 10 rows for {len(development)} radiographs"):
        outer_folds(development, folds)


def test_folds_that_divide_a_patient_are_refused(sides: tuple[Development, HoldOut]) -> None:
    development, _ = sides
    by_row = Folds(assignment=np.arange(len(development)) % 2, num_folds=2, seed=0)
    with pytest.raises(SplitError, match=r"outer fold 0: patient \w+ is on both sides"):
        outer_folds(development, by_row)
