"""Which names of visits say only when a visit was, counted from the injury or the surgery.

Such names may be published. Any other one, such as a date, may identify a patient.
"""

import datetime
import re

# Everything that is not a word or a number only separates them.
_PIECES = re.compile(r"[^\W\d_]+|\d+(?:\.\d(?!\d))?")
_REST = re.compile(r"[\s_\-/().,:#+]*")
_MOST_CHARACTERS = 40
# A larger number may be a year or a number of a hospital.
_LARGEST_NUMBER = 1500
_WORDS = frozenset(
    # English.
    "baseline start injury fracture surgery operation op preop postop preoperative postoperative "
    "pre post day days week weeks wk wks month months mo mos mth mths year years yr yrs visit "
    "visits arm event follow up followup fu control check after before at first second third "
    "fourth last final end initial admission discharge enrolment enrollment screening timepoint "
    "time point exposure repeat no nr number th st nd rd left right "
    # German, French, Spanish, Portuguese, Italian, Dutch.
    "tag tage tagen woche wochen monat monate monaten jahr jahre besuch kontrolle unfall "
    "aufnahme entlassung nach vor "
    "jour jours semaine semaines mois an ans visite contrôle controle sortie "
    "día días dia dias semana semanas mes meses año años ano anos visita control alta "
    "giorno giorni settimana settimane mese mesi anno anni controllo "
    "dag dagen weken maand maanden jaar bezoek".split()
)
_DATES = (
    "%Y-%m-%d",
    "%Y%m%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y_%m_%d",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%d/%m/%Y",
    "%d.%m.%y",
)


def is_relative_visit(name: str) -> bool:
    """Whether a visit's name has only numbers, single letters and words such as `weeks`.

    Two numbers beside each other may be a date, so they are not allowed.

    Examples:
        >>> [is_relative_visit(name) for name in ("2", "6 weeks", "3_months_arm_1", "v02")]
        [True, True, True, True]
        >>> [is_relative_visit(name) for name in ("2021-03-04", "20210304", "Miller", "4 March")]
        [False, False, False, False]
    """
    if len(name) > _MOST_CHARACTERS or _REST.fullmatch(_PIECES.sub("", name)) is None:
        return False
    was_number = False
    for piece in _PIECES.findall(name):
        is_number = piece[0].isdecimal()
        if is_number and (was_number or float(piece) > _LARGEST_NUMBER):
            return False
        if not is_number and len(piece) > 1 and piece.casefold() not in _WORDS:
            return False
        was_number = is_number
    return True


def date_of_visit(name: str) -> datetime.date | None:
    """The date that a visit is named after, if it is one of the usual forms."""
    for form in _DATES:
        try:
            return datetime.datetime.strptime(name.strip()[:10], form).date()
        except ValueError:
            continue
    return None
