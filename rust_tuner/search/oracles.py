"""What KerasTuner's oracles lack: they are resumed from the records of their trials alone.

Only the trials themselves have to survive a crash: `oracle.json` is written for KerasTuner's own
tools and never read here. Files are written atomically, and a trial that was running when a process
died runs again under the same id. The space belongs to `growing_space`, and the order of values to
each oracle, such as `random_search` and `grid_search`.
"""

import numbers
import threading
from pathlib import Path
from typing import Any, Self

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SpaceError
from rust_tuner.files import write_json
from rust_tuner.metrics.mean_ranks import mean_ranks
from rust_tuner.records.project import TRIAL_ID_WIDTH
from rust_tuner.records.trials import PRUNED
from rust_tuner.search.asked import (
    AskedHyperParameters,
    again_from_start,
    asked_late,
    begin_with,
    begun_values,
    missing_from,
)
from rust_tuner.search.growing_space import GrowingSpace
from rust_tuner.search.halving import SuccessiveHalving
from rust_tuner.search.objectives import as_objective, objectives_of
from rust_tuner.search.points import Values, plain

# What a user may change of an oracle before it gets a tuner.
_SETTINGS = (
    *("objective", "seed", "allow_new_entries", "tune_new_entries"),
    *("max_retries_per_trial", "max_consecutive_failed_trials", "hyperparameters"),
)


