"""Labels that no image can tell: the scores of radiographs, shuffled between patients.

What is learned from them nevertheless has leaked.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import SplitError
from rust_tuner.labels import CORTICES, VIEWS

# Which labels a seed gives; another number where that changes, so that what was trained on other
# ones is not taken for it.
SHUFFLING = 2


def shuffled_between_patients(development: Development, rng: np.random.Generator) -> Development:
    """Give each patient the scores of another one; view and visibility stay where they are.

    The patients are put in a random circle, and each takes the scores of the next: a radiograph
    those of some radiograph of that patient of the same view, cortex by cortex where it is visible.
    Where the next patient has no score of the cortex in the view, the one after is asked, and so
    on. So all radiographs of a patient get labels of one patient, mostly; a model that meets a
    patient on both sides of a fold would recognise them.

    Which radiograph gives to which is random: bone heals from visit to visit, so if the first
    visit took the scores of a first one and the last of a last one, images would still tell some of
    their new labels, without any leak.

    Args:
        development: the development set.
        rng: puts the patients in a circle, and the radiographs of each in an order.

    Raises:
        SplitError: for anything but a development set, for fewer than two patients, or where only
            one patient has a score of some cortex in some view, so that nobody can swap it.
    """
    radiographs = require_development(development).radiographs
    patients, owner = np.unique(radiographs.patient_ids.astype(str), return_inverse=True)
    if len(patients) < 2:
        raise SplitError("the scores of one patient cannot be shuffled between patients")
    # The place of each patient in the circle.
    place = rng.permutation(len(patients))
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
                scores[rows] = scores[_donors(rows, place[owner[rows]], where)]
        table[cortex] = scores
    return Development(
        dataclasses.replace(
            radiographs, table=table, source=f"{radiographs.source}, labels shuffled"
        )
    )


def _donors(
    rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64], where: str
) -> npt.NDArray[np.int64]:
    """For each of some rows the row of the next patient in the circle that it takes over.

    Args:
        rows: rows that can be swapped for one another; the first of a patient takes over the first
            of the next one, the second the second.
        places: the place of each one's patient in the circle.
        where: for the error message.
    """
    circle = np.unique(places)
    if len(circle) < 2:
        raise SplitError(f"only one patient has a score ({where}), so it cannot be shuffled")
    own = {place: rows[places == place] for place in circle.tolist()}
    following = dict(zip(circle.tolist(), np.roll(circle, -1).tolist(), strict=True))
    donors = np.empty_like(rows)
    for place, taking in own.items():
        giving = own[following[place]]
        # Of fewer radiographs, the last one serves again.
        which = np.minimum(np.arange(len(taking)), len(giving) - 1)
        donors[places == place] = giving[which]
    return donors
