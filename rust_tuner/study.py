"""`Study`: the steps from a manifest to the report, in order, in one directory.

Each step is idempotent; run it again to resume.

The steps themselves belong to other rooms; refusing changes to a prepared study belongs to
`records.study`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rust_tuner.analysis.export import best_hyperparameters
from rust_tuner.batch_range import BatchSizes
from rust_tuner.data.folds import Folds, rows_trained_on
from rust_tuner.data.splits import Development
from rust_tuner.errors import ResumeError, SearchError, TimeBudgetError
from rust_tuner.files import remove_leftovers
from rust_tuner.locks import hold_lock
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import BASELINES_FOLDER, RADIMAGENET, baseline_results
from rust_tuner.records.begun import fixed_by_regime_2, is_begun, notes_on_choices
from rust_tuner.records.best import write_best
from rust_tuner.records.checks import CHECKS, CheckRecord
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.looks import FINAL, MODEL_FILE, require_reason
from rust_tuner.records.model_card import how_to_make
from rust_tuner.records.nested import NESTED, NestedSummary, read_nested
from rust_tuner.records.noise import NOISE, NoiseFloor, begun_repeats
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE, run_if_whole
from rust_tuner.records.weights_path import as_noted
from rust_tuner.steps.notes import begin_step, note_begun, note_checks
from rust_tuner.steps.small_data import need_of_final
from rust_tuner.steps.study_weights import find_radimagenet, find_study_weights
from rust_tuner.study_data import StudyData

if TYPE_CHECKING:
    from rust_tuner.search.tuner import CrossValidationTuner


class Study(StudyData):
    """A study in a directory, with one method for each step."""

    def baselines(
        self, models: Sequence[str] | None = None, radimagenet_weights: str | Path | None = None
    ) -> pd.DataFrame:
        """Train the first models; prepares the study first. See `search.baselines.run_baselines`.

        Args:
            models: some of `search.baselines.BASELINES`; all that are available if None.
            radimagenet_weights: the file of RadImageNet's InceptionV3 without top; its model is
                left out if None.

        Returns:
            One row per model, including chance and the view-only baseline.
        """
        protocol = self.protocol_of(BASELINES_FOLDER)
        development, folds = self._development_and_folds(protocol.baseline_folds)
        # ImageNet's weights are downloaded only for the model that uses them.
        weights = find_study_weights(self._file, protocol, download=False)
        given = find_radimagenet(self._file, radimagenet_weights)
        with hold_lock(self.directory, "the run of the baselines", noted=True):
            # The import of TensorFlow takes seconds, in which the study is in use.
            from rust_tuner.search.baselines import run_baselines

            more = {} if given is None else {RADIMAGENET: as_noted(self._file.record, given)}
            begin_step(self._file, BASELINES_FOLDER, protocol, weights, **more)
            self._file.keep_weights_path(given)
            run_baselines(
                development,
                self.directory,
                models=models,
                radimagenet_weights=None if given is None else given.path,
                **self._search_arguments(protocol, folds),
            )
            note_begun(self._file, BASELINES_FOLDER, protocol, weights, **more)
        return baseline_results(self.directory)

    def regime_1(self) -> "CrossValidationTuner":
        """Run Regime I; prepares the study first. See `search.regimes.regime_1`."""
        protocol = self.protocol_of(REGIME_1)
        development, folds = self._development_and_folds(protocol.num_folds)
        weights = find_study_weights(self._file, protocol)
        with hold_lock(self.directory, "Regime I", noted=True):
            self._say_size(REGIME_1, protocol, development, folds)
            # The import of TensorFlow takes seconds, in which the study is in use.
            from rust_tuner.search.regimes import regime_1

            begin_step(self._file, REGIME_1, protocol, weights)
            sizes = self._batch_sizes(protocol, development, folds)
            with self._recording(REGIME_1):
                tuner = regime_1(
                    development,
                    self.directory,
                    **self._search_arguments(protocol, folds),
                    workers=self._workers,
                    say_batch_sizes=sizes != self._batch_sizes_reported,
                )
            self._file.update(batch_sizes=sizes.to_json())
            note_begun(self._file, REGIME_1, protocol, weights)
        return tuner

    def regime_2(
        self, batch_size: int | None = None, dropout_rate: float | None = None
    ) -> "CrossValidationTuner":
        """Run Regime II; prepares the study first. See `search.regimes.regime_2`.

        Args:
            batch_size: of all trials. If None, the one it was begun with, else Regime I's best.
            dropout_rate: of all trials. If None, the one it was begun with, else Regime I's best.
        """
        # Only given values are recorded: otherwise Regime I's best is looked up again.
        asked: dict[str, int | float | None] = {
            "batch_size": batch_size,
            "dropout_rate": dropout_rate,
        }
        if self._file.is_there:
            # A resumed search keeps the values that it was begun with.
            note = self._file.begun(REGIME_2)
            if note is not None:
                asked = {
                    "batch_size": note.batch_size if batch_size is None else batch_size,
                    "dropout_rate": note.dropout_rate if dropout_rate is None else dropout_rate,
                }
            fixed = fixed_by_regime_2(self._file)
            batch_size = fixed[0] if batch_size is None else batch_size
            dropout_rate = fixed[1] if dropout_rate is None else dropout_rate
        given = batch_size is not None and dropout_rate is not None
        if not given and not (self.directory / REGIME_1 / RUN_FILE).is_file():
            raise SearchError(
                f"{self.directory}: Regime I has not been run here; run it first, or give batch "
                "size and dropout rate"
            )
        protocol = self.protocol_of(REGIME_2)
        development, folds = self._development_and_folds(protocol.num_folds)
        weights = find_study_weights(self._file, protocol)
        values: dict[str, Any] = {"batch_size": batch_size, "dropout_rate": dropout_rate}
        with hold_lock(self.directory, "Regime II", noted=True):
            self._say_size(REGIME_2, protocol, development, folds)
            # The import of TensorFlow takes seconds, in which the study is in use.
            from rust_tuner.search.regimes import regime_2
            from rust_tuner.steps.refit import require_own_search

            if not given:
                require_own_search(read_project(self.directory / REGIME_1), development)
            begin_step(self._file, REGIME_2, protocol, weights, **asked)
            arguments = self._search_arguments(protocol, folds)
            with self._recording(REGIME_2):
                tuner = regime_2(
                    development, self.directory, **values, **arguments, workers=self._workers
                )
            note_begun(self._file, REGIME_2, protocol, weights, **asked)
        return tuner

    def nested(self) -> NestedSummary:
        """Run nested cross-validation; prepares the study first.

        It does not need the study's searches: both are run inside each outer fold. See
        `steps.nested.nested_cross_validation`.

        Returns:
            The content of `nested/summary.json`: selection score, estimate, and their gap.
        """
        protocol = self.protocol_of(NESTED)
        development, folds = self._development_and_folds(protocol.outer_folds, outer=True)
        weights = find_study_weights(self._file, protocol)
        with hold_lock(self.directory, "nested cross-validation", noted=True):
            self._say_size(NESTED, protocol, development, folds)
            # The import of TensorFlow takes seconds, in which the study is in use.
            from rust_tuner.steps.nested import nested_cross_validation

            begin_step(self._file, NESTED, protocol, weights)
            summary = nested_cross_validation(
                development, self.directory, **self._search_arguments(protocol, folds)
            )
            note_begun(self._file, NESTED, protocol, weights)
            run = read_nested(self.directory / NESTED).run
            self._file.record_weights(run.subject.weights, protocol.weights)
        return summary

    def noise(self, repeats: int | None = None) -> NoiseFloor:
        """Repeat the best configuration of a search. See `steps.noise.measure_noise`.

        Args:
            repeats: how many with other seeds, and how many with other assignments to folds. If
                None, as many as were begun, or 10.
        """
        from rust_tuner.steps.noise import best_project, measure_noise
        from rust_tuner.steps.refit import require_own_search

        source = best_project(self.directory)
        num_folds = source.run.subject.num_folds
        protocol = self.protocol_of(NOISE)
        count = self.begun_repeats() if repeats is None else repeats
        development, folds = self._development_and_folds(num_folds)
        weights = find_study_weights(self._file, protocol)
        with hold_lock(self.directory, "the noise floor", noted=True):
            require_own_search(source, development)
            begin_step(self._file, NOISE, protocol, weights, repeats=count)
            floor = measure_noise(
                development,
                self.directory,
                repeats=count,
                **self._search_arguments(protocol, folds),
            )
            note_begun(self._file, NOISE, protocol, weights, repeats=count)
        return floor

    def begun_repeats(self) -> int:
        """How many repeats of each kind the noise floor was begun with, or the default number."""
        begun = self._file.begun(NOISE) if self._file.is_there else None
        # The step's own record is newer: more repeats may have been requested.
        if is_begun(self.directory, NOISE) or begun is None:
            return begun_repeats(self.directory)
        return begun.repeats or begun_repeats(self.directory)

    def final(self, look_again: str | None = None) -> Holdout:
        """Cross-validate the tuned model, refit it on all development data and evaluate it once.

        The hold-out set is looked at once. The look is recorded in `study.json` before a sealed
        image is read; an interrupted look is resumed with the same model.

        Args:
            look_again: the reason for another look at the hold-out set; it is recorded, and the
                number of looks is shown wherever the figures are. None returns the last result.

        Returns:
            The content of `final/holdout.json`; a second call reads it and computes nothing.

        Raises:
            ProtocolError: for an empty reason, or one if there was no look yet.
            SearchError: if Regime II is missing, or a search is not finished.
            ResumeError: if the hold-out set was looked at, and the result is missing or belongs
                to another model.
        """
        from rust_tuner.steps.final import cross_validate_final, fit_final_model
        from rust_tuner.steps.holdout import evaluate_holdout, known_evaluation
        from rust_tuner.steps.refit import require_own_search, tuned_values

        reason = None if look_again is None else require_reason(look_again)
        seen = known_evaluation(self.directory, reason=reason)
        if seen is not None:
            for note in notes_on_choices(self._file, FINAL, self.protocol_of(FINAL)):
                self.progress.say(note)
            model = self.directory / FINAL / MODEL_FILE
            if not model.is_file():
                self.progress.say(f"WARNING: {model} does not exist; {how_to_make(model)}")
            return seen
        if not (self.directory / REGIME_2 / RUN_FILE).is_file():
            raise SearchError(f"{self.directory}: {REGIME_2} has not been run; run it first")
        values = tuned_values(read_project(self.directory / REGIME_2))
        if (self.directory / REGIME_1 / RUN_FILE).is_file():
            first = tuned_values(read_project(self.directory / REGIME_1))
            for name in ("batch_size", "dropout_rate"):
                if values[name] != first[name]:
                    self.progress.say(
                        f"note: Regime II was run with {name}={values[name]}, but Regime I's best "
                        f"is {first[name]}; the final model uses that of Regime II"
                    )
        protocol = self.protocol_of(FINAL)
        development, holdout = self._split([need_of_final(protocol)])
        folds = self._folds(development, protocol.final_folds)
        weights = find_study_weights(self._file, protocol)
        shared = self._search_arguments(protocol, folds)
        folds = shared.pop("folds")
        with hold_lock(self.directory, "the final model", noted=True):
            for name in (REGIME_1, REGIME_2):
                if (self.directory / name / RUN_FILE).is_file():
                    require_own_search(read_project(self.directory / name), development)
            remove_leftovers(self.directory / FINAL)
            begin_step(self._file, FINAL, protocol, weights)
            project = cross_validate_final(
                development, self.directory, values, folds=folds, **shared
            )
            best = project.best
            if best is None or best.epoch is None:
                failure = project.trials[0].message if project.trials else "no trial"
                raise SearchError(
                    f"{project.folder}: the tuned configuration failed ({failure}); delete that "
                    "folder to try it again"
                )
            note_begun(self._file, FINAL, protocol, weights)
            fit_final_model(
                development,
                self.directory,
                values,
                epochs=best.epoch + 1,
                look_again=reason is not None,
                **shared,
            )
            return evaluate_holdout(
                self.directory,
                development,
                holdout,
                epoch=best.epoch,
                protocol=protocol,
                look_again=reason,
                progress=self.progress,
            )

    def check(self, permutations: int | None = None) -> CheckRecord:
        """Run checks for leakage and sanity checks; see `steps.checks.run.run_checks`.

        Args:
            permutations: how often labels are shuffled. If None, as often as when the checks were
                begun, or 10 times.

        Returns:
            The verdict of each check, as in `checks.json`.

        Raises:
            ResumeError: if the study has not been prepared.
        """
        from rust_tuner.steps.checks.run import run_checks
        from rust_tuner.steps.checks.shuffled_labels import DEFAULT_PERMUTATIONS

        if not self._file.is_there:
            raise ResumeError(
                f"{self.directory} has not been prepared; run `rust-tuner prepare` first"
            )
        protocol = self.protocol_of(CHECKS)
        note = self._file.begun(CHECKS)
        begun = None if note is None else note.permutations
        if permutations is None:
            permutations = DEFAULT_PERMUTATIONS if begun is None else begun
        if begun != permutations:
            note_checks(self._file, protocol, permutations=permutations, progress=self.progress)
        return run_checks(
            self.directory,
            self._known_manifest(),
            self._file.record,
            protocol=protocol,
            permutations=permutations,
            cache=self.cache,
            progress=self.progress,
        )

    def report(self) -> Path:
        """Write tables, figures and the HTML report of all results so far; returns its path."""
        from rust_tuner.report.html import write_report

        return write_report(self.directory)

    def _search_arguments(self, protocol: Protocol, folds: Folds) -> dict[str, Any]:
        return {
            "protocol": protocol,
            "folds": folds,
            "cache": self.cache,
            "progress": self.progress,
        }

    def _batch_sizes(
        self, protocol: Protocol, development: Development, folds: Folds
    ) -> BatchSizes:
        """The batch sizes that Regime I draws; as it was begun, if it is resumed."""
        from rust_tuner.search.regimes import as_begun

        protocol = as_begun(protocol, run_if_whole(self.directory / REGIME_1))
        return protocol.batch_sizes(rows_trained_on(development, protocol, folds))

    @contextlib.contextmanager
    def _recording(self, regime: str) -> Iterator[None]:
        """Record the best trial after a search, finished or ended by its time budget."""
        try:
            yield
        except TimeBudgetError:
            folder = self.directory / regime
            if (folder / RUN_FILE).is_file() and read_project(folder).best is not None:
                self._record(regime)
            raise
        self._record(regime)

    def _record(self, regime: str) -> None:
        """Record the best trial so far, and the weights that were used."""
        project = read_project(self.directory / regime)
        used = project.run.subject.weights
        assert used is not None
        self._file.record_weights(used, used.asked)
        if regime == REGIME_1 and run_if_whole(self.directory / REGIME_2) is not None:
            later = read_project(self.directory / REGIME_2)
            if later.problems:
                # After a kill: Regime II repairs them when run again, and records its best.
                return
            if later.best is not None:
                regime, project = REGIME_2, later
        write_best(self.directory, best_hyperparameters(project), regime=regime)
