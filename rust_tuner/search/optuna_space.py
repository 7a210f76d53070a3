"""KerasTuner's hyperparameters as Optuna's distributions, and values back exactly.

Optuna has no mirrored logarithm, and rounds steps as it likes. A hyperparameter with a finite list
of ordered values is therefore an index of this list, and `reverse_log` is the logarithm of the
mirrored value; a value of the space is never computed in another way than the space computes it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from rust_tuner.search.points import Values
from rust_tuner.search.steps import stepped_values


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter as a study of Optuna sees it.

    Attributes:
        name: unique in the study; that of the hyperparameter, followed by its conditions if any,
            since two scopes may give one name to different hyperparameters.
        distribution: what Optuna samples from.
        to_study: the value in the study that stands for one of the space.
        to_space: the value of the space, of the type that KerasTuner gives it.
    """

    name: str
    distribution: BaseDistribution
    to_study: Callable[[Any], Any]
    to_space: Callable[[Any], Any]

    def suggest(self, trial: optuna.Trial) -> Any:
        """A value of the space, chosen by the sampler of the trial's study."""
        kind = self.distribution
        if isinstance(kind, FloatDistribution):
            sampled: Any = trial.suggest_float(self.name, kind.low, kind.high, log=kind.log)
        elif isinstance(kind, IntDistribution):
            options: dict[str, Any] = {"log": True} if kind.log else {"step": kind.step}
            sampled = trial.suggest_int(self.name, kind.low, kind.high, **options)
        else:
            assert isinstance(kind, CategoricalDistribution)
            sampled = trial.suggest_categorical(self.name, kind.choices)
        return self.to_space(sampled)


def dimension(hp: Any) -> Dimension:
    """The dimension of a hyperparameter that is not `Fixed`."""
    name = _name(hp)
    kind = type(hp).__name__
    if kind == "Boolean" or (kind == "Choice" and not hp.ordered):
        return Dimension(name, CategoricalDistribution(tuple(_listed(hp))), _same, _same)
    if kind == "Choice" or (hp.step is not None and (kind, hp.step) != ("Int", 1)):
        return _indexed(name, sorted(_listed(hp)))
    return _continuous(name, hp) if kind == "Float" else _integers(name, hp)


def plain_dimension(hp: Any) -> Dimension:
    """The dimension of a hyperparameter for a sampler that was given values of the space itself.

    `GridSampler` names hyperparameters and lists their values as `build` does.
    """
    kind = type(hp).__name__
    if kind == "Float" and hp.step is None:
        return Dimension(hp.name, FloatDistribution(hp.min_value, hp.max_value), _same, float)
    if kind == "Int" and hp.step is None:
        return Dimension(hp.name, IntDistribution(hp.min_value, hp.max_value), _same, int)
    values = tuple(_listed(hp))
    return Dimension(
        hp.name, CategoricalDistribution(values), _same, lambda value: values[values.index(value)]
    )


def is_active(hp: Any, values: Values) -> bool:
    """Whether the values of a hyperparameter's parents activate it."""
    return all(condition.is_active(values) for condition in hp.conditions)


def contains(hp: Any, value: Any) -> bool:
    """Whether a value is one that the hyperparameter can take."""
    if type(hp).__name__ in ("Float", "Int") and hp.step is None:
        return bool(hp.min_value <= value <= hp.max_value)
    return value in _listed(hp)


def _name(hp: Any) -> str:
    if not hp.conditions:
        return str(hp.name)
    conditions = [[condition.name, list(condition.values)] for condition in hp.conditions]
    return f"{hp.name} {json.dumps(conditions)}"


def _listed(hp: Any) -> list[Any]:
    """The values of a hyperparameter that has a finite list of them, in the order of the space."""
    kind = type(hp).__name__
    if kind == "Fixed":
        return [hp.value]
    if kind == "Boolean":
        return [False, True]
    if kind == "Choice":
        return list(dict.fromkeys(hp.values))
    if kind == "Float":
        return stepped_values(hp)
    low, high, step = int(hp.min_value), int(hp.max_value), int(hp.step)
    if hp.sampling == "linear":
        return list(range(low, high + 1, step))
    # With KerasTuner's floats, 10 ** 3 may be 999.
    powers = [low]
    while powers[-1] * step <= high:
        powers.append(powers[-1] * step)
    return powers if hp.sampling == "log" else [low + high - power for power in powers]


def _indexed(name: str, values: Sequence[Any]) -> Dimension:
    """An index of ordered values; what lies between two of them stands for the nearest."""
    return Dimension(
        name,
        IntDistribution(0, len(values) - 1),
        lambda value: min(range(len(values)), key=lambda index: abs(values[index] - value)),
        lambda index: values[index],
    )


def _continuous(name: str, hp: Any) -> Dimension:
    low, high = float(hp.min_value), float(hp.max_value)

    def within(value: float) -> float:
        return min(max(float(value), low), high)

    def mirrored(value: float) -> float:
        return within(high + low - value)

    turn = mirrored if hp.sampling == "reverse_log" else within
    log = hp.sampling != "linear"
    return Dimension(name, FloatDistribution(low, high, log=log), turn, turn)


def _integers(name: str, hp: Any) -> Dimension:
    low, high = int(hp.min_value), int(hp.max_value)

    def within(value: int) -> int:
        return min(max(int(value), low), high)

    def mirrored(value: int) -> int:
        return within(low + high - int(value))

    turn = mirrored if hp.sampling == "reverse_log" else within
    return Dimension(name, IntDistribution(low, high, log=hp.sampling != "linear"), turn, turn)


def _same(value: Any) -> Any:
    return value
