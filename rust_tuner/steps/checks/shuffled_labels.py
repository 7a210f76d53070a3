"""The verdict on models that were trained on shuffled labels: whatever they learned has leaked.

It owns the statistic, its interval and the text, including what the check cannot detect. Shuffling
and training belong to `shuffling` and `training`.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.labels import NUM_VIEWS
from rust_tuner.metrics import (
    FoldMacroAuroc,
    Interval,
    Predictions,
    shuffled_variance,
    view_only_of_folds,
)
from rust_tuner.metrics.distributions import t_quantile
from rust_tuner.metrics.gain import CHANCE_AUROC
from rust_tuner.metrics.uncertainty import TAILS
from rust_tuner.records.checks import Verdict
from rust_tuner.records.rows import problems_of
from rust_tuner.scope import CORTEX_SCOPE, LABEL_SCOPE, Scope
from rust_tuner.words import METRICS

SHUFFLED = ("shuffled_labels", "Shuffled labels")
DEFAULT_PERMUTATIONS = 10
# The share of clean studies that fail with the default number of permutations, measured by
# experiments/false_alarms.py.
FALSE_ALARMS = "up to 4 %"
BLIND_SPOTS = (
    "This check cannot detect one patient under two ids, because labels are shuffled by patient "
    "id; nor anything that gives a score away before labels are shuffled, such as a score written "
    "on the image."
)

# A lower bound of the variance, so that permutations which agree by luck do not look certain. The
# variance over permutations is usually 1.3 to 2.2 times that under fixed models; the bound is half
# of the latter.
_LEAST_SHARE = 0.5
# A spread needs two.
_FEWEST = 2


@dataclass(frozen=True)
class ShuffledStatistics:
    """The figures of one permutation.

    Attributes:
        cortex_auroc: AUROC of visible cortices.
        cortex_expected: that of the view alone on the same labels, or 0.5 if that is higher.
        variance: of `cortex_auroc` under fixed models; see `metrics.shuffled_variance`.
    """

    cortex_auroc: float
    cortex_expected: float
    variance: float

    @property
    def lift(self) -> float:
        """By how much `cortex_auroc` exceeds what is expected."""
        return self.cortex_auroc - self.cortex_expected


def judge_shuffled(runs: Sequence[Predictions]) -> Verdict:
    """Check whether models learn from labels that are unrelated to the images.

    The statistic is the AUROC of visible cortices minus that of the view alone on the same shuffled
    labels (0.5 if each cortex is seen in one view), since views are not shuffled. Permutations
    are drawn independently and each has its own training, so the spread over permutations contains
    all chance: of the patients, of folds that share training data, and of the trainings. The
    interval of the mean is Student's t over the permutations. The check fails if its lower end
    is above 0, nominally in 2.5 % of studies without a leak. Without a failure there is no verdict
    where the upper end is an AUROC of 1, since no leak is ruled out then.

    The 18-label AUROC raises no alarm: it stays at that of the view alone.

    Args:
        runs: out-of-fold predictions with the shuffled labels, one per permutation.
    """
    statistics = [shuffled_statistics(run) for run in runs]
    lifts = np.array([of_run.lift for of_run in statistics])
    if len(runs) < _FEWEST or not np.isfinite(lifts).all():
        reason = (
            "No label of visible cortices has both classes in any fold."
            if len(runs) >= _FEWEST
            else f"{len(runs)} permutation has no spread, so there is no verdict."
        )
        mend = f"Request more: --permutations {DEFAULT_PERMUTATIONS}."
        return Verdict(*SHUFFLED, "not_run", reason, mend if len(runs) < _FEWEST else "")
    lift = lift_interval(lifts, float(np.mean([of_run.variance for of_run in statistics])))
    cortex = float(np.mean([of_run.cortex_auroc for of_run in statistics]))
    expected = float(np.mean([of_run.cortex_expected for of_run in statistics]))
    whole, view_only = (
        float(of_runs) for of_runs in np.mean([_aurocs(run, LABEL_SCOPE) for run in runs], axis=0)
    )
    low, high = max(expected + lift.low, 0.0), min(expected + lift.high, 1.0)
    figures = {
        "permutations": float(len(runs)),
        "cortex_auroc": cortex,
        "cortex_auroc_low": low,
        "cortex_auroc_high": high,
        "cortex_auroc_expected": expected,
        "auroc": whole,
        "auroc_view_only": view_only,
    }
    result = (
        f"{CORTEX_SCOPE.title} {cortex:.3f}, where {expected:.3f} is expected; 95 % interval "
        f"{low:.3f} to {high:.3f}, over {len(runs)} permutations, each with its own training. "
        f"{METRICS['auroc']} {whole:.3f}, where the view alone gives {view_only:.3f}."
    )
    if lift.low > 0:
        return Verdict(
            *SHUFFLED,
            "failed",
            f"Models learned from shuffled labels: {result} {BLIND_SPOTS}",
            "Validation patients reach the training: look for patients on both sides of a fold, "
            "and for features or preprocessing that used the labels. A clean study fails this "
            f"check in {FALSE_ALARMS} of cases; if you find nothing, check again with more "
            f"permutations (--permutations {2 * max(len(runs), DEFAULT_PERMUTATIONS)}).",
            figures=figures,
        )
    if high == 1:
        return Verdict(
            *SHUFFLED,
            "not_run",
            f"The permutations are too few, or differ too much, to rule out any leak: {result}",
            f"Request more: --permutations {max(2 * len(runs), DEFAULT_PERMUTATIONS)}.",
            figures=figures,
        )
    return Verdict(
        *SHUFFLED,
        "passed",
        f"Nothing was learned from shuffled labels: {result} A leak that raises this AUROC by less "
        f"than {high - expected:.3f} is not ruled out. {BLIND_SPOTS}",
        figures=figures,
    )


def lift_interval(lifts: npt.NDArray[np.float64], variance: float) -> Interval:
    """The mean lift of the permutations with its 95 % interval; above 0, there is a leak.

    Args:
        lifts: (permutations,) at least two.
        variance: of one lift under fixed models.
    """
    spread = max(float(lifts.var(ddof=1)), _LEAST_SHARE * variance)
    reach = t_quantile(TAILS[1], len(lifts) - 1) * math.sqrt(spread / len(lifts))
    mean = float(lifts.mean())
    return Interval(mean, mean - reach, mean + reach)


def shuffled_statistics(run: Predictions) -> ShuffledStatistics:
    """The figures of the out-of-fold predictions of one permutation."""
    cortex, alone = _aurocs(run, CORTEX_SCOPE)
    truth, score, mask = problems_of(run)[CORTEX_SCOPE.objective]
    views = run.labels[:, :NUM_VIEWS].argmax(axis=1)
    return ShuffledStatistics(
        cortex_auroc=cortex,
        cortex_expected=max(alone, CHANCE_AUROC),
        variance=shuffled_variance(
            truth, score, run.patient_ids, mask, strata=views, folds=_folds_of(run)
        ),
    )


def _aurocs(run: Predictions, scope: Scope) -> tuple[float, float]:
    """The AUROC of the models, and that of the view alone."""
    folds = _folds_of(run)
    alone = dataclasses.replace(run, probabilities=view_only_of_folds(run.labels, folds))

    def auroc(predictions: Predictions) -> float:
        statistic = FoldMacroAuroc(*problems_of(predictions)[scope.objective], folds=folds)
        return float(statistic(np.ones((len(folds), 1)))[0, 0])

    return auroc(run), auroc(alone)


def _folds_of(run: Predictions) -> npt.NDArray[np.int64]:
    return np.zeros(len(run.labels), np.int64) if run.folds is None else run.folds
