"""Cells of a CSV that a spreadsheet would run as formulas.

Excel and LibreOffice treat a cell that begins with one of `= + - @`, a tab or a carriage return as
a formula (OWASP, "CSV Injection"). Such text gets a leading apostrophe, which is removed when it is
read again; numbers are not changed. Tables belong to `csv_output`.
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def safe_text(text: str) -> str:
    """Text for one cell, with a leading apostrophe if a spreadsheet would run it."""
    is_formula = _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None
    return f"'{text}" if is_formula else text


def original_cell(value: object) -> object:
    """The cell that `safe_text` was given."""
    if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value):
        return value[1:]
    return value
