"""All figures of a set of predictions at once, each with its 95 % interval over patients.

It owns which figures there are and what they are called; each figure is that of the module of its
kind. Whose figures they are, of the hold-out set or out of fold, is the caller's to say.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.labels import (
    CORTEX_LABELS,
    CORTICES,
    LABELS,
    NUM_LABELS,
    NUM_VIEWS,
    UNION_THRESHOLD,
    decode,
    decode_probabilities,
)
from rust_tuner.metrics.agreement import total_agreement
from rust_tuner.metrics.calibration import expected_calibration_error
from rust_tuner.metrics.clustered_auroc import ClusteredAurocs
from rust_tuner.metrics.figure_interval import Measured, figure_interval
from rust_tuner.metrics.jackknife import Statistic, patient_jackknife
from rust_tuner.metrics.ranking import checked_labels, macro_average
from rust_tuner.metrics.uncertainty import Interval, area_interval, macro_area_interval
from rust_tuner.metrics.visits import VisitTotals, paired_totals
from rust_tuner.metrics.weighted_counts import (
    WeightedAgreement,
    WeightedBrier,
    WeightedDecisions,
    WeightedTotals,
    WeightedUnion,
)
from rust_tuner.metrics.weighted_ranking import (
    Pooled,
    WeightedAveragePrecision,
    mean_of_defined,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ALL_LABELS = "labels"
CORTEX_GROUP = "cortices"
VISITS = "visits"
EVERY_ROW = "all"
VISIBLE = "visible"
# Why a calibration error has no interval.
NO_INTERVAL_OF_CALIBRATION = "any redrawing of the patients raises a calibration error"

_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of radiographs, and what is true of them.

    Attributes:
        labels: (n, 18) zeros and ones in the order of `LABELS`.
        visible: (n, 16) bool, whether a label's cortex has a score in the row.
        probabilities: (n, 18) in [0, 1].
        patient_ids: (n,) whose radiograph each is.
        visits: (n,) the visit; the views of one visit are paired by it.
        folds: (n,) the fold that scored each row, where models of several folds did: they are
            ranked fold by fold and their figures averaged, since the scores of two models have no
            common scale. None for one model.
    """

    labels: npt.NDArray[Any]
    visible: npt.NDArray[np.bool_]
    probabilities: npt.NDArray[Any]
    patient_ids: npt.NDArray[Any]
    visits: npt.NDArray[Any]
    folds: IntArray | None = None

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            MetricError: where they do not fit together.
        """
        n = len(self.labels)
        shapes = {
            "labels": (self.labels, (n, NUM_LABELS)),
            "visible": (self.visible, (n, NUM_LABELS - NUM_VIEWS)),
            "probabilities": (self.probabilities, (n, NUM_LABELS)),
            "patient_ids": (self.patient_ids, (n,)),
            "visits": (self.visits, (n,)),
        }
        if self.folds is not None:
            shapes["folds"] = (self.folds, (n,))
        for name, (array, expected) in shapes.items():
            if array.shape != expected:
                raise MetricError(f"{name} {array.shape}; expected {expected}")

    def subset(self, rows: npt.NDArray[Any]) -> "Predictions":
        """The predictions of some rows: positions, or a mask (n,)."""
        folds = None if self.folds is None else self.folds[rows]
        return Predictions(
            self.labels[rows],
            self.visible[rows],
            self.probabilities[rows],
            self.patient_ids[rows],
            self.visits[rows],
            folds,
        )

    @property
    def scores(self) -> tuple[FloatArray, FloatArray]:
        """True and most likely scores (n, 4), in the order of `CORTICES`; NaN where not visible."""
        _, reference = decode(self.labels)
        likeliest = decode_probabilities(self.probabilities).most_likely.astype(np.float64)
        return reference, np.where(np.isnan(reference), np.nan, likeliest)

    @property
    def totals(self) -> VisitTotals:
        """The totals of the visits whose four cortices are visible."""
        reference, predicted = self.scores
        return paired_totals(reference, predicted, self.patient_ids, self.visits)


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
    low: float = _NAN
    high: float = _NAN
    defined: int | None = None
    total: int | None = None
    reason: str = ""


def assess(
    predictions: Predictions,
    *,
    threshold: float = 0.5,
    union_threshold: float = UNION_THRESHOLD,
) -> list[Figure]:
    """Every figure of predictions, with 95 % intervals over patients.

    AUROC and average precision are macro, micro and of each label, over all 18 labels and over
    the 16 of the cortices where these are visible; so are the Brier score and the expected
    calibration error (no micro), and precision, recall and F1 at a threshold. Quadratic-weighted
    kappa, exact and within-one agreement are those of the most likely scores, of each cortex and
    their mean. The RUST total of a visit, both views paired, has mean absolute error, bias,
    Bland and Altman's limits and ICC(2,1), here once more with its own interval of McGraw and
    Wong as `icc_analytic`; union, a total of at least a threshold, has sensitivity, specificity
    and predictive values.

    The intervals are those of `auroc_intervals` and `figure_interval`, without random numbers.
    A figure that too few patients tell of has none, and its `reason` says so.

    Args:
        predictions: n radiographs; with one patient there are no intervals.
        threshold: a probability of at least this is a positive decision.
        union_threshold: a total of at least this is union; in [4, 16].

    Raises:
        MetricError: as the modules of the figures.
    """
    labels, visible = predictions.labels, predictions.visible
    patient_ids = predictions.patient_ids
    probabilities = predictions.probabilities.astype(np.float64)
    scopes = (
        _Scope(ALL_LABELS, EVERY_ROW, LABELS, labels, probabilities, np.ones(labels.shape, bool)),
        _Scope(
            CORTEX_GROUP,
            VISIBLE,
            CORTEX_LABELS,
            labels[:, NUM_VIEWS:],
            probabilities[:, NUM_VIEWS:],
            visible,
        ),
    )
    found: list[Figure] = []
    for scope in scopes:
        found += _areas(scope, predictions)
        precision = _AveragePrecision(scope, predictions.folds)
        known = scope.figures("average_precision", averages=("macro", "micro"))
        found += _with_intervals(known, precision, patient_ids)
        known = [item for name in ("precision", "recall", "f1") for item in scope.figures(name)]
        decided = WeightedDecisions(*scope.problem, threshold=threshold)
        found += _with_intervals(known, decided, patient_ids)
        brier = WeightedBrier(*scope.problem)
        found += _with_intervals(scope.figures("brier"), brier, patient_ids)
    known = []
    for name in ("kappa", "exact", "within_one"):
        known.append(Figure(name, CORTEX_GROUP, "macro", VISIBLE, _NAN, total=len(CORTICES)))
        known += [Figure(name, cortex, "", VISIBLE, _NAN) for cortex in CORTICES]
    found += _with_intervals(known, WeightedAgreement(*predictions.scores), patient_ids)
    found = _with_counts(found)
    for scope in scopes:
        errors = expected_calibration_error(*scope.problem)
        mean = macro_average(errors)
        values = [mean.value, *errors]
        known = scope.figures("expected_calibration_error")
        counts = [(mean.defined, mean.labels), *[(None, None)] * len(errors)]
        for figure, value, (defined, total) in zip(known, values, counts, strict=True):
            reason = "" if np.isnan(value) else NO_INTERVAL_OF_CALIBRATION
            figure = _filled(figure, Interval(float(value), _NAN, _NAN, reason=reason))
            found.append(dataclasses.replace(figure, defined=defined, total=total))
    return found + _of_visits(predictions.totals, union_threshold)


@dataclass(frozen=True, eq=False)
class _Scope:
    """Labels that are averaged together, and the rows in which each counts."""

    name: str
    counted: str
    labels: Sequence[str]
    truth: npt.NDArray[Any]
    score: FloatArray
    mask: npt.NDArray[np.bool_]

    @property
    def problem(self) -> tuple[npt.NDArray[Any], FloatArray, npt.NDArray[np.bool_]]:
        """What the figures take."""
        return self.truth, self.score, self.mask

    def figures(self, name: str, averages: Sequence[str] = ("macro",)) -> list[Figure]:
        """The figures of a name without values: averages first, then each label."""
        means = [
            Figure(name, self.name, average, self.counted, _NAN, total=len(self.labels))
            if average == "macro"
            else Figure(name, self.name, average, self.counted, _NAN)
            for average in averages
        ]
        return means + [Figure(name, label, "", self.counted, _NAN) for label in self.labels]


class _AveragePrecision:
    """Average precision: macro, micro, each label; folds one by one, then averaged."""

    def __init__(self, scope: _Scope, folds: IntArray | None) -> None:
        truth, score, mask = checked_labels(*scope.problem)
        numbers = np.zeros(len(truth), dtype=np.int64) if folds is None else folds
        self._parts = []
        for fold in np.unique(numbers):
            rows = np.flatnonzero(numbers == fold)
            problem = (truth[rows], score[rows], mask[rows])
            pooled = Pooled(WeightedAveragePrecision, *problem)
            self._parts.append((rows, WeightedAveragePrecision(*problem), pooled))

    def __call__(self, weights: FloatArray) -> FloatArray:
        found = []
        for rows, of_labels, pooled in self._parts:
            own = weights[rows]
            figures = of_labels(own)
            found.append(np.concatenate([mean_of_defined(figures), pooled(own), figures], axis=1))
        mean: FloatArray = mean_of_defined(np.stack(found), axis=0)[0]
        return mean


def _areas(scope: _Scope, predictions: Predictions) -> list[Figure]:
    """The AUROCs of a scope: macro, micro, each label."""
    truth, score, mask = checked_labels(*scope.problem)
    ids, folds = predictions.patient_ids, predictions.folds
    areas = ClusteredAurocs(truth, score, ids, mask, folds=folds)
    row, label = np.nonzero(mask)
    entries = (truth[row, label][:, None], score[row, label][:, None], ids[row])
    pooled = ClusteredAurocs(*entries, folds=None if folds is None else folds[row])
    intervals = [
        macro_area_interval(areas.macro()),
        macro_area_interval(pooled.label(0)),
        *(area_interval(areas.label(number)) for number in range(areas.num_labels)),
    ]
    known = scope.figures("auroc", averages=("macro", "micro"))
    return [_filled(*pair) for pair in zip(known, intervals, strict=True)]


def _with_intervals(
    known: Sequence[Figure], statistic: Statistic, patient_ids: npt.NDArray[Any]
) -> list[Figure]:
    """Give figures, in the order of the statistic's columns, their values and intervals."""
    if not len(patient_ids):
        return [_filled(figure, Interval(_NAN, _NAN, _NAN)) for figure in known]
    found = patient_jackknife(statistic, patient_ids)
    # A mean is as sure as the label that the fewest patients tell of.
    fewest: dict[str, int] = {}
    for figure, value, patients in zip(known, found.values, found.defining, strict=True):
        if not figure.average and not np.isnan(value):
            fewest[figure.figure] = min(int(patients), fewest.get(figure.figure, int(patients)))
    filled = []
    for column, figure in enumerate(known):
        of_mean = figure.average == "macro"
        patients = int(found.defining[column])
        measured = Measured(
            figure.figure,
            float(found.values[column]),
            float(found.variances[column]),
            patients=fewest.get(figure.figure, patients) if of_mean else patients,
            moving=int(found.moving[column]),
            of_mean=of_mean,
        )
        filled.append(_filled(figure, figure_interval(measured)))
    return filled


