"""Where a study that several tests share lies, and a smaller set from a shared one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rust_tuner import Protocol, Radiographs, Study


@dataclass(frozen=True)
class StudyFolder:
    """A study, the manifest beside it, and the feature cache that it used."""

    directory: Path
    manifest: Path
    cache: Path

    def open(self, protocol: Protocol | None = None, **options: Any) -> Study:
        return Study(self.directory, protocol=protocol, cache=self.cache, **options)


def first_patients(radiographs: Radiographs, count: int) -> Radiographs:
    """The radiographs of the first patients of the manifest, in their order."""
    patients = radiographs.table["patient_id"]
    kept = patients.isin(patients.unique()[:count])
    return radiographs.subset(np.flatnonzero(kept))
