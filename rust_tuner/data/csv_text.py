"""Reads a CSV file as text, row by row, and reports what is wrong with its form.

Cells are kept as text (`007` and `NA` are valid patient ids); what a cell means belongs to
`manifest`.
"""

import csv
import io
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from rust_tuner.data.faults import Faults, name_shown
from rust_tuner.errors import ManifestError, private

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A manifest of a million radiographs has 100 MB.
_MAX_BYTES = 1 << 28
_MAX_UNKNOWN = 100
_HEADER_BYTES = 1 << 16
_SIMILARITY = 0.76
_SAVE_AS_UTF8 = "save it as 'CSV UTF-8 (comma delimited)'"


# A first line such as `sep=;`, which tells spreadsheets the separator of cells.
_SEPARATOR_LINE = re.compile(r'"?sep=([^\r\n]*?)"? *(\r\n|\r|\n|$)', re.IGNORECASE)
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True)
class CsvRows:
    """The rows of a CSV file that are not blank.

    Attributes:
        first_row: the row that the table begins with: 1, or 2 below a line such as `sep=,`.
        rows: one pair per row: its number from 1, where a row with line breaks in its cells counts
            once; and its cells without surrounding blanks. The first row keeps them, because blanks
            in a header are reported.
        separator: what separates the cells.
    """

    first_row: int
    rows: list[tuple[int, list[str]]]
    separator: str


def read_rows(path: Path) -> CsvRows:
    """Read the rows of a UTF-8 CSV file, with or without a byte order mark.

    A first line such as `sep=;`, which Excel reads and writes, names the separator of cells; it is
    counted, but is not a row. Otherwise cells are separated by commas.

    Raises:
        ManifestError: if the file cannot be read, is empty or is not a UTF-8 CSV file.
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
            f"{path.name} row {number + 1}: not valid CSV ({error}); look for a quotation mark "
            "that is not closed"
        ) from error
    if not rows:
        raise ManifestError(f"{path.name}: the file contains only blank lines; expected a table")
    return CsvRows(first_row, rows, separator)


def read_columns(
    path: Path,
    *,
    required: Sequence[str],
    optional: Sequence[str],
    faults: Faults,
    ignored: list[str] | None = None,
) -> tuple[list[int], dict[str, list[str]]]:
    """Read a CSV file with a header as columns of text, collecting every fault of its form.

    Rows with a different number of cells than the header are reported and left out, as are unknown
    columns, so that the rest can still be checked.

    Args:
        path: the file.
        required: the columns that must be there.
        optional: the columns that may be there.
        faults: receives the faults.
        ignored: receives the unknown columns, which are then no faults, unless their name is almost
            that of a missing one.

    Returns:
        The row numbers in the file (the header is row 1, or 2 below `sep=`), and the known columns
        that are present.

    Raises:
        ManifestError: if the file is not a table, or has only a header.
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
    positions = _check_header(
        header, required=required, optional=optional, row=number, faults=faults, ignored=ignored
    )
    if len(rows) == 1:
        faults.add("the table has a header but no rows; add one row per radiograph")
        faults.raise_any()
    whole: list[tuple[int, list[str]]] = []
    name = _SEPARATORS[table.separator]
    for number, cells in rows[1:]:
        if len(cells) == len(header):
            whole.append((number, cells))
        else:
            faults.add(
                f"{len(cells)} values, but the header has {len(header)} columns; look for an "
                f"extra or a missing {name}, or for a {name} in text without quotation marks",
                row=number,
            )
    columns = {
        name: [cells[position] for _, cells in whole] for name, position in positions.items()
    }
    return [number for number, _ in whole], columns


def header_names(path: Path) -> frozenset[str]:
    """The names in the first line that is not blank, whatever is wrong with the file.

    Below a line such as `sep=;` its separator is used, else commas.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(_HEADER_BYTES).removeprefix(_BYTE_ORDER_MARK).decode("latin-1")
    except OSError:
        return frozenset()
    separator = ","
    line = _SEPARATOR_LINE.match(text)
    if line is not None:
        separator, text = line[1] if line[1] in _SEPARATORS else ",", text[line.end() :]
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        return frozenset(
            name.strip() for row in csv.reader([first], delimiter=separator) for name in row
        )
    except csv.Error:
        return frozenset()


def closest(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate that is probably meant by a name; None if none is similar."""
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
            raise ManifestError(f"{private(path)} is a folder; give the CSV file inside it")
        if not stat.S_ISREG(status.st_mode):
            # A pipe would block, and can be read only once.
            raise ManifestError(
                f"{private(path)} is not a regular file; save the table as a CSV file"
            )
        if status.st_size > _MAX_BYTES:
            raise ManifestError(
                f"{path.name}: {status.st_size} bytes, too large for a manifest (at most "
                f"{_MAX_BYTES}); check the path"
            )
        content = path.read_bytes()
    except ManifestError:
        # It is a ValueError too.
        raise
    except FileNotFoundError as error:
        raise ManifestError(f"{private(path)}: no such file; check the path") from error
    except OSError as error:
        raise ManifestError(f"{private(path)} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ManifestError(
            f"{private(repr(str(path)))} is not a valid path ({error}); check it"
        ) from error
    if not content.removeprefix(_BYTE_ORDER_MARK).strip():
        raise ManifestError(f"{path.name}: the file is empty; expected a table with a header")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ManifestError(f"{path.name}: encoded as UTF-16, expected UTF-8; {_SAVE_AS_UTF8}")
    if content.startswith(b"PK\x03\x04"):
        raise ManifestError(f"{path.name}: a spreadsheet or zip file, not CSV; {_SAVE_AS_UTF8}")
    if b"\0" in content:
        raise ManifestError(f"{path.name}: binary content, not a CSV file; check the path")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{path.name} row {row}: not encoded as UTF-8 (byte {content[error.start]:#04x}); "
            f"{_SAVE_AS_UTF8}"
        ) from error


def _check_separator(header: str, separator: str, *, row: int, faults: Faults) -> None:
    """Raise if a header of one column has several, with another separator."""
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
    ignored: list[str] | None,
) -> dict[str, int]:
    """Report what is wrong with a header; return the positions of the known columns."""
    expected = (*required, *optional)
    unknown = [name for name in dict.fromkeys(header) if name not in expected]
    if len(unknown) > _MAX_UNKNOWN:
        faults.add(
            f"{len(unknown)} unknown columns, the first is {name_shown(unknown[0])}; expected "
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
            faults.add(
                f"column {name!r} is missing; expected {', '.join(required)}", row=row, column=name
            )
        else:
            unknown.remove(near)
            faults.add(
                f"column {name!r} is missing, but there is {name_shown(near)}; rename it "
                f"to {name!r}",
                row=row,
                column=name,
            )
    for name in unknown:
        if ignored is not None and (not name.strip() or closest(name, absent) is None):
            ignored.append(name or f"column {header.index(name) + 1}, which has no name")
            continue
        if not name.strip():
            faults.add(
                f"column {header.index(name) + 1} has no name; remove it, it may be the index of "
                "a table program",
                row=row,
            )
            continue
        near = closest(name, absent)
        hint = f"did you mean {near!r}?" if near else f"expected {', '.join(expected)}"
        faults.add(
            f"unknown column {name_shown(name)}; rename or remove it, {hint}", row=row, column=name
        )
    for name in dict.fromkeys(header):
        if name in expected and header.count(name) > 1:
            faults.add(
                f"column {name!r} appears {header.count(name)} times; keep one",
                row=row,
                column=name,
            )
    return {name: header.index(name) for name in expected if name in header}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
