"""Reads a table of scores as hospitals have them: Excel, or CSV of any separator and encoding.

Cells are text here; what a column means belongs to `sheet_columns`.
"""

import contextlib
import csv
import datetime
import importlib.util
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rust_tuner.data.faults import name_shown
from rust_tuner.errors import ExtraError, ManifestError, private

# A sheet of a million rows has 100 MB.
_MAX_BYTES = 1 << 28
_MAX_ROWS = 1_048_576
_SEPARATORS = (",", ";", "\t", "|")
_EXCEL = (".xlsx", ".xlsm")
_NUMBER = re.compile(r"[\d.,:/-]*\d[\d.,:/-]*")
_OTHER_TABLES = (".xls", ".xlsb", ".ods", ".numbers")
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    # Begins as UTF-16 does, so it comes first.
    b"\xff\xfe\0\0": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


class QuotationError(ManifestError):
    """The quotation marks of a text file do not belong together, so rows may be lost."""


@dataclass(frozen=True)
class Sheet:
    """A table as text.

    Attributes:
        source: the file's name, with the sheet's if it has several.
        columns: the names in the header, without surrounding blanks.
        rows: the number of each row as a spreadsheet shows it, and its cells by column.
        notes: what was assumed, such as the encoding.
    """

    source: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    notes: tuple[str, ...] = ()


def is_excel(path: Path) -> bool:
    """Whether a file is Excel's, by its suffix."""
    return path.suffix.lower() in _EXCEL


def read_sheet(path: str | Path, *, sheet: str | None = None) -> Sheet:
    """Read a table.

    Args:
        path: `.xlsx`, `.xlsm`, or a text file whose cells are separated by commas, semicolons,
            tabs or bars, in UTF-8, UTF-16 or Windows-1252.
        sheet: the name of the sheet; needed if several are not empty.

    Raises:
        ManifestError: naming the file and what to do: for a file that is not a table, an empty one,
            a header with equal names, several sheets, or a sheet of a text file.
        ExtraError: for an Excel file if openpyxl is missing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ManifestError(f"{path.name}: {size} bytes, too large for a table of scores")
        if is_excel(path):
            source, rows = _excel_rows(path, sheet)
            notes: tuple[str, ...] = ()
        elif sheet is not None:
            raise ManifestError(
                f"{path.name} is not an Excel file and has no sheets; leave out --sheet {sheet}"
            )
        elif suffix in _OTHER_TABLES:
            raise ManifestError(f"{path.name}: {suffix} is not read; save it as .xlsx or CSV")
        else:
            source = path.name
            rows, notes = _text_rows(path)
    except OSError as error:
        raise ManifestError(
            f"{private(path)} cannot be read ({error.strerror or error})"
        ) from error
    return _with_header(source, rows, notes)


def _text_rows(path: Path) -> tuple[list[tuple[int, list[str]]], tuple[str, ...]]:
    content = path.read_bytes()
    text, note = _decoded(content, path.name)
    lines = text.splitlines(keepends=True)
    first = 1
    if lines and lines[0].strip().strip('"').lower().startswith("sep="):
        separator = lines[0].strip().strip('"')[4:5] or ","
        text, first = "".join(lines[1:]), 2
    else:
        separator = _separator(lines)
    rows: list[tuple[int, list[str]]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for number, cells in enumerate(reader, first):
            rows.append((number, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise QuotationError(
            f"{path.name} row {first + len(rows)}: not valid CSV ({error}); look for a quotation "
            "mark without a second one in this row"
        ) from error
    _refuse_swallowed_rows(path.name, rows, separator)
    return rows, note


def _refuse_swallowed_rows(
    source: str, rows: Sequence[tuple[int, list[str]]], separator: str
) -> None:
    """Raise if a cell holds whole rows, as between two quotation marks that do not belong together.

    Such a cell has as many separators as a row for each line break in it; a text of several lines
    seldom has.

    Raises:
        QuotationError: naming the row.
    """
    widths = Counter(len(cells) for _, cells in rows)
    width = widths.most_common(1)[0][0] if widths else 0
    for number, cells in rows:
        for cell in cells:
            breaks = len(cell.splitlines()) - 1
            if breaks > 0 and width > 2 and cell.count(separator) == (width - 1) * breaks:
                raise QuotationError(
                    f"{source} row {number}: a cell holds {breaks + 1} lines of the table; look "
                    "for a quotation mark without a second one in this row"
                )


def _decoded(content: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return _as_encoding(content, encoding, name), ()
    unmarked = _unmarked_utf_16(content[:4096])
    if unmarked is not None:
        note = f"{name} has no byte order mark and was read as UTF-16; check names with accents"
        return _as_encoding(content, unmarked, name), (note,)
    if b"\0" in content[:4096]:
        raise ManifestError(f"{name}: binary content; expected Excel (.xlsx) or CSV")
    try:
        return content.decode("utf-8"), ()
    except UnicodeDecodeError:
        note = f"{name} is not UTF-8 and was read as Windows-1252; check names with accents"
        return _as_encoding(content, "cp1252", name), (note,)


def _unmarked_utf_16(start: bytes) -> str | None:
    """UTF-16 without a mark, in which every second byte of Western text is zero; else None."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    if min(even, odd) > 0 or len(start) < 4:
        return None
    pairs = len(start) // 2
    if odd > 0.7 * pairs:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * pairs else None


