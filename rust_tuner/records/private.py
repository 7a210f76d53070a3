"""`private/` of a study: what links its records to people, for its owner only.

It owns the key from which patients and images get their written names, the paths of the manifest
and of files of weights, and two tables with both names. Nothing else in a study folder says who a
patient is, so a study can be shared without this folder. How names are made belongs to
`data.pseudonyms`.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import pandas as pd
from pydantic import Field

from rust_tuner.data.csv_output import csv_text, original_text
from rust_tuner.data.pseudonyms import Pseudonyms, image_name, keyed_hash
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.errors import LockedError, ResumeError, RustTunerError, StorageError
from rust_tuner.files import atomic_write, json_text, sha256_of_text
from rust_tuner.locks import hold_lock
from rust_tuner.records.model import Record, read_record
from rust_tuner.records.study_record import STUDY_FILE, StudyRecord, read_study_record

PRIVATE = "private"
KEY_FILE = "key.json"
PATIENTS_FILE = "patients.csv"
IMAGES_FILE = "images.csv"
PREDICTED_FILE = "predicted.csv"
# What `study.json` has in place of the manifest's path, which may say more than it should.
KEY_PATH = f"{PRIVATE}/{KEY_FILE}"

_KEY_BYTES = 32
_OWNER_ONLY = 0o600
_OWNERS_FOLDER = 0o700
_PREDICTED_DIGITS = 12


class StudyKey(Record):
    """`private/key.json`: the key of a study, and where its manifest and weights are.

    Attributes:
        key: 32 bytes in hexadecimal.
        manifest: its path, relative to the study if possible.
        weights: by SHA-256, the paths of the files of weights that the user has named; records
            have their names only. None in files of earlier versions.
    """

    file_name: ClassVar[str] = KEY_FILE

    format: Literal[1]
    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    manifest: str
    weights: dict[str, str] | None = None

    @property
    def sha256(self) -> str:
        """Of the key: it says whose key it is, and gives nothing of it away."""
        return sha256_of_text(self.key)

    @property
    def secret(self) -> bytes:
        """The key itself."""
        return bytes.fromhex(self.key)


def read_key(directory: Path) -> StudyKey | None:
    """The key of a study folder; None if there is none.

    Raises:
        RecordError: if it is damaged.
    """
    try:
        return read_record(directory / PRIVATE / KEY_FILE, StudyKey, mend="restore it from a copy")
    except FileNotFoundError:
        return None


def make_key(directory: Path, manifest: str) -> StudyKey:
    """The key of a study that is prepared now, which is not written yet.

    A key that an interrupted preparation left is used again.

    Args:
        directory: the study's folder.
        manifest: its path as it is recorded.
    """
    key = read_key(directory)
    if key is None:
        return StudyKey(format=1, key=secrets.token_hex(_KEY_BYTES), manifest=manifest)
    return key.with_changes(manifest=manifest)


@contextlib.contextmanager
def keeping_key(directory: Path, key: StudyKey | None) -> Iterator[None]:
    """Write a key before the block, which is the first to write names; the lock must be held.

    If the block refuses the data, a new key is removed again, since nothing has been prepared.
    """
    if key is None:
        yield
        return
    is_new = read_key(directory) is None
    record_manifest(directory, key, key.manifest)
    try:
        yield
    except RustTunerError:
        if is_new:
            (directory / PRIVATE / KEY_FILE).unlink(missing_ok=True)
            # Other files in it are the user's.
            with contextlib.suppress(OSError):
                (directory / PRIVATE).rmdir()
        raise


def record_manifest(directory: Path, key: StudyKey, manifest: str) -> StudyKey:
    """Write the key with the manifest's path; the study's lock must be held."""
    changed = key.with_changes(manifest=manifest)
    _write(directory, KEY_FILE, json_text(changed.to_json()))
    return changed


def record_weights_path(directory: Path, key: StudyKey, sha256: str, path: Path) -> StudyKey:
    """Write the key with the path of a file of weights; the study's lock must be held."""
    changed = key.with_changes(weights={**(key.weights or {}), sha256: str(path.resolve())})
    if changed.to_json() != key.to_json():
        _write(directory, KEY_FILE, json_text(changed.to_json()))
    return changed


def key_of(directory: Path, study: StudyRecord) -> StudyKey | None:
    """The key of a prepared study; None if it writes patients by their own ids.

    Raises:
        ResumeError: if the key is missing or is another study's.
        RecordError: if it is damaged.
    """
    if study.patient_ids != "hashed":
        return None
    key, path = read_key(directory), directory / PRIVATE / KEY_FILE
    mend = (
        f"copy the folder {PRIVATE} from where the study was prepared; without it, no "
        "step can run, and a new study needs a new folder"
    )
    if key is None:
        raise ResumeError(
            f"{path} is missing: this study has keyed hashes instead of patient ids, and only the "
            f"key links them to a manifest; {mend}"
        )
    if key.sha256 != study.key_sha256:
        raise ResumeError(
            f"{path} is the key of another study than {directory / STUDY_FILE} (SHA-256 "
            f"{key.sha256[:12]}, expected {str(study.key_sha256)[:12]}); {mend}"
        )
    return key


