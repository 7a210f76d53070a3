"""Computes all figures of a set of predictions, each with its 95 % interval over patients.

It defines which figures there are and their names; each is computed by the module of its kind.
Whether predictions are of the hold-out set or out of fold is up to the caller.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.labels import (
    CORTEX_LABELS,
    LABELS,
    NUM_LABELS,
    NUM_VIEWS,
    UNION_THRESHOLD,
    decode,
    decode_probabilities,
)
from rust_tuner.metrics.calibration import expected_calibration_error
from rust_tuner.metrics.clustered_auroc import ClusteredAurocs
from rust_tuner.metrics.figure import (
    ALL_LABELS,
    CORTEX_GROUP,
    EVERY_ROW,
    NAN,
    VISIBLE,
    Figure,
    filled,
    with_intervals,
)
from rust_tuner.metrics.ranking import checked_labels, macro_average
from rust_tuner.metrics.score_figures import score_figures, visit_figures
from rust_tuner.metrics.uncertainty import Interval, area_interval, macro_area_interval
from rust_tuner.metrics.visits import VisitTotals, paired_totals
from rust_tuner.metrics.weighted_counts import WeightedBrier, WeightedDecisions
from rust_tuner.metrics.weighted_ranking import Pooled, WeightedAveragePrecision, mean_of_defined

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Why a calibration error has no interval.
NO_INTERVAL_OF_CALIBRATION = "resampling patients raises a calibration error"


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's predictions for radiographs, with their true labels.

    Attributes:
        labels: (n, 18) zeros and ones in the order of `LABELS`.
        visible: (n, 16) bool, whether a label's cortex has a score in the row.
        probabilities: (n, 18) in [0, 1].
        patient_ids: (n,) the patient of each radiograph.
        visits: (n,) the visit of each radiograph, which pairs its two views.
        folds: (n,) the fold that scored each row; None for a single model. Each fold is ranked
            separately and the figures are averaged, because the scores of two models have no common
            scale.
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
            MetricError: if they do not match.
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

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the content; equal for equal predictions."""
        made = hashlib.sha256()
        for array in (self.labels, self.visible, self.probabilities, self.folds):
            if array is not None:
                made.update(repr((array.shape, array.dtype.str)).encode())
                made.update(np.ascontiguousarray(array).data)
        made.update(repr((self.patient_ids.tolist(), self.visits.tolist())).encode())
        return made.hexdigest()

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


