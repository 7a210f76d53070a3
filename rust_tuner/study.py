"""`Study`: the steps from a manifest to the report, in order, in one directory.

Each step is idempotent: run again, it goes on where it stopped.

It is long because all the steps stand here; what a step does is done by the rooms below, and what
a study refuses because it was prepared otherwise stands in `records.study`.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rust_tuner.analysis.export import best_hyperparameters
from rust_tuner.data.images import check_content
from rust_tuner.data.label_warnings import split_warnings
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.radiographs import Radiographs, check_views
from rust_tuner.data.split_file import (
    SPLIT_FILE,
    load_or_make_folds,
    load_or_make_site_folds,
    load_or_make_split,
)
from rust_tuner.data.splits import (
    Development,
    Folds,
    HoldOut,
    make_site_folds,
    rows_trained_on,
)
from rust_tuner.environment import choose_onednn, describe_machine
from rust_tuner.errors import ResumeError, RustTunerError, SearchError, SplitError
from rust_tuner.files import (
    hold_lock,
    read_json,
    remove_leftovers,
    sha256_of_file,
    write_json,
)
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import BatchSizes, Protocol
from rust_tuner.records.baselines import BASELINES_FOLDER, baseline_results
from rust_tuner.records.checks import CheckRecord
from rust_tuner.records.folder import FINAL
from rust_tuner.records.nested import NESTED, read_nested
from rust_tuner.records.noise import NOISE, NoiseFloor
from rust_tuner.records.project import REGIME_1, REGIME_2, RUN_FILE, read_project
from rust_tuner.records.study import STUDY_FILE, StudyFile

if TYPE_CHECKING:
    from rust_tuner.search.tuner import CrossValidationTuner

BEST_FILE = "best_hyperparameters.json"

_WARNINGS_SHOWN = 3


class Study:
    """A study in a directory."""

    def __init__(
        self,
        directory: str | Path,
        manifest: str | Path | None = None,
        protocol: Protocol | None = None,
        *,
        cache: str | Path | None = None,
        progress: Progress | None = None,
        distinct_patients: bool = False,
    ) -> None:
        """Open a study, new or begun; nothing is written yet.

        Args:
            directory: the study's folder.
            manifest: CSV of the radiographs; a study that was prepared knows it.
            protocol: the scientific choices; those the study was prepared with, or
                `Protocol.study()` for a new one, where None.
            cache: folder of the feature cache, which studies share; the default one where None.
            progress: where to report; nowhere by default.
            distinct_patients: whether patient ids that read alike, such as `P1` and `p-001`, are
                known to be of different people; a study that was prepared so knows it.

        Raises:
            ResumeError: where the study was prepared with other choices.
        """
        self.directory = Path(directory)
        self.cache = cache
        self.progress = progress or Silent()
        self._distinct_patients = distinct_patients
        self._file = StudyFile(self.directory)
        self._batch_sizes_told: BatchSizes | None = None
        # Here, since each step begins with the import of TensorFlow.
        choose_onednn(self._file.begun_onednn if self._file.is_there else True)
        given = None if manifest is None else Path(manifest).resolve()
        if not self._file.is_there:
            self.protocol = protocol or Protocol.study()
            self._manifest = given
            return
        self.protocol = protocol or self._file.protocol
        self._file.refuse_changes(self.protocol)
        # Whether another manifest holds the same radiographs is seen once it is read.
        self._manifest = given or self._file.manifest

    def count_radiographs(self) -> int:
        """How many radiographs the manifest has; it is read, nothing is written."""
        if self._file.is_there:
            return int(self._file.content["radiographs"])
        return len(self._load_radiographs())

    def count_sites(self) -> int | None:
        """How many folds leave one site out, of all radiographs; None where folds are by patient.

        Raises:
            SplitError: where no site can be left out.
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
            SplitError: where the split cannot be made or was tampered with.
            ResumeError: where the manifest or an image changed since the study was prepared.
        """
        return self._split()[0]

    def _split(self) -> tuple[Development, HoldOut]:
        radiographs = self._load_radiographs()
        with hold_lock(self.directory, "preparing the study"):
            remove_leftovers(self.directory)
            if not self._file.is_there:
                self._file.look_again()
                if self._file.is_there:
                    self._file.refuse_changes(self.protocol)
            if self._file.is_there:
                self._file.refuse_other_radiographs(radiographs, self._known_manifest())
                self._file.record_distinct_patients(radiographs)
            else:
                self._prepare(radiographs)
        development, holdout = self._load_split(radiographs)
        self._file.refuse_other_development(development.radiographs, self.directory / SPLIT_FILE)
        return development, holdout

    def _load_radiographs(self) -> Radiographs:
        said = self._distinct_patients or (self._file.is_there and self._file.distinct_patients)
        return load_manifest(self._known_manifest(), distinct_patients=said)

    def _known_manifest(self) -> Path:
        if self._manifest is None:
            raise ResumeError(
                f"{self.directory} has not been prepared; give its manifest (--manifest M.csv)"
            )
        return self._manifest

    def baselines(
        self, models: Sequence[str] | None = None, radimagenet_weights: str | Path | None = None
    ) -> pd.DataFrame:
        """The first models; prepares first. See `search.baselines.run_baselines`.

        Args:
            models: some of `search.baselines.BASELINES`; all that can be had where None.
            radimagenet_weights: the file of RadImageNet's InceptionV3 without top; its model is
                left out where None.

        Returns:
            One row a model, chance and the view-only baseline among them.
        """
        from rust_tuner.search.baselines import run_baselines

        development, folds = self._development_and_folds(self.protocol.baseline_folds)
        with hold_lock(self.directory, "the baselines"):
            self._note_environment(BASELINES_FOLDER)
            run_baselines(
                development,
                self.directory,
                models=models,
                radimagenet_weights=radimagenet_weights,
                **self._search_arguments(folds),
            )
        return baseline_results(self.directory)

    def regime_1(self) -> "CrossValidationTuner":
        """Regime I; prepares first. See `search.regimes.regime_1`."""
        from rust_tuner.search.regimes import regime_1

        development, folds = self._development_and_folds(self.protocol.num_folds)
        self._refuse_other_weights()
        with hold_lock(self.directory, "Regime I"):
            self._note_environment(REGIME_1)
            sizes = self._batch_sizes(development, folds)
            tuner = regime_1(
                development,
                self.directory,
                **self._search_arguments(folds),
                say_batch_sizes=sizes != self._batch_sizes_told,
            )
            self._file.update(batch_sizes=sizes.to_json())
            self._record(REGIME_1)
        return tuner

    def regime_2(
        self, batch_size: int | None = None, dropout_rate: float | None = None
    ) -> "CrossValidationTuner":
        """Regime II; prepares first. See `search.regimes.regime_2`."""
        from rust_tuner.search.regimes import regime_2

        begun = self._begun(REGIME_2)
        if begun is not None:
            # Resumed, it keeps the values that it was begun with.
            fixed = {
                name: part["config"].get("value") for name, part in begun.get("space", {}).items()
            }
            batch_size = fixed.get("batch_size") if batch_size is None else batch_size
            dropout_rate = fixed.get("dropout_rate") if dropout_rate is None else dropout_rate
        given = batch_size is not None and dropout_rate is not None
        if not given and not (self.directory / REGIME_1 / RUN_FILE).is_file():
            raise SearchError(
                f"{self.directory}: Regime I has not been run here; run it first, or give batch "
                "size and dropout rate"
            )
        development, folds = self._development_and_folds(self.protocol.num_folds)
        self._refuse_other_weights()
        with hold_lock(self.directory, "Regime II"):
            self._note_environment(REGIME_2)
            tuner = regime_2(
                development,
                self.directory,
                batch_size,
                dropout_rate,
                **self._search_arguments(folds),
            )
            self._record(REGIME_2)
        return tuner

    def nested(self) -> dict[str, Any]:
        """Nested cross-validation; prepares first. See `steps.nested.nested_cross_validation`.

        It needs neither of the study's own searches: both are run inside each outer fold.

        Returns:
            The content of `nested/summary.json`: selection score, estimate, and their gap.
        """
        from rust_tuner.steps.nested import nested_cross_validation

        development, folds = self._development_and_folds(self.protocol.outer_folds)
        self._refuse_other_weights()
        with hold_lock(self.directory, "nested cross-validation"):
            self._note_environment(NESTED)
            found = nested_cross_validation(
                development, self.directory, **self._search_arguments(folds)
            )
            run = read_nested(self.directory / NESTED).run
            self._file.record_weights(run["subject"]["weights"], self.protocol.weights)
        return found

    def noise(self, repeats: int | None = None) -> NoiseFloor:
        """Repeat the best configuration; after a search. See `steps.noise.measure_noise`.

        Args:
            repeats: how many under other seeds, and how many under other assignments to folds;
                as many as were begun where None, else 10.
        """
        from rust_tuner.steps.noise import best_project, measure_noise

        num_folds = int(best_project(self.directory).run["subject"]["num_folds"])
        development, folds = self._development_and_folds(num_folds)
        with hold_lock(self.directory, "the noise floor"):
            self._note_environment(NOISE)
            return measure_noise(
                development, self.directory, repeats=repeats, **self._search_arguments(folds)
            )

    def final(self) -> dict[str, Any]:
        """The tuned model: cross-validated, refitted on all development data, evaluated once.

        Returns:
            The content of `final/holdout.json`; a second call reads it and computes nothing.

        Raises:
            SearchError: where Regime II is missing, or a search is not finished.
            ResumeError: where the hold-out set was evaluated with another model.
        """
        from rust_tuner.steps.final import (
            cross_validate_final,
            evaluate_holdout,
            fit_final_model,
            read_holdout,
        )
        from rust_tuner.steps.refit import tuned_values

        seen = read_holdout(self.directory)
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
                        f"note: Regime II was run at {name}={values[name]}, while Regime I's best "
                        f"is {first[name]}; the final model takes Regime II's"
                    )
        development, holdout = self._split()
        folds = self._folds(development, self.protocol.final_folds)
        self._refuse_other_weights()
        shared: dict[str, Any] = {
            "protocol": self.protocol,
            "cache": self.cache,
            "progress": self.progress,
        }
        with hold_lock(self.directory, "the final model"):
            remove_leftovers(self.directory / FINAL)
            self._note_environment(FINAL)
            project = cross_validate_final(
                development, self.directory, values, folds=folds, **shared
            )
            best = project.best
            if best is None or best.epoch is None:
                reason = project.trials[0].message if project.trials else "no trial"
                raise SearchError(
                    f"{project.folder}: the tuned configuration failed ({reason}); delete that "
                    "folder to try it again"
                )
            fit_final_model(development, self.directory, values, epochs=best.epoch + 1, **shared)
            return evaluate_holdout(
                self.directory,
                development,
                holdout,
                epoch=best.epoch,
                protocol=self.protocol,
                progress=self.progress,
            )

    def check(self, permutations: int | None = None) -> CheckRecord:
        """Guards against leakage, and sanity checks; see `checks.run.run_checks`.

        Args:
            permutations: how often labels are shuffled; 10 where None.

        Returns:
            A verdict a check, as `checks.json` holds them.

        Raises:
            ResumeError: where the study has not been prepared.
        """
        from rust_tuner.steps.checks.run import run_checks
        from rust_tuner.steps.checks.shuffled_labels import DEFAULT_PERMUTATIONS

        if not self._file.is_there:
            raise ResumeError(
                f"{self.directory} has not been prepared; run `rust-tuner prepare` first"
            )
        return run_checks(
            self.directory,
            self._known_manifest(),
            self._file.content,
            protocol=self.protocol,
            permutations=DEFAULT_PERMUTATIONS if permutations is None else permutations,
            cache=self.cache,
            progress=self.progress,
        )

    def report(self) -> Path:
        """Draw tables, figures and the HTML report from what is there; returns its path."""
        from rust_tuner.report.html import write_report

        return write_report(self.directory)

    def _development_and_folds(self, num_folds: int) -> tuple[Development, Folds]:
        development = self.prepare()
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
        # Folds that were made before were commented on when they were made.
        if is_new:
            self._say_warnings(folds.warnings)
        return folds

    def _note_environment(self, step: str) -> None:
        """Write down what a step runs on, once a machine, and which split; the lock is held."""
        from rust_tuner.models.runtime import describe_backend, start_backend, versions

        start_backend()
        here = describe_machine() | describe_backend() | {"versions": versions()}
        split = read_json(self.directory / SPLIT_FILE)
        self._file.note_environment(step, here, split_sha256=split["sha256"])

    def _say_warnings(self, warnings: Sequence[str]) -> None:
        if len(warnings) > _WARNINGS_SHOWN:
            self.progress.say(f"note: {warnings[0]} ({len(warnings) - 1} more notes of this kind)")
            return
        for warning in warnings:
            self.progress.say(f"note: {warning}")

    def _search_arguments(self, folds: Folds) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "folds": folds,
            "cache": self.cache,
            "progress": self.progress,
        }

    def _prepare(self, radiographs: Radiographs) -> None:
        if self.protocol.folds_by == "site":
            # What is at fault is said now, and not when the first search begins.
            make_site_folds(radiographs)
        self._say_warnings(check_views(radiographs, self.protocol.view_cortices))
        with self.progress.task("reading images", len(radiographs)) as task:
            hashes = check_content(radiographs, on_progress=lambda done, total: task.advance())
        # The split is made first: a study that cannot be split is not a prepared one.
        development, holdout = self._load_split(radiographs)
        self._say_warnings(split_warnings(development.radiographs, holdout.radiographs))
        self._say_batch_sizes(development)
        self._file.create(
            radiographs,
            development.radiographs,
            manifest=self._known_manifest(),
            protocol=self.protocol,
            image_hashes=hashes,
            split_sha256=read_json(self.directory / SPLIT_FILE)["sha256"],
        )

    def _say_batch_sizes(self, development: Development) -> None:
        """How many radiographs a fold trains on, and which batch sizes make that one step.

        Nothing where the patients are too few for the folds: the search says so, and may be asked
        for others.
        """
        protocol = self.protocol
        with contextlib.suppress(SplitError):
            rows = rows_trained_on(development, protocol, protocol.num_folds)
            self._batch_sizes_told = protocol.batch_sizes(rows)
            self.progress.say(self._batch_sizes_told.note("a fold of Regime I"))
        with contextlib.suppress(SplitError):
            rows = rows_trained_on(development, protocol, protocol.baseline_folds)
            if protocol.baseline_batch_size >= rows:
                self.progress.say(
                    f"note: a fold of the first models trains on up to {rows} radiographs, so "
                    f"their batch size of {protocol.baseline_batch_size} makes an epoch one step"
                )

    def _batch_sizes(self, development: Development, folds: Folds) -> BatchSizes:
        """The batch sizes that Regime I draws: as it was begun, where it was."""
        from rust_tuner.search.regimes import as_begun

        protocol = as_begun(self.protocol, self._begun(REGIME_1))
        return protocol.batch_sizes(rows_trained_on(development, protocol, folds))

    def _load_split(self, radiographs: Radiographs) -> tuple[Development, HoldOut]:
        protocol = self.protocol
        return load_or_make_split(
            self.directory / SPLIT_FILE, radiographs, protocol.holdout_fraction, protocol.seed
        )

    def _record(self, regime: str) -> None:
        """Write down the best so far, and the weights that were really used."""
        project = read_project(self.directory / regime)
        self._file.record_weights(project.run["subject"]["weights"], self.protocol.weights)
        if regime == REGIME_1 and self._begun(REGIME_2) is not None:
            later = read_project(self.directory / REGIME_2)
            if later.best is not None:
                regime, project = REGIME_2, later
        best = {"regime": regime} | best_hyperparameters(project)
        write_json(self.directory / BEST_FILE, best)

    def _begun(self, project: str) -> dict[str, Any] | None:
        """The run manifest of a project that was begun; None where it was not, or is damaged."""
        try:
            run: dict[str, Any] = read_json(self.directory / project / RUN_FILE)
        except (FileNotFoundError, RustTunerError):
            return None
        return run if isinstance(run, dict) else None

    def _refuse_other_weights(self) -> None:
        """A study has one backbone: what one step found is what the next ones must find."""
        from rust_tuner.models.backbones import find_weights

        runs = {name: self._begun(name) for name in (REGIME_1, REGIME_2)}
        known = {STUDY_FILE: self._file.content["weights"]}
        known |= {name: run["subject"]["weights"] for name, run in runs.items() if run is not None}
        found = find_weights(self.protocol.weights)
        for name, used in known.items():
            if used is not None and used["sha256"] != found.sha256:
                raise ResumeError(
                    f"{self.directory / name} was made with the weights {used['file'] or 'random'} "
                    f"(SHA-256 {used['sha256'][:12]}), found are "
                    f"{found.path or 'random'} ({found.sha256[:12]}); a study has one backbone: go "
                    "back to its weights, or take a new study folder"
                )
