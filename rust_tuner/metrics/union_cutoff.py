"""Chooses the predicted RUST total from which a model predicts union, on the development data.

Two numbers are distinguished. The *threshold* defines union: a total of at least so many points, as
scored by readers, by default 13 (Litrenta et al., J Orthop Trauma 2015,
doi:10.1097/BOT.0000000000000390). The *cut-off* is the predicted total from which the model
predicts union. Models shrink totals towards the middle, so using the same number for both would
miss many unions.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.labels import HIGHEST_TOTAL, LOWEST_TOTAL
from rust_tuner.metrics.uncertainty import MIN_PATIENTS
from rust_tuner.metrics.visits import VisitTotals

# Whole points, as totals are; at the lowest total everything would be union.
CUTOFFS: Final = tuple(float(value) for value in range(LOWEST_TOTAL + 1, HIGHEST_TOTAL + 1))


@dataclass(frozen=True)
class UnionCutoff:
    """The predicted total from which a model predicts union, and how it was chosen.

    Attributes:
        value: in points; the threshold if nothing could be chosen.
        threshold: the true total from which a visit is united.
        how: in words, how it was chosen, or why it could not be.
        chosen: whether it was chosen on data.
        youden: sensitivity + specificity - 1 at the cut-off on those data; NaN if none was chosen.
        visits: the number of visits with all four cortices in those data.
        united: how many of these are united.
    """

    value: float
    threshold: float
    how: str
    chosen: bool = False
    youden: float = float("nan")
    visits: int = 0
    united: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is undefined is None."""
        return {
            "value": self.value,
            "threshold": self.threshold,
            "chosen": self.chosen,
            "how": self.how,
            "youden": None if np.isnan(self.youden) else self.youden,
            "visits": self.visits,
            "united": self.united,
        }


def choose_union_cutoff(totals: VisitTotals, *, threshold: float, of: str) -> UnionCutoff:
    """Choose the whole number of points that predicts union best: the highest Youden's J.

    J is sensitivity + specificity - 1 (Youden, Cancer 1950): twice the balanced accuracy, minus 1.
    Among equally good cut-offs the one nearest to the threshold is chosen, and of two such the
    lower.

    Args:
        totals: of visits of the development set, predicted by models that had not trained on them.
        threshold: a true total of at least this is union; in [4, 16].
        of: what the totals are of, in words.

    Returns:
        The chosen cut-off; the threshold itself, with the reason, if fewer than `MIN_PATIENTS`
        patients have a united visit, or a visit that is not united, or if no cut-off is better than
        chance.

    Raises:
        MetricError: for a threshold outside [4, 16].

    Examples:
        >>> import numpy as np
        >>> from rust_tuner.metrics import VisitTotals
        >>> true = np.array([6, 8, 9, 7, 10, 12, 11, 14, 13, 12], dtype=float)
        >>> predicted = np.array([7, 8, 8, 9, 9, 11, 10, 12, 12, 10], dtype=float)
        >>> patients = np.arange(10).astype(object)
        >>> totals = VisitTotals(true, predicted, patients, num_visits=10)
        >>> cutoff = choose_union_cutoff(totals, threshold=11, of="an example")
        >>> cutoff.value
        10.0
    """
    if not LOWEST_TOTAL <= threshold <= HIGHEST_TOTAL:
        raise MetricError(f"threshold={threshold}; a RUST total is {LOWEST_TOTAL}-{HIGHEST_TOTAL}")
    is_united = totals.reference >= threshold
    visits, united = len(is_united), int(is_united.sum())

    def default(reason: str) -> UnionCutoff:
        how = f"not chosen, the threshold of the true total is taken: {reason}"
        return UnionCutoff(float(threshold), float(threshold), how, visits=visits, united=united)

    for side, rows in (("united", is_united), ("not united", ~is_united)):
        patients = len(np.unique(totals.patient_ids[rows].astype(str)))
        if patients < MIN_PATIENTS:
            return default(
                f"{of} have {patients} {'patient' if patients == 1 else 'patients'} with a "
                f"complete visit that is {side}, but at least {MIN_PATIENTS} are needed"
            )
    values = np.array([_youden(is_united, totals.predicted >= cutoff) for cutoff in CUTOFFS])
    # Rounded, so that equally good cut-offs compare as equal.
    best = np.flatnonzero(np.round(values, 12) == np.round(values.max(), 12))
    if values.max() <= 0:
        return default(f"no cut-off of {of} predicts union better than chance")
    chosen = min(best, key=lambda index: (abs(CUTOFFS[index] - threshold), CUTOFFS[index]))
    return UnionCutoff(
        CUTOFFS[chosen],
        float(threshold),
        f"chosen by the highest Youden's J of {of}",
        chosen=True,
        youden=float(values[chosen]),
        visits=visits,
        united=united,
    )


def _youden(truth: npt.NDArray[np.bool_], answer: npt.NDArray[np.bool_]) -> float:
    return float(answer[truth].mean() - answer[~truth].mean())
