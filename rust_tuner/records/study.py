"""`StudyFile`: the content of a study's `study.json`.

The file is written when the study is prepared. Later steps add environments, weights, the choices
they were begun with, looks at the hold-out set, and the split's hash. The steps belong to `study`,
looks to `looks`, and the refusal of other choices and data to `study_changes`.
"""

import dataclasses
import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rust_tuner.data.images import images_sha256
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import (
    prepared_hashes,
    prepared_order,
    radiographs_sha256,
    row_record,
)
from rust_tuner.environment import describe_machine
from rust_tuner.errors import ProtocolError, RecordError, ResumeError, private
from rust_tuner.files import sha256_of_file
from rust_tuner.models.weights import BackboneWeights, without_folder
from rust_tuner.protocol import Protocol
from rust_tuner.records.looks import (
    FINAL,
    HOLDOUT_FILE,
    Look,
    look_refused,
    main_figures,
    read_looks,
)
from rust_tuner.records.model import Json, Weights, read_record, write_record
from rust_tuner.records.pixels import read_as_recorded, read_pixels
from rust_tuner.records.private import KEY_PATH, StudyKey, key_of, named, written_visits
from rust_tuner.records.study_record import STUDY_FILE, StepNote, StudyRecord
from rust_tuner.records.weights_path import keep_weights_path, named_weights, with_weights_found

_MEND = "restore the file from a copy, or use a new study folder"

_RECORDED = ("keras", "keras-tuner", "numpy", "pandas", "scikit-learn", "scipy", "tensorflow")

# The choices that may differ between steps; all others are fixed when the study is prepared.
SEARCH_FIELDS = Protocol.varying()


