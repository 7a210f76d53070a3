"""RUST totals of visits from their two paired views, for reference and prediction.

A total is the sum of four cortices, of which a view shows two, so it needs both views of a visit.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import MetricError
from rust_tuner.labels import CORTICES

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VisitTotals:
    """Totals of the visits whose four cortices are all scored.

    Attributes:
        reference: (complete,) float64 totals in [4, 16].
        predicted: (complete,) float64 totals of the same visits.
        patient_ids: (complete,) the patient of each visit.
        num_visits: the number of visits, complete or not.
        visits: (complete,) their names, in the order of the radiographs.
    """

    reference: FloatArray
    predicted: FloatArray
    patient_ids: npt.NDArray[np.object_]
    num_visits: int
    visits: npt.NDArray[np.object_] = field(default_factory=lambda: np.empty(0, dtype=object))


def paired_totals(
    reference: npt.ArrayLike,
    predicted: npt.ArrayLike,
    patient_ids: npt.ArrayLike,
    visits: npt.ArrayLike,
) -> VisitTotals:
    """Pair the radiographs of each visit of a patient.

    A cortex counts in the radiographs where both sides score it. If several radiographs of a visit
    do, both sides take the mean, so a total may not be a whole number.

    Args:
        reference: (n, 4) scores in the order of `CORTICES`, NaN where not visible.
        predicted: (n, 4) scores of the same radiographs.
        patient_ids: (n,) the patient of each radiograph.
        visits: (n,) the visit; visits of two patients may have the same name.

    Raises:
        MetricError: for shapes that differ.

    Examples:
        >>> nan = float("nan")
        >>> ap, lateral = [2, 3, nan, nan], [nan, nan, 1, 4]
        >>> totals = paired_totals([ap, lateral], [ap, lateral], ["P1", "P1"], ["1", "1"])
        >>> totals.reference
        array([10.])
    """
    truth = np.asarray(reference, dtype=np.float64)
    answer = np.asarray(predicted, dtype=np.float64)
    patients, names = np.asarray(patient_ids, dtype=object), np.asarray(visits, dtype=object)
    shapes = (truth.shape, answer.shape, patients.shape, names.shape)
    if shapes != ((len(truth), len(CORTICES)),) * 2 + ((len(truth),),) * 2:
        raise MetricError(
            f"reference {shapes[0]}, predicted {shapes[1]}, patient_ids {shapes[2]}, visits "
            f"{shapes[3]}; expected (n, {len(CORTICES)}) twice and (n,) twice"
        )
    keys: dict[tuple[object, object], int] = {}
    positions = np.array(
        [keys.setdefault(key, len(keys)) for key in zip(patients, names, strict=True)], dtype=int
    )
    counted = ~(np.isnan(truth) | np.isnan(answer))
    number = np.zeros((len(keys), len(CORTICES)), dtype=np.int64)
    np.add.at(number, positions, counted)
    complete = (number > 0).all(axis=1)
    # Over a common denominator, a total that is a whole number is exactly that: thirds of points
    # that are added up come to just below it, and so to the other side of the union threshold.
    together = np.lcm.reduce(number[complete], axis=1)
    factors = together[:, None] // number[complete]
    totals = []
    for side in (truth, answer):
        sums = np.zeros(number.shape)
        np.add.at(sums, positions, np.where(counted, side, 0.0))
        totals.append((sums[complete] * factors).sum(axis=1) / together)
    owners, visit_names = (np.array([key[side] for key in keys], dtype=object) for side in (0, 1))
    return VisitTotals(totals[0], totals[1], owners[complete], len(keys), visit_names[complete])
