"""`Study`: the steps from a manifest to the report, in order, in one directory.

Each step is idempotent; run it again to resume.

The steps themselves belong to other rooms; refusing changes to a prepared study belongs to
`records.study`.
"""

import contextlib
import dataclasses
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rust_tuner.analysis.export import best_hyperparameters
from rust_tuner.batch_range import BatchSizes
from rust_tuner.data.folds import Folds, make_site_folds, rows_trained_on
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.private_words import remember_private_words
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.split_file import (
    SPLIT_FILE,
    load_or_make_folds,
    load_or_make_site_folds,
    load_or_make_split,
)
from rust_tuner.data.splits import Development, HoldOut
from rust_tuner.errors import (
    ProtocolError,
    ResumeError,
    SearchError,
    TimeBudgetError,
)
from rust_tuner.files import remove_leftovers, sha256_of_file
from rust_tuner.locks import hold_lock
from rust_tuner.onednn import choose_onednn
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import BASELINES_FOLDER, RADIMAGENET, baseline_results
from rust_tuner.records.begun import begun_protocol, fixed_by_regime_2, is_begun
from rust_tuner.records.best import write_best
from rust_tuner.records.checks import CHECKS, CheckRecord
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.looks import FINAL, Look, require_reason, unrecorded_looks
from rust_tuner.records.nested import NESTED, NestedSummary, read_nested
from rust_tuner.records.noise import NOISE, NoiseFloor, begun_repeats
from rust_tuner.records.private import named
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE, run_if_whole
from rust_tuner.records.study import StudyFile, absolute_weights
from rust_tuner.records.weights_path import as_noted
from rust_tuner.search.executors.engines import require_engine
from rust_tuner.search.executors.workers import Workers
from rust_tuner.steps.notes import begin_step, note_begun, note_checks
from rust_tuner.steps.prepare import (
    begin_key,
    say_small_data,
    say_warnings,
    write_study_file,
)
from rust_tuner.steps.small_data import Need, need_of_search, needs_of_study, require_enough
from rust_tuner.steps.study_weights import find_radimagenet, find_study_weights

if TYPE_CHECKING:
    from rust_tuner.search.tuner import CrossValidationTuner


