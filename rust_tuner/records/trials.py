"""One trial, as read from its folder: KerasTuner's `trial.json` and the records of its folds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from rust_tuner.errors import RecordError
from rust_tuner.metrics.fold_interval import fold_interval, is_within
from rust_tuner.metrics.ranges import metric_range
from rust_tuner.metrics.uncertainty import Interval
from rust_tuner.records.folds import FoldHead, fold_files, read_fold
from rust_tuner.records.metric_names import with_same_names
from rust_tuner.records.model import HyperValues, Record, read_record
from rust_tuner.scope import AUROCS

TRIAL_FILE = "trial.json"
PRUNED: Literal["PRUNED"] = "PRUNED"
Status = Literal["RUNNING", "COMPLETED", "FAILED", "PRUNED"]

_AGAIN = "run the search again"


class Observation(Record):
    """The values of a metric at one step, as KerasTuner keeps them."""

    value: Annotated[list[float], Field(min_length=1)]
    step: int


class MetricHistory(Record):
    """A metric's observations, as KerasTuner keeps them."""

    observations: Annotated[list[Observation], Field(min_length=1)]


class TrialMetrics(Record):
    """The metrics of a trial."""

    metrics: dict[str, MetricHistory]


class TrialValues(Record):
    """The hyperparameter values of a trial."""

    values: HyperValues


class TrialState(Record):
    """`trial.json`: KerasTuner's trial.

    Attributes:
        traceback: of the error that failed it.
        asked_late: hyperparameters that its code first asked for while it was trained; its records
            do not depend on them.
        failed_runs: how often it has failed, where it runs again.
    """

    trial_id: Annotated[str, Field(pattern=r"^\d{4,12}$")]
    status: Status
    hyperparameters: TrialValues
    metrics: TrialMetrics
    score: float | None
    best_step: int | None
    message: str | None
    traceback: str | None = None
    asked_late: list[str] | None = None
    failed_runs: int | None = None

    @model_validator(mode="after")
    def _scored_where_completed(self) -> "TrialState":
        unscored = self.score is None or self.best_step is None or self.best_step < 0
        if self.status == "COMPLETED" and unscored:
            raise ValueError("a completed trial without score or epoch")
        return self


