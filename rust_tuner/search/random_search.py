"""Random search whose trials follow from (seed, n, space) alone."""

import itertools
from collections.abc import Iterator

import keras_tuner

from rust_tuner.errors import SpaceError
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.points import (
    Values,
    draw_value,
    grid_points,
    grid_size,
    space_key,
    values_key,
)
from rust_tuner.seeds import generator, seed_word

# After this many repeated draws in a row, a finite space is listed instead.
_MAX_COLLISIONS = 200
_MAX_LISTED = 100_000


class RandomSearchOracle(ResumableOracle, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Random search whose n-th trial is a function of (seed, n, space).

    No draw is repeated. The search ends at `max_trials`, or once a small finite space is complete.
    """

    def __init__(
        self,
        objective: keras_tuner.Objective,
        max_trials: int = 10,
        seed: int | None = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        """Set what to optimise and how often to try.

        Args:
            objective: the metric and its direction.
            max_trials: the largest number of trials.
            seed: an integer from 0; None for one that is drawn once and recorded with the search.
            hyperparameters: a space declared in advance, if any.
            max_consecutive_failed_trials: end the search after so many failures in a row; None for
                no limit.
        """
        if isinstance(max_trials, bool) or not isinstance(max_trials, int) or max_trials < 1:
            raise SpaceError(f"max_trials={max_trials!r}; a random search needs an integer from 1")
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self._draws: list[Values] = []
        self._stream: Iterator[Values] | None = None
        self._stream_space = ""

    def values_of(self, index: int) -> Values | None:
        """The values of trial `index`: the `index`-th distinct draw."""
        space = f"{self.exact_steps} {space_key(self.hyperparameters)}"
        if self._stream is None or space != self._stream_space:
            self._draws, self._stream = [], self._distinct_draws()
            self._stream_space = space
        needed = index + 1 - len(self._draws)
        self._draws.extend(itertools.islice(self._stream, max(needed, 0)))
        return self._draws[index] if index < len(self._draws) else None

    def _distinct_draws(self) -> Iterator[Values]:
        seen: set[str] = set()
        collisions = 0
        for draw in itertools.count():
            values = self._draw(draw)
            key = values_key(values)
            if key not in seen:
                seen.add(key)
                collisions = 0
                yield values
                continue
            collisions += 1
            if collisions == _MAX_COLLISIONS:
                break
        if grid_size(self.hyperparameters, self.exact_steps) > _MAX_LISTED:
            return
        grid = grid_points(self.hyperparameters, self.exact_steps)
        rest = [values for values in grid if values_key(values) not in seen]
        for position in generator(self.drawn_seed, "remaining grid").permutation(len(rest)):
            yield rest[position]

    def _draw(self, draw: int) -> Values:
        drawn = keras_tuner.HyperParameters()
        for position, hp in enumerate(self.hyperparameters.space):
            drawn.merge([hp])
            if drawn.is_active(hp):
                word = seed_word(self.drawn_seed, draw, position)
                drawn.values[hp.name] = draw_value(hp, word, self.exact_steps)
        return dict(drawn.values)
