"""Reads a CSV file as text, row by row, and says what is wrong with its form.

Every cell stays the text that it is (`007` and `NA` are patient ids like others); what a cell
means belongs to `manifest`.
"""

import csv
import io
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rust_tuner.data.faults import Faults
from rust_tuner.errors import ManifestError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A manifest of a million radiographs has 100 MB.
_MAX_BYTES = 1 << 28
_MAX_UNKNOWN = 100
_SIMILARITY = 0.76
_SAVE_AS_UTF8 = "save it as 'CSV UTF-8 (comma delimited)'"


# What spreadsheets are told to separate cells by: `sep=;` alone in the first line.
_SEPARATOR_LINE = re.compile(r'"?sep=([^\r\n]*?)"? *(\r\n|\r|\n|$)', re.IGNORECASE)
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True)
class CsvRows:
    """The rows of a CSV file that hold something.

    Attributes:
        first_row: the row that the table begins with: 1, or 2 below a line such as `sep=,`.
        rows: one pair a row: its number as a text editor counts it, from 1, where cells of
            several lines are one row; and its cells without the blanks around them, but for the
            first row, where a header's blanks are a fault to be named.
        separator: what separates the cells.
    """

    first_row: int
    rows: list[tuple[int, list[str]]]
    separator: str


def read_rows(path: Path) -> CsvRows:
    """Read the rows of a UTF-8 CSV file, with or without a byte order mark.

    A first line such as `sep=;`, which Excel reads and writes, says what separates the cells; it
    is counted, but is no row. Otherwise they are separated by commas.

    Raises:
        ManifestError: where the file cannot be read, is empty or is no UTF-8 CSV file.
    """
    text = _read_text(path)
    separator, first_row = ",", 1
    line = _SEPARATOR_LINE.match(text)
    if line is not None:
        separator, first_row, text = line[1], 2, text[line.end() :]
        if separator not in _SEPARATORS:
            raise ManifestError(
                f"{path.name} row 1: sep={separator[:10]}; expected a "
                f"{', a '.join(_SEPARATORS.values())}; {_SAVE_AS_UTF8}"
            )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, list[str]]] = []
    number = first_row - 1
    try:
        for cells in reader:
            number += 1
            if any(cell.strip() for cell in cells):
                stripped = cells if number == first_row else [cell.strip() for cell in cells]
                rows.append((number, stripped))
    except csv.Error as error:
        raise ManifestError(
            f"{path.name} row {number + 1}: no valid CSV ({error}); look for a quotation mark "
            "that is opened and not closed"
        ) from error
    if not rows:
        raise ManifestError(f"{path.name}: the file holds blank lines only; expected a table")
    return CsvRows(first_row, rows, separator)


def read_columns(
    path: Path, *, required: Sequence[str], optional: Sequence[str], faults: Faults
) -> tuple[list[int], dict[str, list[str]]]:
    """Read a CSV file with a header as columns of text, noting every fault of its form.

    Rows with another number of cells than the header are noted and left out, and so are unknown
    columns, so that the rest can still be checked.

    Args:
        path: the file.
        required: the columns that must be there.
        optional: the columns that may be there.
        faults: receives the faults.

    Returns:
        The row numbers in the file (the header is row 1, or 2 below `sep=`), and the known columns
        that are there.

    Raises:
        ManifestError: where the file is no table at all, or has a header only.
    """
    table = read_rows(path)
    rows = table.rows
    number, header = rows[0]
    if number != table.first_row:
        faults.add(
            "blank; expected the header here, remove the blank rows above it", row=table.first_row
        )
        header = [name.strip() for name in header]
    if len(header) == 1:
        _check_separator(header[0], table.separator, row=number, faults=faults)
    known = _check_header(header, required=required, optional=optional, row=number, faults=faults)
    if len(rows) == 1:
        faults.add("the table has a header and no rows; add one row a radiograph")
        faults.raise_any()
    whole: list[tuple[int, list[str]]] = []
    name = _SEPARATORS[table.separator]
    for number, cells in rows[1:]:
        if len(cells) == len(header):
            whole.append((number, cells))
        else:
            faults.add(
                f"{len(cells)} values, but the header has {len(header)} columns; look for a {name} "
                f"too many or too few, or for a text with a {name} that lacks its quotation marks",
                row=number,
            )
    columns = {name: [cells[place] for _, cells in whole] for name, place in known.items()}
    return [number for number, _ in whole], columns


