"""Stores a split, and detects when the split or its data have changed.

`split.json` names the patients of each side and the fold of each patient, so that a resumed study
trains on the same rows whatever version of the package made them. It has the names under which the
study writes patients (`Radiographs.written`); which patients are on which side follows from their
ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rust_tuner.data.folds import Folds, make_folds, make_site_folds
from rust_tuner.data.label_warnings import fold_warnings
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import row_values
from rust_tuner.data.splits import (
    Development,
    HoldOut,
    divide_by_seal,
    require_development,
    split_holdout,
)
from rust_tuner.errors import RustTunerError, SplitError, private
from rust_tuner.files import read_json, sha256_of_json, write_json

SPLIT_FILE = "split.json"

_VERSION = 1
_FAIR_DRAW = "permuted by the seed"
_MEND = "restore the file, or start a new study folder"
_PATIENTS_SHOWN = 3


@dataclass(frozen=True)
class FoldsRecord:
    """The folds for one number of folds, or with one fold per site.

    Attributes:
        seed: the seed that they were made with.
        folds: the fold of each patient of the development set.
        sites: the site that each fold validates; empty for random folds of patients.
    """

    seed: int
    folds: Mapping[str, int]
    sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """What `split.json` holds.

    Attributes:
        seed: the seed of the hold-out set.
        fraction: the share that is sealed.
        development: the patients that training may see, in ascending order.
        holdout: the sealed patients, in ascending order.
        radiographs_sha256: of the patients, visits, views, scores and sites that it was made for.
        development_sha256: the same of the development set alone.
        folds: by number of folds.
        site_folds: those that leave one site out, if they were made.
        drawn: how the hold-out set was drawn; None if an earlier version drew it, which took
            patients in the order of their ids, or if it was not drawn from the seed.
    """

    seed: int
    fraction: float
    development: tuple[str, ...]
    holdout: tuple[str, ...]
    radiographs_sha256: str
    development_sha256: str
    folds: Mapping[int, FoldsRecord] = field(default_factory=dict)
    site_folds: FoldsRecord | None = None
    drawn: str | None = None

    @property
    def is_fair_draw(self) -> bool:
        """Whether every patient was sealed with the same probability."""
        return self.drawn == _FAIR_DRAW

    @property
    def sha256(self) -> str:
        """Of the whole content; it changes when folds of another number are added."""
        return sha256_of_json(self._content())

    def to_json(self) -> dict[str, Any]:
        """The split as JSON values, with the hash of all others as `sha256`."""
        return self._content() | {"sha256": self.sha256}

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = {
            "version": _VERSION,
            "seed": self.seed,
            "fraction": self.fraction,
            "radiographs_sha256": self.radiographs_sha256,
            "development_sha256": self.development_sha256,
            "development": list(self.development),
            "holdout": list(self.holdout),
            "folds": {
                str(num_folds): {"seed": record.seed, "patients": dict(record.folds)}
                for num_folds, record in sorted(self.folds.items())
            },
        }
        if self.drawn is not None:
            content["drawn"] = self.drawn
        if self.site_folds is not None:
            content["site_folds"] = {
                "seed": self.site_folds.seed,
                "sites": list(self.site_folds.sites),
                "patients": dict(self.site_folds.folds),
            }
        return content


def radiographs_sha256(radiographs: Radiographs) -> str:
    """The SHA-256 of patients, visits, views, scores and, if there are any, sites and crops.

    Row order and paths do not matter. Patients and visits count as they are written, so that the
    hashes of a few patients do not give away their ids.
    """
    rows = row_values(radiographs)
    return sha256_of_json(sorted(rows, key=lambda row: [str(value) for value in row]))


def write_split(path: Path, split: Split) -> None:
    """Write a split, atomically."""
    write_json(Path(path), split.to_json())


def read_split(path: Path, radiographs: Radiographs) -> Split:
    """Read a split and check it against itself and against the radiographs.

    Raises:
        SplitError: if the file is missing, damaged or changed, or was made for other patients or
            labels; the message says what differs and how to fix it.
    """
    path = Path(path)
    split = _read_own(path)
    recorded = {*split.development, *split.holdout}
    present = set(radiographs.written_patients)
    _refuse_patients(path, "is not in the manifest any more", recorded - present)
    _refuse_patients(path, "is in the manifest, but on no side of the split", present - recorded)
    if split.radiographs_sha256 != radiographs_sha256(radiographs):
        raise SplitError(
            f"{path.name}: the rows, visits, views or scores of the manifest have changed since "
            "the split was made; restore the manifest, or start a new study folder"
        )
    return split


def load_or_make_split(
    path: Path, radiographs: Radiographs, fraction: float, seed: int
) -> tuple[Development, HoldOut]:
    """Read the stored split; if there is none, make a new one and store it.

    Args:
        path: the study's `split.json`.
        radiographs: all radiographs.
        fraction: share that is sealed.
        seed: an integer from 0.

    Raises:
        SplitError: if the file does not match the arguments or itself, or if no split can
            be made.
    """
    path = Path(path)
    if not path.exists():
        development, holdout = split_holdout(radiographs, fraction, seed)
        split = Split(
            seed=int(seed),
            fraction=float(fraction),
            development=_patients(development.radiographs),
            holdout=_patients(holdout.radiographs),
            radiographs_sha256=radiographs_sha256(radiographs),
            development_sha256=radiographs_sha256(development.radiographs),
            drawn=_FAIR_DRAW,
        )
        write_split(path, split)
        return development, holdout
    split = read_split(path, radiographs)
    for name, written, requested in (
        ("seed", split.seed, seed),
        ("fraction", split.fraction, fraction),
    ):
        if written != requested:
            raise SplitError(
                f"{path.name}: made with {name} {written}, but {name} {requested} was requested; "
                f"use {written}, or start a new study folder"
            )
    sealed = np.isin(radiographs.written_patients.astype(str), split.holdout)
    return divide_by_seal(radiographs, sealed)


def load_or_make_folds(path: Path, development: Development, num_folds: int, seed: int) -> Folds:
    """Read the stored folds; if there are none, make new ones and store them.

    Args:
        path: the study's `split.json`, which `load_or_make_split` has written.
        development: the development set of that split.
        num_folds: an integer from 2; folds of other numbers are kept.
        seed: an integer from 0.

    Raises:
        SplitError: if the file is missing, does not match the arguments or itself, or if
            the folds cannot be made.
    """
    path = Path(path)
    split = _read_for(path, development)
    if num_folds not in split.folds:
        folds = make_folds(development, num_folds, seed)
        added = {**split.folds, folds.num_folds: _record(development, folds)}
        write_split(path, replace(split, folds=added))
        return folds
    record = split.folds[num_folds]
    return _as_folds(path, development, record, what=f"{num_folds} folds", seed=seed)


def load_or_make_site_folds(path: Path, development: Development, seed: int) -> Folds:
    """Read the stored folds that leave one site out; if there are none, make and store them.

    Args:
        path: the study's `split.json`, which `load_or_make_split` has written.
        development: the development set of that split, each radiograph with its site.
        seed: an integer from 0, as for the other folds.

    Raises:
        SplitError: if the file is missing, does not match the arguments or itself, or if
            the folds cannot be made.
    """
    path = Path(path)
    split = _read_for(path, development)
    if split.site_folds is None:
        folds = make_site_folds(development, seed)
        write_split(path, replace(split, site_folds=_record(development, folds)))
        return folds
    return _as_folds(path, development, split.site_folds, what="folds by site", seed=seed)


def _read_for(path: Path, development: Development) -> Split:
    """Read a split and check it against its development set."""
    radiographs = require_development(development).radiographs
    split = _read_own(path)
    present, recorded = set(radiographs.written_patients), set(split.development)
    _refuse_patients(
        path, "is sealed, but in the development set given", present & set(split.holdout)
    )
    _refuse_patients(path, "is not in the development set given", recorded - present)
    _refuse_patients(
        path, "is in the development set given, but not in the file", present - recorded
    )
    if split.development_sha256 != radiographs_sha256(radiographs):
        raise SplitError(
            f"{path.name}: the rows, visits, views or scores of the development set have changed "
            "since the split was made; restore the manifest, or start a new study folder"
        )
    return split


def _record(development: Development, folds: Folds) -> FoldsRecord:
    patients = development.radiographs.written_patients.tolist()
    pairs = zip(patients, folds.assignment.tolist(), strict=True)
    return FoldsRecord(seed=folds.seed, folds=dict(sorted(pairs)), sites=folds.sites)


def _as_folds(
    path: Path, development: Development, record: FoldsRecord, *, what: str, seed: int
) -> Folds:
    """Stored folds, as folds of the development set's rows."""
    if record.seed != seed:
        raise SplitError(
            f"{path.name}: the {what} were made with seed {record.seed}, not {seed}; "
            f"use {record.seed}, or start a new study folder"
        )
    radiographs = development.radiographs
    num_folds = len({*record.folds.values()})
    assignment = np.array([record.folds[patient] for patient in radiographs.written_patients])
    return Folds(
        assignment=assignment,
        num_folds=num_folds,
        seed=record.seed,
        warnings=fold_warnings(radiographs, assignment, num_folds=num_folds),
        sites=record.sites,
    )


