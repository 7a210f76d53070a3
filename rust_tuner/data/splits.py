"""Splits radiographs by patient: the sealed hold-out set, and the folds of the rest.

Its two types keep the hold-out set out of training and selection. How patients are divided belongs
to `stratify`, how a split is stored to `split_file`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.label_warnings import fold_warnings
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.stratify import IntArray, stratify_patients
from rust_tuner.errors import SplitError
from rust_tuner.protocol import Protocol
from rust_tuner.seeds import require_seed

_SHOWN = 5
_NOTHING_SEALED = (
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
        _refuse_sealed(self.radiographs)

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


@dataclass(frozen=True, eq=False)
class Folds:
    """Cross-validation folds: iterating gives `(train_indices, validation_indices)` of each.

    It is also a scikit-learn splitter, with `split` and `get_n_splits`.

    Attributes:
        assignment: (n,) int64, the fold in 0 to num_folds - 1 that each row validates; read-only.
        num_folds: the number of folds.
        seed: the seed that they were made with.
        warnings: what a reader of the folds' scores must know, such as a label that a fold cannot
            score.
        sites: the site that each fold validates, where folds leave one site out; else empty.
    """

    assignment: IntArray
    num_folds: int
    seed: int
    warnings: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Copy the assignment and check that it fills each fold.

        Raises:
            SplitError: if a fold is empty or a row belongs to none.
        """
        assignment = np.array(self.assignment, dtype=np.int64)
        if not np.array_equal(np.unique(assignment), np.arange(self.num_folds)):
            raise SplitError(
                f"rows assigned to the folds {np.unique(assignment).tolist()}; expected every fold "
                f"from 0 to {self.num_folds - 1} to have some"
            )
        assignment.flags.writeable = False
        object.__setattr__(self, "assignment", assignment)

    def __len__(self) -> int:
        """The number of folds."""
        return self.num_folds

    def __iter__(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Each fold's rows for training and for validation, int64 and ascending."""
        for fold in range(self.num_folds):
            validates = self.assignment == fold
            yield np.flatnonzero(~validates), np.flatnonzero(validates)

    def split(
        self,
        X: Any = None,  # noqa: N803 (scikit-learn's name)
        y: Any = None,
        groups: Any = None,
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Iterate over the folds, with scikit-learn's signature.

        Args:
            X: the data, of as many rows as the folds were made for; None is not checked.
            y: not used.
            groups: not used; the folds keep patients together already.

        Raises:
            SplitError: for data with another number of rows.
        """
        num_rows = None if X is None else np.shape(X)[0] if hasattr(X, "shape") else len(X)
        if num_rows is not None and num_rows != len(self.assignment):
            raise SplitError(
                f"{num_rows} rows, but the folds were made for {len(self.assignment)}; make folds "
                "for this data"
            )
        yield from self

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803
        """The number of folds, with scikit-learn's signature."""
        return self.num_folds


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

    Every patient is sealed with the same probability. Where the radiographs have sites, the same
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
    _refuse_sealed(radiographs)
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


def make_folds(radiographs: Radiographs | Development, num_folds: int, seed: int) -> Folds:
    """Divide radiographs into folds by patient, with each label about as frequent in every fold.

    Args:
        radiographs: the development set. Radiographs without a hold-out set are accepted too, with
            a warning that nothing is sealed.
        num_folds: an integer from 2.
        seed: an integer from 0; the same patients, labels and seed give the same folds.

    Returns:
        The folds, with warnings where a fold cannot score or learn a label.

    Raises:
        SplitError: for more folds than patients, for the hold-out set, or for an argument out of
            its range.

    Examples:
        >>> import pandas as pd
        >>> patients = [f"P{number}" for number in range(6)]
        >>> table = pd.DataFrame({"patient_id": patients, "visit": "1", "view": "ap"})
        >>> table["image"] = table["patient_id"] + ".png"
        >>> table[["medial", "lateral"]], table[["anterior", "posterior"]] = 2, None
        >>> folds = make_folds(Radiographs(table), num_folds=3, seed=0)
        >>> [(len(training), len(validation)) for training, validation in folds]
        [(4, 2), (4, 2), (4, 2)]
    """
    require_seed(seed, SplitError)
    data, notes = _not_sealed(radiographs)
    if not isinstance(num_folds, int | np.integer) or num_folds < 2:
        raise SplitError(f"num_folds={num_folds!r}; expected an integer from 2")
    num_folds = int(num_folds)
    num_patients = len(set(data.patient_ids))
    if num_folds > num_patients:
        mend = (
            f"take at most {num_patients} folds (num_folds, or --folds {num_patients})"
            if num_patients > 1
            else "at least two patients are needed"
        )
        raise SplitError(
            f"{num_folds} folds for {num_patients} patient(s); a patient is never in two folds, so "
            f"{mend}"
        )
    assignment = stratify_patients(
        data.patient_ids,
        data.labels,
        shares=np.full(num_folds, 1 / num_folds),
        seed=seed,
        place=("folds", num_folds),
    )
    return Folds(
        assignment=assignment,
        num_folds=num_folds,
        seed=int(seed),
        warnings=(*notes, *fold_warnings(data, assignment, num_folds=num_folds)),
    )


def make_site_folds(radiographs: Radiographs | Development, seed: int = 0) -> Folds:
    """Leave one site out: each fold validates one site and trains on all the others.

    Args:
        radiographs: the development set, each radiograph with its site. Radiographs without a
            hold-out set are accepted too, with a warning that nothing is sealed.
        seed: recorded with the folds; nothing is drawn.

    Returns:
        As many folds as there are sites, in the order of their names.

    Raises:
        SplitError: if a site is missing, there is only one, or a patient was at several; and for
            the hold-out set.
    """
    require_seed(seed, SplitError)
    data, notes = _not_sealed(radiographs)
    sites = data.sites
    if sites is None:
        raise SplitError(
            f"{data.source} has no column 'site', so no site can be left out; add the column, or "
            "make folds by patient"
        )
    empty = [row for row, site in zip(data.rows, sites, strict=True) if not site]
    if empty:
        raise SplitError(
            f"{data.source}: the site is empty in {len(empty)} rows ({_listed(empty)}); every "
            "radiograph needs its site to leave one out"
        )
    of_patient: dict[str, str] = {}
    for patient, site in zip(data.patient_ids, sites, strict=True):
        first_site = of_patient.setdefault(patient, site)
        if first_site != site:
            raise SplitError(
                f"{data.source}: patient {patient} has radiographs from the sites {first_site} and "
                f"{site}; a patient is never on two sides of a fold, so give the patient one site"
            )
    names = tuple(sorted(set(of_patient.values())))
    if len(names) < 2:
        raise SplitError(
            f"{data.source}: all patients are from {len(names)} site ({', '.join(names)}); leaving "
            "one out needs at least two"
        )
    assignment = np.searchsorted(np.array(names, dtype=str), sites.astype(str))
    return Folds(
        assignment=assignment,
        num_folds=len(names),
        seed=int(seed),
        warnings=(*notes, *fold_warnings(data, assignment, num_folds=len(names))),
        sites=names,
    )


def folds_asked_for(development: Development, protocol: Protocol, num_folds: int) -> Folds | int:
    """How a protocol divides a cross-validation: one fold per site, or a number of folds.

    Raises:
        SplitError: as `make_site_folds`.
    """
    if protocol.folds_by == "site":
        return make_site_folds(development, protocol.seed)
    return num_folds


def rows_trained_on(development: Development, protocol: Protocol, num_folds: int | Folds) -> int:
    """How many radiographs the largest fold of a cross-validation trains on.

    Args:
        development: the development set.
        protocol: the scientific choices.
        num_folds: the number of folds where they divide the patients, or the folds.

    Raises:
        SplitError: where the folds cannot be made.
    """
    folds = num_folds
    if isinstance(folds, int):
        folds = folds_asked_for(development, protocol, folds)
    if isinstance(folds, int):
        folds = make_folds(development, folds, protocol.seed)
    return max(len(training) for training, _ in folds)


def _not_sealed(
    radiographs: Radiographs | Development | HoldOut,
) -> tuple[Radiographs, tuple[str, ...]]:
    """The radiographs to divide into folds, and a warning if nothing was sealed before."""
    if isinstance(radiographs, HoldOut):
        require_development(radiographs)
    if isinstance(radiographs, Development):
        return radiographs.radiographs, ()
    if not isinstance(radiographs, Radiographs):
        raise SplitError(
            f"got {type(radiographs).__name__}, expected Development; call split_holdout and "
            "pass the first of its two sets"
        )
    _refuse_sealed(radiographs)
    return radiographs, () if radiographs.sealed_patients else (_NOTHING_SEALED,)


def _refuse_sealed(radiographs: Radiographs) -> None:
    rows = radiographs.sealed_rows
    if rows:
        raise SplitError(
            f"{radiographs.source}: {len(rows)} of {len(radiographs)} radiographs belong to sealed "
            f"patients (rows {_listed(rows)}); what is sealed cannot be used for training or "
            "selection; pass the first of the two sets that split_holdout gives"
        )


def _listed(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
