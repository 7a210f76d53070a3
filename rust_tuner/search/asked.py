"""The hyperparameters of one trial, some of which are known only once the model's code asks.

KerasTuner gives its default to a hyperparameter that `build` asks for and no trial had before.
Here a rule gives the value, which follows from the trial and the hyperparameter's name alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.search.points import Values, draw_value
from rust_tuner.seeds import seed_word

Rule = Callable[[Any], Any]


@dataclass(frozen=True)
class DrawnByName:
    """A random value that follows from the seed, the number of the draw, and the name.

    Attributes:
        seed: of the search.
        draw: number of the draw, from 0.
        exact_steps: see `steps`.
    """

    seed: int
    draw: int
    exact_steps: bool

    def __call__(self, hp: Any) -> Any:
        """The value of a hyperparameter."""
        word = seed_word(self.seed, self.draw, "by name", hp.name)
        return draw_value(hp, word, self.exact_steps)


def at_default(hp: Any) -> Any:
    """The default of a hyperparameter."""
    return hp.default


class AskedHyperParameters(keras_tuner.HyperParameters):  # type: ignore[misc]
    """Hyperparameters that grow as they are asked for.

    It contains what was declared before the first trial, and what this trial has asked for, in the
    order of asking.
    """

    def __init__(self, rule: Rule = at_default) -> None:
        """Contain nothing yet.

        Args:
            rule: gives the value of a hyperparameter that has none.
        """
        super().__init__()
        self._rule = rule

    @classmethod
    def of(
        cls, space: keras_tuner.HyperParameters, values: Values, rule: Rule = at_default
    ) -> "AskedHyperParameters":
        """The hyperparameters of a space, at some values.

        Args:
            space: what is declared.
            values: by name; those of hyperparameters that are not declared wait until these are
                asked for.
            rule: gives the value of what is asked for and has none.
        """
        made = cls(rule)
        for parameter in keras_tuner.HyperParameters.copy(space).space:
            made._hps[parameter.name].append(parameter)
            made._space.append(parameter)
        made.values = dict(values)
        return made

    def copy(self) -> "AskedHyperParameters":
        """The same hyperparameters and values, by the same rule."""
        return self.of(self, self.values, self._rule)

    def __deepcopy__(self, memo: dict[int, Any]) -> "AskedHyperParameters":
        """The same as `copy`."""
        return self.copy()

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        """Add a hyperparameter as KerasTuner does, but with the value of the rule."""
        has_value = overwrite or hyperparameter.name in self.values
        value = super()._register(hyperparameter, overwrite)
        if not has_value and self.is_active(hyperparameter):
            value = self.values[hyperparameter.name] = self._rule(hyperparameter)
        return value


def missing_from(space: keras_tuner.HyperParameters, parameters: list[Any]) -> list[Any]:
    """The hyperparameters that a space does not have, by name and conditions."""
    return [hp for hp in parameters if not space._exists(hp.name, hp.conditions)]


def begin_with(trial: Trial, values: Mapping[str, Any]) -> None:
    """Note the values that a trial is trained with; others may be asked for in training."""
    trial.begun_with = tuple(values)


def begun_values(trial: Trial) -> Values:
    """The values of a trial without those that were first asked for while it was trained."""
    values = dict(trial.hyperparameters.values)
    begun: tuple[str, ...] | None = getattr(trial, "begun_with", None)
    return values if begun is None else {name: values[name] for name in begun if name in values}


def again_from_start(trial: Trial) -> Trial:
    """A trial with the same values that has not run."""
    blank = Trial(trial.hyperparameters, trial.trial_id, TrialStatus.RUNNING)
    begin_with(blank, begun_values(trial))
    return blank


def asked_late(trial: Trial) -> list[str]:
    """The names that were first asked for while the trial was trained."""
    begun = begun_values(trial)
    return [name for name in trial.hyperparameters.values if name not in begun]