def _filled(figure: Figure, interval: Interval) -> Figure:
    return dataclasses.replace(
        figure,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        reason=interval.reason,
    )


def _with_counts(figures: list[Figure]) -> list[Figure]:
    """Say of each macro average how many of its labels are defined."""
    groups: dict[tuple[str, str], list[float]] = {}
    for figure in figures:
        if not figure.average:
            groups.setdefault((figure.figure, figure.counted), []).append(figure.value)
    found = []
    for figure in figures:
        if figure.total is not None:
            values = groups[figure.figure, figure.counted]
            figure = dataclasses.replace(figure, defined=int((~np.isnan(values)).sum()))
        found.append(figure)
    return found


def _of_visits(totals: VisitTotals, union_threshold: float) -> list[Figure]:
    pair = totals.reference, totals.predicted
    complete, total = len(totals.reference), totals.num_visits

    def figures(names: Sequence[str]) -> list[Figure]:
        plain = Figure("", VISITS, "", VISIBLE, _NAN, defined=complete, total=total)
        return [dataclasses.replace(plain, figure=name) for name in names]

    found = _with_intervals(
        figures(WeightedTotals.names), WeightedTotals(*pair), totals.patient_ids
    )
    union = WeightedUnion(*pair, threshold=union_threshold)
    found += _with_intervals(figures(WeightedUnion.names), union, totals.patient_ids)
    (analytic,) = figures(["icc_analytic"])
    analytic = _filled(analytic, total_agreement(*pair).icc)
    place = WeightedTotals.names.index("icc") + 1
    return [*found[:place], analytic, *found[place:]]
