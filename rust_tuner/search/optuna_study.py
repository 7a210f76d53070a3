"""Asks a sampler of Optuna for the next trial of a search, from the records of the search alone.

A study in memory is built from the trials before the one that is asked for. What a sampler keeps
between trials, such as its random state, would be lost with the process: the random states follow
from the seed and the trial's number, and each ask starts from a copy of the sampler as the user
made it. Samplers that write into the study as they sample, such as CMA-ES, get their study by
being asked for every earlier trial again; the recorded values replace what they answer. Where a
search runs several trials at once, a result reaches the sampler after the trials that were proposed
without it.
"""

import copy
import random
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import optuna
from optuna.samplers import BaseSampler, BruteForceSampler, GridSampler, QMCSampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from rust_tuner.errors import SpaceError
from rust_tuner.records.optuna_mirror import without_optunas_notes
from rust_tuner.search.optuna_space import (
    Dimension,
    contains,
    dimension,
    is_active,
    plain_dimension,
)
from rust_tuner.search.points import Values
from rust_tuner.seeds import seed_word

# Their proposals follow from the parameters and scores in a study, and from nothing else in it.
_WITHOUT_STATE = (type, types.FunctionType, types.MethodType, types.ModuleType)
_STATELESS = (optuna.samplers.RandomSampler, optuna.samplers.TPESampler, optuna.samplers.GPSampler)


@dataclass(frozen=True)
class Earlier:
    """A trial of the search as a study sees it.

    Attributes:
        known: how many hyperparameters of the space were known when it was proposed.
        values: of all its hyperparameters, those that it declared while it was built included.
        state: how it ended, if it did.
        score: None unless complete.
    """

    known: int
    values: Values
    state: Literal["COMPLETE", "FAIL", "PRUNED", "RUNNING"]
    score: float | None = None


class _Study(optuna.Study):
    """A study that a sampler may stop when it receives a score, as in `optimize`."""

    is_stopped = False

    def stop(self) -> None:
        self.is_stopped = True


@dataclass
class _Replay:
    """A study whose sampler was asked for trials and told how they ended, in their order.

    Attributes:
        begun: how many hyperparameters were known to each trial that was asked for, and its values.
        told: the trials among them whose end was told.
        asked: the same as `begun` for a trial that was asked for last, with the sampler's values.
    """

    study: _Study
    begun: list[tuple[int, Values]] = field(default_factory=list)
    told: list[Earlier] = field(default_factory=list)
    asked: tuple[int, Values] | None = None


