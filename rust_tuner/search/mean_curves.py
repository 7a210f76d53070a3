"""The outcome of a cross-validation, and the rule that turns its curves into a score.

Each epoch's validation figure is first averaged over the folds; the score is that mean curve at the
protocol's epoch. The best epoch of each fold is never used: it would be chosen on the rows that it
is scored on. Only a user's own `EarlyStopping(restore_best_weights=True)` uses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import SearchError
from rust_tuner.records.folds import FoldRecord
from rust_tuner.records.model import Curves
from rust_tuner.words import counted


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The outcome of a cross-validation.

    Attributes:
        folds: one record a fold, in order.
        mean: fold-averaged validation metrics, a value per epoch.
    """

    folds: tuple[FoldRecord, ...]
    mean: Curves

    def out_of_fold(self, epoch: int, num_rows: int) -> npt.NDArray[np.float32]:
        """Each row's prediction by the folds that did not train on it.

        Args:
            epoch: from 0.
            num_rows: rows of the data set.

        Returns:
            (num_rows, ...) float32: the mean over the folds that validate the row, such as those of
            a repeated splitter; NaN in rows that no fold validates.
        """
        return mean_of_repeats(self.out_of_fold_repeats(epoch, num_rows))

    def out_of_fold_repeats(self, epoch: int, num_rows: int) -> npt.NDArray[np.float32]:
        """Every prediction of each row by a fold that did not train on it.

        Args:
            epoch: from 0.
            num_rows: rows of the data set.

        Returns:
            (repeats, num_rows, ...) float32: in place r the r-th fold that validates the row; NaN
            where there are fewer. One repeat unless the splitter repeats.
        """
        seen = np.zeros(num_rows, dtype=np.int64)
        for record in self.folds:
            seen[record.validation_indices] += 1
        first = self.folds[0].predictions
        assert first is not None
        shape = (max(int(seen.max()), 1), num_rows, *first.shape[2:])
        table = np.full(shape, np.nan, dtype=np.float32)
        seen[:] = 0
        for record in self.folds:
            assert record.predictions is not None
            rows = record.validation_indices
            table[seen[rows], rows] = record.predictions[epoch]
            seen[rows] += 1
        return table


def mean_of_repeats(repeats: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean (n, ...) of the predictions that each row has among (repeats, n, ...)."""
    if len(repeats) == 1:
        only: npt.NDArray[np.float32] = repeats[0]
        return only
    given = ~np.isnan(repeats)
    with np.errstate(invalid="ignore"):
        # In float64, so that the mean of equal predictions is that prediction.
        total = np.where(given, repeats, 0).sum(axis=0, dtype=np.float64)
        return np.asarray(total / given.sum(axis=0), dtype=np.float32)


def calculate_mean_metrics(
    histories: Sequence[Mapping[str, Sequence[float]]],
) -> dict[str, list[float]]:
    """Average histories epoch by epoch.

    Args:
        histories: one per fold: metric -> value per epoch; all with the same metrics and epochs.

    Returns:
        metric -> mean per epoch.

    Raises:
        SearchError: where there is no history, or they differ in metrics or epochs.

    Examples:
        >>> calculate_mean_metrics([{"auroc": [0.6, 0.8]}, {"auroc": [0.7, 0.75]}])
        {'auroc': [0.6499999999999999, 0.775]}
    """
    if not histories:
        raise SearchError("no histories to average; give one per fold")
    first = histories[0]
    for number, history in enumerate(histories):
        if set(history) != set(first):
            raise SearchError(
                f"history {number} has the metrics {sorted(history)}, but history 0 has "
                f"{sorted(first)}"
            )
        for metric, values in history.items():
            if len(values) != len(first[metric]):
                raise SearchError(
                    f"history {number} has {len(values)} epochs of {metric}, but history 0 has "
                    f"{len(first[metric])}"
                )
    return {
        metric: [float(v) for v in np.mean([history[metric] for history in histories], axis=0)]
        for metric in first
    }


def chosen_epoch(curve: Sequence[float], rule: str | int, direction: str = "max") -> int:
    """The epoch whose fold-averaged value is the score.

    Args:
        curve: the objective's fold-averaged value per epoch.
        rule: `best_mean` (the first of the best epochs), `last`, or an epoch from 0.
        direction: `max` or `min`, whichever is better.

    Raises:
        SearchError: for an unknown rule, or an epoch that was not trained.
    """
    require_score_epoch(rule, len(curve))
    if rule == "best_mean":
        return int(np.argmax(curve) if direction == "max" else np.argmin(curve))
    return len(curve) - 1 if rule == "last" else int(rule)


def require_score_epoch(rule: str | int, epochs: int, *, why: str = "") -> None:
    """Refuse a rule that names no epoch of so many, which may need a reason.

    Raises:
        SearchError: for an unknown rule, or an epoch that is not trained.
    """
    is_epoch = isinstance(rule, int | np.integer) and not isinstance(rule, bool)
    if rule not in ("best_mean", "last") and not (is_epoch and 0 <= int(rule) < epochs):
        raise SearchError(
            f"score_epoch={rule!r} with {counted(epochs, 'epoch')}{why}; expected best_mean, last, "
            f"or an epoch in 0-{epochs - 1}"
        )