def closest(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate that a name was probably meant to be, or the other way round; else None."""
    word = _plain(name)
    plain = {candidate: _plain(candidate) for candidate in candidates}
    # Texts of very different lengths cannot match, and comparing a long one takes long.
    comparable = [text for text in plain.values() if len(text) < 2 * len(word) < 4 * len(text)]
    match = get_close_matches(word, comparable, n=1, cutoff=_SIMILARITY) if comparable else []
    return next((candidate for candidate in candidates if plain[candidate] in match), None)


def _read_text(path: Path) -> str:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ManifestError(f"{path} is a folder; give the CSV file in it")
        if not stat.S_ISREG(status.st_mode):
            # A pipe would be waited for, and can be read only once.
            raise ManifestError(f"{path} is no regular file; save the table as a CSV file")
        if status.st_size > _MAX_BYTES:
            raise ManifestError(
                f"{path.name}: {status.st_size} bytes, more than the {_MAX_BYTES} of any manifest; "
                "check the path"
            )
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ManifestError(f"{str(path)!r} is no path ({error}); check it") from error
    if not content.removeprefix(_BYTE_ORDER_MARK).strip():
        raise ManifestError(f"{path.name}: the file is empty; expected a table with a header")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ManifestError(f"{path.name}: encoded as UTF-16, expected UTF-8; {_SAVE_AS_UTF8}")
    if content.startswith(b"PK\x03\x04"):
        raise ManifestError(f"{path.name}: a spreadsheet or zip file, no CSV; {_SAVE_AS_UTF8}")
    if b"\0" in content:
        raise ManifestError(f"{path.name}: binary content, no CSV file; check the path")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{path.name} row {row}: not encoded as UTF-8 (byte {content[error.start]:#04x}); "
            f"{_SAVE_AS_UTF8}"
        ) from error


def _check_separator(header: str, separator: str, *, row: int, faults: Faults) -> None:
    """Raise where a header of one column is one of several, separated otherwise."""
    other = next((mark for mark in _SEPARATORS if mark != separator and mark in header), None)
    if other is not None:
        expected = "commas" if separator == "," else f"{separator!r}, as row 1 says"
        faults.add(
            f"the columns are separated by {other!r}, expected {expected}; {_SAVE_AS_UTF8}", row=row
        )
        faults.raise_any()


def _check_header(
    header: list[str],
    *,
    required: Sequence[str],
    optional: Sequence[str],
    row: int,
    faults: Faults,
) -> dict[str, int]:
    """Note what is wrong with a header; the places of the known columns in it."""
    expected = (*required, *optional)
    unknown = [name for name in dict.fromkeys(header) if name not in expected]
    if len(unknown) > _MAX_UNKNOWN:
        faults.add(
            f"{len(unknown)} unknown columns, the first is {unknown[0]!r}; expected "
            f"{', '.join(expected)}",
            row=row,
        )
        faults.raise_any()
    absent = [name for name in expected if name not in header]
    for name in required:
        if name in header:
            continue
        near = closest(name, unknown)
        if near is None:
            faults.add(f"column {name!r} is missing; expected {', '.join(required)}", row=row)
        else:
            unknown.remove(near)
            faults.add(
                f"column {name!r} is missing, but there is {near!r}; rename it to {name!r}",
                row=row,
            )
    for name in unknown:
        if not name.strip():
            faults.add(
                f"column {header.index(name) + 1} has no name; remove it, it may be the index of "
                "a table program",
                row=row,
            )
            continue
        near = closest(name, absent)
        hint = f"did you mean {near!r}?" if near else f"expected {', '.join(expected)}"
        faults.add(f"unknown column {name!r}; rename or remove it, {hint}", row=row)
    for name in dict.fromkeys(header):
        if name in expected and header.count(name) > 1:
            faults.add(f"column {name!r} is there {header.count(name)} times; keep one", row=row)
    return {name: header.index(name) for name in expected if name in header}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
