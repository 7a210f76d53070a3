"""Random search whose trials follow from the seed, their number and the trials before them."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from rust_tuner.search.asked import DrawnByName, Rule, at_default
from rust_tuner.search.oracles import ResumableOracle, require_count
from rust_tuner.search.points import (
    Values,
    declared_values,
    draw_value,
    first_point,
    grid_points,
    grid_size,
    next_point,
    space_key,
    values_key,
)
from rust_tuner.seeds import generator, seed_word

# After this many repeated draws in a row, a finite space is listed instead.
_MAX_COLLISIONS = 200
_MAX_LISTED = 100_000

# The number of a draw, None for a point of the rest of a grid; and what it gives to the declared.
_Draw = tuple[int | None, Values]


class RandomSearchOracle(ResumableOracle, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Random search whose n-th trial is a function of (seed, n, space).

    No trial is repeated. The search ends at `max_trials`, or once a small finite space is complete.
    What a model asks for only at some values is drawn by the number of the trial and by its name,
    so that it does not depend on what was discovered before.
    """

    def __init__(
        self,
        objective: Any,
        max_trials: int = 10,
        seed: int | None = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        """Set what to optimise and how often to try.

        Args:
            objective: what is optimised: a metric such as `val_accuracy`, a
                `keras_tuner.Objective`, the name of a scikit-learn scorer, a function
                `(y_true, y_score) -> float`, or a list of these; see `OutOfFoldScore`.
            max_trials: the largest number of trials.
            seed: an integer from 0; None for one that is drawn once and recorded with the search.
            hyperparameters: declared in advance, if any; they replace those of the same name that
                the model declares.
            allow_new_entries: whether the model may ask for others.
            tune_new_entries: whether others are tuned; if not, they have their defaults.
            max_retries_per_trial: how often a trial runs again that an error fails, other than
                `FailedTrialError`.
            max_consecutive_failed_trials: end the search after so many failures in a row; None for
                no limit.
        """
        super().__init__(
            objective=objective,
            max_trials=require_count(max_trials, "max_trials", "a random search"),
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self._draws: list[_Draw] = []
        self._stream: Iterator[_Draw] | None = None
        self._stream_space = ""
        # The draws of the first trials, once the space has grown.
        self._draws_of_trials: list[int] = []
        self._keys: dict[str, str] = {}
        # From this draw on, only repeated ones were found.
        self._exhausted_from: int | None = None

    def values_of(self, number: int) -> Values | None:
        """The values of a trial: the distinct draw of that number.

        Draws that repeat an earlier trial are left out; which these are is known without a model.
        """
        draw = self._draw_of(number)
        return None if draw is None else draw[1]

    def growth_rule(self, number: int) -> Rule:
        """A value by the name and the number of the draw."""
        draw = self._draw_of(number)
        if draw is None or draw[0] is None:
            return at_default
        return DrawnByName(self.drawn_seed, draw[0], self.exact_steps)

    def num_trials(self) -> int:
        """How many trials the search will have: `max_trials`, or fewer if the space has fewer."""
        number = super().num_trials()
        if self.first_grown is None:
            return number
        size = grid_size(self.hyperparameters.space, self.exact_steps)
        return max(len(self.trials), int(min(number, size)))

    def adopt(self, trials: list[Trial]) -> None:
        """Load the trials of a project folder; see `ResumableOracle.adopt`."""
        self._draws_of_trials, self._keys, self._exhausted_from = [], {}, None
        super().adopt(trials)

    def retry(self, trials: list[Trial]) -> None:
        """Let trials run again that have failed; mended code may ask for more."""
        self._draws_of_trials, self._exhausted_from = [], None
        super().retry(trials)

    def _draw_of(self, number: int) -> _Draw | None:
        first = self.first_grown
        if first is None or number <= first:
            return self._declared_draw(number)
        while len(self._draws_of_trials) < number:
            draw = self._next_draw(len(self._draws_of_trials))
            if draw is None:
                draw = self._draws_of_trials[-1]
            self._draws_of_trials.append(draw)
        draw = self._next_draw(number)
        if draw is not None:
            return draw, self._draw(draw)
        values = self.first_unseen(number)
        return None if values is None else (None, values)

    def _declared_draw(self, number: int) -> _Draw | None:
        """The draw of a trial where no trial before it asks for more than is declared."""
        space = f"{self.exact_steps} {space_key(self.declared)}"
        if self._stream is None or space != self._stream_space:
            self._draws, self._stream = [], self._distinct_draws()
            self._stream_space = space
        needed = number + 1 - len(self._draws)
        self._draws.extend(itertools.islice(self._stream, max(needed, 0)))
        return self._draws[number] if number < len(self._draws) else None

    def _distinct_draws(self) -> Iterator[_Draw]:
        seen: set[str] = set()
        collisions = 0
        for draw in itertools.count():
            values = self._draw(draw)
            key = values_key(values)
            if key not in seen:
                seen.add(key)
                collisions = 0
                yield draw, values
                continue
            collisions += 1
            if collisions == _MAX_COLLISIONS:
                break
        if grid_size(self.declared.space, self.exact_steps) > _MAX_LISTED:
            return
        grid = grid_points(self.declared, self.exact_steps)
        rest = [values for values in grid if values_key(values) not in seen]
        for position in generator(self.drawn_seed, "remaining grid").permutation(len(rest)):
            yield None, rest[position]

    def _draw(self, draw: int) -> Values:
        drawn = keras_tuner.HyperParameters()
        for position, hp in enumerate(self.declared.space):
            drawn.merge([hp])
            if drawn.is_active(hp):
                word = seed_word(self.drawn_seed, draw, position)
                drawn.values[hp.name] = draw_value(hp, word, self.exact_steps)
        return dict(drawn.values)

    def _next_draw(self, number: int) -> int | None:
        """The first draw after that of the trial before which repeats no earlier trial."""
        first = self._draws_of_trials[number - 1] + 1 if number else 0
        if first == self._exhausted_from:
            return None
        alike: dict[str, list[Trial]] = {}
        for trial in itertools.islice(self.in_order(), number):
            alike.setdefault(self._key_of(trial), []).append(trial)
        for draw in range(first, first + _MAX_COLLISIONS):
            rule = DrawnByName(self.drawn_seed, draw, self.exact_steps)
            key = self._declared_key(self._draw(draw))
            if not any(self._follows(trial, rule) for trial in alike.get(key, [])):
                return draw
        self._exhausted_from = first
        return None

    def _follows(self, trial: Trial, rule: Rule) -> bool:
        """Whether all that a trial asked for has the value of a rule."""
        values = trial.hyperparameters.values
        return all(values[hp.name] == rule(hp) for hp in self.asked_by(trial))

    def first_unseen(self, number: int) -> Values | None:
        """The grid's first point that no earlier trial has; None if there is none, or no grid."""
        earlier = list(itertools.islice(self.in_order(), number))
        asked = {hp.name: hp for trial in earlier for hp in self.asked_by(trial)}
        if grid_size([*self.declared.space, *asked.values()], self.exact_steps) > _MAX_LISTED:
            return None
        values: Values | None = first_point(self.declared, {})
        while values is not None:
            trial = next((one for one in earlier if self._begins(one, values)), None)
            if trial is None:
                return values
            point = trial.hyperparameters.values
            values = next_point(self.declared, self.asked_by(trial), point, self.exact_steps)
        return None

    def _begins(self, trial: Trial, values: Values) -> bool:
        """Whether a trial has some values, and all others that it asked for at their defaults."""
        recorded = trial.hyperparameters.values
        return self._key_of(trial) == self._declared_key(values) and all(
            recorded[hp.name] == values.get(hp.name, hp.default) for hp in self.asked_by(trial)
        )

    def _key_of(self, trial: Trial) -> str:
        """The `_declared_key` of a trial, which never changes."""
        if trial.trial_id not in self._keys:
            self._keys[trial.trial_id] = self._declared_key(trial.hyperparameters.values)
        return self._keys[trial.trial_id]

    def _declared_key(self, values: Values) -> str:
        """A text that points share if all that is declared has the same values."""
        return values_key(declared_values(self.declared, values))
