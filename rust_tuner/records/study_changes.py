"""Refuses a study's resumption with other choices or data than it was prepared with.

The messages say what differs. The record that is compared belongs to `study`.
"""

from pathlib import Path

from rust_tuner.data.images import images_sha256
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import changed_images, changed_rows, radiographs_sha256
from rust_tuner.errors import ImageError, ResumeError, SplitError, private
from rust_tuner.files import sha256_of_file
from rust_tuner.protocol import Protocol
from rust_tuner.records.private import KEY_PATH, PRIVATE, record_manifest, write_name_tables
from rust_tuner.records.study import SEARCH_FIELDS, StudyFile
from rust_tuner.records.study_record import STUDY_FILE
from rust_tuner.records.weights_path import absolute_weights, is_same_file


def refuse_other_choices(file: StudyFile, protocol: Protocol, *, plain_ids: bool = False) -> None:
    """Refuse changes of choices that are fixed.

    Args:
        file: the study's record.
        protocol: the choices that are requested now.
        plain_ids: whether patient ids are requested as they are, instead of keyed hashes.

    Raises:
        ResumeError: with a table of the changes.
    """
    old, new = file.protocol.to_json(), protocol.to_json()
    for values in (old, new):
        values["weights"] = absolute_weights(values["weights"])
    # Weights are fixed once they are found: by `prepare`, or after a download.
    used = file.record.weights
    # A file of the same content may have been moved.
    is_free = used is None or (
        old["weights"] != new["weights"] and is_same_file(new["weights"], used)
    )
    free = (*SEARCH_FIELDS, "weights") if is_free else SEARCH_FIELDS
    changed = [
        f"  {name}: was {old[name]}, is {new[name]}"
        for name in old
        if name not in free and old[name] != new[name]
    ]
    if changed:
        table = "\n".join(changed)
        raise ResumeError(
            f"{file.directory} was prepared with other choices:\n{table}\n"
            "Restore the old choices, or use a new study folder."
        )
    if plain_ids and file.record.patient_ids == "hashed":
        raise ResumeError(
            f"{file.directory} was prepared with keyed hashes of patient ids, so it cannot be "
            f"resumed with plain ones; leave out --plain-ids (the folder {PRIVATE} says which hash "
            "is which patient), or use a new study folder"
        )


def refuse_other_radiographs(file: StudyFile, radiographs: Radiographs, manifest: Path) -> None:
    """Refuse a manifest with other radiographs; record the path of one with the same.

    Raises:
        ResumeError: if scores, patients or image files are not those of the study.
        ImageError: if an image file cannot be read.
    """
    is_hashed = file.record.patient_ids == "hashed"
    shown = "the manifest" if is_hashed else private(manifest)
    was, now = file.record.radiographs_sha256, radiographs_sha256(radiographs)
    if was != now:
        counted = file.record.radiographs, file.record.patients
        if manifest == file.manifest:
            message = f"{shown} changed since {file.directory} was prepared"
        else:
            source = f"the manifest that {KEY_PATH} names" if is_hashed else private(file.manifest)
            given = f"{shown} that was given" if is_hashed else shown
            message = f"{file.directory} was prepared from {source}, and {given} has other "
            message += "radiographs"
        raise ResumeError(
            f"{message}:\n"
            f"  radiographs: was {_counts(*counted, was)}, is "
            f"{_counts(len(radiographs), len(set(radiographs.patient_ids)), now)}\n"
            + "".join(f"  {line}\n" for line in changed_rows(radiographs, file.rows))
            + "restore it, or use a new study folder"
        )
    try:
        hashes = [sha256_of_file(image) for image in radiographs.images]
    except OSError as error:
        raise ImageError(f"{private(error.filename)} cannot be read ({error.strerror})") from error
    was, now = file.record.images_sha256, images_sha256(radiographs, hashes)
    if was != now:
        raise ResumeError(
            f"image files of {shown} changed since {file.directory} was prepared "
            f"(SHA-256 of all: was {was[:12]}, is {now[:12]})"
            + "".join(f"\n  {line}" for line in changed_images(radiographs, hashes, file.rows))
            + ("\n" if file.rows else "; ")
            + "restore them, or use a new study folder"
        )
    key = file.key
    if manifest != file.manifest:
        if key is None:
            file.update(manifest=file.relative(manifest))
        else:
            record_manifest(file.directory, key, file.relative(manifest))
    if key is not None:
        write_name_tables(file.directory, radiographs)


def refuse_other_development(file: StudyFile, development: Radiographs, split: Path) -> None:
    """Refuse a split that seals other patients than the study's.

    Raises:
        SplitError: naming the split's file.
    """
    if radiographs_sha256(development) != file.record.development_sha256:
        raise SplitError(
            f"{split} seals other patients than {STUDY_FILE} says; restore the file, or use a "
            "new study folder"
        )


def _counts(num_radiographs: int, num_patients: int, sha256: str) -> str:
    return f"{num_radiographs} of {num_patients} patients (SHA-256 {sha256[:12]})"
