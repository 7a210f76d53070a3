"""Labels that are unrelated to the images: scores shuffled between patients.

Whatever a model learns from them has leaked.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import SplitError
from rust_tuner.labels import CORTICES, VIEWS

# The version of the shuffling, raised when a seed gives other labels, so that earlier trainings are
# not reused.
SHUFFLING = 2


def shuffled_between_patients(development: Development, rng: np.random.Generator) -> Development:
    """Give each patient the scores of another one; views and visibility do not change.

    The patients are put in a random circle, and each takes the scores of the next: a radiograph
    takes those of a radiograph of that patient in the same view, for each cortex that is visible.
    If the next patient has no score of the cortex in the view, the patient after is used, and so
    on. So nearly all radiographs of a patient get labels of one patient, and a model that sees a
    patient on both sides of a fold would recognise them.

    The radiographs of the other patient are used in random order. Bone heals from visit to visit:
    if first visits took the scores of first visits and last visits those of last visits, images
    would still be related to their new labels, without any leak.

    Args:
        development: the development set.
        rng: decides the order of the patients in the circle, and of each patient's radiographs.

    Raises:
        SplitError: for anything but a development set, for fewer than two patients, or if only
            one patient has a score of some cortex in some view, so that it cannot be swapped.
    """
    radiographs = require_development(development).radiographs
    patients, owner = np.unique(radiographs.patient_ids.astype(str), return_inverse=True)
    if len(patients) < 2:
        raise SplitError("the scores of one patient cannot be shuffled between patients")
    # The position of each patient in the circle.
    position = rng.permutation(len(patients))
    # One order for all cortices, so that the scores of a radiograph stay together.
    order = rng.permutation(len(radiographs))
    table = radiographs.table.copy()
    view = table["view"].to_numpy(dtype=object)
    for cortex in CORTICES:
        scores = table[cortex].to_numpy(dtype=np.float64, copy=True)
        for name in VIEWS:
            rows = order[((view == name) & ~np.isnan(scores))[order]]
            if len(rows):
                where = f"cortex {cortex}, view {name}"
                scores[rows] = scores[_donors(rows, position[owner[rows]], where)]
        table[cortex] = scores
    return Development(
        dataclasses.replace(
            radiographs, table=table, source=f"{radiographs.source}, labels shuffled"
        )
    )


def _donors(
    rows: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], where: str
) -> npt.NDArray[np.int64]:
    """For each row, the row of the next patient in the circle whose score it takes.

    Args:
        rows: rows that can be swapped; the first of a patient takes the score of the first of the
            next patient, the second that of the second, and so on.
        positions: the position of each row's patient in the circle.
        where: for the error message.
    """
    circle = np.unique(positions)
    if len(circle) < 2:
        raise SplitError(f"only one patient has a score ({where}), so it cannot be shuffled")
    rows_at = {position: rows[positions == position] for position in circle.tolist()}
    following = dict(zip(circle.tolist(), np.roll(circle, -1).tolist(), strict=True))
    donors = np.empty_like(rows)
    for position, taking in rows_at.items():
        giving = rows_at[following[position]]
        # Where the next patient has fewer radiographs, the last one is used again.
        which = np.minimum(np.arange(len(taking)), len(giving) - 1)
        donors[positions == position] = giving[which]
    return donors
