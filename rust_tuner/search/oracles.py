"""KerasTuner's random and grid search oracles, which can be resumed and end when a space does.

The values of the n-th trial are a function of (seed, n, space), so only the trials themselves have
to survive a crash: `oracle.json` is written for KerasTuner's own tools and never read here. The
space must be declared before the first trial. Files are written atomically, and a trial that was
running when a process died runs again under the same id.
"""

import itertools
import json
import math
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SpaceError
from rust_tuner.files import write_json
from rust_tuner.records.project import TRIAL_ID_WIDTH
from rust_tuner.search.steps import has_float_steps, stepped_values
from rust_tuner.seeds import generator, seed_word

Values = dict[str, Any]

# After this many repeated draws in a row, a finite space is listed instead.
_MAX_COLLISIONS = 200
_MAX_LISTED = 100_000


class ResumableOracle(keras_tuner.Oracle):  # type: ignore[misc]
    """What all oracles share: ids, storage, retries and failures, but not the order of values."""

    def __init__(
        self,
        objective: keras_tuner.Objective,
        max_trials: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        seed: int | None = 0,
        max_consecutive_failed_trials: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the seed as it is given, 0 included; where it is None, the tuner draws one."""
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            seed=seed,
            **kwargs,
        )
        # KerasTuner replaces seed 0 by a random one.
        self.seed = self._seed_state = seed
        # KerasTuner's default is 3, which would end searches that only have a difficult start.
        self.max_consecutive_failed_trials = max_consecutive_failed_trials
        self.verbose = 0
        self._mutex = threading.RLock()
        self._frozen_space: str | None = None
        # False for a search that was begun with KerasTuner's steps; see `steps`.
        self.exact_steps = True
        self.ongoing_trials: dict[str, Trial] = {}
        self._retry_queue: list[str] = []
        self.end_order: list[str] = []

    @property
    def drawn_seed(self) -> int:
        """The seed, once the tuner has drawn one where none was given.

        Raises:
            SpaceError: where there is none yet.
        """
        if self.seed is None:
            raise SpaceError("the oracle has no seed yet; give it one, or give it to a tuner first")
        return int(self.seed)

    def values_of(self, index: int) -> Values | None:
        """The values of trial `index` (from 0), or None where the space has no more."""
        raise NotImplementedError

    def num_trials(self) -> int:
        """How many trials the search will have: `max_trials`, or fewer if the space has fewer."""
        index = 0
        while self.max_trials is None or index < self.max_trials:
            if self.values_of(index) is None:
                break
            index += 1
        return index

    def freeze_space(self) -> None:
        """Declare the space complete; any new hyperparameter is refused from now on."""
        self._frozen_space = _space_key(self.hyperparameters)

    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Add hyperparameters while the space is being declared, refuse new ones afterwards.

        Raises:
            SpaceError: naming the hyperparameters that were not declared up front.
        """
        if self._frozen_space is not None:
            new = [
                hp.name
                for hp in hyperparameters.space
                if not self.hyperparameters._exists(hp.name, hp.conditions)
            ]
            if new:
                raise SpaceError(
                    f"hyperparameter {', '.join(new)} was first declared during the search; "
                    "declare every hyperparameter in HyperModel.declare_hyperparameters or in the "
                    "first lines of build, within conditional scopes where it is conditional"
                )
            return
        super().update_space(hyperparameters)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's form of `values_of`."""
        values = self.values_of(int(trial_id))
        if values is None:
            return {"status": TrialStatus.STOPPED, "values": None}
        return {"status": TrialStatus.RUNNING, "values": values}

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial to run: an interrupted one, else a new one, else `STOPPED`."""
        with self._mutex:
            if self._frozen_space is None:
                self.freeze_space()
            if self._retry_queue:
                trial = self.trials[self._retry_queue.pop(0)]
                trial = self._blank_trial(trial.trial_id, trial.hyperparameters.values)
            else:
                trial_id = f"{len(self.trials):0{TRIAL_ID_WIDTH}d}"
                full = self.max_trials is not None and len(self.trials) >= self.max_trials
                values = None if full else self.values_of(len(self.trials))
                if values is None:
                    return self._blank_trial(trial_id, {}, status=TrialStatus.STOPPED)
                trial = self._blank_trial(trial_id, values)
                self.start_order.append(trial_id)
            self._remember(trial)
            self.trials[trial.trial_id] = trial
            self.ongoing_trials[tuner_id] = trial
            self._save_trial(trial)
            self.save()
            return trial

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """Record the metrics of a trial; those of an earlier run of it are replaced."""
        with self._mutex:
            trial = self.trials[trial_id]
            self._check_objective_found(metrics)
            for name, value in metrics.items():
                if trial.metrics.exists(name):
                    trial.metrics.metrics.pop(name)
                direction = self.objective.direction if name == self.objective.name else "min"
                trial.metrics.register(name, direction=direction)
                trial.metrics.update(name, value, step=step)
            return trial

    def end_trial(self, trial: Trial) -> None:
        """Close a trial that is `COMPLETED`, or `FAILED` with the reason as its message."""
        with self._mutex:
            kept = self.trials[trial.trial_id]
            kept.status, kept.message = trial.status, trial.message
            kept.traceback = getattr(trial, "traceback", None)
            self.update_space(trial.hyperparameters)
            if kept.status == TrialStatus.COMPLETED:
                self.score_trial(kept)
            else:
                kept.score = None
            self.end_order.append(kept.trial_id)
            self.ongoing_trials = {
                tuner_id: ongoing
                for tuner_id, ongoing in self.ongoing_trials.items()
                if ongoing.trial_id != kept.trial_id
            }
            self._save_trial(kept)
            self.save()

    def retry(self, trials: list[Trial]) -> None:
        """Let trials run again that have failed."""
        with self._mutex:
            for trial in trials:
                blank = self._blank_trial(trial.trial_id, trial.hyperparameters.values)
                self.trials[trial.trial_id] = blank
                self._retry_queue.append(trial.trial_id)
                self._save_trial(blank)
            retried = {trial.trial_id for trial in trials}
            self.end_order = [name for name in self.end_order if name not in retried]
            self.save()

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best completed trials, best first; failed and running trials are left out."""
        completed = [
            trial for trial in self.trials.values() if trial.status == TrialStatus.COMPLETED
        ]
        sign = -1 if self.objective.direction == "max" else 1
        return sorted(completed, key=lambda trial: sign * trial.score)[:num_trials]

    def adopt(self, trials: list[Trial]) -> None:
        """Load the trials of a project folder; those that were running will run again."""
        with self._mutex:
            self.trials = {trial.trial_id: trial for trial in trials}
            self.start_order = list(self.trials)
            ended = (TrialStatus.COMPLETED, TrialStatus.FAILED)
            self.end_order = [t.trial_id for t in trials if t.status in ended]
            self._retry_queue = [t.trial_id for t in trials if t.status not in ended]
            self.ongoing_trials = {}
            for trial in trials:
                self._remember(trial)

    def save(self) -> None:
        """Write `oracle.json`, from which KerasTuner's own tools reload the project."""
        state = self.get_state() | {"tried_so_far": sorted(self._tried_so_far)}
        write_json(Path(self._get_oracle_fname()), plain(state))

    def reload(self) -> None:
        """Do nothing: the tuner loads the trials itself."""

    def _save_trial(self, trial: Trial) -> None:
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        found = getattr(trial, "traceback", None)
        state = trial.get_state() | ({} if found is None else {"traceback": found})
        write_json(path, plain(state))

    def _remember(self, trial: Trial) -> None:
        # Not `_record_values`: it drops a value that has the same name as an inactive one.
        digest = self._compute_values_hash(trial.hyperparameters.values)
        self._tried_so_far.add(digest)
        self._id_to_hash[trial.trial_id] = digest

    def _blank_trial(
        self, trial_id: str, values: Values, status: str = TrialStatus.RUNNING
    ) -> Trial:
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(values)
        return Trial(hyperparameters=hyperparameters, trial_id=trial_id, status=status)


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
        space = f"{self.exact_steps} {_space_key(self.hyperparameters)}"
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
            key = _values_key(values)
            if key not in seen:
                seen.add(key)
                collisions = 0
                yield values
                continue
            collisions += 1
            if collisions == _MAX_COLLISIONS:
                break
        if _grid_size(self.hyperparameters, self.exact_steps) > _MAX_LISTED:
            return
        grid = _grid(self.hyperparameters, self.exact_steps)
        rest = [values for values in grid if _values_key(values) not in seen]
        for position in generator(self.drawn_seed, "remaining grid").permutation(len(rest)):
            yield rest[position]

    def _draw(self, draw: int) -> Values:
        drawn = keras_tuner.HyperParameters()
        for position, hp in enumerate(self.hyperparameters.space):
            drawn.merge([hp])
            if drawn.is_active(hp):
                word = seed_word(self.drawn_seed, draw, position)
                drawn.values[hp.name] = _draw(hp, word, self.exact_steps)
        return dict(drawn.values)


class GridSearchOracle(ResumableOracle, keras_tuner.oracles.GridSearchOracle):  # type: ignore[misc]
    """Grid search whose n-th trial is a function of n and the space.

    The order is KerasTuner's: the defaults come first, and the hyperparameter that is declared last
    varies fastest.
    """

    def __init__(
        self,
        objective: keras_tuner.Objective,
        max_trials: int | None = None,
        seed: int | None = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        """Set what to optimise.

        Args:
            objective: the metric and its direction.
            max_trials: the largest number of trials; the whole grid if None.
            seed: recorded with the search, but not used here.
            hyperparameters: a space declared in advance, if any.
            max_consecutive_failed_trials: end the search after so many failures in a row; None for
                no limit.
        """
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )

    def values_of(self, index: int) -> Values | None:
        """The values of trial `index`: the `index`-th point of the grid."""
        return next(itertools.islice(self._points(), index, None), None)

    def num_trials(self) -> int:
        """How many trials the search will have: `max_trials`, or fewer if the grid has fewer."""
        return sum(1 for _ in itertools.islice(self._points(), self.max_trials))

    def _points(self) -> Iterator[Values]:
        return _grid(self.hyperparameters, self.exact_steps)


class RepeatOracle(ResumableOracle):
    """The same values in every trial; trials differ by the seeds that follow from their numbers."""

    def values_of(self, index: int) -> Values | None:
        """The space's defaults, for every trial."""
        return next(_grid(self.hyperparameters, self.exact_steps))


def _draw(hp: Any, word: int, exact_steps: bool) -> Any:
    """A random value; where there are steps, each value is equally likely."""
    if not (exact_steps and has_float_steps(hp)):
        return hp.random_sample(word)
    values = stepped_values(hp)
    return values[int(random.Random(word).random() * len(values))]


def _grid(space: keras_tuner.HyperParameters, exact_steps: bool) -> Iterator[Values]:
    """Every combination of active values, defaults first; the last declared varies fastest."""
    candidates = [_candidates(hp, exact_steps) for hp in space.space]
    return _extend_grid(space.space, candidates, {}, 0)


def _extend_grid(
    parameters: list[Any], candidates: list[list[Any]], values: Values, position: int
) -> Iterator[Values]:
    if position == len(parameters):
        yield dict(values)
        return
    hp = parameters[position]
    active = all(condition.is_active(values) for condition in hp.conditions)
    if not active or hp.name in values:
        yield from _extend_grid(parameters, candidates, values, position + 1)
        return
    for value in candidates[position]:
        chosen = values | {hp.name: value}
        yield from _extend_grid(parameters, candidates, chosen, position + 1)


def _candidates(hp: Any, exact_steps: bool) -> list[Any]:
    if exact_steps and has_float_steps(hp):
        values = stepped_values(hp)
        # A default such as 3 * 0.1 is the value 0.3.
        return [hp.default, *(v for v in values if not math.isclose(v, hp.default))]
    candidates = list(hp.values)
    if hp.default in candidates:
        candidates.remove(hp.default)
    return [hp.default, *candidates]


def _grid_size(space: keras_tuner.HyperParameters, exact_steps: bool) -> float:
    """An upper bound on the number of grid points; infinite for a continuous space."""
    size = 1.0
    for hp in space.space:
        kind = type(hp).__name__
        if kind == "Float" and hp.step is None:
            return math.inf
        if kind == "Int" and hp.step is None and hp.sampling != "linear":
            return math.inf
        size *= len(_candidates(hp, exact_steps))
    return size


def _space_key(space: keras_tuner.HyperParameters) -> str:
    return json.dumps(plain(space.get_config()["space"]), sort_keys=True)


def _values_key(values: Values) -> str:
    return json.dumps(plain(values), sort_keys=True)


def plain(value: Any) -> Any:
    """A value with NumPy's numbers converted to Python's, which JSON can hold."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
