"""The ranges of a protocol's choices, and the refusal of values outside them.

What the choices mean, and which words a choice between words has, belongs to `protocol`.
"""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rust_tuner.errors import ProtocolError
from rust_tuner.rust_scores import CORTICES, HIGHEST_TOTAL, LOWEST_TOTAL, VIEWS
from rust_tuner.words import listed

_CROP = re.compile(r"none|centre:(?=[\d.]*[1-9])\d{1,6}(\.\d+)?")
_SMALLEST_IMAGE, _LARGEST_IMAGE = 75, 2048


@dataclass(frozen=True)
class Range:
    """The values that a choice may have.

    Attributes:
        holds: whether a value is one of them.
        expected: they, in the words of an error.
    """

    holds: Callable[[Any], bool]
    expected: str


def refuse_out_of_range(values: Mapping[str, Any], allowed: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse choices outside their ranges.

    Args:
        values: all choices of a protocol.
        allowed: the words of each choice between words.

    Raises:
        ProtocolError: with the field, its value and its range.
    """
    ranges = {name: _one_of(words) for name, words in allowed.items()} | _RANGES
    for name, value in values.items():
        if name in ranges:
            _refuse(name, value, ranges[name])
    _refuse("score_epoch", values["score_epoch"], _epochs_below(values["epochs"]))
    if values["extractor"] == "onnxruntime" and values["precision"] != "float32":
        raise ProtocolError(
            "extractor='onnxruntime'; expected keras where the precision is bfloat16; onnxruntime "
            "computes in float32"
        )


def _refuse(name: str, value: object, allowed: Range) -> None:
    if not allowed.holds(value):
        raise ProtocolError(f"{name}={value!r}; expected {allowed.expected}", field=name)


def _epochs_below(epochs: int) -> Range:
    return Range(
        lambda value: value in ("best_mean", "last") or (_is_int(value) and 0 <= value < epochs),
        f"best_mean, last, or an epoch in 0-{epochs - 1}",
    )


def _one_of(words: tuple[str, ...]) -> Range:
    return Range(lambda value: value in words, listed(words, join="or"))


def _whole_from(lowest: int, highest: float = float("inf")) -> Range:
    to = "" if highest == float("inf") else f" to {highest}"
    return Range(
        lambda value: _is_int(value) and lowest <= value <= highest, f"an integer from {lowest}{to}"
    )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(values: object) -> bool:
    return isinstance(values, tuple) and all(_is_number(value) for value in values)


def _is_pair(values: Any) -> bool:
    return _are_numbers(values) and len(values) == 2 and values[0] <= values[1]


def _is_grid(values: Any) -> bool:
    return (
        _are_numbers(values)
        and len(values) > 0
        and all(0 < value < float("inf") for value in map(_as_trained, values))
        and len(set(map(_as_trained, values))) == len(values)
    )


def _as_trained(value: float) -> float:
    """A number as an optimizer takes it, in float32: 0 below 1e-45."""
    try:
        (number,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        return float("inf")
    return float(number)


def _are_views(values: Any) -> bool:
    return (
        isinstance(values, Mapping)
        and set(values) == set(VIEWS)
        and all(
            isinstance(cortices, list | tuple) and all(cortex in CORTICES for cortex in cortices)
            for cortices in values.values()
        )
    )


_TRUE_OR_FALSE = Range(lambda value: isinstance(value, bool), "True or False")
_GRID = Range(_is_grid, "one or more different positive numbers, in float32")
_FOLDS, _COUNT = _whole_from(2), _whole_from(1, 1_000_000)

_RANGES = {
    "seed": _whole_from(0),
    "holdout_fraction": Range(
        lambda value: _is_number(value) and 0 < value < 1, "a number between 0 and 1, both excluded"
    ),
    "image_size": Range(
        lambda value: _is_int(value) and _SMALLEST_IMAGE <= value <= _LARGEST_IMAGE,
        f"an integer from {_SMALLEST_IMAGE}, InceptionV3's smallest input, to {_LARGEST_IMAGE}, "
        "beyond which its first layers take gigabytes a batch",
    ),
    "crop": Range(
        lambda value: isinstance(value, str) and _CROP.fullmatch(value) is not None,
        "none, or centre: and millimetres above 0, such as centre:150",
    ),
    "remove_borders": _TRUE_OR_FALSE,
    "masked_loss": _TRUE_OR_FALSE,
    "weights": Range(
        lambda value: isinstance(value, str), "imagenet, random, phantoms, or a path as text"
    ),
    "view_cortices": Range(
        _are_views, f"for each of {', '.join(VIEWS)} some of {', '.join(CORTICES)}"
    ),
    "num_folds": _FOLDS,
    "epochs": _COUNT,
    "trials": _COUNT,
    "batch_size_range": Range(
        lambda values: _is_pair(values) and all(_is_int(size) and size >= 1 for size in values),
        "two integers from 1, the lower one first",
    ),
    "fit_batch_sizes": _TRUE_OR_FALSE,
    "stop_hopeless": _TRUE_OR_FALSE,
    "dropout_rate_range": Range(
        lambda values: _is_pair(values) and all(0 <= rate < 1 for rate in values),
        "two numbers from 0 to below 1, the lower one first",
    ),
    "learning_rates": _GRID,
    "epsilons": _GRID,
    "baseline_folds": _FOLDS,
    "baseline_epochs": _COUNT,
    "baseline_batch_size": _COUNT,
    "baseline_dropout_rate": Range(
        lambda value: _is_number(value) and 0 <= value < 1, "a number from 0 to below 1"
    ),
    "final_folds": _FOLDS,
    "final_epochs": _COUNT,
    "outer_folds": _FOLDS,
    "union_threshold": Range(
        lambda value: _is_number(value) and LOWEST_TOTAL <= value <= HIGHEST_TOTAL,
        f"a RUST total, {LOWEST_TOTAL} to {HIGHEST_TOTAL}",
    ),
}
