"""What oracles share whose proposals follow from the results of earlier trials.

The n-th proposal is a function of the seed, n, and the records of the trials before n. Nothing else
survives a kill, and nothing else has to: a trial that did not end is proposed again, with the same
values, from the same records.

Where several trials run at once, a proposal cannot wait for all trials before it. So it leaves out
the results of the last `lag` of them, which it sees as running, whether or not they have ended. The
lag is recorded with the search: proposals depend on neither the time that trials take nor the
number of workers that happen to be alive.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SearchError
from rust_tuner.search.asked import (
    AskedHyperParameters,
    Rule,
    again_from_start,
    asked_late,
    at_default,
    begun_values,
)
from rust_tuner.search.objectives import RankedObjectives
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.points import Values, plain, values_key


@dataclass(frozen=True)
class _ProposedOrDrawn:
    """A rule that can be pickled, as the hyperparameters that follow it are."""

    proposed: Values
    drawn: Rule

    def __call__(self, hp: Any) -> Any:
        return self.proposed[hp.name] if hp.name in self.proposed else self.drawn(hp)


class RestAtDefaults(dict[str, Any]):
    """Proposed values, beside which the trial takes whatever it asks for at its default."""


class LearningOracle(ResumableOracle):
    """An oracle that learns from the trials that have ended."""

    _proposed: tuple[str, Values | None] | None = None

    def __init__(self, objective: Any, *args: Any, **kwargs: Any) -> None:
        """Take one objective: ranks by several change with each trial, and cannot be learned from.

        Raises:
            SearchError: for several.
        """
        super().__init__(objective, *args, **kwargs)
        if isinstance(self.objective, RankedObjectives):
            raise SearchError(
                f"{type(self).__name__} learns from one score, and several objectives have only "
                "ranks, which change with each trial; give one objective, or use "
                "RandomSearchOracle or GridSearchOracle"
            )

    @abstractmethod
    def propose(self, space: Sequence[Any], earlier: Sequence[Trial]) -> Values | None:
        """The values of a trial.

        Args:
            space: the hyperparameters that are known before it, see `known_after`.
            earlier: all trials before it, by number. Some may still run; the last `lag` do in any
                case, as far as this proposal is concerned.

        Returns:
            Values by name; None where there are no more.
        """

    def known_after(self, earlier: Sequence[Trial]) -> list[Any]:
        """The hyperparameters that are known after some trials.

        Those that are declared, followed by those that the trials asked for, in this order.
        """
        space = list(self.declared.space)
        for trial in earlier:
            space += [
                hp
                for hp in self.asked_by(trial)
                if not any((hp.name, hp.conditions) == (k.name, k.conditions) for k in space)
            ]
        return space

    def values_of(self, number: int) -> Values | None:
        """The values of a trial for what is declared; see `ResumableOracle.values_of`."""
        proposed = self._proposal(number)
        if proposed is None:
            return None
        declared = {hp.name for hp in self.declared.space}
        return {name: value for name, value in proposed.items() if name in declared}

    def growth_rule(self, number: int) -> Rule:
        """The proposed value, where a trial before has asked for the hyperparameter as well."""
        proposed = self._proposal(number) or {}
        is_whole = isinstance(proposed, RestAtDefaults)
        return _ProposedOrDrawn(proposed, at_default if is_whole else super().growth_rule(number))

    def accepts(self, number: int, trial: Trial) -> bool:
        """Accept the recorded values: the records of the folds belong to them."""
        return True

    def num_trials(self) -> int:
        """How many trials the search will have at most."""
        total: int | None = self._num_points
        return int(self.max_trials) if total is None else total

    def is_ready(self) -> bool:
        """Whether all trials have ended whose results the next proposal needs."""
        needed = self.in_order()[: self.known_results(self.next_number())]
        return all(trial.status != TrialStatus.RUNNING for trial in needed)

    def known_results(self, number: int) -> int:
        """How many of the first trials a proposal learns from.

        Args:
            number: of the proposed trial, from 0.
        """
        return max(number - self.lag, 0)

    def _proposal(self, number: int) -> Values | None:
        earlier = self.in_order()[:number]
        assert len(earlier) == number, "the trials before must be known"
        num_known = self.known_results(number)
        earlier = earlier[:num_known] + [_as_running(trial) for trial in earlier[num_known:]]
        results = [
            [trial.status, trial.score, values_key(trial.hyperparameters.values)]
            for trial in earlier
        ]
        key = repr([self.drawn_seed, self.exact_steps, results])
        if self._proposed is None or self._proposed[0] != key:
            self._proposed = key, self.propose(self.known_after(earlier), earlier)
        return self._proposed[1]

    def _again(self, trial: Trial) -> Trial:
        """A trial that runs again, proposed again.

        It has other values than before only if a trial before it has run again with another
        result, such as after a mended mistake.
        """
        number = int(trial.trial_id)
        values = self.values_of(number)
        if values is None:
            return super()._again(trial)
        again = self.new_trial(number, values)
        begun = begun_values(trial)
        if plain(again.hyperparameters.values) == plain(begun):
            late = {name: trial.hyperparameters.values[name] for name in asked_late(trial)}
            again.hyperparameters.values |= late
        return again


def _as_running(trial: Trial) -> Trial:
    """A trial as it was when it began, without what it has asked for or scored since."""
    begun = again_from_start(trial)
    begun.hyperparameters = AskedHyperParameters.of(trial.hyperparameters, begun_values(trial))
    return begun