class Study:
    """A study in a directory."""

    def __init__(
        self,
        directory: str | Path,
        manifest: str | Path | None = None,
        protocol: Protocol | None = None,
        *,
        choices: Mapping[str, object] | None = None,
        cache: str | Path | None = None,
        progress: Progress | None = None,
        distinct_patients: bool = False,
        plain_ids: bool = False,
        workers: int | str | Workers | None = None,
    ) -> None:
        """Open a new or existing study; nothing is written yet.

        Args:
            directory: the study's folder.
            manifest: CSV file of the radiographs; not needed for a study that was prepared.
            protocol: all scientific choices. If None, those that the study was prepared with, or
                `Protocol.study()` for a new one; each step is then resumed with the choices that it
                was begun with.
            choices: fields of the protocol by name, which replace those of `protocol`.
            cache: folder of the feature cache, which studies share; the default one if None.
            progress: where to report; nowhere by default.
            distinct_patients: whether patient ids that read alike, such as `P1` and `p-001`, are
                known to be of different people; not needed for a study that was prepared with it.
            plain_ids: whether a new study writes patient ids, visits and image paths as they are
                in the manifest. Otherwise it writes keyed hashes, and the key and the manifest's
                path to its subfolder `private`; see the page on privacy.
            workers: how many processes of this machine run trials of the regimes, such as 2 or
                `local:2`; trials and scores are those of one process. None for this process.

        Raises:
            ResumeError: if the study was prepared with other choices.
            ProtocolError: for choices that are not fields of the protocol, or out of range.
        """
        self.directory = Path(directory)
        self.cache = cache
        self.progress = progress or Silent()
        self._distinct_patients = distinct_patients
        self._plain_ids = plain_ids
        self._workers = Workers.of(workers)
        require_engine(self._workers)
        self._file = StudyFile(self.directory)
        self._batch_sizes_reported: BatchSizes | None = None
        self._has_said_size = False
        # Done here, since each step begins with the import of TensorFlow.
        choose_onednn(self._file.begun_onednn if self._file.is_there else True)
        given = None if manifest is None else Path(manifest).resolve()
        self._choices = dict(choices or {})
        unknown = set(self._choices) - {field.name for field in dataclasses.fields(Protocol)}
        if unknown:
            raise ProtocolError(f"choices={min(unknown)!r}; expected fields of the protocol")
        self._is_chosen_whole = protocol is not None
        prepared = self._file.protocol if self._file.is_there else Protocol.study()
        # An absolute path is valid in any working folder.
        if protocol is not None:
            weights = absolute_weights(protocol.weights)
            protocol = dataclasses.replace(protocol, weights=weights)
        if "weights" in self._choices:
            self._choices["weights"] = absolute_weights(str(self._choices["weights"]))
        self.protocol = (protocol or prepared).with_choices(**self._choices)
        self._manifest = given
        if self._file.is_there:
            self._file.refuse_changes(self.protocol)
            self._file.refuse_plain_ids(plain_ids)

    def protocol_of(self, step: str) -> Protocol:
        """The choices of a step: those that are requested, else those that it was begun with.

        Args:
            step: the step's folder: `baselines`, `regime_1`, `regime_2`, `nested`, `noise`,
                `final` or `checks`.

        Raises:
            ResumeError: if `study.json` cannot be read.
            ProtocolError: if the requested choices do not fit those that it was begun with.
        """
        if self._is_chosen_whole or not self._file.is_there:
            return self.protocol
        self._file.read_again()
        begun = begun_protocol(self._file, step, self.protocol)
        return begun.with_choices(**self._choices)

    @property
    def looks(self) -> tuple[Look, ...]:
        """The looks at the hold-out set so far, in order.

        Raises:
            ResumeError: if their record in `study.json` cannot be read.
        """
        self._file.read_again()
        return self._file.looks if self._file.is_there else unrecorded_looks(self.directory)

    def count_radiographs(self) -> int:
        """How many radiographs the manifest has; nothing is written."""
        if self._file.is_there:
            return self._file.record.radiographs
        return len(self._load_radiographs())

    def radiographs(self) -> Radiographs:
        """The radiographs of the manifest; nothing is written.

        Raises:
            ResumeError: if the manifest of a prepared study does not exist any more.
        """
        self._require_manifest()
        return self._load_radiographs()

    def count_sites(self) -> int | None:
        """How many sites the folds leave out in turn; None if folds are by patient.

        Raises:
            SplitError: if no site can be left out.
        """
        if self.protocol.folds_by != "site":
            return None
        return len(make_site_folds(self._load_radiographs()))

    def prepare(self) -> Development:
        """Check manifest and pixels, seal the hold-out set, write `study.json`.

        Returns:
            The development set.

        Raises:
            ManifestError: with all faults of the manifest or of the images.
            SplitError: if the split cannot be made or was tampered with.
            WeightsError: if a file of weights is missing or not of an InceptionV3.
            ResumeError: if the manifest or an image changed since the study was prepared.
        """
        return self._split([need_of_search(self.protocol)])[0]

    def require_enough_patients(self, *, skip: Collection[str] = ()) -> None:
        """Check that the patients are enough for all steps of a study that is not prepared yet.

        Args:
            skip: steps that will not be run, of `final` and `baselines`.

        Raises:
            SplitError: with the numbers, and what to change.
        """
        if not self._file.is_there:
            needs = needs_of_study(self.protocol, skip=skip)
            require_enough(self._load_radiographs(), self.protocol, needs)

    def _split(self, needs: Sequence[Need] = ()) -> tuple[Development, HoldOut]:
        manifest = self._require_manifest()
        radiographs = self._load_radiographs()
        with hold_lock(self.directory, "preparing the study", noted=True):
            remove_leftovers(self.directory)
            if not self._file.is_there:
                self._file.read_again()
                if self._file.is_there:
                    self._file.refuse_changes(self.protocol)
                    self._file.refuse_plain_ids(self._plain_ids)
            if self._file.is_there:
                radiographs = self._file.named(radiographs)
                self._file.refuse_other_radiographs(radiographs, manifest)
                self._file.record_distinct_patients(radiographs)
                self._file.adopt_looks()
            else:
                key = begin_key(self._file, manifest, plain_ids=self._plain_ids)
                radiographs = named(radiographs, key)
                self._batch_sizes_reported = write_study_file(
                    self._file,
                    radiographs,
                    manifest=manifest,
                    protocol=self.protocol,
                    needs=needs,
                    progress=self.progress,
                    key=key,
                )
                self._has_said_size = True
                radiographs = self._file.read_as_recorded(radiographs)
        development, holdout = self._load_split(radiographs)
        self._file.refuse_other_development(development.radiographs, self.directory / SPLIT_FILE)
        return development, holdout

    def _require_manifest(self) -> Path:
        manifest = self._known_manifest()
        if self._file.is_there and manifest == self._file.manifest and not manifest.exists():
            folder = shlex.quote(str(self.directory))
            raise ResumeError(
                f"{self._file.manifest_in_words} which does not exist. If it was moved, give its "
                f"new path once: rust-tuner prepare {folder} --manifest M.csv, or "
                "Study(directory, manifest)"
            )
        return manifest

    def _load_radiographs(self) -> Radiographs:
        recorded = self._file.is_there and self._file.distinct_patients
        distinct = self._distinct_patients or recorded
        radiographs = load_manifest(
            self._known_manifest(),
            distinct_patients=distinct,
            view_cortices=self.protocol.view_cortices,
        )
        remember_private_words(
            radiographs.patient_ids,
            map(str, radiographs.images),
            visits=radiographs.table["visit"],
            manifest=str(self._known_manifest()),
        )
        if not self._file.is_there:
            return radiographs
        return self._file.read_as_recorded(self._file.named(radiographs))

    def _known_manifest(self) -> Path:
        # Whether another manifest has the same radiographs is checked once it is read.
        if self._manifest is None and self._file.is_there:
            return self._file.manifest
        if self._manifest is None:
            raise ResumeError(
                f"{self.directory} has not been prepared; give its manifest (--manifest M.csv)"
            )
        return self._manifest

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
        with hold_lock(self.directory, "the baselines", noted=True):
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
        development, folds = self._development_and_folds(protocol.outer_folds)
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

        num_folds = best_project(self.directory).run.subject.num_folds
        protocol = self.protocol_of(NOISE)
        count = self.begun_repeats() if repeats is None else repeats
        development, folds = self._development_and_folds(num_folds)
        weights = find_study_weights(self._file, protocol)
        with hold_lock(self.directory, "the noise floor", noted=True):
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
        from rust_tuner.steps.refit import tuned_values

        reason = None if look_again is None else require_reason(look_again)
        seen = known_evaluation(self.directory, reason=reason)
        if seen is not None:
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
        development, holdout = self._split()
        folds = self._folds(development, protocol.final_folds)
        weights = find_study_weights(self._file, protocol)
        shared = self._search_arguments(protocol, folds)
        folds = shared.pop("folds")
        with hold_lock(self.directory, "the final model", noted=True):
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

    def _development_and_folds(self, num_folds: int) -> tuple[Development, Folds]:
        # The folds of this step, which may be run with fewer than the searches have.
        need = Need("this step", num_folds, "take fewer folds (--folds {folds})")
        development, _ = self._split([need])
        return development, self._folds(development, num_folds)

    def _folds(self, development: Development, num_folds: int) -> Folds:
        split = self.directory / SPLIT_FILE
        with hold_lock(self.directory, "making folds"):
            before = sha256_of_file(split)
            if self.protocol.folds_by == "site":
                folds = load_or_make_site_folds(split, development, self.protocol.seed)
            else:
                folds = load_or_make_folds(split, development, num_folds, self.protocol.seed)
            is_new = sha256_of_file(split) != before
        # The warnings of folds that were made before were reported then.
        if is_new:
            say_warnings(self.progress, folds.warnings)
        return folds

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

    def _load_split(self, radiographs: Radiographs) -> tuple[Development, HoldOut]:
        protocol = self.protocol
        return load_or_make_split(
            self.directory / SPLIT_FILE, radiographs, protocol.holdout_fraction, protocol.seed
        )

    def _say_size(
        self, step: str, protocol: Protocol, development: Development, folds: Folds
    ) -> None:
        """Say what the data allow before a search begins, unless it was just said."""
        if self._has_said_size or is_begun(self.directory, step):
            return
        self._has_said_size = True
        _, holdout = self._load_split(self._load_radiographs())
        say_small_data(self.progress, development, holdout, protocol, folds)

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