def named(
    radiographs: Radiographs,
    key: StudyKey | None,
    *,
    visits: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> Radiographs:
    """Radiographs that are written under the names that a key gives; unchanged without a key.

    Args:
        radiographs: of a manifest.
        key: of the study.
        visits: as `Pseudonyms.of`.
    """
    if key is None or radiographs.pseudonyms is not None:
        return radiographs
    return radiographs.written_as(Pseudonyms.of(radiographs.table, key.secret, visits=visits))


def written_visits(directory: Path) -> dict[tuple[str, str], str]:
    """Id and visit -> written visit, as `private/images.csv` has them; empty without the file."""
    try:
        table = pd.read_csv(directory / PRIVATE / IMAGES_FILE, dtype="str", keep_default_na=False)
        columns = (original_text(table[name]) for name in ("patient_id", "visit", "written_visit"))
        pairs = zip(*columns, strict=True)
        return {(patient, visit): written for patient, visit, written in pairs}
    except (OSError, ValueError, KeyError):
        return {}


def named_within_study(development: Development, folder: Path) -> Development:
    """A development set as the study writes it that a folder belongs to.

    Args:
        development: of any origin; that of `Study.prepare` has its names already.
        folder: where something will be written, such as a search's.

    Returns:
        The same set if the folder is in no study, or in one with plain ids.

    Raises:
        ResumeError: if the study's key is missing or is another study's.
        RecordError: if the study or the key is damaged.
    """
    absolute = folder.absolute()
    for parent in (absolute, *absolute.parents):
        if (parent / STUDY_FILE).is_file():
            key = key_of(parent, read_study_record(parent / STUDY_FILE))
            radiographs = named(development.radiographs, key)
            is_same = radiographs is development.radiographs
            return development if is_same else Development(radiographs)
    return development


def write_name_tables(directory: Path, radiographs: Radiographs) -> None:
    """Write which written name stands for which patient and image; the lock must be held.

    Args:
        directory: the study's folder.
        radiographs: all of the study, with pseudonyms.
    """
    table, written = radiographs.table, radiographs.written
    names = pd.DataFrame(
        {
            "written_patient": written["patient_id"],
            "patient_id": table["patient_id"],
            "written_visit": written["visit"],
            "visit": table["visit"],
            "written_image": written["image"],
            "row": table.index,
            "image": table["image"],
        }
    )
    patients = names[["written_patient", "patient_id"]].drop_duplicates()
    for name, table_of_names in ((PATIENTS_FILE, patients), (IMAGES_FILE, names)):
        text, path = csv_text(table_of_names), directory / PRIVATE / name
        if not path.is_file() or path.read_bytes() != text.encode():
            _write(directory, name, text)


def predicted_names(directory: Path, images: list[str]) -> list[str] | None:
    """Names for images that a study's model has read, which are kept in `private/predicted.csv`.

    Args:
        directory: the study's folder.
        images: their paths.

    Returns:
        The position of each from 1, and the keyed hash of its path if the key is there; None for a
        study with plain ids, and for a folder that is not a study.

    Raises:
        RecordError: if the study or the key is damaged.
    """
    try:
        study = read_study_record(directory / STUDY_FILE)
    except FileNotFoundError:
        return None
    if study.patient_ids != "hashed":
        return None
    key = read_key(directory)
    if key is None:
        return [f"image-{number}" for number in range(1, len(images) + 1)]
    paths = [os.path.abspath(image) for image in images]
    names = [
        image_name(number, keyed_hash(key.secret, "predicted", path)[:_PREDICTED_DIGITS])
        for number, path in enumerate(paths, 1)
    ]
    # The position identifies the image as well, so a read-only folder is not an error.
    unwritten = contextlib.suppress(OSError, LockedError)
    with unwritten, hold_lock(directory / PRIVATE, "predictions", wait=60):
        table = pd.DataFrame({"written_image": names, "image": paths})
        path = directory / PRIVATE / PREDICTED_FILE
        if path.is_file():
            table = pd.concat([_predicted_before(path), table])
        _write(directory, PREDICTED_FILE, csv_text(table.drop_duplicates()))
    return names


def _predicted_before(path: Path) -> pd.DataFrame:
    """The images of earlier predictions; a file that another program has changed is set aside."""
    with contextlib.suppress(ValueError):
        table: pd.DataFrame = pd.read_csv(path, dtype="str", keep_default_na=False)
        if list(table) == ["written_image", "image"]:
            return table
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
    return pd.DataFrame(dtype="str")


def manifest_of(directory: Path, study: StudyRecord) -> Path | None:
    """The manifest of a study; None if only a key that is missing or unreadable says it."""
    if study.patient_ids != "hashed":
        return directory / PurePath(study.manifest)
    try:
        key = key_of(directory, study)
    except (ResumeError, StorageError, ValueError):
        return None
    return None if key is None else directory / PurePath(key.manifest)


def _write(directory: Path, name: str, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    folder = directory / PRIVATE
    if not folder.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=_OWNERS_FOLDER, exist_ok=True)
    with atomic_write(folder / name, mode=_OWNER_ONLY) as stream:
        stream.write(text.encode())
