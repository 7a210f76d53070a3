"""Chooses the 95 % interval of each figure, and the number of patients that it needs.

AUROCs have their intervals in `uncertainty`; those of all other figures are here, from the
jackknife over patients. The choices follow the coverage that `experiments/coverage.py` measures.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from rust_tuner.labels import CORTICES, SCORES
from rust_tuner.metrics.score_interval import (
    AGREEMENT_SCALE,
    UNIT_SCALE,
    Scale,
    amount_scale,
    plain_scale,
    share_interval,
    t_interval,
)
from rust_tuner.metrics.uncertainty import MIN_PATIENTS, Interval, too_few

# The largest possible difference of two totals of a visit.
_WIDEST: Final = float(len(CORTICES) * (max(SCORES) - min(SCORES)))

# Figures that are not shares, each with a scale on which it is closer to normal.
SCALES: Final[dict[str, Scale]] = {
    "brier": UNIT_SCALE,
    "kappa": AGREEMENT_SCALE,
    "icc": AGREEMENT_SCALE,
    "mae": amount_scale(_WIDEST),
    "bias": plain_scale(-_WIDEST, _WIDEST),
    "lower_limit": plain_scale(),
    "upper_limit": plain_scale(),
}
# Means of shares of the four scores of one cortex; the rarest score limits them.
CLASS_MEANS: Final = ("balanced_accuracy", "macro_f1")
# With fewer patients, a variance is unreliable without a model to moderate it.
MIN_WITHOUT_MODEL: Final = 10
# Errors of totals are small in most patients and large in a few. With fewer patients the few are
# missed, or are one of many, and the limits, which depend on their squares, need the most.
MIN_OF_ERRORS: Final = {"mae": 30, "bias": 30, "lower_limit": 80, "upper_limit": 80}
# The average precision of a rare label lies above the truth; in a mean over labels no interval
# corrects that.
MIN_OF_MEAN_PRECISION: Final = 20


@dataclass(frozen=True)
class Measured:
    """A figure with the results of its jackknife.

    Attributes:
        figure: its name, such as `recall`.
        value: NaN where undefined.
        variance: over patients.
        patients: how many define it by their own rows: for a share, those in its denominator; for a
            mean, those of the label or score that has the fewest; for kappa, those with another
            score than the most frequent one.
        moving: how many change it when left out.
        contributing: how many have data for it; see `Jackknife`.
        of_mean: whether it is a mean over labels or cortices.
    """

    figure: str
    value: float
    variance: float
    patients: int
    moving: int
    contributing: int
    of_mean: bool = False


def figure_interval(measured: Measured) -> Interval:
    """The interval of a figure that is not an AUROC, or the reason why it has none.

    A share gets `share_interval`. A mean of shares, whose labels or scores are predicted together,
    and the figures in `SCALES` get `t_interval` with one degree of freedom fewer than patients.
    """
    name, value = measured.figure, measured.value
    if np.isnan(value):
        return Interval(np.nan, np.nan, np.nan)
    scale = SCALES.get(name)
    least = MIN_PATIENTS if scale is None else MIN_OF_ERRORS.get(name, MIN_WITHOUT_MODEL)
    if measured.of_mean and name == "average_precision":
        least = MIN_OF_MEAN_PRECISION
    is_class_mean = name in CLASS_MEANS
    is_share = scale is None and not measured.of_mean and not is_class_mean
    num_patients = measured.patients if scale is None else measured.contributing
    unmoved = Interval(value, np.nan, np.nan, reason="no patient changes it")
    if not is_share and not measured.moving:
        return unmoved
    which = "with data for it"
    if name == "kappa" and measured.patients < num_patients:
        num_patients, which = measured.patients, "with another score than the most frequent one"
        least = MIN_PATIENTS if measured.of_mean else MIN_WITHOUT_MODEL
    if num_patients < least:
        if is_class_mean:
            which = "with the rarest score"
        elif measured.of_mean and scale is None:
            which = "with the rarest label"
        return Interval(value, np.nan, np.nan, reason=too_few(num_patients, which, least))
    if np.isnan(measured.variance):
        return Interval(value, np.nan, np.nan, reason="it is undefined without one of the patients")
    if is_share:
        return Interval(value, *share_interval(value, measured.variance, patients=num_patients))
    # Rounding alone may leave a variance even if no patient changes the figure.
    if measured.moving == 1:
        return Interval(value, np.nan, np.nan, reason="only one patient changes it")
    ends = t_interval(
        value, measured.variance, degrees=measured.contributing - 1, scale=scale or UNIT_SCALE
    )
    return unmoved if ends is None else Interval(value, *ends)
