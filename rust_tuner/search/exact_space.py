"""Hyperparameters of KerasTuner whose values are always values of their range.

A Gaussian process proposes probabilities from 0 to 1, both included. KerasTuner turns 1 into the
integer after the end of a logarithmic range, may pass the end of any range by a rounding error, and
loses values of ranges with steps; see `steps`.
"""

from typing import Any

from keras_tuner.engine.hyperparameters import Float, Int

from rust_tuner.search.steps import stepped_values


class ExactFloat(Float):  # type: ignore[misc]
    """A `Float` of KerasTuner with exact steps and ends."""

    def prob_to_value(self, prob: float) -> float:
        """The value at a probability from 0 to 1."""
        if self.step is None:
            value = float(super().prob_to_value(prob))
            return float(min(max(value, self.min_value), self.max_value))
        values = stepped_values(self)
        return values[min(int(prob * len(values)), len(values) - 1)]

    def value_to_prob(self, value: float) -> float:
        """The probability in the middle of those that give the value."""
        if self.step is None:
            return float(super().value_to_prob(value))
        values = stepped_values(self)
        index = min(range(len(values)), key=lambda number: abs(values[number] - value))
        return (index + 0.5) / len(values)


class ExactInt(Int):  # type: ignore[misc]
    """An `Int` of KerasTuner that ends at its end."""

    def prob_to_value(self, prob: float) -> int:
        """The value at a probability from 0 to 1."""
        value = int(super().prob_to_value(prob))
        return int(min(max(value, self.min_value), self.max_value))


def exact(hp: Any) -> Any:
    """The same hyperparameter, with values that are always of its range."""
    kinds: dict[str, Any] = {"Float": ExactFloat, "Int": ExactInt}
    kind = kinds.get(type(hp).__name__)
    return hp if kind is None else kind.from_config(hp.get_config())
