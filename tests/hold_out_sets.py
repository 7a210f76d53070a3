"""The two sides of a study that has looked at its hold-out set."""

import numpy as np

from rust_tuner import Development, HoldOut, Study, split_holdout
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.labels import LABELS
from rust_tuner.records.split import SplitRecord

PROBABILITIES = [f"probability_{label}" for label in LABELS]


def sides_of(study: Study) -> tuple[Development, HoldOut]:
    """The development and the hold-out set of a study, cut again."""
    return split_holdout(study.radiographs(), seed=study.protocol.seed)


def sealed(radiographs: Radiographs, *patients: str) -> SplitRecord:
    """The split that seals these patients."""
    is_sealed = np.isin(radiographs.patient_ids.astype(str), patients)
    sides = (radiographs.subset(np.flatnonzero(side)) for side in (~is_sealed, is_sealed))
    return SplitRecord.between(radiographs, *sides, seed=0, fraction=0.15)
