"""What the steps of a study share: its choices, its radiographs, their split and their folds.

The steps belong to `study`; refusing changes to a prepared study belongs to `records.study`.
"""

import dataclasses
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rust_tuner.batch_range import BatchSizes
from rust_tuner.data.folds import Folds, make_site_folds
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.private_words import remember_private_words
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development, HoldOut
from rust_tuner.errors import ProtocolError, ResumeError
from rust_tuner.files import remove_leftovers, sha256_of_file
from rust_tuner.locks import hold_lock
from rust_tuner.onednn import choose_onednn
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.begun import begun_protocol, is_begun
from rust_tuner.records.looks import Look, unrecorded_looks
from rust_tuner.records.private import named
from rust_tuner.records.split import (
    SPLIT_FILE,
    load_or_make_folds,
    load_or_make_site_folds,
    load_or_make_split,
    read_split,
)
from rust_tuner.records.study import StudyFile
from rust_tuner.records.study_changes import (
    refuse_other_choices,
    refuse_other_development,
    refuse_other_radiographs,
)
from rust_tuner.records.weights_path import absolute_weights
from rust_tuner.search.executors.engines import require_engine
from rust_tuner.search.executors.workers import Workers
from rust_tuner.steps.prepare import begin_key, say_small_data, say_warnings, write_study_file
from rust_tuner.steps.small_data import Need, need_of_search, needs_of_study, require_enough


class StudyData:
    """A study in a directory, up to its folds."""

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
            refuse_other_choices(self._file, self.protocol, plain_ids=plain_ids)

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
                    refuse_other_choices(self._file, self.protocol, plain_ids=self._plain_ids)
            if self._file.is_there:
                radiographs = self._file.named(radiographs)
                refuse_other_radiographs(self._file, radiographs, manifest)
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
        split = self.directory / SPLIT_FILE
        refuse_other_development(self._file, development.radiographs, split)
        # A step may have more folds than the study was prepared for. Stored folds were checked when
        # they were made, and another version may have made them differently.
        stored = {int(number) for number in read_split(split, radiographs).folds}
        needs = [need for need in needs if need.num_folds not in stored]
        require_enough(radiographs, self.protocol, needs, development=development)
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

    def _development_and_folds(
        self, num_folds: int, *, outer: bool = False
    ) -> tuple[Development, Folds]:
        # The folds of this step, which may be run with fewer than the searches have.
        name, option = ("the outer cross-validation", "outer-") if outer else ("this step", "")
        need = Need(name, num_folds, f"take fewer folds (--{option}folds {{folds}})")
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
