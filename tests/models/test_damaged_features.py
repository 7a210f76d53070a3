"""A damaged, blocked, full or deleted cache of features costs time, and never a feature."""

import errno
import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_images import ALL_FLIPS, Decoded, entry_of
from notes import Notes

from rust_tuner.errors import StorageError
from rust_tuner.files import atomic_write
from rust_tuner.models import features as features_module
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.features import extract_features


def flip_a_byte(entry: Path) -> None:
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)


def flip_a_byte_of_the_hash(entry: Path) -> None:
    content = bytearray(entry.read_bytes())
    content[0] ^= 1
    entry.write_bytes(content)


def truncate(entry: Path) -> None:
    entry.write_bytes(entry.read_bytes()[:-4])


def empty(entry: Path) -> None:
    entry.write_bytes(b"")


def another_shape(entry: Path) -> None:
    content = np.zeros(NUM_FEATURES, dtype="<f4").tobytes()
    entry.write_bytes(hashlib.sha256(content).digest() + content)


@pytest.mark.parametrize(
    "damage", [flip_a_byte, flip_a_byte_of_the_hash, truncate, empty, another_shape, Path.unlink]
)
def test_a_damaged_entry_is_computed_again_and_no_other(
    damage: Callable[[Path], None], images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path)
    content = entry_of(tmp_path, images[4]).read_bytes()
    damage(entry_of(tmp_path, images[4]))
    quick.take()
    mended = extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert quick.take() == ["4.png"]
    assert np.array_equal(mended.values, whole.values)
    assert entry_of(tmp_path, images[4]).read_bytes() == content


def test_a_cache_that_cannot_be_read_back_is_said_so_and_costs_no_feature(
    images: list[Path], quick: Decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path / "whole")
    monkeypatch.setattr(features_module, "atomic_write", lambda path: nullcontext(io.BytesIO()))
    said = Notes()
    found = extract_features(images, ALL_FLIPS, cache=tmp_path / "cache", progress=said)
    assert np.array_equal(found.values, whole.values)
    (line,) = said.said
    assert re.search(r"written entry cannot be read back; check the disk.* cache", line)


def fifo(entry: Path) -> None:
    entry.unlink()
    os.mkfifo(entry)


def folder_instead(entry: Path) -> None:
    entry.unlink()
    (entry / "inside").mkdir(parents=True)


def file_instead_of_its_folder(entry: Path) -> None:
    shutil.rmtree(entry.parent)
    entry.parent.write_bytes(b"")


def file_instead_of_the_cache(entry: Path) -> None:
    cache = entry.parents[2]
    shutil.rmtree(cache)
    cache.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "cure"),
    [
        (folder_instead, r"cannot be written \(Is a directory\)\. Remove or rename the folder "),
        (file_instead_of_its_folder, "Remove or rename .*, which is a file, not a folder"),
        (file_instead_of_the_cache, "Remove or rename .*, which is a file, not a folder"),
    ],
)
def test_what_stands_in_the_cache_s_way_is_named_once_and_the_features_are_computed(
    damage: Callable[[Path], None], cure: str, images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    whole = extract_features(images, ALL_FLIPS, cache=cache)
    damage(entry_of(cache, images[4]))
    for _ in range(2):
        said, _ = Notes(), quick.take()
        found = extract_features(images, ALL_FLIPS, cache=cache, progress=said)
        assert np.array_equal(found.values, whole.values)
        assert "4.png" in quick.take()
        (line,) = said.said
        assert re.search(cure, line)
        assert "choose another cache folder (--cache, cache=... or RUST_TUNER_CACHE)" in line


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_an_entry_s_place_is_not_waited_for(
    images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path)
    fifo(entry_of(tmp_path, images[4]))
    mended = extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert np.array_equal(mended.values, whole.values)
    assert entry_of(tmp_path, images[4]).is_file()


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_cache_that_cannot_be_written_costs_no_feature(
    reason: int, images: list[Path], quick: Decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path / "whole")
    real_open = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(reason, os.strerror(reason))
        return real_open(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    said = Notes()
    found = extract_features(images, ALL_FLIPS, cache=tmp_path / "cache", progress=said)
    assert np.array_equal(found.values, whole.values)
    (line,) = said.said
    assert (
        f"({os.strerror(reason)}). Free disk space or fix the permissions, or choose another"
        in line
    )


def test_a_disk_that_has_room_again_keeps_what_is_computed_from_then_on(
    images: list[Path], quick: Decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def sometimes(path: Path) -> AbstractContextManager[Any]:
        calls.append(path)
        if len(calls) <= 4:
            raise StorageError(f"{path} cannot be written (No space left on device)")
        return atomic_write(path)

    monkeypatch.setattr(features_module, "atomic_write", sometimes)
    extract_features(images, ALL_FLIPS, cache=tmp_path)
    quick.take()
    extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert quick.take() == ["0.png", "1.png", "2.png", "3.png"]


@pytest.mark.parametrize("below", [0, 1, 2], ids=["cache", "recipe", "entries"])
def test_a_cache_that_is_deleted_while_it_is_used_costs_no_feature(
    below: int, images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path / "whole")
    cache = tmp_path / "cache"

    class Deletes(Notes):
        def advance(self, steps: int = 1, *, note: str | None = None) -> None:
            for folder in list(cache.glob("/".join("*" * below))) if below else [cache]:
                if folder.is_dir():
                    shutil.rmtree(folder)

    found = extract_features(images, ALL_FLIPS, cache=cache, progress=Deletes())
    assert np.array_equal(found.values, whole.values)
    again = extract_features(images, ALL_FLIPS, cache=cache)
    assert np.array_equal(again.values, whole.values)
