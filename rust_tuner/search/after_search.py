"""What `CrossValidationTuner` gives after a search: tables, the best trial, predictions, models."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import pandas as pd
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.records.cv_results import cv_results
from rust_tuner.records.kept_models import kept_files
from rust_tuner.records.printed_table import PrintedTable
from rust_tuner.records.project import (
    Project,
    read_out_of_fold,
    read_out_of_fold_repeats,
    read_outputs,
    read_project,
)
from rust_tuner.records.summary_text import summary_text
from rust_tuner.records.trial_tables import history_table, results_table
from rust_tuner.records.trials import TrialRecord
from rust_tuner.search.kept_models import read_models, write_models
from rust_tuner.search.refit import ensemble_of, refit, train_fold_models
from rust_tuner.search.run_state import Run

if TYPE_CHECKING:
    from rust_tuner.progress import Progress
    from rust_tuner.search.oracles import ResumableOracle

_NO_SEARCH = (
    "models are trained on the data of the search; call search first, with the same arguments: a "
    "finished search trains nothing"
)


class AfterSearch:
    """The part of the tuner that is used after `search`.

    A trial is named as in the results, such as `0003`; None means the best trial.
    """

    oracle: "ResumableOracle"
    progress: "Progress"
    project_dir: str
    # What prepares inputs for the model of the last `refit`, where the search has `preprocess`.
    prepare: Callable[[Any], Any] | None = None
    _run: Run

    @property
    def project_folder(self) -> Path:
        """The project folder."""
        return Path(self.project_dir)

    @property
    def project(self) -> Project:
        """What the project folder contains now."""
        return read_project(self.project_folder)

    def results(self) -> pd.DataFrame:
        """One row per trial, in the order of their ids.

        Returns:
            `rank`, `trial`, `score`, `score_std`, `tied_with_best`, the hyperparameters (those that
            the search varies first), `epoch`, `status`, `score_low`, `score_high`,
            `p_against_best`, each validation metric and its `_std`, `view_only_...` for
            radiographs, `folds_trained`, `steps_per_epoch`, `one_step`, `seconds` and `message`.
            Use names, not positions; `records.trial_tables.results_table` explains each. Printed,
            it shows as many of its first columns as fit, and names the others; a file written from
            it has all.
        """
        return PrintedTable(results_table(self.project))

    def history(self) -> pd.DataFrame:
        """Tidy table of every value; see `records.trial_tables.history_table`.

        Returns:
            The columns `trial, fold, epoch, split, metric, value`.
        """
        return history_table(self.project)

    def out_of_fold(self, trial: str | None = None, *, each: bool = False) -> Any:
        """Predictions of a completed trial at its chosen epoch, each by a fold without the row.

        Args:
            trial: its id, such as `0003`; the best trial where None.
            each: whether to return every prediction of a row, where several folds validate it.

        Returns:
            (n, ...) float32, the mean of a row's predictions; (repeats, n, ...) where `each`. NaN
            in rows that no fold validates. For a model with several outputs, a dict or list of
            these, as the model returns them.

        Raises:
            ResumeError: where the trial has none, or no trial is completed.
        """
        name = self._record_of(None).trial if trial is None else trial
        read = read_out_of_fold_repeats if each else read_out_of_fold
        predictions = read(self.project_folder, name)
        outputs = read_outputs(self.project_folder, name)
        return predictions if outputs is None else outputs.apart(predictions)

    def cv_results(self, *, return_train_score: bool = False) -> dict[str, Any]:
        """The results under the keys of scikit-learn's `cv_results_`.

        Args:
            return_train_score: whether to add the scores of the training rows.

        Returns:
            `params`, `param_NAME`, `split0_test_METRIC`, `mean_test_METRIC`, `std_test_METRIC`,
            `rank_test_METRIC`, the same named `score` for the objective, `mean_fit_time` and
            `std_fit_time`; see `records.cv_results.cv_results`.
        """
        return cv_results(self.project, return_train_score=return_train_score)

    @property
    def best_trial(self) -> str:
        """The name of the best trial, such as `0003`.

        Raises:
            ResumeError: where no trial is completed.
        """
        return self._record_of(None).trial

    @property
    def best_score(self) -> float:
        """The score of the best trial: the objective, averaged over the folds."""
        return float(self._record_of(None).score or 0.0)

    @property
    def best_epoch(self) -> int:
        """The epoch of the best trial's score, from 0."""
        return int(self._record_of(None).epoch or 0)

    @property
    def best_hyperparameters(self) -> keras_tuner.HyperParameters:
        """The hyperparameters of the best trial."""
        return self._trial_of(None).hyperparameters

    def results_summary(self, num_trials: int = 10) -> None:
        """Print the best trials with their spread over the folds, and which are tied.

        Args:
            num_trials: how many.
        """
        print(summary_text(self.project, num_trials))

    def refit(self, trial: str | None = None) -> keras.Model:
        """Train a model on all rows with the values of a trial.

        It is trained for as many epochs as the score of the trial has; where callbacks stopped the
        folds earlier, for the mean of their epochs, or of those whose weights `EarlyStopping`
        restored. Callbacks are applied, but those that monitor
        the validation side. With `preprocess`, it is fitted on all rows, and `prepare` of the
        tuner prepares new inputs for the model.

        Args:
            trial: its name; the best trial where None.

        Returns:
            The compiled model.

        Raises:
            SearchError: where `search` was not called in this process.
            ResumeError: where the trial is not completed.
        """
        model, self.prepare = refit(self._searched(), self._trial_of(trial))
        return model

    def fold_models(self, trial: str | None = None) -> list[keras.Model]:
        """The model of each fold, at the epoch of the trial's score.

        They are read from files where `keep_models` kept them, else trained again with the same
        seeds. With `preprocess=`, each takes inputs as its own fold prepared them.

        Args:
            trial: its name; the best trial where None.

        Raises:
            SearchError: where they were not kept, and `search` was not called in this process.
            ResumeError: where the trial is not completed.
        """
        record = self._trial_of(trial)
        files = kept_files(self.project_folder, record.trial_id, int(record.best_step))
        if files is not None:
            return read_models(files, getattr(self, "_run", None), record)
        return train_fold_models(self._searched(), record, say=self.progress.say)

    def ensemble(self, trial: str | None = None) -> keras.Model:
        """One model whose output is the mean of the outputs of `fold_models`.

        Args:
            trial: its name; the best trial where None.

        Raises:
            SearchError: as `fold_models`; or where the models do not show their inputs.
            ResumeError: where the trial is not completed.
        """
        run = getattr(self, "_run", None)
        if run is not None and run.subject.preparation is not None:
            raise SearchError(
                "each fold preprocessed its inputs by itself, so no model can take the same inputs "
                "for all folds; use refit, or put the preprocessing into the model"
            )
        return ensemble_of(self.fold_models(trial))

    def get_best_models(self, num_models: int = 1) -> list[keras.Model]:
        """The best trials' models, each trained on all rows; see `refit`."""
        best = self.oracle.get_best_trials(num_models)
        return [self.refit(trial.trial_id) for trial in best]

    def load_model(self, trial: Trial) -> keras.Model:
        """The model of a trial, trained on all rows; see `refit`."""
        return self.refit(trial.trial_id)

    def keep_best_models(self) -> None:
        """Keep the models of the best trial's folds in files; those of other trials are deleted."""
        best = self.project.best
        if best is None or not best.folds:
            return
        trial = self._trial_of(best.trial)
        if kept_files(self.project_folder, trial.trial_id, int(trial.best_step)) is None:
            models = train_fold_models(self._run, trial, say=self.progress.say)
            write_models(self.project_folder, trial.trial_id, int(trial.best_step), models)

    def _searched(self) -> Run:
        run: Run | None = getattr(self, "_run", None)
        if run is None:
            raise SearchError(_NO_SEARCH)
        return run

    def _record_of(self, trial: str | None) -> TrialRecord:
        """A completed trial, as its files record it."""
        project = self.project
        if trial is None:
            if project.best is None:
                raise ResumeError(f"{self.project_folder} has no completed trial yet")
            return project.best
        for record in project.trials:
            if record.trial == trial and record.score is not None:
                return record
        names = ", ".join(record.trial for record in project.trials if record.score is not None)
        raise ResumeError(
            f"{self.project_folder} has no completed trial {trial!r}; the completed trials are "
            f"{names or 'none'}"
        )

    def _trial_of(self, trial: str | None) -> Trial:
        record = self.oracle.trials.get(self._record_of(trial).trial)
        if record is None or record.status != TrialStatus.COMPLETED:
            raise ResumeError(f"{self.project_folder}: trial {trial} changed while it was read")
        return record
