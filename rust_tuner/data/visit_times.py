"""When a visit was, as far as its name says so: a time since the start, or a number.

Which names may be published belongs to `visit_names`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rust_tuner.data.patient_ids import plain_visit

DAYS = {"day": 1.0, "week": 7.0, "month": 30.4375, "year": 365.25}

_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(day|week|month|year|d|wk|w|mo|m|yr|y)s?")
_SHORT_UNITS = {
    "d": "day",
    "w": "week",
    "wk": "week",
    "m": "month",
    "mo": "month",
    "y": "year",
    "yr": "year",
}
_STARTS = ("baseline", "start", "injury", "surgery", "postoperative")
_NUMBER = re.compile(r"(?:visit ?|v)?(\d+(?:\.\d+)?)")
# REDCap names an event as `3_months_arm_1`; the side is of a patient with two scored legs.
_NO_TIME = re.compile(r"( arm ?\d+)?( left| right)?$")
_ORDINALS = {"first": "1", "second": "2", "third": "3", "fourth": "4", "fifth": "5", "sixth": "6"}
_ORDINAL = re.compile(rf"\b({'|'.join(_ORDINALS)})\b|(?<=\d)(?:st|nd|rd|th)\b")
# A name with one number, such as `week 6` or `Kontrolle 2`.
_NUMBERED = re.compile(r"(\D*)(\d+)(\D*)")


@dataclass(frozen=True)
class VisitTime:
    """A time since the start.

    Attributes:
        days: since the start.
        unit: `day`, `week`, `month` or `year`, as in the name; None for the start itself.
    """

    days: float
    unit: str | None


def time_of_visit(name: str) -> VisitTime | None:
    """The time in a visit's name, such as `6 weeks`; None if it has none.

    Examples:
        >>> time_of_visit("6_weeks_arm_1")
        VisitTime(days=42.0, unit='week')
        >>> time_of_visit("baseline"), time_of_visit("last seen")
        (VisitTime(days=0.0, unit=None), None)
    """
    text = _plain(name)
    if text in _STARTS:
        return VisitTime(0.0, None)
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    unit = _SHORT_UNITS.get(match[2], match[2])
    return VisitTime(float(match[1]) * DAYS[unit], unit)


def number_of_visit(name: str) -> float | None:
    """The number that is a visit's name, such as `2` or `visit 2`; None for any other name."""
    match = _NUMBER.fullmatch(_plain(name))
    return None if match is None else float(match[1])


def in_order_of_time(names: Sequence[str]) -> list[str] | None:
    """The visits from the first to the last, by their times or their numbers.

    Args:
        names: visits of one patient, each once.

    Returns:
        None if the names do not say the order, or two of them say the same time.

    Examples:
        >>> in_order_of_time(["3 months", "6 weeks", "baseline"])
        ['baseline', '6 weeks', '3 months']
        >>> in_order_of_time(["baseline", "last seen"]) is None
        True
    """
    if len(names) < 2:
        return list(names)
    ways: tuple[Callable[[str], float | None], ...] = (_days, number_of_visit)
    for way in ways:
        positions = {name: position for name in names if (position := way(name)) is not None}
        if len(positions) == len(names):
            break
    else:
        positions = _positions_by_one_number(names)
    is_known = len(set(positions.values())) == len(names)
    return sorted(names, key=positions.__getitem__) if is_known else None


def _days(name: str) -> float | None:
    time = time_of_visit(name)
    return None if time is None else time.days


def _positions_by_one_number(names: Sequence[str]) -> dict[str, float]:
    """The number in each name, if the names differ in nothing else; empty if they do."""
    texts = (_ORDINAL.sub(_as_number, name.lower()) for name in names)
    matches = [_NUMBERED.fullmatch(plain_visit(text)) for text in texts]
    numbers = [match for match in matches if match is not None]
    if len(numbers) < len(names) or len({(match[1], match[3]) for match in numbers}) > 1:
        return {}
    return {name: float(match[2]) for name, match in zip(names, numbers, strict=True)}


def _as_number(match: re.Match[str]) -> str:
    return _ORDINALS.get(match[0], "")


def _plain(name: str) -> str:
    """A name in lower case with blanks, without what does not concern the time."""
    return _NO_TIME.sub("", name.strip().lower().replace("_", " "))
