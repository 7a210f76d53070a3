"""The hyperparameters of the study's model: what each is called, and what it may be.

A field of `SearchSpace` declares one; tables, figures, the final model and its records take the
names from there. Without Keras; what a hyperparameter does stands in `hypermodels`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from rust_tuner.batch_range import Sampling
from rust_tuner.protocol import Protocol

if TYPE_CHECKING:
    import keras_tuner


@dataclass(frozen=True)
class Hyperparameter:
    """What a field of the space declares.

    Attributes:
        name: in records and tables.
        axis: in words, with its unit.
        kind: `int` or `float`.
        is_grid: whether the field holds the values of a grid; else a number or a range.
        is_logarithmic: whether its values are of many magnitudes.
    """

    name: str
    axis: str
    kind: type[int] | type[float] = float
    is_grid: bool = False
    is_logarithmic: bool = False


def _declares(name: str, axis: str, **more: Any) -> dict[str, Any]:
    return {"hyperparameter": Hyperparameter(name, axis, **more)}


@dataclass(frozen=True)
class SearchSpace:
    """What each hyperparameter may be.

    Attributes:
        batch_size: a number, or the lowest and highest of a range.
        dropout_rate: a number in [0, 1), or the lowest and highest of a range; None for a model
            without dropout, which then has no such hyperparameter.
        batch_size_sampling: how a batch size is drawn from its range, `linear` or `log`.
        learning_rates: Adam's learning rates; one fixes it.
        epsilons: Adam's epsilons; one fixes it.
    """

    batch_size: int | tuple[int, int] = field(
        default=32, metadata=_declares("batch_size", "Batch size (images)", kind=int)
    )
    dropout_rate: float | tuple[float, float] | None = field(
        default=0.5, metadata=_declares("dropout_rate", "Dropout rate")
    )
    learning_rates: tuple[float, ...] = field(
        default=(1e-3,),
        metadata=_declares("learning_rate", "Learning rate", is_grid=True, is_logarithmic=True),
    )
    epsilons: tuple[float, ...] = field(
        default=(1e-7,),
        metadata=_declares("epsilon", "Adam's epsilon", is_grid=True, is_logarithmic=True),
    )
    batch_size_sampling: Sampling = "linear"

    @classmethod
    def hyperparameters(cls) -> dict[str, Hyperparameter]:
        """What is declared, by the names of the fields."""
        declared = {item.name: item.metadata.get("hyperparameter") for item in fields(cls)}
        return {name: hp for name, hp in declared.items() if hp is not None}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the hyperparameters, in order."""
        return tuple(item.name for item in cls.hyperparameters().values())

    @classmethod
    def fixed(cls, values: Mapping[str, Any]) -> Self:
        """The space of one configuration; values by the names of the hyperparameters."""
        space: dict[str, Any] = {}
        for name, item in cls.hyperparameters().items():
            if item.name in values:
                value = item.kind(values[item.name])
                space[name] = (value,) if item.is_grid else value
        return cls(**space)

    @classmethod
    def grid_of(cls, protocol: Protocol) -> dict[str, Any]:
        """The grid of a protocol, whose fields have the names of those here."""
        declared = cls.hyperparameters().items()
        return {name: getattr(protocol, name) for name, item in declared if item.is_grid}

    def defaults(self) -> dict[str, Any]:
        """The first or only value of each hyperparameter."""
        values = {}
        for name, item in self.hyperparameters().items():
            value = getattr(self, name)
            values[item.name] = value[0] if isinstance(value, tuple) else value
        return values

    def declare(self, hp: "keras_tuner.HyperParameters") -> None:
        """Declare the hyperparameters on `hp`."""
        for name, item in self.hyperparameters().items():
            value = getattr(self, name)
            if value is None:
                continue
            first, *others = value if isinstance(value, tuple) else (value,)
            if set(others) <= {first}:
                hp.Fixed(item.name, item.kind(first))
            elif item.is_grid:
                hp.Choice(item.name, [first, *others], ordered=False)
            elif item.kind is int:
                sampling = getattr(self, f"{name}_sampling", "linear")
                hp.Int(item.name, int(first), int(*others), sampling=sampling)
            else:
                hp.Float(item.name, first, *others)


def is_logarithmic(name: str) -> bool:
    """Whether a hyperparameter of the study's model has values of many magnitudes."""
    declared = SearchSpace.hyperparameters().values()
    return any(item.is_logarithmic for item in declared if item.name == name)