def assess(
    predictions: Predictions,
    *,
    threshold: float = 0.5,
    union_threshold: float = UNION_THRESHOLD,
    union_cutoff: float | None = None,
) -> list[Figure]:
    """Every figure of predictions, with 95 % intervals over patients.

    First come the figures of the most likely scores, for each cortex where it is visible and as
    their mean: accuracy, balanced accuracy, macro F1, quadratic-weighted kappa and agreement within
    one. They count every radiograph. Precision, recall and F1 at a threshold do not: where all four
    probabilities of a cortex are below it, no score is decided. AUROC and average precision are
    given as macro and micro averages and for each label, over all 18 labels and over the 16 labels
    of visible cortices; so are the Brier score (no micro), the expected calibration error, and
    precision, recall and F1 (no micro). The RUST total of a visit, both views paired, has mean
    absolute error, bias, Bland and Altman's limits and ICC(2,1); union has sensitivity, specificity
    and predictive values.

    The intervals are those of `auroc_intervals` and `figure_interval`, without random numbers. A
    figure that depends on too few patients has no interval, and its `reason` says so.

    Args:
        predictions: n radiographs; with one patient there are no intervals.
        threshold: a probability of at least this is a positive decision.
        union_threshold: a true total of at least this is union; in [4, 16].
        union_cutoff: a predicted total of at least this is predicted union; the threshold where
            None. See `choose_union_cutoff`.

    Raises:
        MetricError: as raised by the modules of the figures.

    Examples:
        >>> import numpy as np
        >>> from rust_tuner.data.phantoms import phantom_table
        >>> from rust_tuner import Radiographs
        >>> known = Radiographs(phantom_table(patients=120, seed=0))
        >>> noise = np.random.default_rng(0).normal(size=(len(known), 18))
        >>> probabilities = 1 / (1 + np.exp(1.5 - 3 * known.labels - noise))
        >>> visits, patients = known.table["visit"].to_numpy(), known.patient_ids
        >>> predicted = Predictions(known.labels, known.visible, probabilities, patients, visits)
        >>> kappas = [figure for figure in assess(predicted) if figure.figure == "kappa"]
        >>> (figure,) = [figure for figure in kappas if figure.of == "cortices"]
        >>> print(f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})")
        0.93 (0.87 to 0.96)
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
    figures: list[Figure] = []
    for scope in scopes:
        figures += _areas(scope, predictions)
        precision = _AveragePrecision(scope, predictions.folds)
        empty = scope.figures("average_precision", averages=("macro", "micro"))
        have = scope.with_label(patient_ids)
        figures += with_intervals(empty, precision, patient_ids, num_patients=have)
        empty = [item for name in ("precision", "recall", "f1") for item in scope.figures(name)]
        decided = WeightedDecisions(*scope.problem, threshold=threshold)
        figures += with_intervals(empty, decided, patient_ids)
        brier = WeightedBrier(*scope.problem)
        figures += with_intervals(
            scope.figures("brier"), brier, patient_ids, num_patients=scope.rarer_sides(patient_ids)
        )
    figures = _with_counts(figures)
    for scope in scopes:
        figures += _calibration(scope)
    return [
        *score_figures(*predictions.scores, patient_ids),
        *figures,
        *visit_figures(
            predictions.totals, union_threshold=union_threshold, union_cutoff=union_cutoff
        ),
    ]


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
        """The arguments of the figures."""
        return self.truth, self.score, self.mask

    def rarer_sides(self, patient_ids: npt.NDArray[Any]) -> IntArray:
        """How many patients have each label, or lack it if these are fewer; the fewest first."""
        has = self.truth.astype(bool)
        sides = [_owners(side & self.mask, patient_ids) for side in (has, ~has)]
        of_labels = np.array(sides).min(axis=0)
        return np.array([of_labels.min(), *of_labels], dtype=np.int64)

    def with_label(self, patient_ids: npt.NDArray[Any]) -> IntArray:
        """How many patients have any label, twice for both averages; then, how many have each."""
        has = self.truth.astype(bool) & self.mask
        (any_label,) = _owners(np.any(has, axis=1)[:, None], patient_ids)
        return np.array([any_label, any_label, *_owners(has, patient_ids)], dtype=np.int64)

    def figures(self, name: str, averages: Sequence[str] = ("macro",)) -> list[Figure]:
        """The figures of a name without values: averages first, then each label."""
        means = [
            Figure(name, self.name, average, self.counted, NAN, total=len(self.labels))
            if average == "macro"
            else Figure(name, self.name, average, self.counted, NAN)
            for average in averages
        ]
        return means + [Figure(name, label, "", self.counted, NAN) for label in self.labels]


def _owners(flags: npt.NDArray[np.bool_], patient_ids: npt.NDArray[Any]) -> list[int]:
    """How many patients have a row with each flag."""
    return [len(np.unique(patient_ids[column])) for column in flags.T]


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
        parts = []
        for rows, of_labels, pooled in self._parts:
            row_weights = weights[rows]
            figures = of_labels(row_weights)
            parts.append(
                np.concatenate([mean_of_defined(figures), pooled(row_weights), figures], axis=1)
            )
        mean: FloatArray = mean_of_defined(np.stack(parts), axis=0)[0]
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
    empty = scope.figures("auroc", averages=("macro", "micro"))
    return [filled(*pair) for pair in zip(empty, intervals, strict=True)]


def _with_counts(figures: list[Figure]) -> list[Figure]:
    """Add to each macro average the number of its labels that are defined."""
    groups: dict[tuple[str, str], list[float]] = {}
    for figure in figures:
        if not figure.average:
            groups.setdefault((figure.figure, figure.counted), []).append(figure.value)
    completed = []
    for figure in figures:
        if figure.total is not None:
            values = groups[figure.figure, figure.counted]
            figure = dataclasses.replace(figure, defined=int((~np.isnan(values)).sum()))
        completed.append(figure)
    return completed


def _calibration(scope: _Scope) -> list[Figure]:
    """The expected calibration errors of a scope: macro, of all labels in one table, each label."""
    errors = expected_calibration_error(*scope.problem)
    mean = macro_average(errors)
    truth, score, mask = scope.problem
    (together,) = expected_calibration_error(truth[mask][:, None], score[mask][:, None])
    empty = scope.figures("expected_calibration_error", averages=("macro", "micro"))
    figures = []
    for figure, value in zip(empty, (mean.value, together, *errors), strict=True):
        reason = "" if np.isnan(value) else NO_INTERVAL_OF_CALIBRATION
        figure = filled(figure, Interval(float(value), NAN, NAN, reason=reason))
        if figure.average == "macro":
            figure = dataclasses.replace(figure, defined=mean.defined)
        figures.append(figure)
    return figures
