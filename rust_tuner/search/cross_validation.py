"""k-fold cross-validation of any Keras model on arrays: its folds, checked, and its metrics."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.data.structures import AnyRows
from rust_tuner.errors import SearchError
from rust_tuner.metrics import macro_aurocs
from rust_tuner.models.compiled_once import CompiledOnce
from rust_tuner.models.described import ensure_built
from rust_tuner.models.fold_batches import IntArray, Metrics, TrainingData
from rust_tuner.models.keras_state import users_layers_kept
from rust_tuner.search.fold_runs import run_folds
from rust_tuner.search.mean_curves import CrossValidation

FoldList = tuple[tuple[IntArray, IntArray], ...]


@users_layers_kept()
def cross_validate(
    build_model: Callable[[], keras.Model],
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    folds: Iterable[tuple[IntArray, IntArray]],
    *,
    epochs: int,
    batch_size: int = 32,
    seed: int = 0,
) -> CrossValidation:
    """Cross-validate any compiled Keras model on arrays.

    Args:
        build_model: makes a compiled model; called once per fold, with the fold's own seed.
        x: (n, ...) inputs.
        y: (n, ...) targets.
        folds: pairs of training and validation rows, such as `make_folds` gives.
        epochs: epochs of each fold, from 1.
        batch_size: rows of a batch; the last batch has what remains.
        seed: an integer from 0.

    Returns:
        Curves per fold, their means, and the predictions of every epoch. For 0-1 targets of
        shape (n, labels), `auroc` is the exact macro AUROC.

    Raises:
        SearchError: where `x`, `y` and `folds` do not match.
        TrialError: where the loss becomes infinite or NaN.
    """
    x, y = np.asarray(x), np.asarray(y)
    if not x.ndim or not y.ndim:
        raise SearchError(
            f"x has the shape {x.shape} and y {y.shape}; expected arrays of one row per example"
        )
    if len(x) != len(y):
        raise SearchError(
            f"x has {len(x)} rows and y has {len(y)}; give one target for each row of x"
        )
    pairs = checked_folds(folds, len(x))
    data = TrainingData(x, y, array_metrics(y, pairs))

    def build(running: object) -> keras.Model:
        model = build_model()
        if getattr(model, "optimizer", None) is None:
            raise SearchError(
                "build_model returned a model that is not compiled; compile it with an optimizer "
                "and a loss"
            )
        ensure_built(model, x[:2])
        return model

    compiled = CompiledOnce()
    try:
        return run_folds(
            build, data, pairs, epochs=epochs, batch_size=batch_size, seed=seed, compiled=compiled
        )
    finally:
        compiled.release()


def checked_folds(folds: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]], num_rows: int) -> FoldList:
    """Folds as arrays of rows.

    Args:
        folds: pairs of training and validation rows, each integers from 0, or Booleans of all rows.
        num_rows: rows of the data set.

    Raises:
        SearchError: for fewer than two folds, or a fold with an empty side, a row on both sides,
            or a row that is not in the data set.
    """
    if not isinstance(folds, Iterable) or isinstance(folds, str | bytes):
        raise SearchError(
            f"folds={folds!r}; expected Folds, or pairs of training and validation rows"
        )
    pairs = tuple(_pair(fold, pair, num_rows) for fold, pair in enumerate(folds))
    if len(pairs) < 2:
        raise SearchError(f"{len(pairs)} folds; cross-validation needs at least 2")
    for fold, (training, validation) in enumerate(pairs):
        if not len(training) or not len(validation) or np.intersect1d(training, validation).size:
            raise SearchError(
                f"fold {fold} has {len(training)} training and {len(validation)} validation rows; "
                "one side is empty, or some rows are on both: give two disjoint sides that are not "
                "empty"
            )
        rows = np.concatenate([training, validation])
        if rows.min() < 0 or rows.max() >= num_rows:
            raise SearchError(
                f"fold {fold} has rows {rows.min()} to {rows.max()}, but the data have {num_rows} "
                "rows, counted from 0; make folds for these data"
            )
    return pairs


def _pair(fold: int, pair: Any, num_rows: int) -> tuple[IntArray, IntArray]:
    try:
        training, validation = pair
    except (TypeError, ValueError) as error:
        raise SearchError(
            f"fold {fold} is not a pair of training and validation rows; give such pairs, or Folds"
        ) from error
    return _rows(fold, training, num_rows), _rows(fold, validation, num_rows)


def _rows(fold: int, side: Any, num_rows: int) -> IntArray:
    rows = np.asarray(side)
    if rows.dtype == np.bool_ and rows.shape == (num_rows,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size):
        raise SearchError(
            f"fold {fold}: rows of type {rows.dtype} and shape {rows.shape}; expected integers, "
            f"counted from 0, or {num_rows} Booleans"
        )
    return rows.astype(np.int64)


def array_metrics(y: AnyRows | None, folds: Sequence[tuple[IntArray, IntArray]] = ()) -> Metrics:
    """The metrics of arrays: the exact macro AUROC, for 0-1 labels.

    Args:
        y: (n, ...) targets; of several outputs, and of none, there is no AUROC.
        folds: pairs of training and validation rows; where one side of a fold has no label with
            both classes, as in leave-one-out, there is no AUROC.
    """
    if not isinstance(y, np.ndarray):
        return _no_metrics
    labels = y.reshape(len(y), -1) if y.ndim == 1 else y
    if labels.ndim != 2 or not np.isin(labels, (0, 1)).all():
        return _no_metrics
    sides = [labels[rows] for training, validation in folds for rows in (training, validation)]
    if not all((side.min(axis=0) < side.max(axis=0)).any() for side in sides):
        return _no_metrics
    return functools.partial(_auroc, labels)


def _no_metrics(
    answers: Sequence[npt.NDArray[Any]], rows: Sequence[IntArray], where: Sequence[str]
) -> list[dict[str, float]]:
    return [{} for _ in rows]


def _auroc(
    labels: npt.NDArray[Any],
    answers: Sequence[npt.NDArray[Any]],
    rows: Sequence[IntArray],
    where: Sequence[str],
) -> list[dict[str, float]]:
    """None where the model has another number of outputs than there are labels."""
    scores = [answer.reshape(len(answer), -1) for answer in answers]
    if scores[0].shape[1] != labels.shape[1]:
        return [{} for _ in rows]
    truth = [labels[of_fold] for of_fold in rows]
    (areas,) = macro_aurocs(truth, scores, [[np.ones(t.shape, bool) for t in truth]], where=where)
    return [{"auroc": area} for area in areas]