def _read_own(path: Path) -> Split:
    """Read a split and check that it is consistent."""
    if not path.exists():
        raise SplitError(f"{path}: no such file; prepare the study first")
    try:
        content = read_json(path)
    except RustTunerError as error:
        raise SplitError(
            f"{path.name}: not valid JSON; restore the file, or remove it: it is made again from "
            "the seed, and refused if it differs from what study.json says"
        ) from error
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise SplitError(f"{path.name}: not a split of version {_VERSION}; {_MEND}")
    try:
        split = Split(
            seed=int(content["seed"]),
            fraction=float(content["fraction"]),
            development=tuple(map(str, content["development"])),
            holdout=tuple(map(str, content["holdout"])),
            radiographs_sha256=str(content["radiographs_sha256"]),
            development_sha256=str(content["development_sha256"]),
            folds={
                int(num_folds): FoldsRecord(
                    seed=int(record["seed"]),
                    folds={str(patient): int(fold) for patient, fold in record["patients"].items()},
                )
                for num_folds, record in content["folds"].items()
            },
            site_folds=_site_folds_from(content.get("site_folds")),
            drawn=None if content.get("drawn") is None else str(content["drawn"]),
        )
        intact = split.to_json()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SplitError(f"{path.name}: damaged ({error!r}); {_MEND}") from error
    _check_sides(path, split)
    # Compared as a whole, so that a value of another type or an extra field is noticed too.
    if content != intact:
        raise SplitError(
            f"{path.name}: the content does not match its SHA-256 {content.get('sha256')}, so it "
            f"was changed by hand; {_MEND}"
        )
    return split


