"""How KerasTuner's users extend its tuner: `run_trial` and hooks of a subclass, and its workers."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from rust_tuner.errors import SearchError
from rust_tuner.metrics.mean_ranks import mean_ranks
from rust_tuner.search.objectives import RankedObjectives, objectives_of

_WORKER_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
HOOKS = ("on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end")


class FoldHooks(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls the tuner's own methods as each fold of a trial is trained."""

    def __init__(self, tuner: keras_tuner.Tuner, trial: Trial) -> None:
        """Call the methods of `tuner` with `trial`."""
        super().__init__()
        self._tuner = tuner
        self._trial = trial

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Call `on_epoch_begin` of the tuner."""
        self._tuner.on_epoch_begin(self._trial, self.model, epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Call `on_epoch_end` of the tuner, with the metrics of the fold."""
        self._tuner.on_epoch_end(self._trial, self.model, epoch, logs=logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call `on_batch_begin` of the tuner."""
        self._tuner.on_batch_begin(self._trial, self.model, batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call `on_batch_end` of the tuner."""
        self._tuner.on_batch_end(self._trial, self.model, batch, logs)


def metrics_of(
    returned: Any, objective: keras_tuner.Objective, *, what: str = "run_trial"
) -> tuple[dict[str, float], int]:
    """The metrics that a `run_trial` returned, and their epoch, as KerasTuner understands them.

    The epochs of several histories are averaged before the best one is chosen: each history's own
    best epoch would be chosen on the rows that it is scored on.

    Args:
        returned: the objective, metrics by name, a `History`, or a list of these, which is
            averaged.
        objective: what the search optimises; of several, the best epoch has the lowest mean of its
            ranks by each.
        what: the method that returned them, for messages.

    Returns:
        Metrics by name, and the epoch (from 0) that they belong to; 0 where there are no epochs.

    Raises:
        SearchError: for anything else, or where the objective is missing.
    """
    if isinstance(returned, list) and returned:
        of_each = [curves for one in returned if (curves := curves_of(one)) is not None]
        if len(of_each) == len(returned):
            return _at_best_epoch(_mean_curves(of_each), objective, what)
    if isinstance(returned, list) and returned:
        parts = [metrics_of(part, objective, what=what) for part in returned]
        names = set.intersection(*(set(metrics) for metrics, _ in parts))
        means = {
            name: float(np.mean([metrics[name] for metrics, _ in parts])) for name in sorted(names)
        }
        return means, int(np.mean([epoch for _, epoch in parts]))
    if (curves := curves_of(returned)) is not None:
        return _at_best_epoch(curves, objective, what)
    number = None if isinstance(returned, bool) else _as_number(returned)
    if number is not None and len(objectives_of(objective)) == 1:
        return {objective.name: number}, 0
    if not isinstance(returned, Mapping):
        wanted = [str(part.name) for part in objectives_of(objective)]
        is_one = len(wanted) == 1
        expected = (
            f"the value of {wanted[0]}, a dict with it"
            if is_one
            else (f"a dict of {', '.join(wanted)}")
        )
        raise SearchError(
            f"{what} returned {type(returned).__name__}; return {expected}, a keras History, or a "
            "list of these"
        )
    _require(objective, returned, what)
    metrics = {str(name): _as_number(value) for name, value in returned.items()}
    for name, value in metrics.items():
        if value is None:
            raise SearchError(
                f"{what} returned a dict in which {name} is {type(returned[name]).__name__}; "
                "expected a number, or for every metric a list with a number per epoch"
            )
    return metrics, 0  # type: ignore[return-value]


def curves_of(returned: Any) -> Mapping[str, Sequence[float]] | None:
    """The metrics by epoch of a `History`, or of its `history`; None for anything else."""
    if isinstance(returned, keras.callbacks.History):
        history: Mapping[str, Sequence[float]] = returned.history
        return history
    if not isinstance(returned, Mapping) or not all(
        isinstance(curve, list | tuple)
        and not any(isinstance(value, list | tuple | str | None) for value in curve)
        for curve in returned.values()
    ):
        return None
    lengths = {len(curve) for curve in returned.values()}
    return returned if len(lengths) == 1 and 0 not in lengths else None


def _as_number(value: Any) -> float | None:
    """A number, or the one in an array or tensor without dimensions; None for anything else."""
    if isinstance(value, str | bytes | list | tuple) or np.ndim(value) != 0:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def reported_metrics(
    metrics: dict[str, float], objective: keras_tuner.Objective
) -> dict[str, float]:
    """Metrics as an oracle takes them: with one number for several objectives."""
    if isinstance(objective, RankedObjectives):
        return metrics | {objective.name: objective.value_of(metrics)}
    return metrics


def _mean_curves(histories: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Metrics that all histories have, averaged over them for as many epochs as all have."""
    names = set.intersection(*map(set, histories)) if histories else set()
    curves = {name: [history[name] for history in histories] for name in sorted(names)}
    return {
        name: [float(np.mean(values)) for values in zip(*of_all, strict=False)]
        for name, of_all in curves.items()
    }


def _at_best_epoch(
    history: Mapping[str, Sequence[float]], objective: keras_tuner.Objective, what: str
) -> tuple[dict[str, float], int]:
    _require(objective, history, what)
    parts = objectives_of(objective)
    ranks = mean_ranks([(part.direction, history[part.name]) for part in parts])
    epoch = int(np.nanargmin(ranks))
    return {name: float(values[epoch]) for name, values in history.items()}, epoch


def _require(objective: keras_tuner.Objective, metrics: Mapping[str, Any], what: str) -> None:
    parts = objectives_of(objective)
    for part in parts:
        if part.name not in metrics:
            offered = ", ".join(map(str, metrics)) or "nothing"
            which = "the objective" if len(parts) == 1 else "an objective"
            raise SearchError(
                f"{what} returned no {part.name}, which is {which}; it returned {offered}"
            )


def refuse_workers() -> None:
    """Refuse to start in a process that KerasTuner's distribution variables make a worker.

    Raises:
        SearchError: naming the variables.
    """
    variables = [name for name in _WORKER_VARIABLES if os.environ.get(name)]
    if variables:
        raise SearchError(
            f"{', '.join(variables)} set in the environment: KerasTuner's chief and workers do not "
            "share the folds of a trial, and would wait for each other forever; unset "
            "KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, and use "
            "search(workers=...) instead"
        )