class StudyFile:
    """`study.json` of one study; its content is available once the study is prepared."""

    def __init__(self, directory: Path) -> None:
        """Read the file, if it exists.

        Raises:
            ResumeError: if it has another format, or lacks something.
        """
        self.directory = directory
        self.path = directory / STUDY_FILE
        self._record = self._read()

    @property
    def is_there(self) -> bool:
        """Whether the study had been prepared when the file was last read."""
        return self._record is not None

    @property
    def record(self) -> StudyRecord:
        """The content of the file."""
        assert self._record is not None
        return self._record

    @property
    def manifest(self) -> Path:
        """The manifest that the study was prepared from.

        Raises:
            ResumeError: if only the study's key says where it is, and that is missing.
        """
        key = self.key
        path = self.record.manifest if key is None else key.manifest
        return (self.directory / path).resolve()

    @property
    def key(self) -> StudyKey | None:
        """The key of the written names; None if the study has patient ids as they are.

        Raises:
            ResumeError: if it is missing, damaged, or another study's.
        """
        try:
            return key_of(self.directory, self.record)
        except RecordError as error:
            raise ResumeError(str(error)) from error

    def named(self, radiographs: Radiographs) -> Radiographs:
        """Radiographs with the names under which this study writes them, in its order of rows.

        Raises:
            ResumeError: as `key`.
        """
        key = self.key
        as_now = named(radiographs, key)
        found, order = as_now, prepared_order(as_now, self.rows)
        if order is None and key is not None:
            # Visits that are not dates were numbered in the order of that time.
            found = named(radiographs, key, visits=written_visits(self.directory))
            order = prepared_order(found, self.rows)
        return as_now if order is None else found.in_order(*order)

    @property
    def protocol(self) -> Protocol:
        """The choices that the study was prepared with.

        Raises:
            ResumeError: if they cannot be read.
        """
        try:
            return Protocol.from_json(with_weights_found(self.directory, self.record))
        except (ProtocolError, TypeError, ValueError, AttributeError) as error:
            raise ResumeError(
                f"{self.path}: its protocol cannot be read ({error}); restore the file, or use a "
                "new study folder"
            ) from error

    @property
    def distinct_patients(self) -> bool:
        """Whether the user said that patient ids which read alike are of different people."""
        return self.record.distinct_patients is True

    @property
    def begun_onednn(self) -> bool | None:
        """Whether the study's first training used oneDNN; True if it has none yet.

        None if that is not recorded, as by earlier versions, which used TensorFlow's default,
        and with other backends.
        """
        for runs in (self.record.environments or {}).values():
            for run in runs:
                # The machine that prepared the study, without any training, has no backend.
                if "backend" in run:
                    onednn = run.get("onednn")
                    return onednn if isinstance(onednn, bool) else None
        return True

    @property
    def looks(self) -> tuple[Look, ...]:
        """The looks at the hold-out set so far, in order.

        Raises:
            ResumeError: if the file's record of them cannot be read.
        """
        return read_looks(self.record.looks, self.directory)

    def begun(self, step: str) -> StepNote | None:
        """The choices that a step was begun with, from `note_begun`; None if there are none.

        Raises:
            ResumeError: if the record cannot be read.
        """
        begun = self.record.begun or {}
        note = begun.get(step) if isinstance(begun, dict) else begun
        if note is None:
            return None
        try:
            return StepNote.model_validate(note)
        except ValidationError as error:
            raise self._unreadable(step) from error

    def read_again(self) -> None:
        """Read the file once more: another process may have written to it."""
        self._record = self._read()

    def create(
        self,
        radiographs: Radiographs,
        development: Radiographs,
        *,
        manifest: Path,
        protocol: Protocol,
        image_hashes: Sequence[str],
        split_sha256: str,
        weights: Weights | None = None,
        key: StudyKey | None = None,
        pixels_sha256: str | None = None,
    ) -> None:
        """Write the file of a study that is prepared now.

        Args:
            radiographs: all of them.
            development: those that are not sealed.
            manifest: where they were read from.
            protocol: the study's choices.
            image_hashes: SHA-256 of each radiograph's image file.
            split_sha256: of `split.json`.
            weights: those of the backbone; None if they are found when they are first used.
            key: of the names that the radiographs are written under; None for their own ids.
            pixels_sha256: of `pixels.json`; None if files are read as stored.
        """
        kept_weights = protocol.weights if key is None else without_folder(protocol.weights)
        kept = KEY_PATH if key is not None else self.relative(manifest)
        hashed = {} if key is None else {"key_sha256": key.sha256}
        record = StudyRecord(
            format=1,
            manifest=kept,
            protocol=protocol.to_json() | {"weights": kept_weights},
            radiographs=len(radiographs),
            patients=len(set(radiographs.patient_ids)),
            distinct_patients=radiographs.distinct_patients,
            patient_ids="plain" if key is None else "hashed",
            **hashed,
            radiographs_sha256=radiographs_sha256(radiographs),
            images_sha256=images_sha256(radiographs, image_hashes),
            weights=weights,
            versions={"python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in ("rust-tuner", *_RECORDED)},
            environments={"prepare": [describe_machine()]},
            development_sha256=radiographs_sha256(development),
            split_sha256=split_sha256,
            begun={},
            # A folder whose study.json was lost may still have the files of a look.
            looks=[look.to_json() for look in read_looks(None, self.directory)],
            rows=dict(row_record(radiographs, development, image_hashes)),
            pixels_sha256=pixels_sha256,
        )
        write_record(self.path, record)
        self._record = record

    def update(self, **changes: Any) -> None:
        """Write changed fields, if there are any. The study's lock must be held."""
        # Keeps what another process wrote since this one opened the study.
        current = self._read() or self.record
        self._record = current.with_changes(**changes)
        if self._record.to_json() != current.to_json():
            write_record(self.path, self._record)

    def note_environment(self, step: str, here: Mapping[str, Any], *, split_sha256: str) -> None:
        """Record the machine that a step runs on, once each, and the split that it uses."""
        noted = dict(self.record.environments or {})
        machines = noted.get(step, [])
        if here not in machines:
            noted[step] = [*machines, dict(here)]
        self.update(environments=noted, split_sha256=split_sha256)

    def note_begun(self, step: str, choices: Mapping[str, Any]) -> None:
        """Record the choices that a step is begun with. The study's lock must be held."""
        self.read_again()
        begun = self.record.begun or {}
        if not isinstance(begun, dict):
            raise self._unreadable(step)
        self.update(begun={**begun, step: dict(choices)})

    def adopt_looks(self) -> None:
        """Record a look of an older version, which only left files in `final`; the lock is held."""
        self.update(looks=[look.to_json() for look in self.looks])

    def begin_look(self, model_sha256: str, reason: str | None = None) -> Look:
        """Record a look at the hold-out set, on disk before this returns. The lock must be held.

        Args:
            model_sha256: of the model file that looks.
            reason: why there is another look; None for the first.

        Returns:
            The look; if the last one was begun with this model and not finished, that one.

        Raises:
            ResumeError: for a look after the first one without a reason.
        """
        self.read_again()
        looks = self.looks
        if looks and looks[-1].state == "begun" and looks[-1].model_sha256 == model_sha256:
            last = looks[-1]
            if last.date is None:
                # An older version left predictions without a date.
                last = dataclasses.replace(last, date=_now())
            self.update(looks=[item.to_json() for item in (*looks[:-1], last)])
            return last
        if looks and reason is None:
            raise look_refused(self.directory, looks[-1], f"the model is now {model_sha256[:12]}")
        look = Look(date=_now(), model_sha256=model_sha256, reason=reason if looks else None)
        self.update(looks=[item.to_json() for item in (*looks, look)])
        return look

    def finish_look(self, metrics: Mapping[str, float | None]) -> None:
        """Complete the last look, whose `final/holdout.json` is written. The lock must be held.

        Args:
            metrics: the figures of `holdout.json`, of which the main ones are kept.
        """
        *earlier, last = self.looks
        done = dataclasses.replace(
            last,
            state="finished",
            holdout_sha256=sha256_of_file(self.directory / FINAL / HOLDOUT_FILE),
            metrics=main_figures(metrics),
        )
        self.update(looks=[look.to_json() for look in (*earlier, done)])

    def record_weights(self, used: Weights, asked: str) -> None:
        """Record the weights that were requested, and those that were used."""
        kept = named_weights(self.record, asked)
        # A search that an earlier version began has the whole path.
        used = used.with_changes(asked=without_folder(used.asked))
        self.update(weights=used, protocol={**self.record.protocol, "weights": kept})

    def keep_weights_path(self, weights: BackboneWeights | None) -> None:
        """Keep where a file of weights is, for the next step; the study's lock must be held."""
        key = self.key
        if key is not None and weights is not None:
            keep_weights_path(self.directory, key, weights)

    def record_distinct_patients(self, radiographs: Radiographs) -> None:
        """Record that ids which read alike are of different people, if that was stated."""
        if radiographs.distinct_patients:
            self.update(distinct_patients=True)

    @property
    def manifest_in_words(self) -> str:
        """The manifest in messages: its path, or where that is recorded if ids are hashed."""
        if self.record.patient_ids == "hashed":
            return f"{self.directory / KEY_PATH} names a manifest"
        return f"{self.path} names the manifest {private(self.manifest)},"

    @property
    def rows(self) -> Json:
        """What `data.row_record` wrote; empty for a study of an older version."""
        rows = self.record.rows
        return rows if isinstance(rows, dict) else {}

    def read_as_recorded(self, radiographs: Radiographs) -> Radiographs:
        """The radiographs, each read as when the study was prepared, or refused if it changed.

        Raises:
            ResumeError: if `pixels.json` is missing or is not that of the study.
        """
        held = radiographs.with_hashes(prepared_hashes(radiographs, self.rows))
        sha256 = self.record.pixels_sha256
        if sha256 is None:
            return held
        return read_as_recorded(held, read_pixels(self.directory, sha256))

    def _unreadable(self, step: str) -> ResumeError:
        return ResumeError(
            f"{self.path}: the choices of {step} cannot be read; restore the file from a copy"
        )

    def relative(self, manifest: Path) -> str:
        """The path of a manifest as it is recorded."""
        # Relative, so that study and manifest can be moved together.
        return os.path.relpath(manifest, self.directory.resolve())

    def _read(self) -> StudyRecord | None:
        try:
            return read_record(self.path, StudyRecord, mend=_MEND)
        except FileNotFoundError:
            return None
        except RecordError as error:
            raise ResumeError(str(error)) from error


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
