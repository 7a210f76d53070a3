"""AUROCs with their variances over patients, from the structural components of every row.

Rows of one patient are alike, so a patient's components are summed before they are squared:
Obuchowski, Biometrics 1997, doi:10.2307/2533958; with one row per patient it is the variance of
DeLong, DeLong and Clarke-Pearson, Biometrics 1988, doi:10.2307/2531595. The intervals are computed
by `uncertainty`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.ranking import checked_labels
from rust_tuner.metrics.score_interval import PRIOR_PATIENTS, area_variance, moderated
from rust_tuner.metrics.weighted_ranking import mean_of_defined

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AreaWithVariance:
    """The AUROC of a label, or the mean of several, with its variance over patients.

    Attributes:
        value: the AUROC; NaN where undefined.
        variance: over patients; NaN where undefined.
        positives: the number of patients who have a row with the label; for a mean, with any label.
        negatives: the number of patients who have a row without it.
        effective: how many patients with equally many rows the smaller class is worth, by Kish;
            below the number of patients where few have most of the rows.
        terms: (terms, 3), a row for each ranking in the weighted sum: its weight, and the effective
            numbers of patients with and without the label; used by `model`.
    """

    value: float
    variance: float
    positives: int
    negatives: int
    effective: float
    terms: FloatArray

    @property
    def patients(self) -> int:
        """The number of patients of the smaller class."""
        return min(self.positives, self.negatives)

    def model(self, area: float) -> float:
        """The variance of independent rankings of normal scores, each patient counted once."""
        weights, positives, negatives = self.terms.T
        return float(weights**2 @ area_variance(area, positives, negatives))


class ClusteredAurocs:
    """The AUROC of each label and their mean, with variances over patients."""

    def __init__(
        self,
        y_true: npt.ArrayLike,
        y_score: npt.ArrayLike,
        patient_ids: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
        *,
        folds: npt.ArrayLike | None = None,
    ) -> None:
        """Rank every label of every fold.

        Args:
            y_true: (n, labels) zeros and ones.
            y_score: (n, labels) finite scores.
            patient_ids: (n,) the patient of each row.
            mask: (n, labels) bool, or None for all; entries that are False do not count.
            folds: (n,) the fold that scored each row: each fold is ranked separately, a label's
                figure is the mean over the folds that define it, and labels are averaged within
                each fold first. None if one model scored all rows.

        Raises:
            MetricError: as `auroc`, or for patient_ids or folds of another shape.
        """
        truth, score, counted = checked_labels(y_true, y_score, mask)
        ids = np.asarray(patient_ids)
        numbers = np.zeros(len(truth), dtype=np.int64) if folds is None else np.asarray(folds)
        for name, array in (("patient_ids", ids), ("folds", numbers)):
            if array.shape != (len(truth),):
                raise MetricError(f"{name} {array.shape}; expected ({len(truth)},)")
        patients, patient_of_row = np.unique(ids, return_inverse=True)
        fold_numbers = np.unique(numbers)
        shape = (len(fold_numbers), truth.shape[1])
        self._areas = np.full(shape, np.nan)
        # For each fold, label and patient: the positive and negative rows, and the sums of their
        # components.
        self._rows = np.zeros((2, *shape, len(patients)))
        self._sums = np.zeros((2, *shape, len(patients)))
        for position, fold in enumerate(fold_numbers):
            in_fold = numbers == fold
            for label in range(truth.shape[1]):
                members = in_fold & counted[:, label]
                self._rank(
                    position,
                    label,
                    score[:, label],
                    [np.flatnonzero(members & (truth[:, label] == side)) for side in (True, False)],
                    patient_of_row,
                )

    def _rank(
        self,
        fold: int,
        label: int,
        score: FloatArray,
        classes: list[IntArray],
        patient_of_row: IntArray,
    ) -> None:
        positives, negatives = classes
        if not len(positives) or not len(negatives):
            return
        num_patients = self._rows.shape[-1]
        for side, (members, other) in enumerate(((positives, negatives), (negatives, positives))):
            against = np.sort(score[other])
            positions = [
                np.searchsorted(against, score[members], edge) for edge in ("left", "right")
            ]
            # The share of the other class that a row is above; ties count half.
            share = (positions[0] + positions[1]) / (2 * len(against))
            component = share if side == 0 else 1 - share
            owner = patient_of_row[members]
            self._rows[side, fold, label] = np.bincount(owner, minlength=num_patients)
            self._sums[side, fold, label] = np.bincount(owner, component, minlength=num_patients)
        self._areas[fold, label] = self._sums[0, fold, label].sum() / len(positives)

    @property
    def num_labels(self) -> int:
        """The number of labels, defined or not."""
        return self._areas.shape[1]

    def label(self, label: int) -> AreaWithVariance:
        """A label's AUROC, the mean over the folds that define it."""
        defined = ~np.isnan(self._areas[:, label])
        if not defined.any():
            return _undefined(self._rows[:, :, label].sum(axis=1) > 0)
        return self._label(label, defined / defined.sum())

    def macro(self) -> AreaWithVariance:
        """The mean over the labels that each fold defines, then over the folds.

        The variance is that of a sum: the labels' own variances, moderated as in `score_interval`
        because a label of few patients shows too little spread, plus their covariances.
        """
        defined = ~np.isnan(self._areas)
        if not defined.any():
            return _undefined(self._rows.sum(axis=(1, 2)) > 0)
        of_fold = defined.any(axis=1).sum()
        weights = defined / of_fold / np.maximum(defined.sum(axis=1, keepdims=True), 1)
        numbers = np.flatnonzero(defined.any(axis=0)).tolist()
        labels = [self._label(number, weights[:, number]) for number in numbers]
        shares = np.array([self._influence(n, weights[:, n]).sum(axis=0) for n in numbers])
        together = shares.sum(axis=0)
        has_rows = self._rows.sum(axis=(1, 2)) > 0
        num_patients = int(has_rows.any(axis=0).sum())
        common = _unbiased(num_patients) * float(together @ together - (shares**2).sum())
        value = float(mean_of_defined(mean_of_defined(self._areas), axis=0)[0, 0])
        separate = 0.0
        for item in labels:
            # A rare label that is ranked perfectly shows no spread; the other labels say what to
            # expect.
            pulled = (item.effective * item.value + PRIOR_PATIENTS * value) / (
                item.effective + PRIOR_PATIENTS
            )
            separate += moderated(item.variance, item.model(pulled), item.effective)
        return AreaWithVariance(
            value,
            max(common + separate, float(together @ together)),
            int(has_rows[0].sum()),
            int(has_rows[1].sum()),
            float(_effective(self._rows.sum(axis=(1, 2))).min()),
            np.concatenate([item.terms for item in labels]),
        )

    def _label(self, label: int, weights: FloatArray) -> AreaWithVariance:
        """One label's AUROC averaged over folds, with the variance of the weighted sum."""
        used = weights > 0
        rows = self._rows[:, used, label] > 0
        positives, negatives = (int(side.any(axis=0).sum()) for side in rows)
        either = int(rows.any(axis=(0, 1)).sum())
        first, second = self._influence(label, weights)
        variance = (
            _unbiased(positives) * first @ first
            + _unbiased(negatives) * second @ second
            + 2 * _unbiased(either) * first @ second
        )
        of_label = self._rows[:, used, label]
        terms = np.stack([weights[used], *_effective(of_label)], axis=1)
        effective = float(_effective(of_label.sum(axis=1)).min())
        value = float(weights[used] @ self._areas[used, label] / weights[used].sum())
        variance = max(float(variance), 0.0)
        return AreaWithVariance(value, variance, positives, negatives, effective, terms)

    def _influence(self, label: int, weights: FloatArray) -> FloatArray:
        """How far each patient's positive and negative rows move a label's weighted sum: (2, p).

        Positive rows are compared with the mean over the folds and not with the mean of their fold,
        because a fold with one positive row would show no spread.
        """
        used = weights > 0
        areas, share = self._areas[used, label], weights[used]
        mean = share @ areas / share.sum()
        influences = []
        for side, middle in enumerate((np.full(len(areas), mean), areas)):
            rows, sums = self._rows[side, used, label], self._sums[side, used, label]
            each = (sums - rows * middle[:, None]) / rows.sum(axis=1, keepdims=True)
            influences.append(share @ each)
        return np.stack(influences)


def _undefined(has_rows: npt.NDArray[np.bool_]) -> AreaWithVariance:
    positives, negatives = (int(side.sum()) for side in has_rows)
    nan = float("nan")
    return AreaWithVariance(nan, nan, positives, negatives, nan, np.zeros((0, 3)))


def _effective(rows: FloatArray) -> FloatArray:
    """Kish's effective number of patients (...), from how many rows (..., patients) each has.

    (sum r)^2 / sum r^2: all patients where they have equally many rows, close to one where one
    patient has nearly all of them (Survey Sampling, 1965).
    """
    number: FloatArray = rows.sum(axis=-1) ** 2 / (rows**2).sum(axis=-1)
    return number


def _unbiased(count: int) -> float:
    """Bessel's n / (n - 1); 1 for a single patient, who shows no spread."""
    return count / (count - 1) if count > 1 else 1.0
