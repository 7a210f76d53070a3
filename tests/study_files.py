"""A `study.json` of four radiographs whose files hold a byte each."""

import hashlib
from pathlib import Path

from rust_tuner import Protocol
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.records.private import StudyKey
from rust_tuner.records.study import StudyFile

PROTOCOL = Protocol.study(seed=3)


def write_study_file(
    folder: Path,
    radiographs: Radiographs,
    manifest: Path,
    *,
    protocol: Protocol = PROTOCOL,
    key: StudyKey | None = None,
) -> None:
    """Write `study.json` as a study that is prepared with the first two rows as development."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in radiographs.images]
    file = StudyFile(folder)
    assert not file.is_there
    file.create(
        radiographs,
        radiographs.subset([0, 1]),
        manifest=manifest,
        protocol=protocol,
        image_hashes=hashes,
        split_sha256="split",
        key=key,
    )
    assert file.is_there
