"""Splits radiographs by patient: the sealed hold-out set, and the folds of the rest.

Its two types keep the hold-out set out of training and selection. How patients are divided belongs
to `stratify`, how a split is stored to `records.split`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.stratify import stratify_patients
from rust_tuner.errors import SplitError
from rust_tuner.seeds import require_seed

ROWS_SHOWN = 5
NOTHING_SEALED = (
    "no hold-out set was taken from these radiographs, so nothing is sealed: no patient remains "
    "for an unbiased test of what is chosen on these folds; call split_holdout first, and pass the "
    "first of its two sets"
)


@dataclass(frozen=True, eq=False)
class Development:
    """The radiographs that training and selection may see; returned by `split_holdout`.

    Raises:
        SplitError: for radiographs of sealed patients.
    """

    radiographs: Radiographs

    def __post_init__(self) -> None:
        """Refuse sealed radiographs; they are marked."""
        if not isinstance(self.radiographs, Radiographs):
            raise SplitError(
                f"got {type(self.radiographs).__name__}, expected Radiographs; a development set "
                "is the first of the two sets that split_holdout gives"
            )
        refuse_sealed(self.radiographs)

    def __len__(self) -> int:
        """The number of radiographs."""
        return len(self.radiographs)


@dataclass(frozen=True, eq=False)
class HoldOut:
    """The sealed radiographs, for one evaluation at the end; returned by `split_holdout`."""

    radiographs: Radiographs

    def __post_init__(self) -> None:
        """Mark the radiographs as sealed, wherever they are passed on."""
        patients = set(self.radiographs.patient_ids)
        if not patients <= self.radiographs.sealed_patients:
            sealed = self.radiographs.remembering_sealed(patients)
            object.__setattr__(self, "radiographs", sealed)

    def __len__(self) -> int:
        """The number of radiographs."""
        return len(self.radiographs)


def require_development(value: object) -> Development:
    """The value itself if it is a development set.

    Raises:
        SplitError: for anything else, especially the sealed hold-out set.
    """
    if isinstance(value, Development):
        return value
    if isinstance(value, HoldOut):
        raise SplitError(
            "got HoldOut, expected Development: the sealed hold-out set cannot be used for "
            "training or selection; pass the first of the two sets that split_holdout gives"
        )
    raise SplitError(
        f"got {type(value).__name__}, expected Development; call split_holdout and pass the "
        "first of its two sets"
    )


def split_holdout(
    radiographs: Radiographs, fraction: float = 0.15, seed: int = 0
) -> tuple[Development, HoldOut]:
    """Seal a hold-out set of patients, with each label about as frequent as in all radiographs.

    Every patient is sealed with the same probability. If the radiographs have sites, the same
    holds for each site.

    Args:
        radiographs: all radiographs.
        fraction: share of the patients that is sealed, to the nearest whole number, and about
            that of the radiographs, in (0, 1).
        seed: an integer from 0; the same patients, labels and seed give the same sets.

    Returns:
        The development and the hold-out set, each in the order of `radiographs`.

    Raises:
        SplitError: if one of the sets would be empty, an argument is out of its range, or some of
            the radiographs are sealed already.

    Examples:
        >>> import pandas as pd
        >>> patients = [f"P{number}" for number in range(10)]
        >>> table = pd.DataFrame({"patient_id": patients, "visit": "1", "view": "ap"})
        >>> table["image"] = table["patient_id"] + ".png"
        >>> table[["medial", "lateral"]], table[["anterior", "posterior"]] = 2, None
        >>> development, holdout = split_holdout(Radiographs(table), fraction=0.2, seed=0)
        >>> len(development), len(holdout)
        (8, 2)
        >>> set(development.radiographs.patient_ids) & set(holdout.radiographs.patient_ids)
        set()
    """
    require_seed(seed, SplitError)
    if isinstance(radiographs, Development | HoldOut):
        raise SplitError(
            f"got {type(radiographs).__name__}, expected Radiographs: it is already one "
            "side of a split"
        )
    refuse_sealed(radiographs)
    if not 0 < fraction < 1:
        raise SplitError(f"fraction={fraction!r}; expected a number between 0 and 1, both excluded")
    num_patients = len(set(radiographs.patient_ids))
    num_sealed = round(fraction * num_patients)
    if not 0 < num_sealed < num_patients:
        empty = "hold-out" if num_sealed == 0 else "development"
        lowest = 1 / max(num_patients, 2)
        raise SplitError(
            f"a hold-out fraction of {fraction:g} with {num_patients} patient(s) leaves the "
            f"{empty} set empty; "
            + (
                "at least two patients are needed, one for each side"
                if num_patients < 2
                else "use a fraction of 0.5"
                if num_patients == 2
                else f"use a fraction of about {lowest:.2g} to {1 - lowest:.2g}"
            )
        )
    sides = stratify_patients(
        radiographs.patient_ids,
        np.column_stack([radiographs.labels, _site_columns(radiographs, fraction)]),
        shares=[1 - num_sealed / num_patients, num_sealed / num_patients],
        seed=seed,
        place=("holdout",),
        exact_sizes=True,
    )
    return divide_by_seal(radiographs, sides == 1)


def divide_by_seal(
    radiographs: Radiographs, sealed: npt.NDArray[np.bool_]
) -> tuple[Development, HoldOut]:
    """The two sides of a split, each with the sealed patients marked.

    Args:
        radiographs: all n radiographs.
        sealed: (n,) whether each is on the sealed side; equal for all radiographs of a patient.
    """
    marked = radiographs.remembering_sealed(radiographs.patient_ids[sealed])
    return (
        Development(marked.subset(np.flatnonzero(~sealed))),
        HoldOut(marked.subset(np.flatnonzero(sealed))),
    )


def _site_columns(radiographs: Radiographs, fraction: float) -> npt.NDArray[np.float32]:
    """(n, sites) of zeros and ones; sites too small for a sealed patient share one column."""
    if radiographs.sites is None:
        return np.zeros((len(radiographs), 0), dtype=np.float32)
    sites = radiographs.sites.astype(str)
    large = [
        site
        for site in np.unique(sites)
        if len(set(radiographs.patient_ids[sites == site])) * min(fraction, 1 - fraction) >= 1
    ]
    columns = [sites == site for site in large] + [~np.isin(sites, large)]
    return np.column_stack(columns).astype(np.float32)


def refuse_sealed(radiographs: Radiographs) -> None:
    """Raise a `SplitError` if some of the radiographs belong to a sealed hold-out set."""
    rows = radiographs.sealed_rows
    if rows:
        raise SplitError(
            f"{radiographs.source}: {len(rows)} of {len(radiographs)} radiographs belong to sealed "
            f"patients (rows {listed_rows(rows)}); what is sealed cannot be used for training or "
            "selection; pass the first of the two sets that split_holdout gives"
        )


def listed_rows(rows: Sequence[int]) -> str:
    """Rows of a file as a message names them, the first few of many."""
    return ", ".join(map(str, rows[:ROWS_SHOWN])) + (", ..." if len(rows) > ROWS_SHOWN else "")
