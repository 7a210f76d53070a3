"""KerasTuner's constructor arguments beside the hypermodel: what its models are compiled with.

Facts from KerasTuner 1.4.8 (`Tuner._override_compile_args` and `_build_hypermodel`): an argument
that is given replaces the model's own; a model may be left uncompiled where optimizer and loss are
given; a model above the size fails its trial.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import keras_tuner

from rust_tuner.errors import SearchError

_INSTEAD = {
    "executions_per_trial": "give cv a repeated splitter, such as scikit-learn's RepeatedKFold, "
    "whose folds begin from different weights",
    "distribution_strategy": "a search trains on one device; build the model under the strategy's "
    "scope in HyperModel.build if you need it",
    "tuner_id": "search(workers=...) runs trials in several processes",
    "logger": "give progress= an object that reports, or read tuner.history()",
    "objective": "give it to the oracle",
    "max_trials": "give it to the oracle",
    "hyperparameters": "give it to the oracle",
    "tune_new_entries": "give it to the oracle",
    "allow_new_entries": "give it to the oracle",
}


class UnknownTunerArgumentError(SearchError, TypeError):
    """An argument of the tuner that it does not have."""


@dataclass(frozen=True, eq=False)
class CompileArguments:
    """What the models of a search are compiled with in place of their own; None keeps theirs.

    Attributes:
        optimizer: a name or an optimizer, of which each model gets a copy.
        loss: as `compile` takes it.
        metrics: as `compile` takes them; each model gets copies.
        max_model_size: the largest number of trainable weights.
    """

    optimizer: Any = None
    loss: Any = None
    metrics: Any = None
    max_model_size: int | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "CompileArguments":
        """Those among the tuner's further arguments.

        Raises:
            UnknownTunerArgumentError: for any other argument, with what to use instead.
        """
        names = cls.__dataclass_fields__
        for name, value in arguments.items():
            if name in names or (name == "executions_per_trial" and value == 1):
                continue
            hint = _INSTEAD.get(name, f"beside those it names, it takes {', '.join(names)}")
            raise UnknownTunerArgumentError(f"CrossValidationTuner has no argument {name}: {hint}")
        return cls(**{name: value for name, value in arguments.items() if name in names})

    @property
    def is_given(self) -> bool:
        """Whether any of them replaces what a model has."""
        given = (self.optimizer, self.loss, self.metrics, self.max_model_size)
        return any(value is not None for value in given)

    def of_hypermodel(self, hypermodel: keras_tuner.HyperModel) -> keras_tuner.HyperModel:
        """A copy of a hypermodel whose `build` compiles with these; itself if none is given."""
        if not self.is_given:
            return hypermodel
        changed = copy.copy(hypermodel)
        if getattr(vars(changed).get("build"), "__self__", None) is hypermodel:
            # KerasTuner keeps a wrapped `build` on the instance, bound to the original.
            del changed.build
            changed._build = type(changed).build.__get__(changed)
            build = changed._build_wrapper
        else:
            build = changed.build
        changed.build = _then(build, self._applied)
        changed.require_size = self._require_size
        return changed

    def _applied(self, model: Any) -> Any:
        if not isinstance(model, keras.Model):
            return model
        changes = {
            "optimizer": _copied(self.optimizer),
            "loss": self.loss,
            "metrics": keras.tree.map_structure(_copied, self.metrics),
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        if changes:
            config = getattr(getattr(model, "_compile_config", None), "config", None)
            model.compile(**(dict(config or {}) | changes))
        return model

    def _require_size(self, model: keras.Model) -> None:
        size = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        if self.max_model_size is not None and size > self.max_model_size:
            raise keras_tuner.errors.FailedTrialError(
                f"the model has {size} weights, above max_model_size={self.max_model_size}"
            )


def _then(build: Callable[[Any], Any], after: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def both(hp: keras_tuner.HyperParameters) -> Any:
        return after(build(hp))

    return both


def _copied(value: Any) -> Any:
    """A new optimizer or metric with the same configuration; anything else as it is."""
    if isinstance(value, keras.Optimizer | keras.metrics.Metric):
        return type(value).from_config(value.get_config())
    return value
