"""The folds of a splitter without a seed are read as they were written, or not at all."""

from pathlib import Path

import numpy as np
from narrowing import not_none

from rust_tuner.records.random_folds import FOLDS_FILE, read_random_folds, write_random_folds

FOLDS = [
    (np.array([0, 1]), np.array([2, 3])),
    (np.array([2, 3, 3]), np.array([0])),
    (np.array([1]), np.array([2])),
]


def test_folds_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_random_folds(tmp_path, {"splitter": "KFold"}, FOLDS)
    read = read_random_folds(tmp_path, {"splitter": "KFold"})
    for pair, written in zip(not_none(read), FOLDS, strict=True):
        for side, rows in zip(pair, written, strict=True):
            np.testing.assert_array_equal(side, rows)


def test_folds_of_another_splitter_or_a_damaged_file_are_not_read(tmp_path: Path) -> None:
    assert read_random_folds(tmp_path, {"splitter": "KFold"}) is None
    write_random_folds(tmp_path, {"splitter": "KFold"}, FOLDS)
    assert read_random_folds(tmp_path, {"splitter": "Other"}) is None
    path = tmp_path / FOLDS_FILE
    path.write_bytes(path.read_bytes()[:-40])
    assert read_random_folds(tmp_path, {"splitter": "KFold"}) is None


def test_folds_that_are_recorded_stay(tmp_path: Path) -> None:
    write_random_folds(tmp_path, {"splitter": "KFold"}, FOLDS)
    before = (tmp_path / FOLDS_FILE).read_bytes()
    write_random_folds(tmp_path, {"splitter": "KFold"}, FOLDS[::-1])
    assert (tmp_path / FOLDS_FILE).read_bytes() == before
