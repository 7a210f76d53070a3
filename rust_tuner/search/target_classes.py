"""What a splitter can stratify by: the classes or labels of targets, or bins of continuous ones.

scikit-learn's stratified splitters take one class for each row. Here targets keep the form that the
loss needs, such as one-hot rows, and this module reads the classes from them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

# Bins of a continuous target; fewer where there are few rows.
_MOST_BINS = 10


def classes_of(targets: npt.NDArray[Any], num_folds: int) -> IntArray | None:
    """The class of each row, where the targets are classes.

    Classes are text, Booleans, one-hot rows, or whole numbers of which each stands, on average, in
    `num_folds` rows or more: a number in fewer rows, such as a count, is a quantity.

    Args:
        targets: (n,) or (n, 1) classes, or (n, classes) one-hot.
        num_folds: the number of folds.

    Returns:
        (n,) the number of the class, from 0; None where the targets are not classes.

    Examples:
        >>> classes_of(np.array(["sick", "well", "well"]), 2)
        array([0, 1, 1])
        >>> classes_of(np.array([[0, 1], [1, 0]]), 2)
        array([1, 0])
    """
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim == 1 and targets.dtype.kind in "OUSb":
        return _numbered(targets.astype(str))
    if targets.dtype.kind not in "biuf" or not np.isfinite(targets).all():
        return None
    if targets.ndim == 1:
        if (targets != np.round(targets)).any():
            return None
        classes = _numbered(targets)
        return classes if (classes.max(initial=0) + 1) * num_folds <= len(targets) else None
    if _are_labels(targets) and (targets.sum(axis=1) == 1).all():
        return np.asarray(targets.argmax(axis=1), dtype=np.int64)
    return None


def labels_of(targets: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
    """Zeros and ones (n, labels) of which a row may have several; None for other targets."""
    return targets.astype(np.float32) if _are_labels(targets) else None


def strata_of(targets: npt.NDArray[Any], num_folds: int) -> tuple[IntArray, str]:
    """One class for each row, for a splitter that stratifies, whatever the targets are.

    Args:
        targets: (n, ...) classes, labels or numbers.
        num_folds: the number of folds.

    Returns:
        (n,) the number of the class, and what it was made from: `classes`, `labels` (each
        combination of labels in at least `num_folds` rows; a rarer one counts by its rarest
        label), or `bins` of equal size of a continuous target, by its mean where it has several
        values.
    """
    classes = classes_of(targets, num_folds)
    if classes is not None:
        return classes, "classes"
    labels = labels_of(targets)
    if labels is not None:
        return _combinations(labels, num_folds), "labels"
    values = targets.reshape(len(targets), -1).astype(np.float64).mean(axis=1)
    num_bins = max(1, min(_MOST_BINS, len(values) // num_folds))
    ends = np.quantile(values, np.linspace(0, 1, num_bins + 1)[1:-1])
    return np.searchsorted(ends, values, side="right").astype(np.int64), "bins"


def _are_labels(targets: npt.NDArray[Any]) -> bool:
    return (
        targets.ndim == 2
        and targets.shape[1] > 1
        and targets.dtype.kind in "biuf"
        and bool(np.isin(targets, (0, 1)).all())
    )


def _combinations(labels: npt.NDArray[np.float32], num_folds: int) -> IntArray:
    _, combination, counts = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    is_rare = counts[combination] < num_folds
    # The label of a rare row that the fewest rows have; a row without labels is in no such row.
    frequency = np.where(labels > 0, labels.sum(axis=0), np.inf)
    by_label = len(counts) + frequency.argmin(axis=1)
    return _numbered(np.where(is_rare, by_label, combination.ravel()))


def _numbered(values: npt.NDArray[Any]) -> IntArray:
    numbers: IntArray = np.unique(values, return_inverse=True)[1].ravel().astype(np.int64)
    return numbers
