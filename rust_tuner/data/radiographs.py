"""The radiographs of a study: one row per radiograph, checked once and never changed.

The rules for rows are defined here; reading rows from files belongs to `manifest`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.cells import (
    BITS_COLUMN,
    CHECKED_SHA256,
    COLUMNS,
    CROP_COLUMNS,
    DECIDED_BITS,
    OPTIONAL_COLUMNS,
    normalise_cells,
)
from rust_tuner.data.faults import Faults
from rust_tuner.data.patient_ids import note_two_spellings
from rust_tuner.data.pseudonyms import Pseudonyms
from rust_tuner.data.reading import ALL_BITS, Box, Reading
from rust_tuner.errors import ManifestError
from rust_tuner.labels import CORTICES, VIEWS, encode, visible_mask
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS

FIRST_ROW = 2
_ROWS_SHOWN = 5
_UNNAMED_SOURCE = "manifest"
# The attribute that holds a table's sealed patients: pandas keeps it through copies, selections and
# the concatenation of the two sides of one split.
_SEALED = "sealed_patients"
# Likewise the names that may be written, so that no table that is made from another one lacks them.
_PSEUDONYMS = "pseudonyms"


@dataclass(frozen=True, eq=False)
class Radiographs:
    """Radiographs with their RUST scores, one row each; a frozen value.

    Attributes:
        table: columns `image, patient_id, visit, view` (text, none empty, without blanks around
            it), `medial, lateral, anterior, posterior` (float64, 1-4 or NaN where not visible); and
            if the table has them `site`, `crop_left, crop_top, crop_right, crop_bottom` (the part
            of the upright picture that is used, in pixels) and `bits` (that a 16-bit file uses),
            float64 or NaN where not given; in a prepared study also `decided_bits`, those that
            `prepare` decided on, and `checked_sha256`, of the files that it checked. Its index,
            named `row`, holds the row numbers as a spreadsheet shows them: the header is row 1, the
            first radiograph row 2. Any table with these columns is accepted: it is copied and
            converted to this form, other columns are left out, and an index not named `row` is
            replaced.
        source: the name of the table in messages, such as the manifest's file name.

        distinct_patients: whether ids that read alike, such as `P1` and `p-001`, are known to
            belong to different people; otherwise they are faults, see `patient_ids.normal_form`.
        notes: what was left out when it was read, such as unknown columns.

    Raises:
        ManifestError: listing each missing column, each cell that is at fault, and each patient
            id that reads like another one.

    Examples:
        >>> table = pd.DataFrame(
        ...     {"image": ["a.png"], "patient_id": ["P1"], "visit": ["1"], "view": ["ap"],
        ...      "medial": [3], "lateral": [2], "anterior": [None], "posterior": [None]}
        ... )
        >>> Radiographs(table).labels.shape
        (1, 18)
    """

    table: pd.DataFrame
    source: str = "table"
    distinct_patients: bool = field(default=False, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        """Copy the table, convert it and check it."""
        faults = Faults(self.source)
        missing = [name for name in COLUMNS if name not in self.table.columns]
        for name in missing:
            faults.add(f"column {name!r} is missing; expected {', '.join(COLUMNS)}", column=name)
        repeated = self.table.columns[self.table.columns.duplicated()]
        for name in dict.fromkeys(repeated):
            faults.add(f"column {name!r} appears more than once; keep one", column=name)
        faults.raise_any()
        index = self.table.index
        if index.name == "row" and pd.api.types.is_integer_dtype(index.dtype):
            rows = [int(row) for row in index]
        else:
            rows = list(range(FIRST_ROW, FIRST_ROW + len(self.table)))
        cells = {
            name: self.table[name].tolist()
            for name in (*COLUMNS, *OPTIONAL_COLUMNS, DECIDED_BITS, CHECKED_SHA256)
            if name in self.table.columns
        }
        table = normalise_cells(rows, cells, faults=faults)
        if not self.distinct_patients:
            note_two_spellings(rows, table["patient_id"].tolist(), faults=faults)
        faults.raise_any()
        if self.table.attrs.get(_SEALED):
            table.attrs[_SEALED] = list(self.table.attrs[_SEALED])
        if self.table.attrs.get(_PSEUDONYMS) is not None:
            table.attrs[_PSEUDONYMS] = self.table.attrs[_PSEUDONYMS]
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        """The number of radiographs."""
        return len(self.table)

    @cached_property
    def labels(self) -> npt.NDArray[np.float32]:
        """(n, 18) float32 of zeros and ones in the order of `labels.LABELS`; read-only."""
        labels = encode(self.table["view"].tolist(), self._scores())
        labels.flags.writeable = False
        return labels

    @cached_property
    def visible(self) -> npt.NDArray[np.bool_]:
        """(n, 16) bool: whether a label's cortex has a score in the row; read-only."""
        visible = visible_mask(self._scores())
        visible.flags.writeable = False
        return visible

    @cached_property
    def patient_ids(self) -> npt.NDArray[np.object_]:
        """(n,) object array of text: the patient of each row; read-only."""
        patients = self.table["patient_id"].to_numpy(dtype=object, copy=True)
        patients.flags.writeable = False
        return patients

    @property
    def pseudonyms(self) -> Pseudonyms | None:
        """The names under which patients, visits and images are written; None for their own."""
        return self.table.attrs.get(_PSEUDONYMS)

    @cached_property
    def written(self) -> pd.DataFrame:
        """The table as it may be written to files and messages; not to be changed.

        Patients, visits and images have their pseudonyms if the study gives them some.
        """
        names = self.pseudonyms
        return self.table if names is None else names.written(self.table)

    @cached_property
    def written_patients(self) -> npt.NDArray[np.object_]:
        """(n,) object array of text: the patient of each row as in `written`; read-only."""
        patients = self.written["patient_id"].to_numpy(dtype=object, copy=True)
        patients.flags.writeable = False
        return patients

    @cached_property
    def sites(self) -> npt.NDArray[np.object_] | None:
        """(n,) object array of text, the site of each row, empty if not known; read-only.

        None if the table has no such column.
        """
        if "site" not in self.table:
            return None
        sites = self.table["site"].to_numpy(dtype=object, copy=True)
        sites.flags.writeable = False
        return sites

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """How each of the n images is read."""
        table, names = self.table, [BITS_COLUMN, DECIDED_BITS]
        bits = pd.Series(ALL_BITS, index=table.index, dtype="float64")
        for name in names:
            if name in table:
                bits = table[name].fillna(bits)
        boxes: list[Box | None] = [None] * len(table)
        if CROP_COLUMNS[0] in table:
            boxes = [
                None
                if np.isnan(box).any()
                else (int(box[0]), int(box[1]), int(box[2]), int(box[3]))
                for box in table[list(CROP_COLUMNS)].to_numpy()
            ]
        checked = self.table.get(CHECKED_SHA256, pd.Series("", index=table.index))
        return tuple(
            Reading(int(count), box, sha256=sha256 or None)
            for count, box, sha256 in zip(bits.tolist(), boxes, checked.tolist(), strict=True)
        )

    @property
    def known_bits(self) -> list[int] | None:
        """The bits that its 16-bit files are read with, ascending; None if that was not decided."""
        if DECIDED_BITS not in self.table:
            return None
        return sorted({int(count) for count in self.table[DECIDED_BITS].dropna()})

    def with_bits(self, bits: Sequence[int | None]) -> Self:
        """The same radiographs, with how many bits each 16-bit file is read with.

        Args:
            bits: of each of the n images, 1 to 16; None for all other files.
        """
        numbers = pd.Series(list(bits), index=self.table.index, dtype="float64")
        return replace(self, table=self.table.assign(**{DECIDED_BITS: numbers}))

    def with_hashes(self, hashes: Sequence[str | None]) -> Self:
        """The same radiographs, whose files are refused if their content is another one.

        Args:
            hashes: the SHA-256 of each of the n files; None where it is not known.
        """
        texts = pd.Series([digest or "" for digest in hashes], index=self.table.index, dtype="str")
        return replace(self, table=self.table.assign(**{CHECKED_SHA256: texts}))

    @cached_property
    def images(self) -> tuple[Path, ...]:
        """The n image paths."""
        return tuple(Path(image) for image in self.table["image"])

    @property
    def rows(self) -> tuple[int, ...]:
        """The n row numbers as a spreadsheet shows them, for messages."""
        return tuple(int(row) for row in self.table.index)

    def subset(self, indices: npt.ArrayLike) -> Self:
        """The radiographs at some positions, in that order, with their row numbers.

        Args:
            indices: integer positions from 0, such as a fold's; not row numbers, not a mask.

        Raises:
            ManifestError: for a mask or positions that are not integers.
            IndexError: for a position outside the table.
        """
        positions = np.asarray(indices)
        if positions.size == 0:
            positions = positions.astype(np.int64)
        if positions.ndim != 1 or not np.issubdtype(positions.dtype, np.integer):
            raise ManifestError(
                f"subset of {positions.dtype} values of shape {positions.shape}; expected (n,) "
                "integer positions, for a mask numpy.flatnonzero(mask)"
            )
        return replace(self, table=self.table.iloc[positions])

    def in_order(self, positions: Sequence[int], rows: Sequence[int]) -> Self:
        """The same radiographs in another order, with other row numbers.

        Args:
            positions: n positions, each once.
            rows: the n row numbers, in the new order.
        """
        table = self.table.iloc[list(positions)]
        table.index = pd.Index(rows, name="row", dtype=np.int64)
        return replace(self, table=table)

    @property
    def sealed_patients(self) -> frozenset[str]:
        """The patients that a split has sealed, on both of its sides; empty without a split."""
        return frozenset(self.table.attrs.get(_SEALED, ()))

    @property
    def sealed_rows(self) -> tuple[int, ...]:
        """The row numbers, as in `rows`, of the radiographs of sealed patients."""
        sealed = self.sealed_patients
        pairs = zip(self.rows, self.patient_ids, strict=True)
        return tuple(row for row, patient in pairs if patient in sealed)

    def remembering_sealed(self, patients: Iterable[str]) -> Self:
        """The same radiographs, with these patients marked as sealed.

        Subsets keep the mark, and so do radiographs made from a copy of `table`, as far as pandas
        keeps `DataFrame.attrs`.
        """
        table = self.table.copy(deep=False)
        table.attrs[_SEALED] = sorted(self.sealed_patients.union(patients))
        return replace(self, table=table)

    def written_as(self, pseudonyms: Pseudonyms) -> Self:
        """The same radiographs, which are written under these names; subsets keep them.

        Messages do not name the file either, since its name may be that of a person.
        """
        table = self.table.copy(deep=False)
        table.attrs[_PSEUDONYMS] = pseudonyms
        return replace(self, table=table, source=_UNNAMED_SOURCE)

    def _scores(self) -> npt.NDArray[np.float64]:
        return self.table[list(CORTICES)].to_numpy(dtype=np.float64)


