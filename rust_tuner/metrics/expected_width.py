"""How uncertain an AUROC will be, from the labels alone: before anything is trained or looked at.

A reader of known skill is simulated on the very radiographs that will be scored, and the package's
own interval of its AUROC is computed. So repeated visits, rare labels and hidden cortices count as
they will later. The skill is an assumption: `READER_NOISE` gives a macro AUROC of about 0.77 on
phantoms; with a better reader, intervals are somewhat narrower.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from rust_tuner.labels import CORTICES, NUM_VIEWS, SCORES
from rust_tuner.metrics.distributions import studentized_range_quantile
from rust_tuner.metrics.ranking import macro_auroc
from rust_tuner.metrics.uncertainty import MIN_PATIENTS, auroc_intervals

FloatArray = npt.NDArray[np.float64]

# The standard deviation of a simulated reading about the true score, in scores.
READER_NOISE: Final = 0.9
# The share of a reading's variance that all radiographs of a patient have in common.
_OF_PATIENT = 0.2
# The share of a reading's variance that two configurations of one model have in common. With 0.5,
# equally good readers spread over three folds of 51 phantoms' patients by 0.025; the trials of the
# two regimes on them do so by 0.024 and 0.028.
_OF_BOTH = 0.5
_DRAWS = 8
_SEED = 0
_GUESSES = 3
_MOST = 3000


def expected_half_width(
    labels: npt.ArrayLike, visible: npt.ArrayLike, patient_ids: npt.ArrayLike
) -> float:
    """The expected half width of the 95 % interval of the visible cortices' macro AUROC.

    It is the mean over simulated readers of half the length of `auroc_intervals`, whose variance is
    that of DeLong, DeLong and Clarke-Pearson (Biometrics 1988, doi:10.2307/2531595) for clustered
    rows (Obuchowski, Biometrics 1997, doi:10.2307/2533958). As in the formula of Hanley and McNeil
    (Radiology 1982, doi:10.1148/radiology.143.1.7063747) for a single label, it falls with the
    square root of the number of patients.

    Args:
        labels: (n, 18) label vectors of the radiographs that will be scored.
        visible: (n, 16) bool, which cortex labels are visible.
        patient_ids: (n,) the patient of each row.

    Returns:
        Half the width, above 0; NaN where there will be no interval, as with fewer than 5 patients.
    """
    truth, mask = np.asarray(labels, dtype=np.float64)[:, NUM_VIEWS:], np.asarray(visible)
    owners = np.unique(np.asarray(patient_ids).astype(str), return_inverse=True)[1]
    if len(np.unique(owners)) < 2:
        return float("nan")
    rng = np.random.default_rng(_SEED)
    widths = []
    for _ in range(_DRAWS):
        (scores,) = _readings(truth, owners, rng, readers=1)
        macro = auroc_intervals(truth, scores, owners, mask).macro
        widths.append((macro.high - macro.low) / 2)
    return float(np.mean(widths))


def expected_resolution(
    labels: npt.ArrayLike,
    visible: npt.ArrayLike,
    patient_ids: npt.ArrayLike,
    folds: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    *,
    num_trials: int,
) -> float:
    """The smallest difference between two trials of a search that can be told from chance.

    It is the honestly significant difference of Tukey's range test at 5 % over all trials together,
    as `tied_with_best` tests it, with the variance of Nadeau and Bengio. The spread of equally good
    trials over the folds is that of simulated readers who share most of their errors.

    Args:
        labels: (n, 18) label vectors of the development set.
        visible: (n, 16) bool, which cortex labels are visible.
        patient_ids: (n,) the patient of each row.
        folds: pairs of training and validation rows.
        num_trials: trials of the search, from 2.

    Returns:
        A difference of macro AUROCs of the visible cortices, above 0; NaN where a fold has no label
        of a cortex to score.
    """
    truth, mask = np.asarray(labels, dtype=np.float64)[:, NUM_VIEWS:], np.asarray(visible)
    owners = np.unique(np.asarray(patient_ids).astype(str), return_inverse=True)[1]
    patients = [[len(np.unique(owners[side])) for side in pair] for pair in folds]
    n_train, n_test = np.mean(patients, axis=0)
    rng = np.random.default_rng(_SEED)
    variances = []
    for _ in range(_DRAWS):
        readers = _readings(truth, owners, rng, readers=4)
        areas = np.array(
            [
                [_area(truth[held], scores[held], mask[held]) for _, held in folds]
                for scores in readers
            ]
        )
        rest = areas - areas.mean(axis=1, keepdims=True) - areas.mean(axis=0) + areas.mean()
        freedom = (areas.shape[0] - 1) * (areas.shape[1] - 1)
        variances.append((rest**2).sum() / freedom)
    error = np.sqrt(np.mean(variances) * (1 / len(folds) + n_test / n_train))
    freedom = (num_trials - 1) * (len(folds) - 1)
    return float(error * studentized_range_quantile(0.95, num_trials, freedom))


def patients_for(
    labels: npt.ArrayLike, visible: npt.ArrayLike, patient_ids: npt.ArrayLike, *, wanted: float
) -> int:
    """About how many such patients give an interval of half width `wanted`.

    Patients are drawn from those given, with replacement, until their expected interval is that
    narrow; among few patients it narrows faster than with the square root of their number.

    Args:
        labels: (n, 18) label vectors of the patients to draw from.
        visible: (n, 16) bool, which cortex labels are visible.
        patient_ids: (n,) the patient of each row; at least two different ones.
        wanted: a half width above 0.
    """
    truth, mask = np.asarray(labels), np.asarray(visible)
    owners = np.unique(np.asarray(patient_ids).astype(str), return_inverse=True)[1]
    rows_of = [np.flatnonzero(owners == owner) for owner in range(owners.max() + 1)]
    number = max(len(rows_of), 2 * MIN_PATIENTS)
    for _ in range(_GUESSES):
        drawn = np.random.default_rng(_SEED).integers(len(rows_of), size=number)
        rows = np.concatenate([rows_of[owner] for owner in drawn])
        again = np.repeat(np.arange(number), [len(rows_of[owner]) for owner in drawn])
        width = expected_half_width(truth[rows], mask[rows], again)
        if np.isnan(width):
            break
        number = int(np.clip(round(number * (width / wanted) ** 2), 2 * MIN_PATIENTS, _MOST))
    return number


def _area(truth: FloatArray, scores: FloatArray, mask: npt.NDArray[np.bool_]) -> float:
    is_scored = ((truth == 1) & mask).any(axis=0) & ((truth == 0) & mask).any(axis=0)
    return macro_auroc(truth, scores, mask) if is_scored.any() else float("nan")


def _readings(
    truth: FloatArray, owners: npt.NDArray[np.int64], rng: np.random.Generator, *, readers: int
) -> list[FloatArray]:
    """Scores (n, 16) of readers who read each cortex once, with noise about its true score.

    A label's score is minus the squared distance of the reading from it, so that the four labels of
    a cortex err together. Where a cortex is hidden, the scores are of no true score.
    """
    values = np.asarray(SCORES, dtype=np.float64)
    blocks = truth.reshape(len(truth), len(CORTICES), len(SCORES))
    true = np.where(blocks.any(axis=2), blocks @ values, values.mean())
    by_patient = rng.normal(size=(owners.max() + 1, len(CORTICES)))[owners]
    common = rng.normal(size=true.shape)
    readings = []
    for _ in range(readers):
        individual = rng.normal(size=true.shape)
        shared = _OF_BOTH if readers > 1 else 0.0
        alone = np.sqrt(shared) * common + np.sqrt(1 - shared) * individual
        noise = np.sqrt(_OF_PATIENT) * by_patient + np.sqrt(1 - _OF_PATIENT) * alone
        reading = true + READER_NOISE * noise
        readings.append(-((reading[:, :, None] - values) ** 2).reshape(truth.shape))
    return readings