def _as_encoding(content: bytes, encoding: str, name: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{name}: neither UTF-8 nor {encoding} ({error.reason}); save it as 'CSV UTF-8'"
        ) from error


def _separator(lines: Iterable[str]) -> str:
    """The separator that divides the first lines into most cells, as often in each of them."""
    sample = [line for line in lines if line.strip()][:20]

    def cells(separator: str) -> tuple[int, int]:
        counts: list[int] = []
        # A field that is too long is reported when the whole is read.
        with contextlib.suppress(csv.Error):
            counts.extend(len(row) for row in csv.reader(sample, delimiter=separator))
        common = max(set(counts), key=counts.count, default=1)
        return (counts.count(common) if common > 1 else 0), common

    return max(_SEPARATORS, key=cells)


def _excel_rows(path: Path, sheet: str | None) -> tuple[str, list[tuple[int, list[str]]]]:
    if importlib.util.find_spec("openpyxl") is None:
        raise ExtraError(
            f"{path.name} is an Excel file, and openpyxl is not installed; install rust-tuner with "
            "its extra (python -m pip install 'rust-tuner[excel]'), or save it as CSV"
        )
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        tables = {
            name: rows
            for name in (sheet.title for sheet in book.worksheets)
            if (rows := list(_cells(book[name]))) and any(any(cells) for _, cells in rows)
        }
        book.close()
        uncalculated = _uncalculated(path, tables)
    except Exception as error:  # openpyxl raises whatever ZIP and XML raise.
        raise ManifestError(
            f"{path.name} cannot be read as Excel ({str(error).partition(chr(10))[0]}); save it "
            "again as .xlsx or CSV"
        ) from error
    if sheet is None and len(tables) == 1:
        (sheet,) = tables
    if sheet not in tables:
        given = f"has no sheet {sheet!r} with cells" if sheet else "has several sheets"
        raise ManifestError(
            f"{path.name} {given}: {', '.join(map(name_shown, tables)) or 'all are empty'}; choose "
            "one with --sheet"
        )
    if sheet in uncalculated:
        raise ManifestError(
            f"{path.name} ({sheet}) has formulas that no program has calculated; open it in a "
            "spreadsheet program and save it"
        )
    # A program may leave out empty cells at the end of a row.
    width = max(len(cells) for _, cells in tables[sheet])
    rows = [(number, cells + [""] * (width - len(cells))) for number, cells in tables[sheet]]
    return (f"{path.name} ({sheet})" if len(tables) > 1 else path.name), rows


