"""Reads a CSV file as text, row by row, and says what is wrong with its form.

Every cell stays the text that it is (`007` and `NA` are patient ids like others); what a cell
means belongs to `manifest`.
"""

import csv
import io
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from rust_tuner.data.faults import Faults
from rust_tuner.errors import ManifestError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SAVE_AS_UTF8 = "save it as 'CSV UTF-8 (comma delimited)'"


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Read the rows of a UTF-8 CSV file, with or without a byte order mark.

    Returns:
        One pair a row: its number as a spreadsheet shows it, from 1, and its cells without the
        blanks around them, but for row 1, where a header's blanks are a fault to be named.
        Rows without any content are left out, yet counted.

    Raises:
        ManifestError: where the file cannot be read, is empty or is no UTF-8 CSV file.
    """
    text = _read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    number = 0
    try:
        for cells in reader:
            number += 1
            if any(cell.strip() for cell in cells):
                stripped = cells if number == 1 else [cell.strip() for cell in cells]
                rows.append((number, stripped))
    except csv.Error as error:
        raise ManifestError(
            f"{path.name} row {number + 1}: no valid CSV ({error}); look for a quotation mark "
            "that is opened and not closed"
        ) from error
    if not rows:
        raise ManifestError(f"{path.name}: the file holds blank lines only; expected a table")
    return rows


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
        The row numbers as a spreadsheet shows them (the header is row 1), and the known columns
        that are there.

    Raises:
        ManifestError: where the file is no table at all, or has a header only.
    """
    rows = read_rows(path)
    number, header = rows[0]
    if number != 1:
        faults.add("blank; expected the header here, remove the blank rows above it", row=1)
        header = [name.strip() for name in header]
    known = _check_header(header, required=required, optional=optional, row=number, faults=faults)
    if len(rows) == 1:
        faults.add("the table has a header and no rows; add one row a radiograph")
        faults.raise_any()
    whole: list[tuple[int, list[str]]] = []
    for number, cells in rows[1:]:
        if len(cells) == len(header):
            whole.append((number, cells))
        else:
            faults.add(
                f"{len(cells)} values, but the header has {len(header)} columns; look for a comma "
                "too many or too few, or for a text with a comma that lacks its quotation marks",
                row=number,
            )
    columns = {name: [cells[place] for _, cells in whole] for name, place in known.items()}
    return [number for number, _ in whole], columns


def closest(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate that a name was probably meant to be, or the other way round; else None."""
    plain = {candidate: _plain(candidate) for candidate in candidates}
    match = get_close_matches(_plain(name), plain.values(), n=1, cutoff=0.76)
    return next((candidate for candidate in candidates if plain[candidate] in match), None)


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise ManifestError(f"{path} is a folder; give the CSV file in it") from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror})") from error
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
    if len(header) == 1 and (separator := next((c for c in ";\t" if c in header[0]), None)):
        faults.add(
            f"the columns are separated by {separator!r}, expected commas; {_SAVE_AS_UTF8}",
            row=row,
        )
        faults.raise_any()
    unknown = [name for name in dict.fromkeys(header) if name not in expected]
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
        near = closest(name, [other for other in expected if other not in header])
        hint = f"did you mean {near!r}?" if near else f"expected {', '.join(expected)}"
        faults.add(f"unknown column {name!r}; rename or remove it, {hint}", row=row)
    for name in dict.fromkeys(header):
        if name in expected and header.count(name) > 1:
            faults.add(f"column {name!r} is there {header.count(name)} times; keep one", row=row)
    return {name: header.index(name) for name in expected if name in header}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
