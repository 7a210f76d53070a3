"""The radiographs of a study: one row per radiograph, checked once and never changed.

The rules for rows are defined here; reading rows from files belongs to `manifest`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.csv_text import closest
from rust_tuner.data.faults import Faults
from rust_tuner.data.patient_ids import note_two_spellings
from rust_tuner.data.pseudonyms import Pseudonyms
from rust_tuner.data.reading import ALL_BITS, Box, Reading
from rust_tuner.errors import ManifestError
from rust_tuner.labels import CORTICES, SCORES, VIEWS, encode, visible_mask
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS

COLUMNS = ("image", "patient_id", "visit", "view", *CORTICES)
CROP_COLUMNS = ("crop_left", "crop_top", "crop_right", "crop_bottom")
BITS_COLUMN = "bits"
PIXEL_COLUMNS = (*CROP_COLUMNS, BITS_COLUMN)
OPTIONAL_COLUMNS = ("site", *PIXEL_COLUMNS)
# The bits that a study decided on; no column of a manifest.
_DECIDED_BITS = "decided_bits"
FIRST_ROW = 2
_SCORE = re.compile(r"[1-4](\.0*)?")
# No picture has a longer side.
_WHOLE = re.compile(r"(\d{1,6})(?:\.0*)?")
_ROWS_SHOWN = 5
_UNNAMED_SOURCE = "manifest"
# The attribute that holds a table's sealed patients: pandas keeps it through copies, selections and
# the concatenation of the two sides of one split.
_SEALED = "sealed_patients"
# Likewise the names that may be written, so that no table that is made from another one lacks them.
_PSEUDONYMS = "pseudonyms"
_EMPTY_MENDS = {
    "image": "give the path of the radiograph",
    "patient_id": "every radiograph needs its patient, so that no patient is on two sides of a "
    "split",
    "visit": "it is needed to pair the two views of a visit; write 1 if there was only one",
    "view": f"a view is {' or '.join(VIEWS)}",
}


@dataclass(frozen=True, eq=False)
class Radiographs:
    """Radiographs with their RUST scores, one row each; a frozen value.

    Attributes:
        table: columns `image, patient_id, visit, view` (text, none empty, without blanks around
            it), `medial, lateral, anterior, posterior` (float64, 1-4 or NaN where not visible); and
            if the table has them `site`, `crop_left, crop_top, crop_right, crop_bottom` (the part
            of the upright picture that is used, in pixels) and `bits` (that a 16-bit file uses),
            float64 or NaN where not given; in a prepared study also `decided_bits`, those that
            `prepare` decided on. Its index, named `row`, holds the row numbers as a
            spreadsheet shows them: the header is row 1, the first radiograph row 2. Any table with
            these columns is accepted: it is copied and converted to this form, other columns are
            left out, and an index not named `row` is replaced.
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
            for name in (*COLUMNS, *OPTIONAL_COLUMNS, _DECIDED_BITS)
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
        table, names = self.table, [BITS_COLUMN, _DECIDED_BITS]
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
        return tuple(
            Reading(int(count), box) for count, box in zip(bits.tolist(), boxes, strict=True)
        )

    @property
    def known_bits(self) -> list[int] | None:
        """The bits that its 16-bit files are read with, ascending; None if that was not decided."""
        if _DECIDED_BITS not in self.table:
            return None
        return sorted({int(count) for count in self.table[_DECIDED_BITS].dropna()})

    def with_bits(self, bits: Sequence[int | None]) -> Self:
        """The same radiographs, with how many bits each 16-bit file is read with.

        Args:
            bits: of each of the n images, 1 to 16; None for all other files.
        """
        numbers = pd.Series(list(bits), index=self.table.index, dtype="float64")
        return replace(self, table=self.table.assign(**{_DECIDED_BITS: numbers}))

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
            ManifestError: for a mask or positions that are no integers.
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