def _uncalculated(path: Path, tables: Mapping[str, list[tuple[int, list[str]]]]) -> set[str]:
    """The sheets none of whose formulas has a value; a single one may be empty on purpose."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True)
    encodings = set()
    for name, rows in tables.items():
        book[name].reset_dimensions()
        values = [
            rows[row][1][column]
            for row, cells in enumerate(book[name].iter_rows(max_row=_MAX_ROWS))
            for column, cell in enumerate(cells)
            if cell.data_type == "f"
        ]
        if values and not any(values):
            encodings.add(name)
    book.close()
    return encodings


def _cells(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    # Some programs note a smaller range than the sheet has.
    sheet.reset_dimensions()
    for number, cells in enumerate(sheet.iter_rows(values_only=True, max_row=_MAX_ROWS), 1):
        yield number, [_as_text(cell) for cell in cells]


def _as_text(cell: object) -> str:
    """A cell as a person reads it: whole numbers without a point, dates as 2021-03-04."""
    if cell is None:
        return ""
    if isinstance(cell, datetime.datetime):
        is_date = cell.time() == datetime.time()
        return cell.date().isoformat() if is_date else cell.isoformat(" ")
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _is_second_row_of_header(names: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a header has merged cells, whose parts are named in the row below.

    A name that stands for one column has nothing below it, as a patient's number would be.
    """
    pairs = list(itertools.zip_longest(names, below, fillvalue=""))
    alone = [
        index
        for index, (name, _) in enumerate(pairs)
        if name and not (index + 1 < len(pairs) and not pairs[index + 1][0])
    ]
    is_named_below = any(not name and cell for name, cell in pairs)
    return is_named_below and all(
        not (cell and index in alone) and _NUMBER.fullmatch(cell) is None
        for index, (_, cell) in enumerate(pairs)
    )


def _joined_header(names: Sequence[str], below: Sequence[str]) -> list[str]:
    """One name for each column: that of the merged cell above it, and its own."""
    joined, above = [], ""
    for name, cell in itertools.zip_longest(names, below, fillvalue=""):
        above = name or above
        joined.append(" ".join(part for part in (above if cell else name, cell) if part))
    return joined


def _with_header(source: str, rows: list[tuple[int, list[str]]], notes: tuple[str, ...]) -> Sheet:
    """The first row with several cells is the header; a title above it is left out."""
    filled = [(number, cells) for number, cells in rows if any(cells)]
    header = next(
        (index for index, (_, cells) in enumerate(filled) if sum(map(bool, cells)) > 1), None
    )
    if header is None:
        fault = "no header with several columns" if filled else "the file is empty"
        raise ManifestError(f"{source}: {fault}; expected a table")
    if header > 0:
        notes = (
            *notes,
            f"{source}: the header is in row {filled[header][0]}; rows above it are a "
            "title and were left out",
        )
    names, row = filled[header][1], filled[header][0]
    below = filled[header + 1][1] if header + 1 < len(filled) else []
    if _is_second_row_of_header(names, below):
        names = _joined_header(names, below)
        notes = (*notes, f"{source}: the header has two rows, {row} and {filled[header + 1][0]}")
        header += 1
    for number, cells in filled[header + 1 :]:
        if any(cells[len(names) :]):
            raise ManifestError(
                f"{source} row {number}: {len(cells)} cells, but the header has {len(names)}; put "
                "a cell that contains the separator in quotes"
            )
    columns = [name for name in names if name]
    repeated = sorted(name for name, count in Counter(columns).items() if count > 1)
    if repeated:
        is_data = any(_NUMBER.fullmatch(name) for name in columns)
        hint = ", or, if this row is data already, add a header above it" if is_data else ""
        raise ManifestError(
            f"{source} row {row}: several columns are named {name_shown(repeated[0])}; give "
            f"each its own name{hint}"
        )
    if len(filled) == header + 1:
        raise ManifestError(f"{source}: a header but no rows")
    table = tuple(
        (number, {name: cell for name, cell in zip(names, cells, strict=False) if name})
        for number, cells in filled[header + 1 :]
    )
    return Sheet(source, tuple(columns), table, notes)