class Proposals:
    """The trials that a sampler proposes, each a function of the seed and the earlier trials."""

    def __init__(self, sampler: BaseSampler, *, direction: str, seed: int, lag: int = 0) -> None:
        """Propose with copies of a sampler.

        Args:
            sampler: as the user made it; its own seed is not used.
            direction: `max` or `min`.
            seed: of the oracle, an integer from 0.
            lag: a proposal leaves out the results of so many trials before it.
        """
        self._sampler = sampler
        self.lag = lag
        self._direction = StudyDirection.MAXIMIZE if direction == "max" else StudyDirection.MINIMIZE
        self.seed = seed
        self._dimension: Callable[[Any], Dimension] = (
            plain_dimension if isinstance(sampler, GridSampler) else dimension
        )
        # Kept only because building it again takes longer with each trial.
        self._replay: _Replay | None = None

    def next(self, space: Sequence[Any], earlier: Sequence[Earlier]) -> Values | None:
        """The values of the trial that follows some trials; None where the sampler has no more.

        Args:
            space: the hyperparameters that are known now, parents before their children; only
                appended to in the course of a search.
            earlier: all trials of the search before this one, by number; the last `lag` run.

        Raises:
            SpaceError: where the sampler cannot sample the space.
        """
        conditional = [hp.name for hp in space if hp.conditions]
        if conditional and getattr(self._sampler, "_with_margin", False):
            raise SpaceError(
                "CmaEsSampler(with_margin=True) of Optuna fails where hyperparameters are "
                f"conditional, such as {conditional[0]}; leave with_margin out"
            )
        with without_optunas_notes():
            if type(self._sampler) in _STATELESS:
                study = self._new_study()
                for trial in earlier:
                    study.add_trial(self._recorded(space, trial))
                return self._ask(study, space, len(earlier))
            replay = self._replayed(space, earlier)
            if replay.study.is_stopped:
                return None
            values = dict(self._asked(replay, space))
            # They repeat themselves while trials run that would complete their points.
            tried = self.lag and isinstance(self._sampler, (GridSampler, BruteForceSampler))
            return None if tried and any(trial.values == values for trial in earlier) else values

    def _new_study(self) -> _Study:
        storage = InMemoryStorage()
        name = "search"
        storage.create_new_study([self._direction], name)
        sampler = copy.deepcopy(self._sampler)
        if isinstance(sampler, QMCSampler):
            # One sequence for the whole search.
            sampler._seed = seed_word(self.seed, "quasi-Monte Carlo")
        return _Study(study_name=name, storage=storage, sampler=sampler)

    def _replayed(self, space: Sequence[Any], earlier: Sequence[Earlier]) -> _Replay:
        """A study whose sampler proposed all earlier trials; the last `lag` have no result yet."""
        begun = [(trial.known, trial.values) for trial in earlier]
        num_told = max(len(earlier) - self.lag, 0)
        replay = self._replay
        if (
            replay is None
            or begun[: len(replay.begun)] != replay.begun
            or list(earlier[:num_told][: len(replay.told)]) != replay.told
            # A study cannot take a trial back.
            or (
                replay.asked is not None
                and replay.asked[0]
                != [*(known for known, _ in begun), len(space)][len(replay.begun)]
            )
        ):
            replay = self._replay = _Replay(self._new_study())
        for number in range(len(replay.begun), len(earlier)):
            trial = earlier[number]
            self._asked(replay, space[: trial.known])
            self._begin(replay, space, trial)
            if number >= self.lag:
                self._tell(replay, earlier[number - self.lag])
        return replay

    def _asked(self, replay: _Replay, space: Sequence[Any]) -> Values:
        """What the sampler answers for the trial after those it was asked for, asked once."""
        if replay.asked is None:
            values = self._ask(replay.study, space, len(replay.begun))
            replay.asked = len(space), values
        return replay.asked[1]

    def _ask(self, study: _Study, space: Sequence[Any], number: int) -> Values:
        _reseed(study.sampler, seed_word(self.seed, number, "ask"))
        trial = study.ask()
        values: Values = {}
        for hp in space:
            if hp.name in values or not is_active(hp, values):
                continue
            values[hp.name] = hp.value if _is_fixed(hp) else self._suggest(study, trial, hp)
        return values

    def _suggest(self, study: _Study, trial: optuna.Trial, hp: Any) -> Any:
        try:
            value = self._dimension(hp).suggest(trial)
        except ValueError as error:
            raise SpaceError(
                f"{type(study.sampler).__name__} cannot sample hyperparameter {hp.name} ({hp}): "
                f"{error}"
            ) from error
        if not contains(hp, value):
            raise SpaceError(
                f"{type(study.sampler).__name__} gives hyperparameter {hp.name} the value {value}, "
                f"which is none of its values: {hp}"
            )
        return value

    def _begin(self, replay: _Replay, space: Sequence[Any], trial: Earlier) -> None:
        """Give the trial that was asked for last its recorded values."""
        assert replay.asked is not None
        storage, trial_id = replay.study._storage, self._id_of(replay, len(replay.begun))
        for part, value in self._parameters(space, trial.values):
            internal = part.distribution.to_internal_repr(part.to_study(value))
            storage.set_trial_param(trial_id, part.name, internal, part.distribution)
        replay.begun.append((trial.known, trial.values))
        replay.asked = None

    def _tell(self, replay: _Replay, trial: Earlier) -> None:
        """Tell how the first trial ended that was not told yet."""
        number = len(replay.told)
        _reseed(replay.study.sampler, seed_word(self.seed, number, "tell"))
        if trial.state != "RUNNING":
            replay.study.tell(number, trial.score, state=TrialState[trial.state])
        replay.told.append(trial)

    @staticmethod
    def _id_of(replay: _Replay, number: int) -> int:
        study = replay.study
        return study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)

    def _recorded(self, space: Sequence[Any], trial: Earlier) -> FrozenTrial:
        parameters = self._parameters(space, trial.values)
        return optuna.trial.create_trial(
            state=TrialState[trial.state],
            value=trial.score,
            params={part.name: part.to_study(value) for part, value in parameters},
            distributions={part.name: part.distribution for part, _ in parameters},
        )

    def _parameters(self, space: Sequence[Any], values: Values) -> list[tuple[Dimension, Any]]:
        return [
            (self._dimension(hp), values[hp.name])
            for hp in space
            if hp.name in values and not _is_fixed(hp) and is_active(hp, values)
        ]


def _is_fixed(hp: Any) -> bool:
    return type(hp).__name__ == "Fixed"


def _reseed(sampler: BaseSampler, word: int) -> None:
    """Give each random state that a sampler holds, itself or in its parts, a seed of its own."""
    for position, state in enumerate(_random_states(sampler, set())):
        seed = seed_word(word, position)
        if isinstance(state, LazyRandomState):
            state.rng.seed(seed)
        elif isinstance(state, np.random.Generator):
            state.bit_generator.state = type(state.bit_generator)(seed).state
        else:
            state.seed(seed)


def _random_states(part: Any, seen: set[int]) -> Iterator[Any]:
    if id(part) in seen:
        return
    seen.add(id(part))
    states = (LazyRandomState, np.random.RandomState, np.random.Generator, random.Random)
    if isinstance(part, states):
        yield part
    elif isinstance(part, (list, tuple)):
        for item in part:
            yield from _random_states(item, seen)
    elif isinstance(part, dict):
        for item in part.values():
            yield from _random_states(item, seen)
    elif hasattr(part, "__dict__") and not isinstance(part, _WITHOUT_STATE):
        yield from _random_states(vars(part), seen)
