"""The values of a hyperparameter with a step, computed so that no value is lost to rounding.

KerasTuner counts the steps of a range with floats, for which `0.5 // 0.1` is 4: the end of
`hp.Float("rate", 0, 0.5, step=0.1)` is never tried, and its fourth value is 0.30000000000000004.
"""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

# The last step reaches the end of a range if it misses it by less than this share of a step.
_SLACK = 1e-9
# Enough digits for a value to become the intended float once it is rounded.
_DIGITS = 50


def has_float_steps(hp: Any) -> bool:
    """Whether a KerasTuner hyperparameter has steps that could be lost to rounding."""
    return type(hp).__name__ == "Float" and hp.step is not None


def stepped_values(hp: Any) -> list[float]:
    """The values of a `Float` with a step, in KerasTuner's order; with the end if a step hits it.

    Args:
        hp: the hyperparameter. A `linear` step is added, a `log` step multiplies, and
            `reverse_log` mirrors the values of `log` within the range.

    Returns:
        Values in the range, each the float nearest to the intended decimal number.
    """
    if hp.sampling == "linear":
        return _linear(hp)
    values = _logarithmic(hp)
    if hp.sampling == "log":
        return values
    low, high = _meant(hp.min_value), _meant(hp.max_value)
    return [float(high + low - _meant(value)) for value in values]


def _linear(hp: Any) -> list[float]:
    low, high, step = (_meant(part) for part in (hp.min_value, hp.max_value, hp.step))
    if step <= 0:
        return [float(low)]
    count, hits = _steps(float((high - low) / step))
    # If the last step reaches the end, a step such as 1 / 3 divides the range into equal parts.
    step = (high - low) / count if hits and count else step
    return [float(low + index * step) for index in range(count + 1)]


def _logarithmic(hp: Any) -> list[float]:
    low, high = Decimal(repr(hp.min_value)), Decimal(repr(hp.max_value))
    with localcontext() as context:
        context.prec = _DIGITS
        step = Decimal(repr(hp.step))
        count, hits = _steps(float((high / low).ln() / step.ln()))
        if hits and count:
            step = ((high / low).ln() / count).exp()
        values = [float(low * step**index) for index in range(count + 1)]
    if hits:
        values[-1] = float(high)
    return values


def _steps(ratio: float) -> tuple[int, bool]:
    """How many steps a range has, and whether the last one reaches its end."""
    nearest = round(ratio)
    if abs(ratio - nearest) <= _SLACK * max(1.0, ratio):
        return nearest, True
    return math.floor(ratio), False


def _meant(value: float) -> Fraction:
    """The decimal number that a float was written as, which is its shortest text."""
    return Fraction(repr(value))
