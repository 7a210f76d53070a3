"""Chooses the 95 % interval of each figure, and the number of patients that it needs.

AUROCs have their intervals in `uncertainty`; those of all other figures are here, from the
jackknife over patients. The choices follow the coverage that `experiments/score_coverage.py`
measures.
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
# Shares of one cortex, with all patients who show it.
CORTEX_SHARES: Final = ("accuracy", "within_one")
# Means of shares of the four scores of one cortex; the rarest score limits them.
CLASS_MEANS: Final = ("balanced_accuracy", "macro_f1")
# With fewer patients, a variance is unreliable without a model to moderate it.
MIN_WITHOUT_MODEL: Final = 10
# Errors of totals are small in most patients and large in a few. With fewer patients the few are
# missed, or are one of many, and the limits, which depend on their squares, need the most.
MIN_OF_ERRORS: Final = {"mae": 30, "bias": 30, "lower_limit": 80, "upper_limit": 80}


@dataclass(frozen=True)
class Unusual:
    """What a figure needs that depends on the patients who differ from most others.

    Attributes:
        what: what most patients have in common: their score, total or error.
        least: how many patients need another one: if at least half of all have it, and otherwise.
        least_of_mean: the same in each cortex, for a mean over the cortices; None if there is none.
    """

    what: str
    least: tuple[int, int]
    least_of_mean: tuple[int, int] | None = None


# Where nearly all patients have the same, the data say little about the others, who decide.
UNUSUAL: Final = {
    "kappa": Unusual("score", (20, 40), least_of_mean=(15, 30)),
    "icc": Unusual("total", (30, 80)),
    "lower_limit": Unusual("error", (20, 20)),
    "upper_limit": Unusual("error", (20, 20)),
}
# The average precision of a rare label lies above the truth, and with fewer patients the jackknife
# does not say by how much.
MIN_OF_MEAN_PRECISION: Final = 20
# A label's Brier score is small in patients without the label and large in those with it.
MIN_OF_BRIER: Final = MIN_PATIENTS


@dataclass(frozen=True)
class Measured:
    """A figure with the results of its jackknife.

    Attributes:
        figure: its name, such as `recall`.
        value: NaN where undefined.
        variance: over patients.
        degrees: of freedom of the variance.
        patients: how many define it by their own rows: for a share, those in its denominator; for a
            mean, those of the label or score that has the fewest; for a figure in `UNUSUAL`, those
            with another score, total or error than the most frequent one; for a Brier score, those
            with the label, or those without it if these are fewer.
        moving: how many change it when left out.
        contributing: how many have data for it; see `Jackknife`.
        all_patients: how many there are of which `patients` are some.
        of_mean: whether it is a mean over labels or cortices.
    """

    figure: str
    value: float
    variance: float
    degrees: float
    patients: int
    moving: int
    contributing: int
    all_patients: int
    of_mean: bool = False


def figure_interval(measured: Measured) -> Interval:
    """The interval of a figure that is not an AUROC, or the reason why it has none.

    A share gets `share_interval`. A mean of shares, whose labels or scores are predicted together,
    and the figures in `SCALES` get `t_interval` with the degrees of freedom of their variance.
    """
    name, value = measured.figure, measured.value
    if np.isnan(value):
        return Interval(np.nan, np.nan, np.nan)
    scale = SCALES.get(name)
    is_share = scale is None and not measured.of_mean and name not in CLASS_MEANS
    unmoved = Interval(value, np.nan, np.nan, reason="no patient changes it")
    if not is_share and not measured.moving:
        return unmoved
    if short := shortage(measured):
        return Interval(value, np.nan, np.nan, reason=short)
    if np.isnan(measured.variance):
        return Interval(value, np.nan, np.nan, reason="it is undefined without one of the patients")
    if is_share:
        return Interval(
            value, *share_interval(value, measured.variance, patients=measured.patients)
        )
    # Rounding alone may leave a variance even if no patient changes the figure.
    if measured.moving == 1:
        return Interval(value, np.nan, np.nan, reason="only one patient changes it")
    ends = t_interval(value, measured.variance, degrees=measured.degrees, scale=scale or UNIT_SCALE)
    return unmoved if ends is None else Interval(value, *ends)


def shortage(measured: Measured) -> str:
    """Which patients are too few for an interval, and how many it needs; empty if none are."""
    name, of_mean = measured.figure, measured.of_mean
    patients, which, least = measured.patients, "with data for it", MIN_PATIENTS
    if name in CLASS_MEANS:
        # Of a score that was predicted and that nobody has.
        which = "with the rarest score" if patients else "with one of the predicted scores"
    elif name in SCALES:
        patients, least = measured.contributing, MIN_OF_ERRORS.get(name, MIN_WITHOUT_MODEL)
    elif of_mean:
        # Of a mean over cortices, in which no patient lacks a class, all with the cortex count.
        which = "for the cortex of the fewest" if name in CORTEX_SHARES else "with the rarest label"
        least = MIN_OF_MEAN_PRECISION if name == "average_precision" else MIN_PATIENTS
    if patients < least:
        return too_few(patients, which, least)
    if name == "brier" and not of_mean and measured.patients < MIN_OF_BRIER:
        return too_few(measured.patients, "with the label, or without it", MIN_OF_BRIER)
    unusual = UNUSUAL.get(name)
    if unusual is None:
        return ""
    both = unusual.least_of_mean if of_mean else unusual.least
    assert both is not None
    least = both[measured.patients < measured.all_patients / 2]
    which = f"with another {unusual.what} than the most frequent one"
    return too_few(measured.patients, which, least) if measured.patients < least else ""
