"""`folds.npz` of a project folder: the folds of a splitter that draws other ones at every call.

A splitter without a seed is called once. A search that is resumed takes its folds from here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.files import sha256_of_json
from rust_tuner.records.arrays import read_arrays, write_arrays
from rust_tuner.records.model import MOST_FOLDS

FOLDS_FILE = "folds.npz"

_Pair = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def write_random_folds(folder: Path, key: Any, folds: Sequence[_Pair]) -> None:
    """Write folds, unless the file has folds with this key.

    Args:
        folder: the project folder.
        key: the splitter and the data that it was given, as JSON values.
        folds: rows for training and for validation.
    """
    if read_random_folds(folder, key) is None:
        sides = {
            f"{side}_{fold}": rows
            for fold, pair in enumerate(folds)
            for side, rows in zip(("training", "validation"), pair, strict=True)
        }
        write_arrays(folder / FOLDS_FILE, sha256_of_json(key), **sides)


def read_random_folds(folder: Path, key: Any) -> list[_Pair] | None:
    """The folds with this key, or None where there are none or the file is damaged."""
    arrays = read_arrays(folder / FOLDS_FILE, sha256_of_json(key))
    if arrays is None or len(arrays) > 2 * MOST_FOLDS:
        return None
    try:
        return [
            (arrays[f"training_{fold}"], arrays[f"validation_{fold}"])
            for fold in range(len(arrays) // 2)
        ]
    except KeyError:
        return None
