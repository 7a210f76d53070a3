"""The names under which a study writes patients, visits and images.

A patient is written as a keyed hash of the id, an image as its row and a keyed hash, and a visit as
it is if its name says only when it was. The ids in memory stay as the manifest has them, since
splits and folds follow from them. The key and its file belong to `records.private`.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import pandas as pd

from rust_tuner.data.visit_names import date_of_visit, is_relative_visit
from rust_tuner.errors import ManifestError

PATIENT = "p"
# 48 bits: two of a million patients have the same ones with a probability of 0.2 %, and then more
# digits are taken.
_DIGITS = 12
_MORE_DIGITS = 4


@dataclass(frozen=True, eq=False)
class Pseudonyms:
    """The written names of the patients, visits and images of a manifest.

    Attributes:
        patients: id -> written name, such as `p-3f9a1c5e07b2`.
        visits: id and visit -> written visit.
        images: id, visit and view -> the hash of the image.
    """

    patients: Mapping[str, str]
    visits: Mapping[tuple[str, str], str]
    images: Mapping[tuple[str, str, str], str]

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        key: bytes,
        *,
        visits: Mapping[tuple[str, str], str] = MappingProxyType({}),
    ) -> Self:
        """The names of all rows of a manifest.

        Args:
            table: `patient_id, visit, view`.
            key: of the study.
            visits: id and visit -> written visit, as a study has them already. Visits that are not
                dates are numbered in the order of the manifest, which may have changed since.
        """
        rows = list(_rows(table))
        patients = list(dict.fromkeys(row[0] for row in rows))
        images = list(dict.fromkeys(rows))
        hashes = _distinct(key, "patient", [(patient,) for patient in patients])
        pictures = _distinct(key, "image", images)
        return cls(
            MappingProxyType(
                {
                    patient: f"{PATIENT}-{digest}"
                    for patient, digest in zip(patients, hashes, strict=True)
                }
            ),
            MappingProxyType({**_written_visits(rows), **_known_visits(rows, visits)}),
            MappingProxyType(dict(zip(images, pictures, strict=True))),
        )

    def __deepcopy__(self, memo: object) -> Self:
        """Itself: pandas copies the attributes of tables often, and nothing here changes."""
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """For another process; a read-only mapping has no transport of its own."""
        return type(self), (dict(self.patients), dict(self.visits), dict(self.images))

    @property
    def changed_visits(self) -> int:
        """How many visits are written under another name."""
        return sum(visit != written for (_, visit), written in self.visits.items())

    def written(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of radiographs with the names that may be written.

        Args:
            table: some rows of the manifest, with their row numbers as index.

        Raises:
            ManifestError: for a row that the manifest does not have.
        """
        rows = list(_rows(table))
        try:
            columns = {
                "image": [
                    image_name(int(number), self.images[row])
                    for number, row in zip(table.index, rows, strict=True)
                ],
                "patient_id": [self.patients[row[0]] for row in rows],
                "visit": [self.visits[row[:2]] for row in rows],
            }
        except KeyError as error:
            raise ManifestError(
                "a radiograph is not one of those that the study was prepared with, so it has no "
                "name that may be written; use the rows of the study's manifest"
            ) from error
        written = table.assign(
            **{
                name: pd.Series(values, index=table.index, dtype="str")
                for name, values in columns.items()
            }
        )
        # They have the patients' own ids, and go with a table wherever it is sent.
        written.attrs = {}
        return written


def image_name(number: int, digest: str) -> str:
    """The written name of an image: its row as a spreadsheet shows it, and its keyed hash."""
    return f"image-{number}-{digest}"


def keyed_hash(key: bytes, *parts: str) -> str:
    """HMAC-SHA256 of some texts in hexadecimal; texts that are divided otherwise differ."""
    message = b"".join(f"{len(part.encode())}:".encode() + part.encode() for part in parts)
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def _rows(table: pd.DataFrame) -> Iterable[tuple[str, str, str]]:
    # Without the file, so that hashes stay the same if files are moved or prepared again.
    return zip(table["patient_id"], table["visit"], table["view"], strict=True)


def _distinct(key: bytes, kind: str, items: Sequence[tuple[str, ...]]) -> list[str]:
    """Shortened hashes, with so many digits that all differ."""
    whole = [keyed_hash(key, kind, *item) for item in items]
    digits = _DIGITS
    while len({digest[:digits] for digest in whole}) < len(whole):
        digits += _MORE_DIGITS
    return [digest[:digits] for digest in whole]


def _known_visits(
    rows: list[tuple[str, str, str]], known: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], str]:
    """The known names of the visits of patients all of whose visits are known."""
    pairs = list(dict.fromkeys(row[:2] for row in rows))
    new = {patient for patient, visit in pairs if (patient, visit) not in known}
    return {pair: known[pair] for pair in pairs if pair[0] not in new}


def _written_visits(rows: list[tuple[str, str, str]]) -> dict[tuple[str, str], str]:
    """The visits of a patient as they are, or numbered if one may say more than when it was."""
    of_patient: dict[str, list[str]] = {}
    for patient, visit, _ in rows:
        visits = of_patient.setdefault(patient, [])
        if visit not in visits:
            visits.append(visit)
    written = {}
    for patient, visits in of_patient.items():
        if all(map(is_relative_visit, visits)):
            written.update({(patient, visit): visit for visit in visits})
            continue
        dates = {visit: date_of_visit(visit) for visit in visits}
        dated = {visit: date for visit, date in dates.items() if date is not None}
        # In the order of the manifest, if some are not dates.
        ordered = sorted(visits, key=dated.__getitem__) if len(dated) == len(visits) else visits
        written.update(
            {(patient, visit): f"visit {number}" for number, visit in enumerate(ordered, 1)}
        )
    return written
