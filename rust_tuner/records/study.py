"""`StudyFile`: what `study.json` says of a study, and what is refused because it says otherwise.

It is written when the study is prepared; what later steps add are environments, weights, what they
were begun with, looks at the hold-out set, and the split's hash. The steps themselves belong to
`study`, what a look is to `looks`.
"""

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rust_tuner.data.images import images_sha256
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import changed_images, changed_rows, row_record
from rust_tuner.data.split_file import radiographs_sha256
from rust_tuner.environment import describe_machine
from rust_tuner.errors import ImageError, ProtocolError, RecordError, ResumeError, SplitError
from rust_tuner.files import sha256_of_file, write_json
from rust_tuner.protocol import Protocol
from rust_tuner.records.looks import FINAL, HOLDOUT_FILE, Look, main_figures, read_looks
from rust_tuner.records.schema import StudyForm, read_record

STUDY_FILE = "study.json"

_MEND = "restore the file from a copy, or take a new study folder"

_RECORDED = ("keras", "keras-tuner", "numpy", "pandas", "scikit-learn", "scipy", "tensorflow")

# What a search may vary within a study; everything else is settled when the study is prepared.
SEARCH_FIELDS = Protocol.varying()


class StudyFile:
    """`study.json` of one study; what it says can be asked for once the study is prepared."""

    def __init__(self, directory: Path) -> None:
        """Read the file, where it is there.

        Raises:
            ResumeError: where it is of another format, or lacks something.
        """
        self.directory = directory
        self.path = directory / STUDY_FILE
        self._content = self._read()

    @property
    def is_there(self) -> bool:
        """Whether the study has been prepared, as far as is known here."""
        return self._content is not None

    @property
    def content(self) -> dict[str, Any]:
        """All that the file holds."""
        assert self._content is not None
        return self._content

    @property
    def manifest(self) -> Path:
        """The manifest that the study was prepared from."""
        return (self.directory / str(self.content["manifest"])).resolve()

    @property
    def protocol(self) -> Protocol:
        """The choices that the study was prepared with.

        Raises:
            ResumeError: where they cannot be read.
        """
        try:
            return Protocol.from_json(self.content["protocol"])
        except (ProtocolError, TypeError, ValueError, AttributeError) as error:
            raise ResumeError(
                f"{self.path}: its protocol cannot be read ({error}); restore the file, or take a "
                "new study folder"
            ) from error

    @property
    def distinct_patients(self) -> bool:
        """Whether the user said that patient ids which read alike are of different people."""
        return self.content.get("distinct_patients") is True

    @property
    def begun_onednn(self) -> bool | None:
        """Whether the study's first training used oneDNN; True where it has none yet.

        None where that is not recorded, as in the records of earlier versions, which left it to
        TensorFlow's own default, and those of other backends.
        """
        environments = self.content.get("environments")
        for runs in environments.values() if isinstance(environments, dict) else ():
            for run in runs if isinstance(runs, list) else ():
                # What prepared the study, without any training, has no backend.
                if isinstance(run, dict) and "backend" in run:
                    onednn = run.get("onednn")
                    return onednn if isinstance(onednn, bool) else None
        return True

    @property
    def looks(self) -> tuple[Look, ...]:
        """The looks at the hold-out set so far, in order.

        Raises:
            ResumeError: where the file's record of them cannot be read.
        """
        return read_looks(self.content, self.directory)

    def begun(self, step: str) -> dict[str, Any] | None:
        """What a step was begun with, as `note_begun` wrote it; None where it says nothing of it.

        Raises:
            ResumeError: where the record is not one.
        """
        begun = self.content.get("begun") or {}
        found = begun.get(step) if isinstance(begun, dict) else begun
        if found is None or isinstance(found, dict):
            return found
        raise ResumeError(
            f"{self.path}: what {step} was begun with cannot be read; restore the file from a copy"
        )

    def read_again(self) -> None:
        """Read the file once more: another process may have written to it."""
        self._content = self._read()

    def create(
        self,
        radiographs: Radiographs,
        development: Radiographs,
        *,
        manifest: Path,
        protocol: Protocol,
        image_hashes: Sequence[str],
        split_sha256: str,
        weights: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the file of a study that is prepared now.

        Args:
            radiographs: all of them.
            development: those that are not sealed.
            manifest: where they were read from.
            protocol: the study's choices.
            image_hashes: SHA-256 of each radiograph's image file.
            split_sha256: of `split.json`.
            weights: those that were found; None where they are first found when they are used.
        """
        content: dict[str, Any] = {
            "format": 1,
            "manifest": self._relative(manifest),
            "protocol": protocol.to_json(),
            "radiographs": len(radiographs),
            "patients": len(set(radiographs.patient_ids)),
            "distinct_patients": radiographs.distinct_patients,
            "radiographs_sha256": radiographs_sha256(radiographs),
            "images_sha256": images_sha256(radiographs, image_hashes),
            "weights": None if weights is None else dict(weights),
            "versions": {"python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in ("rust-tuner", *_RECORDED)},
            "environments": {"prepare": [describe_machine()]},
            "development_sha256": radiographs_sha256(development),
            "split_sha256": split_sha256,
            "begun": {},
            # A folder whose study.json was lost may still hold what a look left.
            "looks": [look.to_json() for look in read_looks({}, self.directory)],
            "rows": row_record(radiographs, development, image_hashes),
        }
        write_json(self.path, content)
        self._content = content

    def update(self, **changes: Any) -> None:
        """Write changed fields; nothing where nothing changed. The study's lock is held."""
        # What another process wrote since this one opened the study stays.
        current = self._read() or self.content
        self._content = current | changes
        if self._content != current:
            write_json(self.path, self._content)

    def note_environment(self, step: str, here: Mapping[str, Any], *, split_sha256: str) -> None:
        """Write down what a step runs on, once a machine, and which split it uses."""
        noted = self.content.get("environments") or {}
        known = noted.get(step, [])
        if here not in known:
            noted = noted | {step: [*known, here]}
        self.update(environments=noted, split_sha256=split_sha256)

    def note_begun(self, step: str, choices: Mapping[str, Any]) -> None:
        """Write down what a step is begun with. The study's lock is held."""
        self.read_again()
        begun = self.content.get("begun") or {}
        self.update(begun=begun | {step: dict(choices)})

    def adopt_looks(self) -> None:
        """Write down a look that an older version left in `final` alone. The lock is held."""
        self.update(looks=[look.to_json() for look in self.looks])

    def begin_look(self, model_sha256: str, reason: str | None = None) -> Look:
        """Note a look at the hold-out set, on disk before this returns. The lock is held.

        Args:
            model_sha256: of the model file that looks.
            reason: why there is another look; None for the first.

        Returns:
            The look; the last one, where that was begun with this model and not finished.

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

    def finish_look(self, metrics: Mapping[str, Any]) -> None:
        """Complete the last look, whose `final/holdout.json` is written. The lock is held.

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

    def record_weights(self, used: Mapping[str, Any], asked: str) -> None:
        """Write down the weights that were asked for, and which were really used."""
        self.update(weights=used, protocol=self.content["protocol"] | {"weights": asked})

    def record_distinct_patients(self, radiographs: Radiographs) -> None:
        """Write down that ids which read alike are of different people, where that was said."""
        if radiographs.distinct_patients:
            self.update(distinct_patients=True)

    def refuse_changes(self, protocol: Protocol) -> None:
        """Refuse choices that are settled and differ.

        Raises:
            ResumeError: with a table of them.
        """
        old, new = self.protocol.to_json(), protocol.to_json()
        for values in (old, new):
            values["weights"] = absolute_weights(values["weights"])
        # Weights are settled once they were found: by `prepare`, or after a download.
        unused = self.content["weights"] is None
        free = (*SEARCH_FIELDS, "weights") if unused else SEARCH_FIELDS
        changed = [
            f"  {name}: was {old[name]}, is {new[name]}"
            for name in old
            if name not in free and old[name] != new[name]
        ]
        if changed:
            table = "\n".join(changed)
            raise ResumeError(
                f"{self.directory} was prepared with other choices:\n{table}\n"
                "Go back to what they were, or take a new study folder."
            )

    def refuse_other_radiographs(self, radiographs: Radiographs, manifest: Path) -> None:
        """Refuse a manifest of other radiographs; the path of one with the same is noted.

        Raises:
            ResumeError: where scores, patients or image files are not those of the study.
            ImageError: where an image file cannot be read.
        """
        mend = "restore it, or take a new study folder"
        was, now = self.content["radiographs_sha256"], radiographs_sha256(radiographs)
        if was != now:
            counted = self.content["radiographs"], self.content["patients"]
            if manifest == self.manifest:
                told = f"{manifest} changed since {self.directory} was prepared"
            else:
                told = f"{self.directory} was prepared from {self.manifest}, and "
                told += f"{manifest} holds other radiographs"
            raise ResumeError(
                f"{told}:\n"
                f"  radiographs: was {_told(*counted, was)}, is "
                f"{_told(len(radiographs), len(set(radiographs.patient_ids)), now)}\n"
                + "".join(f"  {line}\n" for line in changed_rows(radiographs, self._rows))
                + mend
            )
        try:
            hashes = [sha256_of_file(image) for image in radiographs.images]
        except OSError as error:
            raise ImageError(f"{error.filename} cannot be read ({error.strerror})") from error
        was, now = self.content["images_sha256"], images_sha256(radiographs, hashes)
        if was != now:
            raise ResumeError(
                f"image files of {manifest} changed since {self.directory} was prepared "
                f"(SHA-256 of all: was {was[:12]}, is {now[:12]})"
                + "".join(f"\n  {line}" for line in changed_images(radiographs, hashes, self._rows))
                + ("\n" if self._rows else "; ")
                + "restore them, or take a new study folder"
            )
        if manifest != self.manifest:
            self.update(manifest=self._relative(manifest))

    def refuse_other_development(self, development: Radiographs, split: Path) -> None:
        """Refuse a split that seals other patients than the study's.

        Raises:
            SplitError: naming the split's file.
        """
        if radiographs_sha256(development) != self.content["development_sha256"]:
            raise SplitError(
                f"{split} seals other patients than {STUDY_FILE} says; restore the file, or take "
                "a new study folder"
            )

    @property
    def _rows(self) -> Mapping[str, Any]:
        """What `data.row_record` wrote; empty for a study of an older version."""
        rows = self.content.get("rows")
        return rows if isinstance(rows, dict) else {}

    def _relative(self, manifest: Path) -> str:
        # Relative where it can be, so that study and manifest can move together.
        return os.path.relpath(manifest, self.directory.resolve())

    def _read(self) -> dict[str, Any] | None:
        try:
            return read_record(self.path, StudyForm, mend=_MEND)
        except FileNotFoundError:
            return None
        except RecordError as error:
            raise ResumeError(str(error)) from error


def absolute_weights(weights: str) -> str:
    """The weights as a record names them: a path from the root, so that any folder will do."""
    return weights if weights in ("imagenet", "random") else str(Path(weights).resolve())


def look_refused(directory: Path, look: Look, fault: str) -> ResumeError:
    """The error for a look after the last one, for which no reason was given.

    Args:
        directory: the study's folder.
        look: the last one.
        fault: why what is there cannot be shown or continued.
    """
    folder = shlex.quote(str(directory))
    return ResumeError(
        f"{directory}: the hold-out set was looked at on {look}, and {fault}. Restore "
        f"{FINAL} from a copy; or look again with a reason, which is counted and shown wherever "
        f'the figures are: rust-tuner final {folder} --look-again "reason", or '
        'Study(...).final(look_again="reason")'
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _told(num_radiographs: int, num_patients: int, sha256: str) -> str:
    return f"{num_radiographs} of {num_patients} patients (SHA-256 {sha256[:12]})"
