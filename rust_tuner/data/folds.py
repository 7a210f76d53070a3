"""Divides the development set into cross-validation folds: by patient, or one site per fold.

Which patients are sealed belongs to `splits`.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rust_tuner.data.label_warnings import fold_warnings
from rust_tuner.data.patient_ids import visibly
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import (
    NOTHING_SEALED,
    Development,
    HoldOut,
    listed_rows,
    refuse_sealed,
    require_development,
)
from rust_tuner.data.stratify import IntArray, stratify_patients
from rust_tuner.errors import SplitError, private
from rust_tuner.protocol import Protocol
from rust_tuner.seeds import require_seed


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
        sites: the site that each fold validates, if folds leave one site out; else empty.
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


def make_folds(radiographs: Radiographs | Development, num_folds: int, seed: int) -> Folds:
    """Divide radiographs into folds by patient, with each label about as frequent in every fold.

    Args:
        radiographs: the development set. Radiographs without a hold-out set are accepted too, with
            a warning that nothing is sealed.
        num_folds: an integer from 2.
        seed: an integer from 0; the same patients, labels and seed give the same folds.

    Returns:
        The folds, with warnings if a fold cannot score or learn a label.

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

    Examples:
        >>> from rust_tuner import Radiographs
        >>> from rust_tuner.data.phantoms import phantom_table
        >>> from rust_tuner.data.splits import split_holdout
        >>> radiographs = Radiographs(phantom_table(patients=30, seed=0, sites=3))
        >>> development, holdout = split_holdout(radiographs)
        >>> folds = make_site_folds(development)
        >>> len(folds)
        3
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
            f"{data.source}: the site is empty in {len(empty)} rows ({listed_rows(empty)}); every "
            "radiograph needs its site to leave one out"
        )
    of_patient: dict[str, str] = {}
    for row, patient, site in zip(data.rows, data.written_patients, sites, strict=True):
        first_site = of_patient.setdefault(patient, site)
        if first_site != site:
            raise SplitError(
                f"{data.source}: patient {private(patient)} has radiographs from the sites "
                f"{first_site} and {site} (row {row}); a patient is never on two sides of a fold, "
                "so give the patient one site"
            )
    if alike := sites_alike(data):
        notes = (*notes, f"{alike}; if they are one site, it is on both sides of a fold")
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
        warnings=(*notes, *fold_warnings(data, assignment, num_folds=len(names), are_drawn=False)),
        sites=names,
    )


def sites_alike(radiographs: Radiographs) -> str | None:
    """Which site's name is written in two ways, such as `S1` and `s1`; None if none is.

    Case, spaces and the form of characters (NFKC) do not count; `A+` and `A-` are two sites.
    """
    sites = [] if radiographs.sites is None else radiographs.sites.tolist()
    first_of: dict[str, str] = {}
    for site in dict.fromkeys(sites):
        form = "".join(unicodedata.normalize("NFKC", site).casefold().split())
        first = first_of.setdefault(form, site)
        if first != site:
            break
    else:
        return None
    rows = [radiographs.rows[sites.index(spelling)] for spelling in (site, first)]
    return f"the site {visibly(site)} (row {rows[0]}) reads like {visibly(first)} (row {rows[1]})"


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
        num_folds: the number of folds if they divide the patients, or the folds.

    Raises:
        SplitError: if the folds cannot be made.
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
    refuse_sealed(radiographs)
    return radiographs, () if radiographs.sealed_patients else (NOTHING_SEALED,)
