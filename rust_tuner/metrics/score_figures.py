"""Figures of the most likely scores: of the cortices, of the totals of visits, and of union.

They count every visible cortex by its most likely score, so none depends on a threshold of the
probabilities.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.labels import CORTICES, SCORES
from rust_tuner.metrics.figure import CORTEX_GROUP, NAN, VISIBLE, VISITS, Figure, with_intervals
from rust_tuner.metrics.figure_interval import CLASS_MEANS
from rust_tuner.metrics.jackknife import of_each_patient
from rust_tuner.metrics.ranking import ratio
from rust_tuner.metrics.score_interval import unseen_variance
from rust_tuner.metrics.visits import VisitTotals
from rust_tuner.metrics.weighted_counts import WeightedAgreement, WeightedTotals, WeightedUnion

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def score_figures(
    reference: FloatArray, predicted: FloatArray, patient_ids: npt.NDArray[Any]
) -> list[Figure]:
    """Accuracy, balanced accuracy, macro F1, kappa and within-one agreement, with intervals.

    Args:
        reference: (n, 4) scores in the order of `CORTICES`, NaN where not visible.
        predicted: (n, 4) the most likely scores.
        patient_ids: (n,) the patient of each radiograph.

    Returns:
        For each name the mean over the cortices, then each cortex. For a mean, `defined` counts the
        cortices where it is defined, out of `total`; for balanced accuracy and macro F1 it counts
        the scores averaged.
    """
    statistic = WeightedAgreement(reference, predicted)
    empty = [
        figure
        for name in statistic.names
        for figure in (
            Figure(name, CORTEX_GROUP, "macro", VISIBLE, NAN, total=len(CORTICES)),
            *(Figure(name, cortex, "", VISIBLE, NAN) for cortex in CORTICES),
        )
    ]
    confusions = of_each_patient(statistic.confusion, patient_ids)
    num_patients = _defining(confusions, statistic.names)
    figures = with_intervals(
        empty,
        statistic,
        patient_ids,
        num_patients=num_patients,
        of_classes=_unseen_of_classes(confusions, statistic.names),
    )
    present = _present(confusions.sum(axis=0))
    return [_counted(figure, figures, present) for figure in figures]


def visit_figures(
    totals: VisitTotals, *, union_threshold: float, union_cutoff: float | None = None
) -> list[Figure]:
    """Figures of the totals of visits with all four cortices, and of union, with intervals.

    Args:
        totals: of the visits.
        union_threshold: a true total of at least this is union.
        union_cutoff: a predicted total of at least this is predicted union; None for the threshold.
    """
    pair = totals.reference, totals.predicted
    complete, total = len(totals.reference), totals.num_visits

    def figures(names: Sequence[str]) -> list[Figure]:
        plain = Figure("", VISITS, "", VISIBLE, NAN, defined=complete, total=total)
        return [dataclasses.replace(plain, figure=name) for name in names]

    of_totals = WeightedTotals(*pair)
    of_visits = with_intervals(
        figures(of_totals.names),
        of_totals,
        totals.patient_ids,
        num_patients=_num_unusual(totals, of_totals.names),
    )
    union = WeightedUnion(*pair, threshold=union_threshold, cutoff=union_cutoff)
    return of_visits + with_intervals(figures(union.names), union, totals.patient_ids)


def _present(confusion: FloatArray) -> dict[str, npt.NDArray[np.bool_]]:
    """Which scores of each cortex, (..., cortices, scores), a mean of classes averages."""
    true, predicted = confusion.sum(axis=-1) > 0, confusion.sum(axis=-2) > 0
    return dict(zip(CLASS_MEANS, (true, true | predicted), strict=True))


def _defining(confusions: FloatArray, names: Sequence[str]) -> IntArray:
    """How many patients each figure depends on.

    For means of classes, those with the rarest score; for kappa, which says little if nearly all
    scores are equal, those with another score than the most frequent one.

    Patients count by their reference scores, because predictions of a rare score say little about
    it.
    """
    pairs = (confusions.sum(axis=(2, 3)) > 0).sum(axis=0)
    has_score = confusions.sum(axis=3) > 0
    with_score = has_score.sum(axis=0)
    usual = confusions.sum(axis=(0, 3)).argmax(axis=-1)
    is_other = np.arange(has_score.shape[-1]) != usual[:, None]
    others = (has_score & is_other).any(axis=2).sum(axis=0)
    present = _present(confusions.sum(axis=0))
    parts = []
    for name in names:
        of_cortices = pairs
        if name == "kappa":
            of_cortices = others
        elif name in CLASS_MEANS:
            of_cortices = np.where(present[name], with_score, len(confusions)).min(axis=1)
        parts.append(np.concatenate([[of_cortices.min()], of_cortices]))
    return np.concatenate(parts).astype(np.int64)


def _unseen_of_classes(confusions: FloatArray, names: Sequence[str]) -> FloatArray:
    """The `unseen_variance` (figures,) of the means of classes of each cortex, elsewhere 0.

    For an F1 it is that of its recall, times the squared slope of the F1 in the recall.
    """
    confusion = confusions.sum(axis=0)
    hits, true = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2)
    unseen = unseen_variance(ratio(hits, true), (confusions.sum(axis=3) > 0).sum(axis=0))
    slopes = (np.ones_like(true), ratio(2 * true, true + confusion.sum(axis=1)))
    present = _present(confusion)
    figures = {
        name: np.nansum(unseen * slope**2, axis=1) / np.maximum(present[name].sum(axis=1), 1) ** 2
        for name, slope in zip(CLASS_MEANS, slopes, strict=True)
    }
    nothing = np.zeros(len(CORTICES))
    return np.concatenate([np.append(0.0, figures.get(name, nothing)) for name in names])


def _num_unusual(totals: VisitTotals, names: Sequence[str]) -> IntArray:
    """How many patients have another total, or another error, than the most frequent one.

    ICC depends on the former, by the reference; all other figures of totals on the latter.
    """

    def unusual(values: FloatArray) -> int:
        kinds, counts = np.unique(values, return_counts=True)
        usual = kinds[counts.argmax()] if len(kinds) else NAN
        return len(np.unique(totals.patient_ids[values != usual]))

    errors = totals.predicted - totals.reference
    counts = [unusual(totals.reference if name == "icc" else errors) for name in names]
    return np.array(counts, dtype=np.int64)


def _counted(
    figure: Figure, figures: Sequence[Figure], present: dict[str, npt.NDArray[np.bool_]]
) -> Figure:
    """Add to a mean the number of scores or cortices averaged."""
    if figure.figure in CLASS_MEANS:
        scores = present[figure.figure]
        if figure.of in CORTICES:
            scores = scores[[CORTICES.index(figure.of)]]
        return dataclasses.replace(
            figure, defined=int(scores.sum()), total=len(scores) * len(SCORES)
        )
    if not figure.average:
        return figure
    values = [one.value for one in figures if one.figure == figure.figure and not one.average]
    return dataclasses.replace(figure, defined=int((~np.isnan(values)).sum()))
