"""All figures of a set of predictions at once, each with its 95 % interval over patients.

It owns which figures there are and what they are called; each figure is that of the module of its
kind. Whose figures they are, of the hold-out set or out of fold, is the caller's to say.
"""

import dataclasses
from collections.abc import Callable, Sequence
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
from rust_tuner.metrics.ranking import checked_labels, macro_average
from rust_tuner.metrics.uncertainty import Interval, Statistic, patient_bootstrap
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
    WeightedAuroc,
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
NUM_RESAMPLES = 2000

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
        undefined_resamples: how many of the resamples did not define it.
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
    undefined_resamples: int = 0


def assess(
    predictions: Predictions,
    *,
    threshold: float = 0.5,
    union_threshold: float = UNION_THRESHOLD,
    rng: int | np.random.Generator = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> list[Figure]:
    """Every figure of predictions, with 95 % intervals by bootstrap over patients.

    AUROC and average precision are macro, micro and of each label, over all 18 labels and over
    the 16 of the cortices where these are visible; so are the Brier score and the expected
    calibration error (no micro), and precision, recall and F1 at a threshold. Quadratic-weighted
    kappa, exact and within-one agreement are those of the most likely scores, of each cortex and
    their mean. The RUST total of a visit, both views paired, has mean absolute error, bias,
    Bland and Altman's limits and ICC(2,1), here once more with its own interval of McGraw and
    Wong as `icc_analytic`; union, a total of at least a threshold, has sensitivity, specificity
    and predictive values.

    A figure without an interval is one that no resample defines or that is the same in all of
    them, and the expected calibration error, which resampling raises.

    Args:
        predictions: n radiographs; with fewer than two patients there are no intervals.
        threshold: a probability of at least this is a positive decision.
        union_threshold: a total of at least this is union; in [4, 16].
        rng: a seed, or a generator to go on drawing from.
        num_resamples: how many resamples to draw, at least 1.

    Raises:
        MetricError: as the modules of the figures.
    """
    labels, visible = predictions.labels, predictions.visible
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
    statistics: list[Statistic] = []
    known: list[Figure] = []
    for scope in scopes:
        statistics.append(_Ranked(scope, predictions.folds))
        for name in ("auroc", "average_precision"):
            known += scope.figures(name, averages=("macro", "micro"))
        statistics.append(WeightedDecisions(*scope.problem, threshold=threshold))
        for name in ("precision", "recall", "f1"):
            known += scope.figures(name)
        statistics.append(WeightedBrier(*scope.problem))
        known += scope.figures("brier")
    statistics.append(WeightedAgreement(*predictions.scores))
    for name in ("kappa", "exact", "within_one"):
        known.append(Figure(name, CORTEX_GROUP, "macro", VISIBLE, _NAN, total=len(CORTICES)))
        known += [Figure(name, cortex, "", VISIBLE, _NAN) for cortex in CORTICES]
    generator = np.random.default_rng(rng)
    options: dict[str, Any] = {"rng": generator, "num_resamples": num_resamples}
    found = _with_intervals(known, statistics, predictions.patient_ids, **options)
    found = _with_counts(found)
    for scope in scopes:
        errors = expected_calibration_error(*scope.problem)
        mean = macro_average(errors)
        values = [mean.value, *errors]
        known = scope.figures("expected_calibration_error")
        counts = [(mean.defined, mean.labels), *[(None, None)] * len(errors)]
        found += [
            dataclasses.replace(figure, value=float(value), defined=defined, total=total)
            for figure, value, (defined, total) in zip(known, values, counts, strict=True)
        ]
    return found + _of_visits(predictions.totals, union_threshold, **options)


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


class _Ranked:
    """AUROC, then average precision: macro, micro, each label; folds one by one, then averaged."""

    def __init__(self, scope: _Scope, folds: IntArray | None) -> None:
        truth, score, mask = checked_labels(*scope.problem)
        everything = np.zeros(len(truth), dtype=np.int64)
        numbers = everything if folds is None else folds
        self._parts = []
        for fold in np.unique(numbers):
            rows = np.flatnonzero(numbers == fold)
            problem = (truth[rows], score[rows], mask[rows])
            kinds = [
                (kind(*problem), Pooled(kind, *problem))
                for kind in (WeightedAuroc, WeightedAveragePrecision)
            ]
            self._parts.append((rows, kinds))
        self._num_figures = 2 * (2 + len(scope.labels))

    def __call__(self, weights: FloatArray) -> FloatArray:
        found = np.full((len(self._parts), weights.shape[1], self._num_figures), np.nan)
        for place, (rows, kinds) in enumerate(self._parts):
            own = weights[rows]
            columns = []
            for of_labels, pooled in kinds:
                figures = of_labels(own)
                columns += [mean_of_defined(figures), pooled(own), figures]
            found[place] = np.concatenate(columns, axis=1)
        mean: FloatArray = mean_of_defined(found, axis=0)[0]
        return mean


def _with_intervals(
    known: Sequence[Figure],
    statistics: Sequence[Callable[[FloatArray], FloatArray]],
    patient_ids: npt.NDArray[Any],
    *,
    rng: np.random.Generator,
    num_resamples: int,
) -> list[Figure]:
    """Give figures, in the order of the statistics' columns, their values and intervals."""

    def together(weights: FloatArray) -> FloatArray:
        return np.concatenate([statistic(weights) for statistic in statistics], axis=1)

    if len(set(patient_ids)) < 2:
        values = together(np.ones((len(patient_ids), 1)))[0]
        return [dataclasses.replace(f, value=float(v)) for f, v in zip(known, values, strict=True)]
    intervals = patient_bootstrap(together, patient_ids, rng=rng, num_resamples=num_resamples)
    found = []
    for figure, interval in zip(known, intervals, strict=True):
        # What is the same in every resample tells nothing of how it varies.
        varies = interval.high > interval.low
        found.append(
            dataclasses.replace(
                figure,
                value=interval.value,
                low=interval.low if varies else _NAN,
                high=interval.high if varies else _NAN,
                undefined_resamples=interval.num_undefined,
            )
        )
    return found


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


def _of_visits(
    totals: VisitTotals, union_threshold: float, *, rng: np.random.Generator, num_resamples: int
) -> list[Figure]:
    pair = totals.reference, totals.predicted
    names = (*WeightedTotals.names, *WeightedUnion.names)
    counts = {"defined": len(totals.reference), "total": totals.num_visits}
    found = _with_intervals(
        [Figure(name, VISITS, "", VISIBLE, _NAN, **counts) for name in names],
        [WeightedTotals(*pair), WeightedUnion(*pair, threshold=union_threshold)],
        totals.patient_ids,
        rng=rng,
        num_resamples=num_resamples,
    )
    icc: Interval = total_agreement(*pair).icc
    analytic = Figure("icc_analytic", VISITS, "", VISIBLE, icc.value, icc.low, icc.high, **counts)
    place = names.index("icc") + 1
    return [*found[:place], analytic, *found[place:]]
