"""`split.json`: the patients of each side and the fold of each patient; made, and compared.

A resumed study trains on the same rows whatever version of the package made them. The file has the
names under which the study writes patients (`Radiographs.written`); which patients are on which
side follows from their ids.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, JsonValue

from rust_tuner.data.folds import Folds, make_folds, make_site_folds
from rust_tuner.data.label_warnings import fold_warnings
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import radiographs_sha256
from rust_tuner.data.splits import (
    Development,
    HoldOut,
    divide_by_seal,
    require_development,
    split_holdout,
)
from rust_tuner.errors import RecordError, SplitError, private
from rust_tuner.files import sha256_of_json
from rust_tuner.records.model import (
    FoldNumber,
    HashedRecord,
    Json,
    Record,
    read_record,
    write_record,
)

SPLIT_FILE = "split.json"

_FAIR_DRAW = "permuted by the seed"
_MEND = "restore the file, or start a new study folder"
_RESTORE = (
    "restore the file, or remove it: it is made again from the seed, and refused if it differs "
    "from what study.json says"
)
_PATIENTS_SHOWN = 3


class FoldsOfSplit(Record):
    """The folds for one number of folds.

    Attributes:
        seed: the seed that they were made with.
        patients: the fold of each patient of the development set.
    """

    seed: int
    patients: dict[str, FoldNumber]


class SiteFoldsOfSplit(FoldsOfSplit):
    """Folds that leave one site out.

    Attributes:
        sites: the site that each fold validates.
    """

    sites: list[str]


class SplitRecord(HashedRecord):
    """What `split.json` contains.

    Attributes:
        seed: the seed of the hold-out set.
        fraction: the requested share of sealed patients.
        radiographs_sha256: of the patients, visits, views, scores and sites that it was made for.
        development_sha256: the same of the development set alone.
        development: the patients that training may see, in ascending order.
        holdout: the sealed patients, in ascending order.
        folds: by number of folds.
        drawn: how the hold-out set was drawn; None if an earlier version drew it, which took
            patients in the order of their ids, or if it was not drawn from the seed.
        site_folds: those that leave one site out, if they were made.
    """

    file_name: ClassVar[str] = SPLIT_FILE

    version: Literal[1]
    seed: int
    fraction: float
    radiographs_sha256: str
    development_sha256: str
    development: list[str]
    holdout: list[str]
    folds: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}$")], FoldsOfSplit]
    drawn: str | None = None
    site_folds: SiteFoldsOfSplit | None = None

    @classmethod
    def between(
        cls,
        radiographs: Radiographs,
        development: Radiographs,
        holdout: Radiographs,
        *,
        seed: int,
        fraction: float,
    ) -> "SplitRecord":
        """The two sides of radiographs, without folds."""
        return cls._signed(
            {
                "version": 1,
                "seed": seed,
                "fraction": fraction,
                "radiographs_sha256": radiographs_sha256(radiographs),
                "development_sha256": radiographs_sha256(development),
                "development": _patients(development),
                "holdout": _patients(holdout),
                "folds": {},
            }
        )

    def changed(self, **changes: object) -> "SplitRecord":
        """The record with some values changed, and a new hash."""
        return self._signed(self.to_json() | changes)

    @classmethod
    def _signed(cls, content: Mapping[str, object]) -> "SplitRecord":
        hashed = {name: value for name, value in content.items() if name != "sha256"}
        return cls.of(hashed | {"sha256": sha256_of_json(hashed)})

    @property
    def is_fair_draw(self) -> bool:
        """Whether every patient was sealed with the same probability."""
        return self.drawn == _FAIR_DRAW

    @property
    def sides(self) -> Json:
        """All but the folds."""
        folds = ("folds", "site_folds", "sha256")
        return {name: value for name, value in self.to_json().items() if name not in folds}


def read_split_record(path: Path) -> SplitRecord:
    """Read a `split.json` without comparing it with a manifest.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is damaged.
    """
    return read_record(path, SplitRecord, mend=_RESTORE)


def split_sha256(directory: Path) -> str:
    """The SHA-256 of a study's split, which identifies it in other records."""
    return read_split_record(directory / SPLIT_FILE).sha256


