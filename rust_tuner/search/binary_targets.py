"""What an objective needs of targets that are zeros and ones.

Where the validation rows of a fold have one class alone, figures such as AUC or recall are void;
Keras's metrics count 0 there, as for a model that is always wrong.
"""

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.models.fold_batches import IntArray

_Pair = tuple[IntArray, IntArray]

# Objectives that mean the same whatever classes there are; ours is refused or averages the rest.
_OF_ANY_CLASSES = re.compile(r"(loss|accuracy|error|crossentropy|exact_auroc|auroc)(_\d+)?$")
_NUMBER = re.compile(r"_\d+$")
_MEND = "use fewer folds, or folds that stratify, such as cv=StratifiedGroupKFold(3)"


def one_class_note(targets: Any, folds: Sequence[_Pair], objectives: Sequence[str]) -> str:
    """In which folds a label has one class alone; empty if in none, or if that does not matter.

    Args:
        targets: (n,) or (n, labels) zeros and ones; there is no note about others.
        folds: rows for training and for validation.
        objectives: such as `val_recall`.
    """
    labels = _labels(targets)
    if labels is None or all(map(_OF_ANY_CLASSES.search, objectives)):
        return ""
    faulty = [
        fold for fold, (_, validation) in enumerate(folds) if _missing(labels[validation]).any()
    ]
    if not faulty:
        return ""
    places = ", ".join(map(str, faulty[:5])) + (" ..." if len(faulty) > 5 else "")
    what = "y" if labels.shape[1] == 1 else "a label of y"
    return (
        f"WARNING: in {len(faulty)} of {len(folds)} folds ({places}) {what} has one class alone "
        "among the validation rows; a figure that needs both, such as AUC, recall or F1, is 0 or "
        f"undefined there, so the mean over the folds may be too low: {_MEND}"
    )


def other_targets_note(targets: Any, objectives: Sequence[str]) -> str:
    """Where targets are not zeros and ones though our AUROC is to be optimised; empty elsewhere.

    It is no error: a metric or callback of the user's own may have that name.

    Args:
        targets: (n,) or (n, labels); others are not looked at.
        objectives: such as `val_auroc`.
    """
    if "val_auroc" not in objectives or not isinstance(targets, np.ndarray) or targets.ndim > 2:
        return ""
    values = targets.reshape(len(targets), -1)
    others = np.argwhere(~np.isin(values, (0, 1)))
    if not len(others):
        return ""
    row, column = others[0]
    where = f"row {row}" if targets.ndim == 1 else f"row {row}, column {column}"
    return (
        f"WARNING: y is {values[row, column]} in {where}, but val_auroc is computed only for "
        "targets that are all 0 or 1; for more classes give y a column of zeros and ones for each, "
        "or choose another objective"
    )


def refuse_void_auc(
    model: keras.Model, targets: Any, folds: Sequence[_Pair], objective: str
) -> None:
    """Refuse to search by Keras's AUC where a fold has one class alone, for which Keras counts 0.

    Args:
        model: compiled with its own metrics; others are not known yet.
        targets: (n,) or (n, labels) zeros and ones.
        folds: rows for training and for validation.
        objective: such as `val_auc`.

    Raises:
        MetricError: with the fold and the class.
    """
    of_each = _auc_of_each_label(model, objective.removeprefix("val_"))
    labels = None if of_each is None else _labels(targets)
    if labels is None:
        return
    for fold, (_, validation) in enumerate(folds):
        # Keras computes one curve for all labels, unless it was told to compute several.
        part = labels[validation] if of_each else labels[validation].reshape(-1, 1)
        missing = np.flatnonzero(_missing(part))
        if len(missing):
            where = f"label {missing[0]} of y" if of_each else "y"
            raise MetricError(
                f"fold {fold}: {objective} is undefined: {where} is {int(part[0, missing[0]])} in "
                f"all {len(validation)} validation rows, for which Keras's AUC counts 0; {_MEND}"
            )


def _labels(targets: Any) -> npt.NDArray[Any] | None:
    if not isinstance(targets, np.ndarray) or targets.ndim > 2 or not targets.size:
        return None
    is_binary = targets.dtype.kind in "biuf" and bool(np.isin(targets, (0, 1)).all())
    return targets.reshape(len(targets), -1) if is_binary else None


def _missing(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which labels have one class alone; none where there are no rows."""
    alone: npt.NDArray[np.bool_] = labels.min(axis=0, initial=1) == labels.max(axis=0, initial=0)
    return alone


def _auc_of_each_label(model: keras.Model, name: str) -> bool | None:
    """Whether the metric of that name is Keras's AUC of each label; None if it is another one."""
    compiled = getattr(model, "_compile_metrics", None)
    for metric in keras.tree.flatten(getattr(compiled, "_user_metrics", None)):
        if metric in ("AUC", "auc"):
            metric = keras.metrics.AUC(name=metric)
        # Without the number that Keras gives to unnamed metrics.
        if type(metric) is keras.metrics.AUC and _base(metric.name) == _base(name):
            return bool(metric.multi_label)
    return None


def _base(name: str) -> str:
    return _NUMBER.sub("", name)