@dataclass(frozen=True)
class TrialRecord:
    """One trial, as read from its folder.

    Attributes:
        trial: its id, zero-padded to a fixed width.
        status: `RUNNING`, `COMPLETED`, `FAILED`, or `PRUNED` where it was stopped as hopeless.
        values: hyperparameter values.
        score: the objective at the chosen epoch, averaged over folds; None unless completed.
        epoch: the chosen epoch, from 0; None unless completed.
        message: why it failed or was stopped, or None.
        metrics: fold-averaged metrics at the chosen epoch.
        folds: the records of the finished folds, in order.
        traceback: of the error that failed it, or None.
        overlap: n_test / n_train of the search's folds, for `interval`; None where it is not known.
    """

    trial: str
    status: Status
    values: HyperValues
    score: float | None
    epoch: int | None
    message: str | None
    metrics: dict[str, float]
    folds: tuple[FoldHead, ...]
    traceback: str | None = None
    overlap: float | None = None

    def fold_values(self, metric: str) -> list[float] | None:
        """A validation metric of each fold at the chosen epoch; None unless all have it."""
        curves = [fold.validation.get(metric) for fold in self.folds]
        if self.epoch is None or any(curve is None for curve in curves):
            return None
        return [float(curve[self.epoch]) for curve in curves if curve]

    @property
    def has_ended(self) -> bool:
        """Whether it completed, failed or was stopped."""
        return self.status != "RUNNING"

    @property
    def learned_nothing(self) -> bool:
        """Whether all AUROCs of all folds and epochs are exactly 0.5, as of one prediction."""
        figures = [
            value
            for fold in self.folds
            for metric in AUROCS
            for value in fold.validation.get(metric, [])
        ]
        return self.status == "COMPLETED" and set(figures) == {0.5}

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimiser steps of an epoch of the longest fold; None if no fold is finished."""
        return max((fold.steps_per_epoch for fold in self.folds), default=None)

    @property
    def one_step(self) -> bool | None:
        """Whether an epoch was one step on the whole fold; None if no fold is finished."""
        return None if self.steps_per_epoch is None else self.steps_per_epoch == 1

    def spread(self, metric: str) -> float | None:
        """Standard deviation over folds (n - 1) of a validation metric at the chosen epoch."""
        values = self.fold_values(metric)
        return None if values is None or len(values) < 2 else float(np.std(values, ddof=1))

    def interval(self, metric: str) -> Interval:
        """A validation metric at the chosen epoch with its 95 % interval over folds.

        The interval accounts for training data that folds share, see `metrics.fold_interval`; its
        ends are NaN where it is not known. It lies within the range of the metric. Unlike an
        interval over patients, which is for the models as they were trained, it includes the
        variation of training on other patients.
        """
        nan = float("nan")
        value = self.metrics.get(f"val_{metric}", nan)
        values = self.fold_values(metric)
        if not values:
            return Interval(value, nan, nan, reason="it is not recorded for every fold")
        bounds = metric_range(metric)
        # A metric of one's own may have the name of another, such as an accuracy in per cent.
        if bounds is not None and not is_within(values, bounds):
            bounds = None
        over_folds = fold_interval(
            values, overlap=self.overlap, bounds=bounds or (-math.inf, math.inf)
        )
        if bounds is None and _leaves_its_values(over_folds, values):
            return Interval(value, nan, nan, reason="the range of the metric is not known")
        if math.isnan(value):
            return over_folds
        if math.isnan(over_folds.low):
            return Interval(value, nan, nan, reason=over_folds.reason)
        # The recorded value and the mean of the folds may differ by rounding.
        ends = min(over_folds.low, value), max(over_folds.high, value)
        return Interval(value, *ends)


def _leaves_its_values(interval: Interval, values: Sequence[float]) -> bool:
    """Whether an interval crosses 0 or 1 where no value does, so that it may leave the range."""
    crosses_0 = interval.low < 0 <= min(values)
    crosses_1 = min(values) >= 0 and interval.high > 1 >= max(values)
    return crosses_0 or crosses_1


def read_trial_state(path: Path) -> TrialState:
    """Read a `trial.json`.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is damaged.
    """
    return read_record(path, TrialState, mend=_AGAIN)


def read_trial(
    folder: Path, *, objective: str | Sequence[str] | None = None, overlap: float | None = None
) -> TrialRecord:
    """Read one trial's folder, even if its folds are still being trained.

    Args:
        folder: the trial's folder.
        objective: the metric, or the metrics, that its search optimises; see
            `metric_names.with_same_names`.
        overlap: n_test / n_train of the search's folds; None where it is not known.

    Raises:
        FileNotFoundError: if it does not contain a trial.
        RecordError: if a file is damaged.
    """
    path = folder / TRIAL_FILE
    state = read_trial_state(path)
    if f"trial_{state.trial_id}" != folder.name:
        raise RecordError.of(path, f"belongs to trial {state.trial_id}", mend=_AGAIN)
    heads = [read_fold(head) for head in fold_files(folder)]
    names = [objective] if isinstance(objective, str) else objective or ()
    wanted = [name.removeprefix("val_") for name in names]
    training = with_same_names([head.training for head in heads])
    validation = with_same_names([head.validation for head in heads], wanted)
    folds = tuple(
        head
        if (head.training, head.validation) == (of_training, of_validation)
        else head.with_changes(training=of_training, validation=of_validation)
        for head, of_training, of_validation in zip(heads, training, validation, strict=True)
    )
    completed = state.status == "COMPLETED"
    metrics = {
        name: float(np.mean(history.observations[-1].value))
        for name, history in state.metrics.metrics.items()
    }
    return TrialRecord(
        trial=state.trial_id,
        status=state.status,
        values=state.hyperparameters.values,
        score=state.score if completed else None,
        epoch=state.best_step if completed else None,
        message=state.message,
        metrics=metrics if completed else {},
        folds=folds,
        traceback=state.traceback,
        overlap=overlap,
    )
