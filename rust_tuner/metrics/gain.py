"""The gain of a macro AUROC over that of a baseline, paired over patients.

This interval alone decides whether a model is reported to beat a baseline without images. The
caller chooses the baseline and words the result.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.metrics.distributions import t_quantile
from rust_tuner.metrics.fold_auroc import FoldMacroAuroc, difference
from rust_tuner.metrics.jackknife import jackknife_variance
from rust_tuner.metrics.ranking import checked_labels
from rust_tuner.metrics.shuffled_variance import shuffled_variance
from rust_tuner.metrics.uncertainty import MIN_PATIENTS, TAILS, Interval, too_few
from rust_tuner.metrics.view_only import view_only_scores

FloatArray = npt.NDArray[np.float64]

CHANCE_AUROC = 0.5
# Rounding leaves a gain or a variance of about this much where there is none.
_ROUNDING = 1e-16


@dataclass(frozen=True)
class Gain:
    """A macro AUROC compared with that of a baseline; NaN where undefined.

    Attributes:
        model: of the model.
        baseline: of the baseline.
        reference: what the gain is measured from: the baseline, or chance if that is higher.
        gain: model minus reference, with its 95 % interval over patients.
        num_patients: the number of patients behind the interval.
    """

    model: float
    baseline: float
    reference: float
    gain: Interval
    num_patients: int


def gain_over(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    baseline: npt.ArrayLike,
    patient_ids: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    strata: npt.ArrayLike | None = None,
    folds: npt.ArrayLike | None = None,
) -> Gain:
    """The gain of a model over a baseline on the same rows, with its 95 % interval over patients.

    The interval is Student's t with one degree of freedom fewer than patients. Its variance is the
    larger of two: the jackknife's, which leaves out one patient at a time, and that of
    `shuffled_variance`, which is expected by chance and does not vanish when a few patients agree
    by luck. With folds it is multiplied by 1 + k / (k - 1) for k folds (Nadeau and Bengio, Machine
    Learning 2003, doi:10.1023/A:1024068626366): each fold is scored by a model that trained on the
    others, so the folds' figures are correlated, which leaving patients out of the predictions does
    not show. In simulation (`experiments/false_alarms.py`) the interval of a model without skill is
    above 0 in up to 3 % of hold-out sets, and in up to 1 % of cross-validations; for the best of 5
    or 20 such trials it is above 0 in 3 or 5 %, because the best was chosen on the same patients.

    Args:
        y_true: (n, labels) zeros and ones.
        y_score: (n, labels) finite scores of the model.
        baseline: (n, labels) finite scores of the baseline.
        patient_ids: (n,) the patient of each row.
        mask: (n, labels) bool, or None for all; entries that are False do not count.
        strata: (n,) what the baseline knows of each row, such as the view; see
            `shuffled_variance`.
        folds: (n,) the fold that scored each row; None if one model scored all.

    Returns:
        The gain; its interval is NaN, with the reason, for fewer than `MIN_PATIENTS` patients,
        where leaving out one patient leaves nothing to score, and where no patient changes it.

    Raises:
        MetricError: as `auroc`, or for patients, strata or folds of another shape.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y_true = np.tile([[1], [0]], (20, 1))
        >>> y_score = 2 * y_true + rng.normal(size=(40, 1))
        >>> baseline = rng.normal(size=(40, 1))
        >>> gain = gain_over(y_true, y_score, baseline, np.repeat(np.arange(20), 2))
        >>> gain.num_patients, bool(gain.gain.low > 0)
        (20, True)
    """
    truth, score, counted = checked_labels(y_true, y_score, mask)
    baseline_scores = checked_labels(y_true, baseline, mask, score_name="baseline")[1]
    owners = np.asarray(patient_ids)
    if owners.shape != (len(truth),):
        raise MetricError(f"patient_ids {owners.shape}; expected ({len(truth)},)")
    with_image = FoldMacroAuroc(truth, score, counted, folds=folds)
    without = FoldMacroAuroc(truth, baseline_scores, counted, folds=folds)
    everything = np.ones((len(truth), 1))
    model, baseline_area = float(with_image(everything)[0, 0]), float(without(everything)[0, 0])
    if baseline_area < CHANCE_AUROC:
        baseline_scores = np.zeros_like(score)
        without = FoldMacroAuroc(truth, baseline_scores, counted, folds=folds)
    reference = float(without(everything)[0, 0])
    rows = counted.any(axis=1)
    num_patients = len(np.unique(owners[rows].astype(str)))
    if num_patients < MIN_PATIENTS:
        reason = too_few(num_patients, "with a label that counts")
        interval = Interval(model - reference, math.nan, math.nan, reason=reason)
        return Gain(model, baseline_area, reference, interval, num_patients)
    resampled = None if folds is None else np.asarray(folds)[rows]
    macro = (
        FoldMacroAuroc(truth[rows], answers[rows], counted[rows], folds=resampled)
        for answers in (score, baseline_scores)
    )
    variance = jackknife_variance(difference(*macro), owners[rows].astype(str))[0]
    by_chance = shuffled_variance(
        truth, score, owners, counted, strata=strata, folds=folds, baseline=baseline_scores
    )
    num_folds = 1 if resampled is None else len(np.unique(resampled))
    shared = 1 + num_folds / (num_folds - 1) if num_folds > 1 else 1.0
    # np.maximum propagates NaN; max would not.
    error = math.sqrt(shared * float(np.maximum(variance, by_chance)))
    interval = _interval_of(model - reference, error, num_patients)
    return Gain(model, baseline_area, reference, interval, num_patients)


def _interval_of(gain: float, error: float, num_patients: int) -> Interval:
    reason = ""
    if math.isnan(error):
        reason = "it is undefined without one of the patients"
    elif error**2 <= _ROUNDING:
        # As of patients who all have the same course: such data say nothing of other patients.
        reason = "no patient changes it"
    if reason:
        return Interval(gain, math.nan, math.nan, reason=reason)
    reach = t_quantile(TAILS[1], num_patients - 1) * error
    return Interval(gain, max(gain - reach, -1.0), min(gain + reach, 1.0))


def view_only_of_folds(labels: npt.ArrayLike, folds: npt.ArrayLike) -> FloatArray:
    """The scores (n, 18) of a predictor that knows each row's view, fold by fold.

    Args:
        labels: (n, 18) label vectors.
        folds: (n,) the fold that scores each row; the prevalences are those of the other folds.

    Raises:
        MetricError: for fewer than two folds.

    Examples:
        >>> import numpy as np
        >>> from rust_tuner.data.phantoms import phantom_table
        >>> from rust_tuner import Radiographs
        >>> labels = Radiographs(phantom_table(patients=60, seed=0)).labels
        >>> scores = view_only_of_folds(labels, np.arange(len(labels)) % 3)
        >>> scores.shape
        (150, 18)
    """
    truth, number = np.asarray(labels, dtype=np.float64), np.asarray(folds)
    fold_numbers = np.unique(number)
    if len(fold_numbers) < 2:
        raise MetricError(
            f"{len(fold_numbers)} fold; expected at least 2, as a fold's prevalences come from "
            "the others"
        )
    scores = np.empty_like(truth)
    for fold in fold_numbers:
        is_validation = number == fold
        scores[is_validation] = view_only_scores(truth[~is_validation], truth[is_validation])
    return scores
