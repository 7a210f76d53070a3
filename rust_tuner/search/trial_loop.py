"""The loop over the trials of a search: each is run, reported and recorded, until none is left.

What fails a trial belongs to `failures`, which trial is next to the oracle.
"""

import math
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import SearchError, TrialError
from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.progress import Progress, Task
from rust_tuner.records.trials import PRUNED
from rust_tuner.search.executors.ahead import TrialsAhead
from rust_tuner.search.failures import (
    failed_in_a_row,
    fails_the_trial,
    first_mistakes,
    message_of,
    traceback_of,
)
from rust_tuner.search.fit_options import Deadline
from rust_tuner.search.manifest import grown_space
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.own_tuner import metrics_of, reported_metrics
from rust_tuner.search.run_state import CountedSteps, Run


class TrialLoop:
    """Runs the trials of one search, one after another."""

    def __init__(
        self,
        tuner: keras_tuner.Tuner,
        run: Run,
        progress: Progress,
        *,
        timeout: float | None = None,
        ahead: TrialsAhead | None = None,
    ) -> None:
        """Run the trials that the tuner's oracle proposes.

        Args:
            tuner: its `run_trial` and hooks are called, as in KerasTuner.
            run: what `search` passes to its trials.
            progress: where to report.
            timeout: seconds after which no further trial begins.
            ahead: the workers that train them; None for this process.
        """
        self._tuner = tuner
        self._oracle: ResumableOracle = tuner.oracle
        self._run = run
        self._progress = progress
        self._total = 0
        self._deadline = Deadline(timeout)
        self._ahead = ahead

    def run_trials(self) -> None:
        """Run trials until the oracle has no more.

        Raises:
            TimeBudgetError: where a time budget is set and spent before the last trial.
            SearchError: where so many trials failed one after another as the oracle allows.
            Exception: what the first trials failed with, where that is a mistake in the code.
        """
        run, oracle, tuner = self._run, self._oracle, self._tuner
        folds = len(run.subject.folds)
        per_trial = run.epochs * folds
        open_trials = sum(t.status == TrialStatus.RUNNING for t in oracle.trials.values())
        done = len(oracle.trials) - open_trials
        self._total = oracle.num_trials()
        with self._progress.task(
            tuner.project_name, self._total * per_trial, done=done * per_trial
        ) as task:
            length = "" if run.manifest.epochs_hyperparameter else f" x {run.epochs} epochs"
            task.advance(0, note=f"trials of {folds} folds{length}")
            if self._ahead is not None:
                self._ahead.begin(task, per_trial=per_trial)
            tuner.on_search_begin()
            self._progress.recorded(run.folder)
            self._retry_first_mistakes()
            while True:
                ended = sum(t.status != TrialStatus.RUNNING for t in oracle.trials.values())
                if ended < self._total:
                    end_if_time_is_up()
                    if self._deadline.is_over(self._progress.say):
                        break
                trial = (
                    oracle.create_trial(tuner.tuner_id)
                    if self._ahead is None
                    else self._ahead.next_trial()
                )
                if trial.status == TrialStatus.STOPPED:
                    if self._total != len(oracle.trials):
                        self._revise(task, len(oracle.trials))
                    break
                if oracle.first_grown is not None:
                    self._revise(task, oracle.num_trials())
                tuner.on_trial_begin(trial)
                self._progress.recorded(run.folder, trial.trial_id)
                epochs = run.epochs_of(trial) * folds
                steps = run.task = (
                    CountedSteps(task, planned=per_trial, own=epochs)
                    if self._ahead is None
                    else self._ahead.steps_of(trial)
                )
                error = self._attempt(trial, task, steps)
                tuner.on_trial_end(trial)
                # Epochs that a failed trial left out, or an earlier run trained, count as done.
                task.skip((0 if self._runs_again(trial) else per_trial) - steps.taken)
                note_recorded_work()
                self._deadline.has_worked = True
                if error is not None and not self._runs_again(trial):
                    self._end_after_failures(error)
                if oracle.first_grown is not None:
                    self._revise(task, oracle.num_trials())
            tuner.on_search_end()

    def _ended_trials(self) -> list[Trial]:
        trials = self._oracle.in_order()
        return [trial for trial in trials if trial.status != TrialStatus.RUNNING]

    def _revise(self, task: Task, num_trials: int) -> None:
        """Record how far the space has grown, and how many trials the search will have."""
        if num_trials != self._total:
            self._total = num_trials
            task.expect(num_trials * self._run.epochs * len(self._run.subject.folds))
        grown = grown_space(self._oracle)
        self._run.record(num_trials=num_trials, **({"grown_space": grown} if grown else {}))

    def _runs_again(self, trial: Trial) -> bool:
        return bool(self._oracle.trials[trial.trial_id].status == TrialStatus.RUNNING)

    def _attempt(self, trial: Trial, task: Task, steps: CountedSteps) -> Exception | None:
        """Run a trial; an error that fails it becomes its status and message, and is returned."""
        run = self._run
        try:
            if self._ahead is not None:
                self._ahead.wait_for(trial)
                steps.advance_to_end()
            results = self._tuner.run_trial(trial, *run.arguments, **run.options)
            score = self._report(trial, results)
        except Exception as error:
            if not fails_the_trial(error):
                raise
            # As in KerasTuner, an error other than this one may be tried again.
            declared = isinstance(error, keras_tuner.errors.FailedTrialError)
            trial.status = TrialStatus.FAILED if declared else TrialStatus.INVALID
            trial.message = message_of(error)
            trial.traceback = traceback_of(error)
            again = not declared and self._oracle.may_run_again(trial)
            verb = "runs again after" if again else "failed:"
            self._progress.say(f"trial {trial.trial_id} {verb} {trial.message}")
            return error
        reason = run.pruned.get(trial.trial_id)
        if reason is not None:
            trial.status, trial.message = PRUNED, reason
            task.advance(0, note=f"trial {trial.trial_id} stopped")
            return None
        trial.status = TrialStatus.COMPLETED
        name = self._oracle.objective.name
        task.advance(0, note=f"trial {trial.trial_id} {name} {score:.4f}")
        return None

    def _report(self, trial: Trial, results: Any) -> float:
        """Tell the oracle what `run_trial` returned, as KerasTuner does; returns the score."""
        name = self._oracle.objective.name
        reported = self._oracle.get_trial(trial.trial_id).metrics
        if results is not None or not reported.exists(name):
            metrics, epoch = metrics_of(results, self._oracle.objective)
            metrics = reported_metrics(metrics, self._oracle.objective)
            epoch = self._run.chosen.get(trial.trial_id, epoch)
            self._oracle.update_trial(trial.trial_id, metrics, step=epoch)
        score = float(reported.get_last_value(name))
        if not math.isfinite(score):
            raise TrialError(f"trial {trial.trial_id}: run_trial returned {name} = {score}")
        return score

    def _retry_first_mistakes(self) -> None:
        if self._oracle.max_consecutive_failed_trials is None:
            trials = self._ended_trials()
            self._retry(first_mistakes(trials, self._total))

    def _retry(self, mistakes: list[Trial]) -> None:
        """Let trials run again; folds that the mistaken code trained are not kept.

        Nor those of trials that had been sent to other workers meanwhile.
        """
        if mistakes:
            begun = [t for t in self._oracle.in_order() if t.status == TrialStatus.RUNNING]
            for trial in (*mistakes, *begun):
                self._run.store_of(trial).discard()
        self._oracle.retry(mistakes)

    def _end_after_failures(self, error: Exception) -> None:
        """End the search where its failures show a mistake, or exceed their limit."""
        trials = self._ended_trials()
        limit = self._oracle.max_consecutive_failed_trials
        if limit is not None:
            if failed_in_a_row(trials) >= limit:
                raise SearchError(
                    f"{limit} trials failed one after another, which is the oracle's "
                    f"max_consecutive_failed_trials; the last with {message_of(error)}"
                ) from error
        elif mistakes := first_mistakes(trials, self._total):
            # They run again once the code is mended.
            if self._ahead is not None:
                self._ahead.end()
            self._retry(mistakes)
            which = f"first {len(mistakes)} trials" if len(mistakes) > 1 else "first trial"
            error.add_note(
                f"The {which} of {self._run.folder} failed with this error. Mend the code and run "
                "the search again. If the values are at fault, raise "
                "keras_tuner.errors.FailedTrialError for them in build, or give the oracle "
                "max_consecutive_failed_trials."
            )
            raise error
