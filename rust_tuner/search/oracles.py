"""What KerasTuner's oracles lack: they are resumed from the records of their trials alone.

Only the trials themselves have to survive a crash: `oracle.json` is written for KerasTuner's own
tools and never read here. The space must be declared before the first trial. Files are written
atomically, and a trial that was running when a process died runs again under the same id. The
order of values belongs to each oracle, such as `random_search` and `grid_search`.
"""

import threading
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SpaceError
from rust_tuner.files import write_json
from rust_tuner.records.project import TRIAL_ID_WIDTH
from rust_tuner.records.trials import PRUNED
from rust_tuner.search.points import Values, plain, space_key


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
        self._frozen_space = space_key(self.hyperparameters)

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
        """Close a trial: `COMPLETED`, or `FAILED` or `PRUNED` with the reason as its message."""
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
            ended = (TrialStatus.COMPLETED, TrialStatus.FAILED, PRUNED)
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