def read_split(path: Path, radiographs: Radiographs) -> SplitRecord:
    """Read a split and check it against itself and against the radiographs.

    Raises:
        SplitError: if the file is missing, damaged or changed, or was made for other patients or
            labels; the message says what differs and how to fix it.
    """
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
    if not path.exists():
        development, holdout = split_holdout(radiographs, fraction, seed)
        split = SplitRecord.between(
            radiographs,
            development.radiographs,
            holdout.radiographs,
            seed=int(seed),
            fraction=float(fraction),
        )
        write_record(path, split.changed(drawn=_FAIR_DRAW))
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
    split = _read_for(path, development)
    record = split.folds.get(str(num_folds))
    if record is None:
        folds = make_folds(development, num_folds, seed)
        written = {number: record.to_json() for number, record in split.folds.items()}
        made: Json = {"seed": folds.seed, "patients": _by_patient(development, folds)}
        written[str(folds.num_folds)] = made
        write_record(path, split.changed(folds={n: written[n] for n in sorted(written, key=int)}))
        return folds
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
    split = _read_for(path, development)
    if split.site_folds is None:
        folds = make_site_folds(development, seed)
        made: Json = {"seed": folds.seed, "sites": list(folds.sites)}
        made["patients"] = _by_patient(development, folds)
        write_record(path, split.changed(site_folds=made))
        return folds
    return _as_folds(path, development, split.site_folds, what="folds by site", seed=seed)


def _read_for(path: Path, development: Development) -> SplitRecord:
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


def _by_patient(development: Development, folds: Folds) -> dict[str, JsonValue]:
    patients = development.radiographs.written_patients.tolist()
    return dict(sorted(zip(patients, folds.assignment.tolist(), strict=True)))


def _as_folds(
    path: Path, development: Development, record: FoldsOfSplit, *, what: str, seed: int
) -> Folds:
    """Stored folds, as folds of the development set's rows."""
    if record.seed != seed:
        raise SplitError(
            f"{path.name}: the {what} were made with seed {record.seed}, not {seed}; "
            f"use {record.seed}, or start a new study folder"
        )
    radiographs = development.radiographs
    num_folds = len({*record.patients.values()})
    assignment = np.array([record.patients[patient] for patient in radiographs.written_patients])
    sites = tuple(record.sites) if isinstance(record, SiteFoldsOfSplit) else ()
    warnings = fold_warnings(radiographs, assignment, num_folds=num_folds, are_drawn=not sites)
    return Folds(
        assignment=assignment, num_folds=num_folds, seed=record.seed, warnings=warnings, sites=sites
    )


def _read_own(path: Path) -> SplitRecord:
    """Read a split and check that it is consistent."""
    if not path.exists():
        raise SplitError(f"{path}: no such file; prepare the study first")
    try:
        split = read_split_record(path)
    except RecordError as error:
        raise SplitError(str(error)) from error
    _check_sides(path, split)
    return split


def _check_sides(path: Path, split: SplitRecord) -> None:
    development, holdout = set(split.development), set(split.holdout)
    _refuse_patients(path, "is on both sides of the split", development & holdout)
    numbered = {f"{number} folds": (int(number), record) for number, record in split.folds.items()}
    if split.site_folds is not None:
        numbered["folds by site"] = (len(split.site_folds.sites), split.site_folds)
    for what, (num_folds, record) in numbered.items():
        _refuse_patients(
            path,
            f"is not in the development set, but in one of the {what}",
            set(record.patients) - development,
        )
        _refuse_patients(path, f"is in none of the {what}", development - {*record.patients})
        if {*record.patients.values()} != {*range(num_folds)}:
            raise SplitError(
                f"{path.name}: the {what} are numbered "
                f"{sorted({*record.patients.values()})}, expected 0 to {num_folds - 1}; {_MEND}"
            )


def _refuse_patients(path: Path, fault: str, patients: set[str]) -> None:
    if patients:
        shown = ", ".join(sorted(patients)[:_PATIENTS_SHOWN])
        more = len(patients) - _PATIENTS_SHOWN
        also = f" (and {more} more)" if more > 0 else ""
        raise SplitError(f"{path.name}: patient {private(shown)}{also} {fault}; {_MEND}")


def _patients(radiographs: Radiographs) -> list[str]:
    return sorted(set(radiographs.written_patients.tolist()))
