"""Which 95 % interval each figure has, and from how many patients on it has one.

AUROCs have theirs in `uncertainty`; here are all others, from their jackknife over patients. What
`experiments/coverage.py` measures decides.
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

# How far two totals of a visit can be apart.
_WIDEST: Final = float(len(CORTICES) * (max(SCORES) - min(SCORES)))

# Figures that are no share of anything, each on a scale where it is nearer to normal.
SCALES: Final[dict[str, Scale]] = {
    "brier": UNIT_SCALE,
    "kappa": AGREEMENT_SCALE,
    "icc": AGREEMENT_SCALE,
    "mae": amount_scale(_WIDEST),
    "bias": plain_scale(-_WIDEST, _WIDEST),
    "lower_limit": plain_scale(),
    "upper_limit": plain_scale(),
}
# Means of shares of the four scores of one cortex; the rarest score tells least.
CLASS_MEANS: Final = ("balanced_accuracy", "macro_f1")
# A variance without a model beside it is worth little from fewer patients.
MIN_WITHOUT_MODEL: Final = 10
# The average precision of a rare label lies above the truth; in a mean over labels no interval
# mends that.
MIN_OF_MEAN_PRECISION: Final = 20


@dataclass(frozen=True)
class Measured:
    """A figure and what its jackknife says.

    Attributes:
        figure: its name, such as `recall`.
        value: NaN where undefined.
        variance: over patients.
        patients: how many define it by their own rows: of a share, those in its denominator; of a
            mean, those of the label or score that has the fewest.
        moving: how many change it when they are left out.
        of_mean: whether it is a mean over labels or cortices.
    """

    figure: str
    value: float
    variance: float
    patients: int
    moving: int
    of_mean: bool = False


def figure_interval(measured: Measured) -> Interval:
    """The interval of a figure that is not an AUROC, or the reason why it has none.

    A share has `share_interval`; a mean of shares, whose labels or scores are answered together,
    and what `SCALES` names has `t_interval` with as many degrees of freedom as patients less one.
    """
    name, value = measured.figure, measured.value
    if np.isnan(value):
        return Interval(np.nan, np.nan, np.nan)
    scale = SCALES.get(name)
    least = MIN_PATIENTS if scale is None else MIN_WITHOUT_MODEL
    if measured.of_mean and name == "average_precision":
        least = MIN_OF_MEAN_PRECISION
    is_class_mean = name in CLASS_MEANS
    is_share = scale is None and not measured.of_mean and not is_class_mean
    known = measured.patients if scale is None else measured.moving
    if known < least:
        which = "with data for it"
        if is_class_mean:
            which = "with the rarest score"
        elif measured.of_mean and scale is None:
            which = "of the rarest label"
        return Interval(value, np.nan, np.nan, reason=too_few(known, which, least))
    if np.isnan(measured.variance):
        return Interval(value, np.nan, np.nan, reason="without some one patient it is undefined")
    if is_share:
        return Interval(value, *share_interval(value, measured.variance, patients=known))
    # Rounding alone may leave a variance where no patient moves the figure.
    if measured.moving < 2:
        but = " but one" if measured.moving else ""
        reason = f"it is the same without any one patient{but}"
        return Interval(value, np.nan, np.nan, reason=reason)
    ends = t_interval(
        value, measured.variance, degrees=measured.moving - 1, scale=scale or UNIT_SCALE
    )
    if ends is None:
        return Interval(value, np.nan, np.nan, reason="it is the same without any one patient")
    return Interval(value, *ends)
