"""Finds patient ids that are probably one id written in two ways.

If one person has two ids, a split can have that person on both sides. The normal form of an id is
used only for comparison: ids are stored and shown as written. Who is on which side belongs to
`splits`.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rust_tuner.data.faults import Faults
from rust_tuner.errors import private

# The default ignorable code points of Unicode (DerivedCoreProperties.txt) that are not format
# characters; those, such as the zero-width space and the byte order mark, have their own category.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
_INVISIBLE_CATEGORIES = ("Cf", "Cc", "Cs", "Co", "Cn")

# Code points that look like a Latin letter, in hexadecimal: the Latin, Greek, Cyrillic and Armenian
# ones of Unicode Technical Standard 39 (confusables.txt), folded to lower case. A letter whose two
# cases resemble different ones counts as its capital does, as ids are mostly written in capitals.
# Letters that resemble digits (O and 0, l and 1) are not among them: ids use both on purpose.
_LOOK_ALIKES = {
    "a": "0251 03b1 0430 1d00",
    "b": "0299 03b2 0432 044c a7b5",
    "c": "0441 1d04",
    "d": "0501 1d05",
    "e": "03b5 0435 04bd 1d07 ab32",
    "f": "03dd 0584 a730 a799 ab35",
    "g": "0261 0262 050d 0581 1d83",
    "h": "029c 03b7 043d 04bb 0570",
    "i": "0131 0269 026a 03b9 0456 04cf a647",
    "j": "029d 03f3 0458 1d0a",
    "k": "03ba 043a 1d0b",
    "l": "029f",
    "m": "03bc 043c 1d0d",
    "n": "0274 03bd 0578 057c",
    "o": "03bf 043e 0585 1d0f 1d11 ab3d",
    "p": "03c1 0440 1d18",
    "q": "051b 0563 0566",
    "r": "0280 0433 1d26 ab47 ab48",
    "s": "0455 057f a731",
    "t": "03c4 0442 1d1b",
    "u": "028b 057d 1d1c a79f ab4e ab52",
    "v": "0475 1d20",
    "w": "0461 051d 0561 1d21",
    "x": "03c7 0445 ab53",
    "y": "028f 03c5 0443 04af 1d8c 1eff ab5a",
    "z": "03b6 1d22",
}
_LATIN = {int(code, 16): letter for letter, codes in _LOOK_ALIKES.items() for code in codes.split()}

# Table programs write a column of whole numbers with gaps as 7.0, in some languages 7,0.
_WHOLE_NUMBER = re.compile(r"(\d+)[.,]0+")
_ROWS_SHOWN = 5


@dataclass(frozen=True)
class TwoSpellings:
    """An id that reads like another one.

    Attributes:
        first: the id in its first spelling.
        other: the id in another spelling.
        first_position: the position of the first spelling, from 0.
        positions: the positions of the other spelling, ascending.
    """

    first: str
    other: str
    first_position: int
    positions: tuple[int, ...]


def normal_form(identifier: str) -> str:
    """The form of an id that does not depend on how people and programs write it.

    Compatible characters are equal (NFKC: full-width, superscript), and so are upper and lower
    case, letters of other scripts that look like Latin ones, and digits of all scripts. Invisible
    characters do not count. What remains is the sequence of runs of letters and of digits, whatever
    is between them, without leading zeros, and without the `.0` that a table program adds to a
    whole number.

    Args:
        identifier: a patient's id.

    Returns:
        The runs separated by blanks; for an id without letters and digits, the id itself without
        blanks.

    >>> normal_form("P-0001"), normal_form("p1"), normal_form("7.0")
    ('p 1', 'p 1', '7')
    >>> normal_form("1-23"), normal_form("12-3")
    ('1 23', '12 3')
    """
    text = _fold(_without_invisible(identifier))
    whole = _WHOLE_NUMBER.fullmatch(text.strip())
    runs = []
    for kind, letters in itertools.groupby(whole[1] if whole else text, _kind):
        run = "".join(letters)
        if kind == "digits":
            runs.append(run.lstrip("0") or "0")
        elif kind == "letters":
            runs.append(run)
    return " ".join(runs) if runs else "".join(text.split())


def plain_visit(name: str) -> str:
    """A visit's name, however it is written: `6 W` is `06w`, `1.0` is `1`, but `1.5` is not 15."""
    return re.sub(r"(?<!\d) | (?!\d)", "", normal_form(name))


