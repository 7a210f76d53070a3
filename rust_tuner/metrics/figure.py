"""One figure with its interval, and how figures get theirs from the jackknife over patients."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.metrics.figure_interval import Measured, figure_interval
from rust_tuner.metrics.jackknife import Statistic, patient_jackknife
from rust_tuner.metrics.uncertainty import Interval
from rust_tuner.scope import CORTEX_SCOPE, LABEL_SCOPE

ALL_LABELS = LABEL_SCOPE.key
CORTEX_GROUP = CORTEX_SCOPE.key
VISITS = "visits"
EVERY_ROW = "all"
VISIBLE = "visible"

NAN = float("nan")


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        figure: such as `auroc` or `kappa`.
        of: `labels` (all 18), `cortices` (the labels, or the scores, of all four), one label, one
            cortex, or `visits`.
        average: `macro`, `micro`, or empty.
        counted: `all` rows, or those where the cortex is `visible`; of visits those with all four.
        value: NaN where undefined.
        low: the lower end of its 95 % interval; NaN where it has none.
        high: the upper end.
        defined: of a mean, over how many labels it is; of visits, how many are complete.
        total: how many labels, or visits, there are.
        reason: why it has a value and no interval; empty where it has one.
    """

    figure: str
    of: str
    average: str
    counted: str
    value: float
    low: float = NAN
    high: float = NAN
    defined: int | None = None
    total: int | None = None
    reason: str = ""


def with_intervals(
    known: Sequence[Figure],
    statistic: Statistic,
    patient_ids: npt.NDArray[Any],
    *,
    telling: npt.NDArray[np.int64] | None = None,
) -> list[Figure]:
    """Give figures, in the order of the statistic's columns, their values and intervals.

    Args:
        known: the figures without values.
        statistic: as of `patient_jackknife`.
        patient_ids: (n,) the patient of each row.
        telling: (figures,) how many patients tell of each figure; those that define it by their
            own rows alone where None.
    """
    if not len(patient_ids):
        return [filled(figure, Interval(NAN, NAN, NAN)) for figure in known]
    found = patient_jackknife(statistic, patient_ids)
    told = found.defining if telling is None else telling
    # A mean is as sure as the label that the fewest patients tell of.
    fewest: dict[str, int] = {}
    for figure, value, patients in zip(known, found.values, told, strict=True):
        if not figure.average and not np.isnan(value):
            fewest[figure.figure] = min(int(patients), fewest.get(figure.figure, int(patients)))
    figures = []
    for column, figure in enumerate(known):
        of_mean = figure.average == "macro"
        patients = int(told[column])
        measured = Measured(
            figure.figure,
            float(found.values[column]),
            float(found.variances[column]),
            patients=fewest.get(figure.figure, patients) if of_mean else patients,
            moving=int(found.moving[column]),
            of_mean=of_mean,
        )
        figures.append(filled(figure, figure_interval(measured)))
    return figures


def filled(figure: Figure, interval: Interval) -> Figure:
    """The figure with a value and its interval."""
    return dataclasses.replace(
        figure,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        reason=interval.reason,
    )
