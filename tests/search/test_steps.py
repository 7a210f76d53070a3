"""Values with steps: the end is reached, and no value shows how numbers are rounded."""

from typing import Any

import keras_tuner
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rust_tuner.search.steps import has_float_steps, stepped_values


def values(*arguments: Any, **options: Any) -> list[float]:
    space = keras_tuner.HyperParameters()
    space.Float("rate", *arguments, **options)
    (hp,) = space.space
    assert has_float_steps(hp)
    return stepped_values(hp)


@pytest.mark.parametrize(
    ("low", "high", "step", "expected"),
    [
        (0, 0.5, 0.1, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (0.1, 0.9, 0.2, [0.1, 0.3, 0.5, 0.7, 0.9]),
        (0, 0.55, 0.1, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (-0.3, 0.3, 0.1, [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),
        (0, 1, 1 / 3, [0.0, 1 / 3, 2 / 3, 1.0]),
        (0, 0.3, 0.3 / 3, [0.0, 0.1, 0.2, 0.3]),
        (0.5, 0.5, 0.1, [0.5]),
        (0, 1, 2, [0.0]),
        (0.1234567890123456, 0.3234567890123456, 0.1, None),
        (1e-12, 5e-12, 1e-12, [1e-12, 2e-12, 3e-12, 4e-12, 5e-12]),
        (0, 0.499, 0.1, [0.0, 0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_linear_steps(low: float, high: float, step: float, expected: list[float] | None) -> None:
    if expected is None:
        expected = [low, 0.2234567890123456, high]
    assert values(low, high, step=step) == expected


@pytest.mark.parametrize(
    ("low", "high", "step", "expected"),
    [
        (1e-4, 1e-1, 10, [1e-4, 1e-3, 1e-2, 1e-1]),
        (1e-3, 10, 10, [1e-3, 1e-2, 1e-1, 1.0, 10.0]),
        (1e-4, 1e-2, 10**0.5, [1e-4, None, 1e-3, None, 1e-2]),
        (1, 100, 3, [1.0, 3.0, 9.0, 27.0, 81.0]),
        (0.1, 0.1, 2, [0.1]),
    ],
)
def test_logarithmic_steps(
    low: float, high: float, step: float, expected: list[float | None]
) -> None:
    found = values(low, high, step=step, sampling="log")
    assert len(found) == len(expected)
    assert all(b is None or a == b for a, b in zip(found, expected, strict=True))


def test_mirrored_logarithmic_steps() -> None:
    found = values(0.1, 10, step=10, sampling="reverse_log")
    assert found == [10.0, 9.1, 0.1]


@given(
    low=st.integers(-1000, 1000),
    count=st.integers(1, 200),
    step=st.integers(1, 500),
    digits=st.integers(0, 6),
)
def test_whatever_the_decimals_every_multiple_is_there_and_the_end(
    low: int, count: int, step: int, digits: int
) -> None:
    scale = 10**digits
    found = values(low / scale, (low + count * step) / scale, step=step / scale)
    assert found == [(low + index * step) / scale for index in range(count + 1)]


def test_integers_and_ranges_without_steps_are_left_to_keras_tuner() -> None:
    space = keras_tuner.HyperParameters()
    space.Int("units", 1, 9, step=2)
    space.Int("width", 2, 32, step=2, sampling="log")
    space.Float("rate", 0, 1)
    assert not any(map(has_float_steps, space.space))
    units, width, _ = space.space
    assert list(map(int, units.values)) == [1, 3, 5, 7, 9]
    assert list(map(int, width.values)) == [2, 4, 8, 16, 32]