class ResumableOracle(GrowingSpace):
    """What all oracles share: ids, storage, retries and failures, but not the order of values."""

    # What decides the values beside this package; their versions are recorded with a search.
    packages: tuple[str, ...] = ()
    # When it stops trials before their last epoch; None where it leaves that to `stop_hopeless`.
    stop_rule: SuccessiveHalving | None = None
    # A proposal leaves out the results of so many trials before it; see `learning_oracle`.
    lag = 0
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    # What it was set to before its first tuner; None until then.
    _as_set: dict[str, Any] | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments, for a second oracle of the same kind."""
        oracle: Self = super().__new__(cls)
        oracle._arguments = args, kwargs
        return oracle

    def __init__(
        self,
        objective: Any,
        max_trials: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        seed: int | None = 0,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the seed as it is given, 0 included; where it is None, the tuner draws one."""
        if isinstance(hyperparameters, AskedHyperParameters):
            # Those of a trial, such as the best one, would still follow the rule of that trial.
            hyperparameters = keras_tuner.HyperParameters.copy(hyperparameters)
        super().__init__(
            objective=as_objective(objective),
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            seed=seed,
            **kwargs,
        )
        # KerasTuner replaces seed 0 by a random one.
        self.seed = self._seed_state = seed
        # KerasTuner's default is 3, which would end searches that only have a difficult start.
        self.max_consecutive_failed_trials = max_consecutive_failed_trials
        self.verbose = 0
        self._mutex = threading.RLock()
        # How many trials the search has, once that is known.
        self._num_points: int | None = None
        self.ongoing_trials: dict[str, Trial] = {}
        self._retry_queue: list[str] = []
        self.end_order: list[str] = []

    def for_tuner(self) -> Self:
        """This oracle for its first tuner; for each other one a new oracle that is set alike.

        So that each search has trials and a space of its own.
        """
        if self._as_set is None:
            self._as_set = {name: getattr(self, name) for name in _SETTINGS}
            # The search adds to a copy, and the user may complete the space until here.
            space: keras_tuner.HyperParameters = self._as_set["hyperparameters"]
            self._as_set["hyperparameters"] = keras_tuner.HyperParameters.copy(space)
            self.hyperparameters = keras_tuner.HyperParameters.copy(space)
            return self
        args, kwargs = self._arguments
        other = type(self)(*args, **kwargs)
        for name, value in self._as_set.items():
            setattr(other, name, value)
        other.max_trials = self.max_trials
        return other.for_tuner()

    def in_order(self) -> list[Trial]:
        """The trials by their numbers."""
        return sorted(self.trials.values(), key=lambda trial: int(trial.trial_id))

    def values_of(self, number: int) -> Values | None:
        """The values of a trial, as far as they are known before its model is built.

        They may depend on the trials before it.

        Args:
            number: of the trial, from 0.

        Returns:
            Values by name; None where the space has no more.
        """
        raise NotImplementedError

    def accepts(self, number: int, trial: Trial) -> bool:
        """Whether the recorded values of a trial are those that this search gives to its number."""
        values = self.values_of(number)
        if values is None:
            return False
        rule = self.rule_of(number)
        recorded = plain(trial.hyperparameters.values)
        asked = missing_from(self.declared, trial.hyperparameters.space)
        expected = {hp.name: rule(hp) for hp in asked if trial.hyperparameters.is_active(hp)}
        return bool(recorded == plain(expected | values))

    def describe(self) -> dict[str, Any]:
        """What the run manifest records of an oracle beside its type, seed and number of trials."""
        return {}

    def num_trials(self) -> int:
        """How many trials the search will have, as far as that is known now.

        `max_trials`, or fewer if the space has fewer. A space that grows may have more than are
        known.
        """
        if self._num_points is not None:
            return self._num_points
        if self.first_grown is not None:
            return max(len(self.trials), self.max_trials or 0)
        number = 0
        while self.max_trials is None or number < self.max_trials:
            if self.values_of(number) is None:
                break
            number += 1
        return max(number, len(self.trials))

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's form of `values_of`."""
        values = self.values_of(int(trial_id))
        if values is None:
            return {"status": TrialStatus.STOPPED, "values": None}
        return {"status": TrialStatus.RUNNING, "values": values}

    def next_number(self) -> int:
        """The number of the trial that `create_trial` gives next, if there is one."""
        return int(self._retry_queue[0]) if self._retry_queue else len(self.trials)

    def is_ready(self) -> bool:
        """Whether all trials have ended whose results the next proposal needs."""
        return True

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial to run: an interrupted one, else a new one, else `STOPPED`."""
        with self._mutex:
            if self._declared is None:
                self.freeze_space()
            if self._retry_queue:
                trial = self._again(self.trials[self._retry_queue.pop(0)])
            else:
                number = len(self.trials)
                full = self.max_trials is not None and number >= self.max_trials
                values = None if full else self.values_of(number)
                if values is None:
                    if not full:
                        self._num_points = number
                    return Trial(self.get_space(), trial_id(number), TrialStatus.STOPPED)
                trial = self.new_trial(number, values)
                self.start_order.append(trial.trial_id)
            self._remember(trial)
            self.trials[trial.trial_id] = trial
            self.ongoing_trials[tuner_id] = trial
            self._save_trial(trial)
            self.save()
            return trial

    def new_trial(self, number: int, values: Values) -> Trial:
        """A trial that has not run, with its values completed."""
        hyperparameters = AskedHyperParameters.of(self.declared, values, self.rule_of(number))
        if self._build is not None:
            self._build(number, hyperparameters)
            self.update_space(hyperparameters)
        trial = Trial(hyperparameters, trial_id(number), TrialStatus.RUNNING)
        begin_with(trial, hyperparameters.values)
        return trial

    def note_asked(self, trial: Trial, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Record what a model asked for while its trial is trained, before its results are kept.

        Args:
            trial: the trial.
            hyperparameters: those that the trial's code was given; a copy of the trial's, or these.

        Raises:
            SpaceError: as `update_space`.
        """
        with self._mutex:
            recorded = trial.hyperparameters
            new = missing_from(recorded, hyperparameters.space)
            values = {
                name: value
                for name, value in hyperparameters.values.items()
                if name not in recorded.values
            }
            self.update_space(hyperparameters)
            if new or values:
                recorded.values |= values
                recorded.merge(new, overwrite=False)
                self._save_trial(trial)

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """Record the metrics of a trial; those of an earlier run of it are replaced."""
        with self._mutex:
            trial = self.trials[trial_id]
            self._check_objective_found(metrics)
            for name, value in metrics.items():
                if trial.metrics.exists(name):
                    trial.metrics.metrics.pop(name)
                parts = (self.objective, *objectives_of(self.objective))
                directions = {part.name: part.direction for part in parts}
                trial.metrics.register(name, direction=directions.get(name, "min"))
                trial.metrics.update(name, value, step=step)
            return trial

    def end_trial(self, trial: Trial) -> None:
        """Close a trial: `COMPLETED`, or `FAILED` or `PRUNED` with the reason as its message.

        An `INVALID` one runs again `max_retries_per_trial` times before it has failed.
        """
        with self._mutex:
            kept = self.trials[trial.trial_id]
            kept.status, kept.message = trial.status, trial.message
            kept.traceback = getattr(trial, "traceback", None)
            kept.hyperparameters = trial.hyperparameters
            self.update_space(trial.hyperparameters)
            if kept.status == TrialStatus.COMPLETED:
                self.score_trial(kept)
            else:
                kept.score = None
            if kept.status == TrialStatus.INVALID:
                self._end_invalid(kept)
            if kept.status != TrialStatus.RUNNING:
                self.end_order.append(kept.trial_id)
            self.ongoing_trials = {
                tuner_id: ongoing
                for tuner_id, ongoing in self.ongoing_trials.items()
                if ongoing.trial_id != kept.trial_id
            }
            self._save_trial(kept)
            self.save()

    def may_run_again(self, trial: Trial) -> bool:
        """Whether a trial that fails now runs again; see `max_retries_per_trial`."""
        return bool(self._run_times[trial.trial_id] < self.max_retries_per_trial)

    def retry(self, trials: list[Trial]) -> None:
        """Let trials run again that have failed."""
        with self._mutex:
            for trial in trials:
                blank = again_from_start(trial)
                self.trials[trial.trial_id] = blank
                self._retry_queue.append(trial.trial_id)
                self._save_trial(blank)
            self._retry_queue.sort(key=int)
            retried = {trial.trial_id for trial in trials}
            self.end_order = [name for name in self.end_order if name not in retried]
            self.save()

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best completed trials, best first; failed and running trials are left out."""
        completed = [
            trial for trial in self.trials.values() if trial.status == TrialStatus.COMPLETED
        ]
        order = mean_ranks(
            [
                (part.direction, [self._value_of(trial, part.name) for trial in completed])
                for part in objectives_of(self.objective)
            ]
        ).argsort(kind="stable")
        return [completed[position] for position in order[:num_trials]]

    def _value_of(self, trial: Trial, name: str) -> float:
        """A completed trial's value of an objective."""
        is_score = name == self.objective.name
        return float(trial.score if is_score else trial.metrics.get_last_value(name))

    def adopt(self, trials: list[Trial]) -> None:
        """Load the trials of a project folder; those that were running will run again."""
        with self._mutex:
            self.trials = {trial.trial_id: trial for trial in trials}
            self.start_order = list(self.trials)
            ended = (TrialStatus.COMPLETED, TrialStatus.FAILED, PRUNED)
            self.end_order = [t.trial_id for t in trials if t.status in ended]
            self._retry_queue = [t.trial_id for t in trials if t.status not in ended]
            self.ongoing_trials = {}
            self._num_points = None
            for trial in trials:
                self.adopt_one(trial)

    def adopt_one(self, trial: Trial) -> None:
        """Load a further trial, whose number follows those that are loaded."""
        self.trials[trial.trial_id] = trial
        self._run_times[trial.trial_id] = getattr(trial, "failed_runs", 0)
        if self.tune_new_entries and self._declared is not None:
            # What was declared differently is reported once a search begins.
            self.hyperparameters.merge(
                missing_from(self.hyperparameters, trial.hyperparameters.space)
            )
        self._remember(trial)

    def save(self) -> None:
        """Write `oracle.json`, from which KerasTuner's own tools reload the project."""
        state = self.get_state() | {"tried_so_far": sorted(self._tried_so_far)}
        write_json(Path(self._get_oracle_fname()), plain(state))

    def reload(self) -> None:
        """Do nothing: the tuner loads the trials itself."""

    def _save_trial(self, trial: Trial) -> None:
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        traceback = getattr(trial, "traceback", None)
        state = trial.get_state() | ({} if traceback is None else {"traceback": traceback})
        if late := asked_late(trial):
            state["asked_late"] = late
        if self._run_times[trial.trial_id] and trial.status == TrialStatus.RUNNING:
            state["failed_runs"] = self._run_times[trial.trial_id]
        write_json(path, plain(state))

    def _remember(self, trial: Trial) -> None:
        # Not `_record_values`: it drops a value that has the same name as an inactive one.
        digest = self._compute_values_hash(trial.hyperparameters.values)
        self._tried_so_far.add(digest)
        self._id_to_hash[trial.trial_id] = digest

    def _again(self, trial: Trial) -> Trial:
        """A trial that runs again: with its values, and with what mended code may ask for."""
        number = int(trial.trial_id)
        late = {name: trial.hyperparameters.values[name] for name in asked_late(trial)}
        again = self.new_trial(number, begun_values(trial))
        again.hyperparameters.values |= late
        hyperparameters = again.hyperparameters
        hyperparameters.merge(
            missing_from(hyperparameters, trial.hyperparameters.space), overwrite=False
        )
        return again

    def _end_invalid(self, trial: Trial) -> None:
        """Let an invalid trial run again, or fail."""
        runs_again = self.may_run_again(trial)
        self._run_times[trial.trial_id] += 1
        trial.status = TrialStatus.RUNNING if runs_again else TrialStatus.FAILED
        if runs_again:
            self._retry_queue.insert(0, trial.trial_id)


def trial_id(number: int) -> str:
    """The id of a trial, by its number from 0."""
    return f"{number:0{TRIAL_ID_WIDTH}d}"


def require_count(number: Any, name: str, what: str) -> int:
    """A number of trials.

    Raises:
        SpaceError: where it is not an integer from 1.
    """
    is_integer = isinstance(number, numbers.Integral) and not isinstance(number, bool)
    if not is_integer or int(number) < 1:
        raise SpaceError(f"{name}={number!r}; {what} needs an integer from 1")
    return int(number)
