"""What a user must know about folds: rows that no fold validates, and rows that a fold leaks.

A group on both sides of a fold, or a copy of a training row among the validation rows, makes the
scores too high. Neither is always a fault, so both are reported with counts.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Pair = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

# Inputs with more rows or bytes are not compared: that would take minutes.
_MOST_ROWS = 2_000_000
_MOST_BYTES = 4 << 30


def never_validated_note(folds: Sequence[_Pair], num_rows: int) -> str:
    """How many rows no fold validates; empty if there are none."""
    is_validated = np.zeros(num_rows, dtype=np.bool_)
    for _, validation in folds:
        is_validated[validation] = True
    left = np.flatnonzero(~is_validated)
    if not len(left):
        return ""
    verb = "is" if len(left) == 1 else "are"
    return (
        f"note: {len(left)} of {num_rows} rows {verb} never validated, row {left[0]} first; "
        "out-of-fold predictions of such rows are NaN"
    )


def split_groups_note(folds: Sequence[_Pair], owners: npt.NDArray[Any], splitter: str) -> str:
    """How many groups a splitter puts on both sides of a fold; empty if none.

    Args:
        folds: rows for training and for validation.
        owners: (n,) the group of each row.
        splitter: the name of its class.
    """
    shared: set[Any] = set()
    faulty = []
    for fold, (training, validation) in enumerate(folds):
        both = set(owners[training].tolist()) & set(owners[validation].tolist())
        faulty += [fold] if both else []
        shared |= both
    if not shared:
        return ""
    count = len(np.unique(owners))
    return (
        f"WARNING: {splitter} puts {len(shared)} of {count} groups on both sides of a fold (in "
        f"{len(faulty)} of {len(folds)} folds), so the scores may be too high; give a number of "
        "folds, or a splitter that keeps groups together, such as GroupKFold"
    )


def equal_rows_note(folds: Sequence[_Pair], inputs: Sequence[npt.NDArray[Any]]) -> str:
    """How many validation rows have the inputs of a training row of their fold; empty if none.

    Args:
        folds: rows for training and for validation.
        inputs: (n, ...) arrays; a row is equal to another where it is in each of them.
    """
    sizes = [array.nbytes for array in inputs]
    if not inputs or len(inputs[0]) > _MOST_ROWS or sum(sizes) > _MOST_BYTES:
        return ""
    digests = _row_digests(inputs)
    _, number, counts = np.unique(digests, return_inverse=True, return_counts=True)
    if counts.max(initial=0) < 2:
        return ""
    copied = np.zeros(len(digests), dtype=np.bool_)
    validated = np.zeros(len(digests), dtype=np.bool_)
    for training, validation in folds:
        copied[validation] |= np.isin(number[validation], number[training])
        validated[validation] = True
    if not copied.any():
        return ""
    return (
        f"WARNING: {copied.sum()} of {validated.sum()} validation rows equal a training row of "
        f"their fold, row {np.flatnonzero(copied)[0]} first; if they are copies, the scores are "
        "too high: leave the copies out, or give them one group with groups="
    )


def _row_digests(inputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row."""
    digests = np.empty(len(inputs[0]), dtype=np.uint64)
    arrays = [np.ascontiguousarray(array) for array in inputs]
    for row in range(len(digests)):
        digest = hashlib.blake2b(digest_size=8)
        for array in arrays:
            value = array[row]
            is_number = array.dtype.kind in "biufcmM"
            digest.update(
                value.tobytes() if is_number else repr(np.asarray(value).tolist()).encode()
            )
        digests[row] = int.from_bytes(digest.digest(), "little")
    return digests
