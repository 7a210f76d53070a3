"""The verdict on models that were trained on shuffled labels: what they learned has leaked.

It owns the statistic, its interval and the words, also on what the check cannot see. Shuffling and
training belong to `shuffling` and `training`.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from rust_tuner.labels import NUM_VIEWS
from rust_tuner.metrics import (
    FoldMacroAuroc,
    Interval,
    Predictions,
    shuffled_variance,
    view_only_of_folds,
)
from rust_tuner.metrics.gain import CHANCE_AUROC
from rust_tuner.metrics.uncertainty import TAILS
from rust_tuner.records.checks import Verdict
from rust_tuner.records.rows import problems_of
from rust_tuner.scope import CORTEX_SCOPE, LABEL_SCOPE
from rust_tuner.words import METRICS

SHUFFLED = ("shuffled_labels", "Shuffled labels")
DEFAULT_PERMUTATIONS = 10
# Of clean studies, at the default number of permutations (experiments/false_alarms.py).
FALSE_ALARMS = "up to 4 %"
BLIND_SPOTS = (
    "This check cannot see one patient under two ids, because labels are shuffled by patient id; "
    "nor what tells a score before labels are shuffled, such as a score written on the image."
)

# Permutations that agree by luck must not look certain. Over permutations the AUROC varies by 1.3
# to 2.2 times what fixed models make it vary, so half of that only matters in such a case.
_LEAST_SHARE = 0.5
# A spread takes two.
_FEWEST = 2


@dataclass(frozen=True)
class ShuffledStatistics:
    """What one permutation gave.

    Attributes:
        cortex_auroc: of visible cortices.
        cortex_expected: what the view alone gives on the same labels, or 0.5 where that is higher.
        variance: of the first under fixed models, see `metrics.shuffled_variance`.
        auroc: of all 18 labels.
        auroc_view_only: what the view alone gives.
    """

    cortex_auroc: float
    cortex_expected: float
    variance: float
    auroc: float
    auroc_view_only: float

    @property
    def lift(self) -> float:
        """By how much the first exceeds what is expected."""
        return self.cortex_auroc - self.cortex_expected


def judge_shuffled(runs: Sequence[Predictions]) -> Verdict:
    """Whether models learn from labels that no image can tell.

    The statistic is the AUROC of visible cortices less what the view alone gives on the same
    shuffled labels (0.5 where each cortex is seen in one view), since views are not shuffled.
    Permutations are drawn independently of each other and each has its own training, so its spread
    over permutations holds everything that chance does: the patients, the folds that share training
    data, and the trainings. The interval of its mean is Student's t over the permutations. A check
    on a study without a leak fails where the lower end is above 0, nominally in 2.5 % of cases.

    The 18-label AUROC is no alarm: it stays at what the view alone gives.

    Args:
        runs: out-of-fold predictions beside the shuffled labels, one a permutation.
    """
    found = [shuffled_statistics(run) for run in runs]
    lifts = np.array([one.lift for one in found])
    if len(runs) < _FEWEST or not np.isfinite(lifts).all():
        reason = (
            "No label of visible cortices has both classes in any fold."
            if len(runs) >= _FEWEST
            else f"{len(runs)} permutation has no spread, so it cannot carry a verdict."
        )
        mend = f"Ask for more: --permutations {DEFAULT_PERMUTATIONS}."
        return Verdict(*SHUFFLED, "not_run", reason, mend if len(runs) < _FEWEST else "")
    lift = lift_interval(lifts, float(np.mean([one.variance for one in found])))
    cortex, expected, whole, view_only = (
        float(np.mean([getattr(one, name) for one in found]))
        for name in ("cortex_auroc", "cortex_expected", "auroc", "auroc_view_only")
    )
    figures = {
        "permutations": float(len(runs)),
        "cortex_auroc": cortex,
        "cortex_auroc_low": expected + lift.low,
        "cortex_auroc_high": expected + lift.high,
        "cortex_auroc_expected": expected,
        "auroc": whole,
        "auroc_view_only": view_only,
    }
    told = (
        f"{CORTEX_SCOPE.title} {cortex:.3f}, where {expected:.3f} is expected; 95 % interval "
        f"{expected + lift.low:.3f} to {expected + lift.high:.3f}, over {len(runs)} permutations, "
        f"each with its own training. {METRICS['auroc']} {whole:.3f}, where the view alone gives "
        f"{view_only:.3f}."
    )
    if lift.low > 0:
        return Verdict(
            *SHUFFLED,
            "failed",
            f"Labels that no image can tell were learned: {told} {BLIND_SPOTS}",
            "Validation patients reach the training: look for patients on both sides of a fold, "
            "and for features or preprocessing that used the labels. A clean study fails this "
            f"check in {FALSE_ALARMS} of cases; if you find nothing, check again with more "
            f"permutations (--permutations {2 * max(len(runs), DEFAULT_PERMUTATIONS)}).",
            figures=figures,
        )
    return Verdict(
        *SHUFFLED,
        "passed",
        f"Nothing was learned from labels that no image can tell: {told} A leak that raises this "
        f"AUROC by less than {lift.high:.3f} is not ruled out. {BLIND_SPOTS}",
        figures=figures,
    )


def lift_interval(lifts: npt.NDArray[np.float64], variance: float) -> Interval:
    """The mean of the permutations' lifts with its 95 % interval; a leak where it is above 0.

    Args:
        lifts: (permutations,) at least two.
        variance: of one lift under fixed models.
    """
    spread = max(float(lifts.var(ddof=1)), _LEAST_SHARE * variance)
    reach = float(stats.t.ppf(TAILS[1], len(lifts) - 1)) * math.sqrt(spread / len(lifts))
    mean = float(lifts.mean())
    return Interval(mean, mean - reach, mean + reach)


def shuffled_statistics(run: Predictions) -> ShuffledStatistics:
    """What the out-of-fold predictions of one permutation give."""
    problems = problems_of(run)
    folds = np.zeros(len(run.labels), np.int64) if run.folds is None else run.folds
    alone = dataclasses.replace(run, probabilities=view_only_of_folds(run.labels, folds))
    view_only = problems_of(alone)

    def auroc(problem: tuple[Any, Any, npt.NDArray[np.bool_] | None]) -> float:
        statistic = FoldMacroAuroc(*problem, folds=folds)
        return float(statistic(np.ones((len(folds), 1)))[0, 0])

    truth, score, mask = problems[CORTEX_SCOPE.objective]
    views = run.labels[:, :NUM_VIEWS].argmax(axis=1)
    return ShuffledStatistics(
        cortex_auroc=auroc(problems[CORTEX_SCOPE.objective]),
        cortex_expected=max(auroc(view_only[CORTEX_SCOPE.objective]), CHANCE_AUROC),
        variance=shuffled_variance(truth, score, run.patient_ids, mask, strata=views, folds=folds),
        auroc=auroc(problems[LABEL_SCOPE.objective]),
        auroc_view_only=auroc(view_only[LABEL_SCOPE.objective]),
    )
