"""Identifies images by their content, and holds whoever decodes them later to that content.

A file may be replaced between being hashed and being read, by an export that runs again or a copy
that is not finished. What is made from it must not be kept under the hash of its predecessor.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rust_tuner.data.bare_image import CHANGED, FileErrors
from rust_tuner.data.reading import AS_STORED, Reading
from rust_tuner.files import sha256_of_file


def hash_images(
    images: Sequence[Path], rows: Sequence[int] | None, readings: Sequence[Reading] | None = None
) -> tuple[list[str], tuple[Reading, ...]]:
    """What identifies each image as it is read, and how to read what was identified.

    Args:
        images: n files.
        rows: their rows in the manifest, for messages.
        readings: how each is read; as stored if None.

    Returns:
        The n keys, and n readings that refuse a file whose content is not what was hashed.

    Raises:
        ImageError: naming file and row, if a file cannot be read, or is not the one that was
            checked when the study was prepared.
    """
    keys, held = [], []
    for index, reading in enumerate(readings or [AS_STORED] * len(images)):
        errors = FileErrors(images[index], None if rows is None else rows[index])
        try:
            digest = sha256_of_file(images[index])
        except OSError as error:
            raise errors.error(f"cannot be read ({error.strerror}); check the path") from error
        if reading.sha256 not in (None, digest):
            raise errors.error(CHANGED)
        keys.append(reading.key(digest))
        held.append(replace(reading, sha256=digest))
    return keys, tuple(held)
