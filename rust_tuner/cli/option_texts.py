"""Options whose text has a form of its own: times, and numbers separated by commas."""

import math
import re
from collections.abc import Callable
from typing import Any

import typer

from rust_tuner.batch_range import PUBLISHED_BATCH_SIZES

_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


_LONGEST_BUDGET = 366 * 24 * 3600.0


def parse_time_budget(text: str) -> float:
    """Seconds of a time such as `30m`, `8h`, `90s` or `1h30m`.

    Raises:
        BadParameter: for anything else, or for no time at all.
    """
    match = _TIME.fullmatch(text.replace(" ", "").lower())
    seconds = 0.0
    if match is not None:
        parts = zip(match.groups(), (3600, 60, 1), strict=True)
        seconds = sum(float(part) * unit for part, unit in parts if part is not None)
    # A time that no clock reaches is a slip of the keyboard.
    if not 0 < seconds < _LONGEST_BUDGET:
        raise typer.BadParameter(
            f"{text!r}; expected a time such as 30m, 8h, 90s or 1h30m", param_hint="--time-budget"
        )
    return seconds


def parse_numbers(
    option: str, text: str | None, kind: type[int] | type[float], count: int | None = None
) -> tuple[Any, ...] | None:
    """Numbers separated by commas; None if no text was given."""
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    finite = all(math.isfinite(value) for value in values)
    if not values or not finite or (count is not None and len(values) != count):
        expected = "numbers" if count is None else f"{count} numbers"
        message = f"{text!r}; expected {expected} separated by commas"
        raise typer.BadParameter(message, param_hint=option)
    return values


def parse_batch_sizes(text: str | None) -> tuple[int, int] | None:
    """A range of batch sizes: two numbers separated by a comma, or `published`."""
    if text == "published":
        return PUBLISHED_BATCH_SIZES
    values = parse_numbers("--batch-sizes", text, int, count=2)
    return None if values is None else (values[0], values[1])


def parse_workers(text: str) -> object:
    """What `--workers` names, which must be an engine that there is.

    Raises:
        BadParameter: saying what is expected.
    """
    # Imported only where the option is given.
    from rust_tuner.errors import RustTunerError
    from rust_tuner.search.executors.workers import Workers

    try:
        return Workers.of(text)
    except RustTunerError as error:
        raise typer.BadParameter(str(error), param_hint="--workers") from error


def checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    """What keeps a text as it is once `parse` has accepted it, so that a slip is refused first."""

    def keep(text: str) -> str:
        parse(text)
        return text

    return keep