def _site_folds_from(content: Any) -> FoldsRecord | None:
    if content is None:
        return None
    return FoldsRecord(
        seed=int(content["seed"]),
        folds={str(patient): int(fold) for patient, fold in content["patients"].items()},
        sites=tuple(map(str, content["sites"])),
    )


def _check_sides(path: Path, split: Split) -> None:
    development, holdout = set(split.development), set(split.holdout)
    _refuse_patients(path, "is on both sides of the split", development & holdout)
    numbered = {f"{number} folds": (number, record) for number, record in split.folds.items()}
    if split.site_folds is not None:
        numbered["folds by site"] = (len(split.site_folds.sites), split.site_folds)
    for what, (num_folds, record) in numbered.items():
        _refuse_patients(
            path,
            f"is not in the development set, but in one of the {what}",
            set(record.folds) - development,
        )
        _refuse_patients(path, f"is in none of the {what}", development - {*record.folds})
        if {*record.folds.values()} != {*range(num_folds)}:
            raise SplitError(
                f"{path.name}: the {what} are numbered "
                f"{sorted({*record.folds.values()})}, expected 0 to {num_folds - 1}; {_MEND}"
            )


def _refuse_patients(path: Path, fault: str, patients: set[str]) -> None:
    if patients:
        shown = ", ".join(sorted(patients)[:_PATIENTS_SHOWN])
        more = len(patients) - _PATIENTS_SHOWN
        also = f" (and {more} more)" if more > 0 else ""
        raise SplitError(f"{path.name}: patient {private(shown)}{also} {fault}; {_MEND}")


def _patients(radiographs: Radiographs) -> tuple[str, ...]:
    return tuple(sorted(set(radiographs.written_patients.tolist())))