def two_spellings(identifiers: Sequence[str]) -> tuple[TwoSpellings, ...]:
    """The ids that read like an earlier one.

    Args:
        identifiers: n ids, such as one per row.

    Returns:
        One for each spelling except the first, in the order in which they first occur.
    """
    positions: dict[str, list[int]] = {}
    for position, identifier in enumerate(identifiers):
        positions.setdefault(identifier, []).append(position)
    first_spellings: dict[str, str] = {}
    spellings = []
    for identifier, occurrences in positions.items():
        first = first_spellings.setdefault(normal_form(identifier), identifier)
        if first != identifier:
            spellings.append(
                TwoSpellings(first, identifier, positions[first][0], tuple(occurrences))
            )
    return tuple(spellings)


def note_two_spellings(rows: Sequence[int], identifiers: Sequence[str], *, faults: Faults) -> None:
    """Report each patient id that reads like another one, at its first row.

    Args:
        rows: the row numbers, for messages.
        identifiers: the patient id of each row; empty ones are skipped.
        faults: receives the faults.
    """
    given = [(row, text) for row, text in zip(rows, identifiers, strict=True) if text]
    for pair in two_spellings([text for _, text in given]):
        first, *more = (given[position][0] for position in pair.positions)
        also = f" (also in {_rows(more)})" if more else ""
        faults.add(
            f"patient_id={private(visibly(pair.other))}{also} reads like "
            f"{private(visibly(pair.first))} of row "
            f"{given[pair.first_position][0]}; two ids of one person can be on both sides of a "
            "split, so write one id in one way, or, if they are different people, pass "
            "--distinct-patients (in Python distinct_patients=True)",
            row=first,
            column="patient_id",
        )


def visibly(identifier: str) -> str:
    """An id with invisible and deceptive characters escaped."""
    shown = "".join(
        letter
        if letter == " " or (letter.isprintable() and not _deceives(letter))
        else letter.encode("unicode_escape").decode()
        for letter in identifier
    )
    return f"'{shown}'"


def _kind(letter: str) -> str | None:
    """The kind of run that a character belongs to: `digits`, `letters`, or None."""
    if letter.isascii() and letter.isdigit():
        return "digits"
    # Marks are vowels in some scripts, and accents without a composed letter.
    return "letters" if letter.isalnum() or unicodedata.category(letter)[0] == "M" else None


def _deceives(letter: str) -> bool:
    return bool(_IGNORABLE.match(letter)) or any(
        ord(part) in _LATIN for part in unicodedata.normalize("NFD", letter.casefold())
    )


def _without_invisible(text: str) -> str:
    kept = (
        # Tabs and line ends are control characters that separate.
        letter
        if letter.isspace() or unicodedata.category(letter) not in _INVISIBLE_CATEGORIES
        else ""
        for letter in text
    )
    return _IGNORABLE.sub("", "".join(kept))


def _fold(text: str) -> str:
    """Unify compatible characters, cases, look-alikes and digits."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = _IGNORABLE.sub("", folded)
    # Decomposed, so that a look-alike letter with an accent is found too.
    letters = unicodedata.normalize("NFD", folded).translate(_LATIN)
    # The capital I with a dot is folded to an i with a second dot, which is invisible.
    letters = letters.replace("i\u0307", "i").replace("j\u0307", "j")
    letters = unicodedata.normalize("NFC", letters)
    return "".join(
        letter if (digit := unicodedata.decimal(letter, None)) is None else str(digit)
        for letter in letters
    )


def _rows(rows: Iterable[int]) -> str:
    listed = list(rows)
    shown = ", ".join(map(str, listed[:_ROWS_SHOWN]))
    more = f" and {len(listed) - _ROWS_SHOWN} more" if len(listed) > _ROWS_SHOWN else ""
    return f"row{'s' if len(listed) > 1 else ''} {shown}{more}"