def normalise_cells(
    rows: Sequence[int], cells: Mapping[str, Sequence[object]], *, faults: Faults
) -> pd.DataFrame:
    """Convert the cells of a table to the form of `Radiographs`.

    Args:
        rows: the row numbers, for messages and the index.
        cells: the values by column, of any of the manifest's columns.
        faults: receives a fault for each cell outside its range.

    Returns:
        The columns that are present, in the order of `COLUMNS`; not to be used if there were
        faults.
    """
    columns: dict[str, pd.Series] = {}
    index = pd.Index(rows, name="row", dtype=np.int64)
    for name in (*COLUMNS, *OPTIONAL_COLUMNS, _DECIDED_BITS):
        if name not in cells:
            continue
        values = list(cells[name])
        if name in (*PIXEL_COLUMNS, _DECIDED_BITS):
            columns[name] = _pixel_numbers(rows, name, values, index=index, faults=faults)
            continue
        if name in CORTICES:
            scores = [_read_score(value) for value in values]
            for row, value, score in zip(rows, values, scores, strict=True):
                if score is None:
                    faults.add(
                        f"{name}={value}; a RUST score is 1-4 or empty", row=row, column=name
                    )
            columns[name] = pd.Series(scores, index=index, dtype=np.float64)
            continue
        texts = [_as_text(value) for value in values]
        for row, text in zip(rows, texts, strict=True):
            fault = _fault_of_text(name, text)
            if fault is not None:
                faults.add(fault, row=row, column=name)
        columns[name] = pd.Series(texts, index=index, dtype="str")
    table = pd.DataFrame(columns, index=index)
    _check_crops(table, faults=faults)
    return table


def _pixel_numbers(
    rows: Sequence[int],
    name: str,
    values: Sequence[object],
    *,
    index: pd.Index,
    faults: Faults,
) -> pd.Series:
    """Whole numbers of pixels or bits, NaN where none is given."""
    numbers: list[float] = []
    for row, value in zip(rows, values, strict=True):
        text = _as_text(value)
        number = np.nan
        if text:
            # A column with gaps comes back from a table program as 12.0.
            whole = _WHOLE.fullmatch(text)
            number = float(whole[1]) if whole is not None else -1.0
            if number < 0 or (name not in CROP_COLUMNS and not 1 <= number <= ALL_BITS):
                expected = "a whole number of pixels" if name in CROP_COLUMNS else "1 to 16"
                faults.add(f"{name}={text}; expected {expected}, or empty", row=row, column=name)
        numbers.append(number)
    return pd.Series(numbers, index=index, dtype=np.float64)


def _check_crops(table: pd.DataFrame, *, faults: Faults) -> None:
    """A crop has four numbers, or none."""
    there = [name for name in CROP_COLUMNS if name in table]
    if not there:
        return
    absent = [name for name in CROP_COLUMNS if name not in table]
    if absent:
        faults.add(
            f"column {absent[0]!r} is missing, but there is {there[0]!r}; a crop needs "
            f"{', '.join(CROP_COLUMNS)}",
            column=absent[0],
        )
        return
    for row, *box in table[there].itertuples():
        given = [not np.isnan(edge) for edge in box]
        if any(given) and not (all(given) and box[0] < box[2] and box[1] < box[3]):
            shown = ", ".join("empty" if np.isnan(edge) else f"{edge:g}" for edge in box)
            faults.add(
                f"crop_left, crop_top, crop_right, crop_bottom are {shown}; expected four numbers "
                "with left below right and top below bottom, or none",
                row=row,
                column=there[0],
            )


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


def _read_score(value: object) -> float | None:
    """A score, NaN if there is none, None if the value is not a score."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return np.nan
        return float(text) if _SCORE.fullmatch(text) else None
    if _is_missing(value):
        return np.nan
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return None
    return float(value) if value in SCORES else None


def _as_text(value: object) -> str:
    if _is_missing(value):
        return ""
    # A column of whole numbers with gaps turns into floats in pandas: patient 7 is not "7.0".
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _fault_of_text(name: str, text: str) -> str | None:
    if not text and name in _EMPTY_MENDS:
        return f"{name} is empty; {_EMPTY_MENDS[name]}"
    if name == "view" and text not in VIEWS:
        near = closest(text, VIEWS)
        hint = f", did you mean {near!r}?" if near else ""
        return f"view={text}; a view is {' or '.join(VIEWS)}{hint}"
    return None
