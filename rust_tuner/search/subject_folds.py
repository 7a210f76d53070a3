"""The folds of a subject: made, checked and hashed, and what the view alone scores in them."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.folds import make_folds
from rust_tuner.data.splits import Development
from rust_tuner.errors import SearchError, private
from rust_tuner.metrics import view_only_baseline
from rust_tuner.scope import SCOPES
from rust_tuner.search.cross_validation import FoldList, checked_folds


def folds_of(development: Development, cv: Any, seed: int) -> tuple[FoldList, dict[str, float]]:
    """The folds of a development set, with no patient on two sides, and their view-only scores."""
    radiographs = development.radiographs
    labels = radiographs.labels
    folds = make_folds(development, int(cv), seed) if isinstance(cv, int | np.integer) else cv
    pairs = checked_pairs(folds, labels, labels, radiographs.patient_ids)
    require_apart(pairs, radiographs.written_patients, "patient", "use make_folds, or a splitter")
    return pairs, view_only_of(labels, radiographs.visible, pairs)


def count_units(folds: FoldList, owners: npt.NDArray[Any], kind: str) -> dict[str, Any]:
    """The number of independent units in each fold's training and validation rows.

    Statistical tests between trials need them.
    """
    sides = ("training", "validation")
    counts = [[len(set(owners[rows].tolist())) for rows in pair] for pair in folds]
    return {"kind": kind} | dict(zip(sides, map(list, zip(*counts, strict=True)), strict=True))


def checked_pairs(
    cv: Any,
    inputs: npt.NDArray[Any],
    targets: npt.NDArray[Any] | None,
    owners: npt.NDArray[Any] | None,
) -> FoldList:
    """The folds as pairs of rows, whatever form they were given in."""
    if hasattr(cv, "split"):
        try:
            pairs: Iterable[Any] = list(cv.split(inputs, targets, owners))
        except ValueError as error:
            raise SearchError(f"the folds cannot be made: {error}") from error
    elif isinstance(cv, Iterable):
        pairs = cv
    else:
        raise SearchError(
            f"cv={cv!r}; expected a number of folds, Folds or a scikit-learn splitter"
        )
    return checked_folds(pairs, len(inputs))


def require_apart(folds: FoldList, owners: npt.NDArray[Any], kind: str, mend: str) -> None:
    """Refuse folds with one owner of rows, such as a patient, on both sides."""
    for fold, (training, validation) in enumerate(folds):
        shared = set(owners[training]) & set(owners[validation])
        if shared:
            raise SearchError(
                f"fold {fold}: {kind} {private(min(shared))} is on both sides; {mend} that keeps "
                "groups "
                "together"
            )


def view_only_of(
    labels: npt.NDArray[np.float32], visible: npt.NDArray[np.bool_], folds: FoldList
) -> dict[str, float]:
    """What a predictor that knows only the view scores in the folds, for each scope."""
    baselines = [
        view_only_baseline(
            labels[training], labels[validation], visible[validation], where=f"fold {fold}"
        )
        for fold, (training, validation) in enumerate(folds)
    ]
    return {
        scope.objective: float(np.mean([getattr(fold, scope.metric) for fold in baselines]))
        for scope in SCOPES
    }


def sha256_of_folds(folds: FoldList) -> str:
    """The SHA-256 of the rows on both sides of each fold, in order."""
    return sha256_of_arrays(*(side for pair in folds for side in pair))


def sha256_of_arrays(*arrays: npt.NDArray[Any]) -> str:
    """The SHA-256 of arrays with their shapes and types."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
