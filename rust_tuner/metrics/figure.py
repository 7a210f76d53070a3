"""A figure with its interval, and intervals from the jackknife over patients."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.metrics.figure_interval import (
    CLASS_MEANS,
    SCALES,
    Measured,
    figure_interval,
    shortage,
)
from rust_tuner.metrics.jackknife import Statistic, patient_jackknife
from rust_tuner.metrics.score_interval import unseen_variance
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
    """One figure with its interval.

    Attributes:
        figure: its name, such as `auroc` or `kappa`.
        of: `labels` (all 18), `cortices` (the labels, or the scores, of all four), one label, one
            cortex, or `visits`.
        average: `macro`, `micro`, or empty.
        counted: `all` rows, or those where the cortex is `visible`; for visits, those with all four
            cortices.
        value: NaN where undefined.
        low: the lower end of its 95 % interval; NaN where it has none.
        high: the upper end.
        defined: for a mean, the number of labels averaged; for visits, the number of complete ones.
        total: the number of labels, or of visits.
        reason: why it has a value but no interval; empty if it has one.
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
    empty: Sequence[Figure],
    statistic: Statistic,
    patient_ids: npt.NDArray[Any],
    *,
    num_patients: npt.NDArray[np.int64] | None = None,
    of_classes: npt.ArrayLike = 0.0,
) -> list[Figure]:
    """Give figures, in the order of the statistic's columns, their values and intervals.

    Args:
        empty: the figures without values.
        statistic: as in `patient_jackknife`.
        patient_ids: (n,) the patient of each row.
        num_patients: (figures,) how many patients each figure depends on; None counts those who
            define it by their own rows alone.
        of_classes: (figures,) the `unseen_variance` of each mean of shares of classes.
    """
    if not len(patient_ids):
        return [filled(figure, Interval(NAN, NAN, NAN)) for figure in empty]
    jackknife = patient_jackknife(statistic, patient_ids)
    counts = jackknife.defining if num_patients is None else num_patients
    is_share = [item.figure not in SCALES and item.figure not in CLASS_MEANS for item in empty]
    unseen = np.where(is_share, unseen_variance(jackknife.values, counts), of_classes)
    figures = []
    for column, figure in enumerate(empty):
        of_mean = figure.average == "macro"
        parts = [
            number
            for number, one in enumerate(empty)
            if one.figure == figure.figure and not one.average
            if not np.isnan(jackknife.values[number])
        ]
        variance, limiting = float(jackknife.variances[column]), [column]
        if of_mean and parts:
            # A mean is only as certain as each of its labels; the one with the fewest comes first.
            limiting = sorted(parts, key=counts.__getitem__)
            variance += float(unseen[parts].sum()) / len(parts) ** 2
            if figure.figure == "average_precision":
                # It is too large for each label, and a mean over labels does not reduce that.
                variance += float(jackknife.biases[column]) ** 2
        elif figure.figure in CLASS_MEANS:
            variance += float(unseen[column])
        measured = [
            Measured(
                figure.figure,
                float(jackknife.values[column]),
                variance,
                degrees=float(jackknife.degrees[column]),
                patients=int(counts[part]),
                moving=int(jackknife.moving[column]),
                contributing=int(jackknife.contributing[column]),
                of_mean=of_mean,
                all_patients=int(jackknife.contributing[part]),
            )
            for part in limiting
        ]
        limit = next((one for one in measured if shortage(one)), measured[0])
        figures.append(filled(figure, figure_interval(limit)))
    return [_no_wider_than_parts(figure, figures) for figure in figures]


def _no_wider_than_parts(figure: Figure, figures: Sequence[Figure]) -> Figure:
    """A mean whose ends are no farther from it than those of its labels are from them, on average.

    A mean is least certain where all of its labels go together, and then as certain as they are.
    """
    if figure.average != "macro":
        return figure
    parts = [one for one in figures if one.figure == figure.figure and not one.average]
    parts = [one for one in parts if not np.isnan(one.value)]
    apart = np.array([(one.value - one.low, one.high - one.value) for one in parts])
    if np.isnan(figure.low) or not apart.size or np.isnan(apart).any():
        return figure
    # Averaged over folds, the value is not the mean of those of the labels.
    below, above = apart.mean(axis=0)
    return dataclasses.replace(
        figure,
        low=max(figure.low, figure.value - float(below)),
        high=min(figure.high, figure.value + float(above)),
    )


def filled(figure: Figure, interval: Interval) -> Figure:
    """The figure with a value and its interval."""
    return dataclasses.replace(
        figure, value=interval.value, low=interval.low, high=interval.high, reason=interval.reason
    )