def check_views(radiographs: Radiographs, view_cortices: Mapping[str, Sequence[str]]) -> list[str]:
    """Compare the cortices scored in each view with those that it is expected to show.

    Nothing is changed: a cortex is visible in a row if it has a score there. But if the scored
    cortices are those of the other view, the view column is often mixed up.

    Args:
        radiographs: the radiographs.
        view_cortices: the cortices that each view shows, as in `Protocol.view_cortices`.

    Returns:
        A warning for each view with unexpected scores: their number, the first rows, and how to fix
        it; empty if all is as expected.
    """
    table = radiographs.table
    warnings = []
    for view in VIEWS:
        of_view = table[table["view"] == view]
        scored = of_view[list(CORTICES)].notna()
        expected = tuple(view_cortices[view])
        unexpected = [name for name in CORTICES if name not in expected and scored[name].any()]
        if not unexpected:
            continue
        wrong = of_view.index[scored[unexpected].any(axis=1)]
        first = ", ".join(str(row) for row in wrong[:_ROWS_SHOWN])
        more = ", ..." if len(wrong) > _ROWS_SHOWN else ""
        warnings.append(
            f"{radiographs.source}: {len(wrong)} of {len(of_view)} {view} radiographs score "
            f"{' and '.join(unexpected)} (rows {first}{more}), but view_cortices expects "
            f"{' and '.join(expected) or 'no cortex'} there; correct the rows, or set the "
            f"protocol's view_cortices to {_fitting_views(table)}"
        )
    return warnings


def _fitting_views(table: pd.DataFrame) -> dict[str, list[str]]:
    """The smallest setting that expects every score of the table, or a usual one if it fits."""
    scored = {
        view: [name for name in CORTICES if table.loc[table["view"] == view, name].notna().any()]
        for view in VIEWS
    }
    for usual in (ANATOMICAL_VIEWS, PUBLISHED_VIEWS):
        if all(set(scored[view]) <= set(usual[view]) for view in VIEWS):
            return {view: list(usual[view]) for view in VIEWS}
    return scored
