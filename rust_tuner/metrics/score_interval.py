"""The ends of a 95 % interval from an estimate and its variance over patients.

There are two kinds of interval: a score interval, whose variance depends on the true value, for
figures with a probability model (AUROC, shares), and a t interval on an unbounded scale for all
others. Both contain their estimate and stay within the figure's range by construction. The caller
supplies the variances.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rust_tuner.metrics.distributions import chi_square_quantile, normal_quantile, t_quantile

FloatArray = npt.NDArray[np.float64]
Ends = tuple[float, float]
Model = Callable[[float], float]

# How many patients the model's variance counts for next to that of the data; see `score_interval`.
PRIOR_PATIENTS: Final = 4
_CONFIDENCE: Final = 0.975
# How many patients with, or without, what a share counts are few.
FEW: Final = 3
# The smallest distance of a value from 0 and 1, where a variance is divided by.
_EDGE: Final = 1e-9


def area_variance(area: float, positives: FloatArray, negatives: FloatArray) -> FloatArray:
    """The variance of an AUROC of independent, equally wide normal scores.

    (A (1 - A) + (m + n - 2) (Q - A^2)) / (m n) for m positives and n negatives, as Hanley and
    McNeil, Radiology 1982, doi:10.1148/radiology.143.1.7063747, with Q, the chance that one
    positive outranks two negatives, of normal scores: A - 2 T(z, 1 / sqrt 3), Owen's T.

    Args:
        area: the true AUROC, in [0, 1].
        positives: (...) m, at least 1.
        negatives: (...) n, at least 1.

    Returns:
        (...) float64.
    """
    from scipy import special

    z = normal_quantile(area)
    twice = max(area - 2 * float(special.owens_t(z, 1 / math.sqrt(3))) - area**2, 0.0)
    return (area * (1 - area) + (positives + negatives - 2) * twice) / (positives * negatives)


def moderated(variance: float, model: float, patients: float, prior: int = PRIOR_PATIENTS) -> float:
    """The data's and the model's variance, weighted by patients minus one and by the prior.

    Args:
        variance: over patients.
        model: of the model at the estimate.
        patients: how many patients `variance` comes from, at least 1.
        prior: how many patients `model` counts for; prior + patients is above 1.
    """
    weight = patients - 1
    return (prior * model + weight * variance) / (prior + weight)


def score_interval(
    value: float,
    variance: float,
    model: Model,
    *,
    patients: float,
    prior: int = PRIOR_PATIENTS,
    at_the_end: float = 1.0,
) -> Ends:
    """All true values within t standard errors of the estimate.

    The standard error is the model's at each true value, as in Wilson's interval of a share and
    Newcombe's of an AUROC (Stat Med 2006, doi:10.1002/sim.2323), times the factor by which the
    data's variance differs from the model's at the estimate. The factor is moderated, because few
    patients show too little spread, and none at an estimate of 0 or 1: the model counts for some
    additional patients, and t has as many more degrees of freedom (Smyth, Stat Appl Genet Mol Biol
    2004, doi:10.2202/1544-6115.1027).

    Args:
        value: the estimate, in [0, 1].
        variance: its variance over patients.
        model: the model's variance at a true value in [0, 1]; 0 at both ends only.
        patients: how many patients the variance comes from, or are as good as these; at least 1.
        prior: how many patients the model counts for.
        at_the_end: the factor at an estimate of 0 or 1, where the data give none.
    """
    from scipy import optimize

    factor = at_the_end
    if 0 < value < 1:
        at_value = model(_inside(value))
        factor = moderated(variance, at_value, patients, prior) / at_value
    reach = factor * t_quantile(_CONFIDENCE, prior + patients - 1) ** 2

    def beyond(true: float) -> float:
        return (true - value) ** 2 - reach * model(true)

    low, high = 0.0, 1.0
    inside = _inside(value)
    if value > 0 and beyond(_EDGE) > 0:
        low = float(optimize.brentq(beyond, _EDGE, inside)) if beyond(inside) < 0 else value
    if value < 1 and beyond(1 - _EDGE) > 0:
        high = float(optimize.brentq(beyond, inside, 1 - _EDGE)) if beyond(inside) < 0 else value
    return min(low, value), max(high, value)


def share_interval(value: float, variance: float, *, patients: int) -> Ends:
    """`score_interval` of a share, such as a recall; its model has one observation per patient.

    The rows of a patient therefore count as one, which is what they are worth if they agree. With
    up to `FEW` patients on one side, that end is at least as far out as the one-sided 95 % Poisson
    limit of their number: Wilson's interval alone covers true shares close to 0 or 1 in as few as
    84 % (Brown, Cai and DasGupta, Stat Sci 2001, doi:10.1214/ss/1009213286).

    Args:
        value: the share, in [0, 1].
        variance: its variance over patients.
        patients: how many patients have rows in the denominator, at least 1.
    """
    low, high = score_interval(
        value, variance, lambda true: true * (1 - true) / patients, patients=patients
    )
    with_it, without_it = patients * value, patients * (1 - value)
    if 0 < with_it <= FEW:
        low = min(low, _poisson_limit(with_it) / patients)
    if 0 < without_it <= FEW:
        high = max(high, 1 - _poisson_limit(without_it) / patients)
    return low, high


def _poisson_limit(count: float) -> float:
    """The lower one-sided 95 % limit of the mean of a Poisson count, above 0."""
    return chi_square_quantile(2 * (1 - _CONFIDENCE), 2 * count) / 2


def unseen_variance(shares: npt.ArrayLike, patients: npt.ArrayLike) -> FloatArray:
    """What a share close to 0 or 1 of few patients lacks of its variance, (...) float64.

    The jackknife sees no variance in a share of 0 or 1, and in a mean of shares nothing moderates
    it as in `share_interval`. This is the difference from the variance with two more patients on
    either side (Agresti and Coull, Am Stat 1998, doi:10.1080/00031305.1998.10480550).

    Args:
        shares: (...) in [0, 1]; NaN, which lacks nothing, where undefined.
        patients: (...) how many each share is of.
    """
    share, number = np.asarray(shares, np.float64), np.asarray(patients, np.float64)
    nearer = (share * number + PRIOR_PATIENTS / 2) / (number + PRIOR_PATIENTS)
    lacking = np.maximum(nearer * (1 - nearer) - share * (1 - share), 0)
    is_defined = ~np.isnan(share) & (number > 0)
    return np.divide(lacking, number, out=np.zeros_like(lacking), where=is_defined)


@dataclass(frozen=True)
class Scale:
    """An unbounded scale on which an estimate is closer to normal.

    Attributes:
        bounds: the range of the figure.
        forward: from the figure to the scale.
        back: from the scale to the figure.
        slope: of `forward`.
    """

    bounds: Ends
    forward: Model
    back: Model
    slope: Model


def _logit(value: float) -> float:
    from scipy import special

    return float(special.logit(value))


def _expit(value: float) -> float:
    from scipy import special

    return float(special.expit(value))


UNIT_SCALE: Final = Scale((0.0, 1.0), _logit, _expit, lambda value: 1 / (value * (1 - value)))
AGREEMENT_SCALE: Final = Scale((-1.0, 1.0), math.atanh, math.tanh, lambda value: 1 / (1 - value**2))


def amount_scale(most: float) -> Scale:
    """The logarithm, for an amount from 0 to `most`."""
    return Scale((0.0, most), math.log, math.exp, lambda value: 1 / value)


def plain_scale(low: float = -math.inf, high: float = math.inf) -> Scale:
    """The figure itself, not transformed."""
    return Scale((low, high), float, float, lambda value: 1.0)


def t_interval(value: float, variance: float, *, degrees: float, scale: Scale) -> Ends | None:
    """The estimate plus and minus t standard errors on a scale, and back.

    Args:
        value: the estimate, within the scale's bounds.
        variance: its variance over patients.
        degrees: degrees of freedom, above 0.
        scale: the scale on which it is closer to normal.

    Returns:
        None if there is no spread, or the estimate lies at an end of the range.
    """
    lowest, highest = scale.bounds
    if not variance > 0 or not lowest < value < highest:
        return None
    middle = scale.forward(value)
    reach = t_quantile(_CONFIDENCE, degrees) * math.sqrt(variance) * scale.slope(value)
    # No figure that is drawn or written comes closer to an end than this.
    ends = (scale.back(max(min(middle + side * reach, 700.0), -700.0)) for side in (-1, 1))
    low, high = ends
    return min(max(low, lowest), value), max(min(high, highest), value)


def _inside(value: float) -> float:
    return min(max(value, _EDGE), 1 - _EDGE)
