"""`Study`: the steps from a manifest to the report, in order, in one directory.

Each step is idempotent: run again, it goes on where it stopped.

It is long because all the steps stand here; what a step does is done by the rooms below, and what
a study refuses because it was prepared otherwise stands in `records.study`.
"""

import contextlib
import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from rust_tuner.analysis.export import best_hyperparameters
from rust_tuner.data.images import check_content
from rust_tuner.data.label_warnings import require_different_scores, split_warnings
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
from rust_tuner.environment import describe_machine
from rust_tuner.errors import (
    LockedError,
    ProtocolError,
    ResumeError,
    SearchError,
    SplitError,
)
from rust_tuner.files import (
    hold_lock,
    remove_leftovers,
    sha256_of_file,
    write_json,
)
from rust_tuner.models.weights import BackboneWeights, check_architecture, find_local_weights
from rust_tuner.onednn import choose_onednn
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import BatchSizes, Protocol
from rust_tuner.records.baselines import BASELINES_FOLDER, RADIMAGENET, baseline_results
from rust_tuner.records.begun import begun_protocol, choices_to_note, fixed_by_regime_2, is_begun
from rust_tuner.records.checks import CHECKS, CheckRecord
from rust_tuner.records.looks import FINAL, Look, require_reason, unrecorded_looks
from rust_tuner.records.nested import NESTED, read_nested
from rust_tuner.records.noise import NOISE, NoiseFloor, begun_repeats
from rust_tuner.records.project import REGIME_1, REGIME_2, RUN_FILE, read_project
from rust_tuner.records.schema import RunForm, SplitForm, read_if_whole, read_record
from rust_tuner.records.study import STUDY_FILE, StudyFile, absolute_weights

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
        choices: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
        progress: Progress | None = None,
        distinct_patients: bool = False,
    ) -> None:
        """Open a study, new or begun; nothing is written yet.

        Args:
            directory: the study's folder.
            manifest: CSV of the radiographs; a study that was prepared knows it.
            protocol: all scientific choices. Where None, those the study was prepared with, or
                `Protocol.study()` for a new one; each step then takes those that it was begun
                with.
            choices: fields of the protocol by name, laid over all that.
            cache: folder of the feature cache, which studies share; the default one where None.
            progress: where to report; nowhere by default.
            distinct_patients: whether patient ids that read alike, such as `P1` and `p-001`, are
                known to be of different people; a study that was prepared so knows it.

        Raises:
            ResumeError: where the study was prepared with other choices.
            ProtocolError: for choices that are not the protocol's, or out of range.
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
        self._choices = dict(choices or {})
        unknown = set(self._choices) - {field.name for field in dataclasses.fields(Protocol)}
        if unknown:
            raise ProtocolError(f"choices={min(unknown)!r}; expected fields of the protocol")
        self._is_chosen_whole = protocol is not None
        known = self._file.protocol if self._file.is_there else Protocol.study()
        # The study is found again from other folders too.
        if protocol is not None:
            weights = absolute_weights(protocol.weights)
            protocol = dataclasses.replace(protocol, weights=weights)
        if "weights" in self._choices:
            self._choices["weights"] = absolute_weights(self._choices["weights"])
        self.protocol = (protocol or known).with_choices(**self._choices)
        self._manifest = given
        if self._file.is_there:
            self._file.refuse_changes(self.protocol)
            # Whether another manifest holds the same radiographs is seen once it is read.
            self._manifest = given or self._file.manifest

    def protocol_of(self, step: str) -> Protocol:
        """The choices that a step takes: those asked for, else those that it was begun with.

        Args:
            step: the step's folder: `baselines`, `regime_1`, `regime_2`, `nested`, `noise`,
                `final` or `checks`.

        Raises:
            ResumeError: where `study.json` cannot be read.
            ProtocolError: where the choices asked for do not fit those that it was begun with.
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
            ResumeError: where their record in `study.json` cannot be read.
        """
        self._file.read_again()
        return self._file.looks if self._file.is_there else unrecorded_looks(self.directory)

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
            WeightsError: where the backbone's weights are named, and not there or no InceptionV3's.
            ResumeError: where the manifest or an image changed since the study was prepared.
        """
        return self._split()[0]

    def _split(self) -> tuple[Development, HoldOut]:
        manifest = self._known_manifest()
        if self._file.is_there and manifest == self._file.manifest and not manifest.exists():
            folder = shlex.quote(str(self.directory))
            raise ResumeError(
                f"{self.directory / STUDY_FILE} names the manifest {manifest}, which is not there. "
                "Where it was moved, give its new place once: rust-tuner prepare "
                f"{folder} --manifest M.csv, or Study(directory, manifest)"
            )
        radiographs = self._load_radiographs()
        with hold_lock(self.directory, "preparing the study"):
            remove_leftovers(self.directory)
            if not self._file.is_there:
                self._file.read_again()
                if self._file.is_there:
                    self._file.refuse_changes(self.protocol)
            if self._file.is_there:
                self._file.refuse_other_radiographs(radiographs, manifest)
                self._file.record_distinct_patients(radiographs)
                self._file.adopt_looks()
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

        protocol = self.protocol_of(BASELINES_FOLDER)
        development, folds = self._development_and_folds(protocol.baseline_folds)
        # ImageNet's weights are downloaded for the model that takes them, and not for the others.
        weights = self._find_weights(protocol, download=False)
        given = self._radimagenet(radimagenet_weights)
        with hold_lock(self.directory, "the baselines"):
            more = {} if given is None else {RADIMAGENET: given.to_json()}
            self._begin(BASELINES_FOLDER, protocol, weights, **more)
            run_baselines(
                development,
                self.directory,
                models=models,
                radimagenet_weights=None if given is None else given.path,
                **self._search_arguments(protocol, folds),
            )
            self._note_begun(BASELINES_FOLDER, protocol, weights, **more)
        return baseline_results(self.directory)

    def _radimagenet(self, asked: str | Path | None) -> BackboneWeights | None:
        """RadImageNet's file: the one given, else the one that the first models were begun with."""
        begun = (self._file.begun(BASELINES_FOLDER) or {}).get(RADIMAGENET) or {}
        if asked is None:
            known = begun.get("asked")
            if known is None or not Path(known).is_file():
                return None
            asked = known
        found = find_local_weights(Path(asked).resolve())
        assert found is not None
        check_architecture(found)
        if begun and begun["sha256"] != found.sha256 and is_begun(self.directory, BASELINES_FOLDER):
            raise ResumeError(
                f"{self.directory / BASELINES_FOLDER} was begun with {begun['asked']} (SHA-256 "
                f"{begun['sha256'][:12]}), found is {found.path} ({found.sha256[:12]}); go back to "
                f"that file, or delete the folder of {RADIMAGENET} and give its new weights"
            )
        return found

    def regime_1(self) -> "CrossValidationTuner":
        """Regime I; prepares first. See `search.regimes.regime_1`."""
        from rust_tuner.search.regimes import regime_1

        protocol = self.protocol_of(REGIME_1)
        development, folds = self._development_and_folds(protocol.num_folds)
        weights = self._find_weights(protocol)
        with hold_lock(self.directory, "Regime I"):
            self._begin(REGIME_1, protocol, weights)
            sizes = self._batch_sizes(protocol, development, folds)
            tuner = regime_1(
                development,
                self.directory,
                **self._search_arguments(protocol, folds),
                say_batch_sizes=sizes != self._batch_sizes_told,
            )
            self._file.update(batch_sizes=sizes.to_json())
            self._note_begun(REGIME_1, protocol, weights)
            self._record(REGIME_1)
        return tuner

    def regime_2(
        self, batch_size: int | None = None, dropout_rate: float | None = None
    ) -> "CrossValidationTuner":
        """Regime II; prepares first. See `search.regimes.regime_2`.

        Args:
            batch_size: fixed. Where None, what it was begun with, else the best of Regime I.
            dropout_rate: likewise.
        """
        from rust_tuner.search.regimes import regime_2

        # Only what was asked for is noted: without a record, Regime I's best is looked up anew.
        asked = {"batch_size": batch_size, "dropout_rate": dropout_rate}
        if self._file.is_there:
            # Resumed, it keeps the values that it was begun with.
            begun = self._file.begun(REGIME_2) or {}
            asked = {name: begun.get(name) if v is None else v for name, v in asked.items()}
            fixed = fixed_by_regime_2(self._file)
            batch_size = fixed.get("batch_size") if batch_size is None else batch_size
            dropout_rate = fixed.get("dropout_rate") if dropout_rate is None else dropout_rate
        given = batch_size is not None and dropout_rate is not None
        if not given and not (self.directory / REGIME_1 / RUN_FILE).is_file():
            raise SearchError(
                f"{self.directory}: Regime I has not been run here; run it first, or give batch "
                "size and dropout rate"
            )
        protocol = self.protocol_of(REGIME_2)
        development, folds = self._development_and_folds(protocol.num_folds)
        weights = self._find_weights(protocol)
        values: dict[str, Any] = {"batch_size": batch_size, "dropout_rate": dropout_rate}
        with hold_lock(self.directory, "Regime II"):
            self._begin(REGIME_2, protocol, weights, **asked)
            arguments = self._search_arguments(protocol, folds)
            tuner = regime_2(development, self.directory, **values, **arguments)
            self._note_begun(REGIME_2, protocol, weights, **asked)
            self._record(REGIME_2)
        return tuner

    def nested(self) -> dict[str, Any]:
        """Nested cross-validation; prepares first. See `steps.nested.nested_cross_validation`.

        It needs neither of the study's own searches: both are run inside each outer fold.

        Returns:
            The content of `nested/summary.json`: selection score, estimate, and their gap.
        """
        from rust_tuner.steps.nested import nested_cross_validation

        protocol = self.protocol_of(NESTED)
        development, folds = self._development_and_folds(protocol.outer_folds)
        weights = self._find_weights(protocol)
        with hold_lock(self.directory, "nested cross-validation"):
            self._begin(NESTED, protocol, weights)
            found = nested_cross_validation(
                development, self.directory, **self._search_arguments(protocol, folds)
            )
            self._note_begun(NESTED, protocol, weights)
            run = read_nested(self.directory / NESTED).run
            self._file.record_weights(run["subject"]["weights"], protocol.weights)
        return found

    def noise(self, repeats: int | None = None) -> NoiseFloor:
        """Repeat the best configuration; after a search. See `steps.noise.measure_noise`.

        Args:
            repeats: how many under other seeds, and how many under other assignments to folds;
                as many as were begun where None, else 10.
        """
        from rust_tuner.steps.noise import best_project, measure_noise

        num_folds = int(best_project(self.directory).run["subject"]["num_folds"])
        protocol = self.protocol_of(NOISE)
        count = self.begun_repeats() if repeats is None else repeats
        development, folds = self._development_and_folds(num_folds)
        weights = self._find_weights(protocol)
        with hold_lock(self.directory, "the noise floor"):
            self._begin(NOISE, protocol, weights, repeats=count)
            floor = measure_noise(
                development,
                self.directory,
                repeats=count,
                **self._search_arguments(protocol, folds),
            )
            self._note_begun(NOISE, protocol, weights, repeats=count)
        return floor

    def begun_repeats(self) -> int:
        """How many repeats of each kind the noise floor was begun with, or the default number."""
        begun = self._file.begun(NOISE) if self._file.is_there else None
        # Its own record may have grown since.
        if is_begun(self.directory, NOISE) or begun is None:
            return begun_repeats(self.directory)
        return int(begun.get("repeats") or begun_repeats(self.directory))

    def final(self, look_again: str | None = None) -> dict[str, Any]:
        """The tuned model: cross-validated, refitted on all development data, evaluated once.

        The hold-out set is looked at once. The look is noted in `study.json` before the model sees
        a sealed image; where it was interrupted, it goes on with the same model.

        Args:
            look_again: why the hold-out set is looked at once more; the reason is recorded, and
                the number of looks shown wherever the figures are. None shows what the look found.

        Returns:
            The content of `final/holdout.json`; a second call reads it and computes nothing.

        Raises:
            ProtocolError: for an empty reason, or one where there was no look yet.
            SearchError: where Regime II is missing, or a search is not finished.
            ResumeError: where the hold-out set was looked at, and what that found is not there any
                more, or the model is another one.
        """
        from rust_tuner.steps.final import (
            cross_validate_final,
            evaluate_holdout,
            fit_final_model,
            known_evaluation,
        )
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
                        f"note: Regime II was run at {name}={values[name]}, while Regime I's best "
                        f"is {first[name]}; the final model takes Regime II's"
                    )
        protocol = self.protocol_of(FINAL)
        development, holdout = self._split()
        folds = self._folds(development, protocol.final_folds)
        weights = self._find_weights(protocol)
        shared = self._search_arguments(protocol, folds)
        folds = shared.pop("folds")
        with hold_lock(self.directory, "the final model"):
            remove_leftovers(self.directory / FINAL)
            self._begin(FINAL, protocol, weights)
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
            self._note_begun(FINAL, protocol, weights)
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
        """Guards against leakage, and sanity checks; see `checks.run.run_checks`.

        Args:
            permutations: how often labels are shuffled. Where None, as often as the checks were
                begun with, else 10 times.

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
        protocol = self.protocol_of(CHECKS)
        begun = (self._file.begun(CHECKS) or {}).get("permutations")
        if permutations is None:
            permutations = DEFAULT_PERMUTATIONS if begun is None else int(begun)
        if begun != permutations:
            self._note_checks(protocol, permutations)
        return run_checks(
            self.directory,
            self._known_manifest(),
            self._file.content,
            protocol=protocol,
            permutations=permutations,
            cache=self.cache,
            progress=self.progress,
        )

    def _note_checks(self, protocol: Protocol, permutations: int) -> None:
        """Note what the checks are begun with; they may run beside a search, which has the lock."""
        choices = choices_to_note(CHECKS, protocol) | {"permutations": permutations}
        try:
            with hold_lock(self.directory, "noting what the checks are begun with"):
                self._file.note_begun(CHECKS, choices)
        except LockedError:
            self.progress.say(
                "note: another step has the study, so the number of permutations is not noted; "
                "where the checks are interrupted, ask for the same number again"
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
        split = read_record(self.directory / SPLIT_FILE, SplitForm)
        self._file.note_environment(step, here, split_sha256=split["sha256"])

    def _say_warnings(self, warnings: Sequence[str]) -> None:
        if len(warnings) > _WARNINGS_SHOWN:
            self.progress.say(f"note: {warnings[0]} ({len(warnings) - 1} more notes of this kind)")
            return
        for warning in warnings:
            self.progress.say(f"note: {warning}")

    def _search_arguments(self, protocol: Protocol, folds: Folds) -> dict[str, Any]:
        return {
            "protocol": protocol,
            "folds": folds,
            "cache": self.cache,
            "progress": self.progress,
        }

    def _begin(
        self, step: str, protocol: Protocol, weights: BackboneWeights | None, **more: Any
    ) -> None:
        """Write down what a step runs on and is begun with; the study's lock is held."""
        self._note_environment(step)
        if weights is not None and self._file.content["weights"] is None:
            # Before they are used, so that what is recorded is never what was not used.
            self._file.record_weights(weights.to_json(), protocol.weights)
        if not is_begun(self.directory, step):
            self._note_begun(step, protocol, weights, **more)

    def _note_begun(
        self, step: str, protocol: Protocol, weights: BackboneWeights | None, **more: Any
    ) -> None:
        """Write down a step's choices: as it begins, and once its records have accepted them."""
        used = {} if weights is None else {"weights": weights.to_json()}
        self._file.note_begun(step, choices_to_note(step, protocol) | used | more)

    def _prepare(self, radiographs: Radiographs) -> None:
        # A mistyped file is found before it is written down as the study's.
        weights = find_local_weights(self.protocol.weights)
        if weights is not None:
            check_architecture(weights)
        require_different_scores(radiographs)
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
            split_sha256=read_record(self.directory / SPLIT_FILE, SplitForm)["sha256"],
            weights=None if weights is None else weights.to_json(),
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

    def _batch_sizes(
        self, protocol: Protocol, development: Development, folds: Folds
    ) -> BatchSizes:
        """The batch sizes that Regime I draws: as it was begun, where it was."""
        from rust_tuner.search.regimes import as_begun

        protocol = as_begun(protocol, read_if_whole(self.directory / REGIME_1 / RUN_FILE, RunForm))
        return protocol.batch_sizes(rows_trained_on(development, protocol, folds))

    def _load_split(self, radiographs: Radiographs) -> tuple[Development, HoldOut]:
        protocol = self.protocol
        return load_or_make_split(
            self.directory / SPLIT_FILE, radiographs, protocol.holdout_fraction, protocol.seed
        )

    def _record(self, regime: str) -> None:
        """Write down the best so far, and the weights that were really used."""
        project = read_project(self.directory / regime)
        used = project.run["subject"]["weights"]
        self._file.record_weights(used, used["asked"])
        if (
            regime == REGIME_1
            and read_if_whole(self.directory / REGIME_2 / RUN_FILE, RunForm) is not None
        ):
            later = read_project(self.directory / REGIME_2)
            if later.best is not None:
                regime, project = REGIME_2, later
        best = {"regime": regime} | best_hyperparameters(project)
        write_json(self.directory / BEST_FILE, best)

    def _find_weights(self, protocol: Protocol, *, download: bool = True) -> BackboneWeights | None:
        """The backbone's weights; a study has one backbone, so every step must find the same.

        Args:
            protocol: names them.
            download: whether ImageNet's may be downloaded; else None where that would be needed.

        Raises:
            WeightsError: where they cannot be had, or are not those of an InceptionV3 without top.
            ResumeError: where they are not those that the study has.
        """
        found = find_local_weights(protocol.weights)
        if found is None and download:
            from rust_tuner.models.backbones import find_weights

            found = find_weights(protocol.weights)
        if found is None:
            return None
        check_architecture(found)
        runs = {
            name: read_if_whole(self.directory / name / RUN_FILE, RunForm)
            for name in (REGIME_1, REGIME_2)
        }
        known = {STUDY_FILE: self._file.content["weights"]}
        known |= {name: run["subject"]["weights"] for name, run in runs.items() if run is not None}
        for name, used in known.items():
            if used is not None and used["sha256"] != found.sha256:
                raise ResumeError(
                    f"{self.directory / name} was made with the weights {used['file'] or 'random'} "
                    f"(SHA-256 {used['sha256'][:12]}), found are "
                    f"{found.path or 'random'} ({found.sha256[:12]}); a study has one backbone: go "
                    "back to its weights, or take a new study folder"
                )
        return found
