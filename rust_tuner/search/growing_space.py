"""The space of an oracle, which may grow while trials are built.

A trial's model may ask for hyperparameters that were not declared before the first trial; its
values are completed before it is trained. Which values a trial begins with belongs to each oracle.
"""

from collections.abc import Callable
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from rust_tuner.errors import SpaceError
from rust_tuner.search.asked import DrawnByName, Rule, at_default, missing_from
from rust_tuner.search.finite_space import require_finite

Build = Callable[[int, keras_tuner.HyperParameters], object]


class GrowingSpace(keras_tuner.Oracle):  # type: ignore[misc]
    """What is declared before the first trial, and what trials add to it."""

    # False for a search that was begun with KerasTuner's steps; see `steps`.
    exact_steps = True
    _declared: keras_tuner.HyperParameters | None = None
    _may_grow = True
    _build: Build | None = None

    @property
    def drawn_seed(self) -> int:
        """The seed, once the tuner has drawn one where none was given.

        Raises:
            SpaceError: where there is none yet.
        """
        if self.seed is None:
            raise SpaceError("the oracle has no seed yet; give it one, or give it to a tuner first")
        return int(self.seed)

    @property
    def declared(self) -> keras_tuner.HyperParameters:
        """What was declared before the first trial; a search is identified by it."""
        return self.hyperparameters if self._declared is None else self._declared

    @property
    def first_grown(self) -> int | None:
        """The number of the first trial that asked for more than is declared, and tunes it."""
        num_declared = len(self.declared.space)
        grown = (
            int(name)
            for name, trial in self.trials.items()
            if len(trial.hyperparameters.space) > num_declared
        )
        return min(grown, default=None) if self.tune_new_entries else None

    def rule_of(self, number: int) -> Rule:
        """What gives a value to a hyperparameter that a trial asks for and that has none."""
        if not self.tune_new_entries:
            return at_default
        return self.growth_rule(number)

    def growth_rule(self, number: int) -> Rule:
        """The same where new hyperparameters are tuned: a random value by its name."""
        return DrawnByName(self.drawn_seed, number, self.exact_steps)

    def asked_by(self, trial: Trial) -> list[Any]:
        """The hyperparameters that a trial asked for and tunes, beyond what is declared.

        Only those with a value, in the order of asking.
        """
        if not self.tune_new_entries:
            return []
        hyperparameters = trial.hyperparameters
        return [
            hp
            for hp in missing_from(self.declared, hyperparameters.space)
            if hp.name in hyperparameters.values and hyperparameters.is_active(hp)
        ]

    def freeze_space(self, *, may_grow: bool = True) -> None:
        """Take the space as declared; from now on it grows with the trials that ask for more.

        Args:
            may_grow: if not, a model that asks for more is refused.

        Raises:
            SpaceError: where a hyperparameter is not finite.
        """
        require_finite(self.hyperparameters.space)
        self._may_grow = may_grow
        self._declared = keras_tuner.HyperParameters.copy(self.hyperparameters)

    def complete_by(self, build: Build | None) -> None:
        """Complete the values of each new trial with what its model asks for.

        Args:
            build: builds the model with the hyperparameters that it is given; None where all are
                declared.
        """
        self._build = build

    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Add new hyperparameters to the space, as `allow_new_entries` and `tune_new_entries` say.

        Raises:
            SpaceError: naming those that may not be added, or one that is not finite.
        """
        new = missing_from(self.hyperparameters, hyperparameters.space)
        require_finite(new)
        names = ", ".join(dict.fromkeys(hp.name for hp in new))
        if new and not self._may_grow:
            raise SpaceError(
                f"hyperparameter {names} was first declared during the search, but the model says "
                "that declare_hyperparameters declares everything; declare it there"
            )
        if new and not self.allow_new_entries:
            raise SpaceError(
                f"the model asks for the hyperparameter {names}, which is not in the oracle's "
                "hyperparameters, and allow_new_entries is False; add it there, or allow new "
                "entries"
            )
        if self.tune_new_entries:
            self.hyperparameters.merge(new)
